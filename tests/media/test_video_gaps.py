"""Gaps in a film: the kept frames at the times planned, no sound of a gap, a fresh encoder after each."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")

from anonymize.errors import MediaError, UsageError  # noqa: E402
from anonymize.media.video import SplitWriter, VideoWriter, open_video  # noqa: E402
from anonymize.media.video_gaps import Timeline  # noqa: E402
from tests.media.video_samples import Clip, make_clip, number_of  # noqa: E402

GONE = {5, 6, 7, 8, 15, 16, 17}
KEPT = [number for number in range(24) if number not in GONE]
RUNS = [(0, 5), (9, 15), (18, 24)]
CODECS = {"libx264": ".mp4", "libx265": ".mkv", "libvpx-vp9": ".webm", "libsvtav1": ".mp4", "mjpeg": ".mkv"}


def run(source: Path, target: Path, released, *, gap: str, gone: set[int] = GONE, **chosen) -> object:
    """Write `source` without the frames `gone`."""
    with open_video(source) as reader:
        make = SplitWriter(target, reader, **chosen) if gap == "split" else None
        with make or VideoWriter(target, reader, gap=gap, **chosen) as writer:
            for number, captured in enumerate(reader):
                if number in gone:
                    writer.withhold(captured.pts)
                else:
                    writer.write(released(captured))
    return writer


def shown(path: Path) -> list[tuple[Fraction, int, bool]]:
    """Time, painted number and whether it is a key frame, of each picture."""
    with av.open(str(path)) as container:
        return [
            (frame.pts * frame.time_base, number_of(frame.to_ndarray(format="gray")), bool(frame.key_frame))
            for frame in container.decode(video=0)
        ]


def sound_times(path: Path) -> list[tuple[float, float]]:
    with av.open(str(path)) as container:
        return [
            (float(p.pts * p.time_base), float((p.pts + p.duration) * p.time_base))
            for p in container.demux(audio=0)
            if p.size
        ]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    """A film of 24 frames, 25 a second, with AAC sound."""
    return make_clip(Clip(tmp_path_factory.mktemp("clips") / "spoken.mp4", sound="aac"))


@pytest.mark.parametrize(("codec", "suffix"), CODECS.items())
def test_cut_moves_later_frames_earlier_and_begins_anew(tmp_path, released, codec, suffix):
    options = {"preset": "ultrafast"} if codec in ("libx264", "libx265") else {}
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    source = make_clip(Clip(tmp_path / f"in{suffix}", codec=codec, options=options, pix_fmt=pix_fmt))
    run(source, tmp_path / f"out{suffix}", released, gap="cut")
    found = shown(tmp_path / f"out{suffix}")
    first_s = shown(source)[0][0]
    assert [number for _, number, _ in found] == KEPT
    assert [round(float(time - first_s) * 25, 3) for time, _, _ in found] == list(range(len(KEPT)))
    for first in (0, 5, 11):
        assert found[first][2]


def test_black_keeps_the_times_and_shows_one_flat_picture_a_gap(tmp_path, released, spoken):
    run(spoken, tmp_path / "out.mp4", released, gap="black")
    found = shown(tmp_path / "out.mp4")
    assert [round(float(time) * 25) for time, _, _ in found] == [*KEPT[:5], 5, *KEPT[5:11], 15, *KEPT[11:]]
    assert [n for _, n, _ in found] == [*KEPT[:5], 0, *KEPT[5:11], 0, *KEPT[11:]]
    with av.open(str(tmp_path / "out.mp4")) as container:
        pictures = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    height = 96
    for index in (5, 12):
        assert np.unique(pictures[index][:height]).tolist() == [16]
        assert np.unique(pictures[index][height:]).tolist() == [128]


@pytest.mark.parametrize("gap", ["cut", "black"])
def test_sound_of_a_gap_is_gone(tmp_path, released, spoken, gap):
    run(spoken, tmp_path / "out.mp4", released, gap=gap)
    before, after = sound_times(spoken), sound_times(tmp_path / "out.mp4")
    gaps = [(5 / 25, 9 / 25), (15 / 25, 18 / 25)]
    packet_s = 1024 / 48000
    kept = [
        (a, b)
        for a, b in before
        if all(b + packet_s <= start + 1e-6 or a - packet_s >= end - 1e-6 for start, end in gaps)
    ]
    assert 0 < len(kept) < len(before) - 8
    removed = [sum(end - start for start, end in gaps if end <= a + 1e-6) * (gap == "cut") for a, _ in kept]
    assert [a for a, _ in after] == pytest.approx(
        [a - gone for (a, _), gone in zip(kept, removed, strict=True)], abs=2e-5
    )


def test_split_writes_each_run_from_the_start(tmp_path, released, spoken):
    writer = run(spoken, tmp_path / "out.mp4", released, gap="split")
    assert [path.name for path in writer.paths] == ["out.001.mp4", "out.002.mp4", "out.003.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.001.mp4", "out.002.mp4", "out.003.mp4"]
    for path, (first, end) in zip(writer.paths, RUNS, strict=True):
        found = shown(path)
        assert [number for _, number, _ in found] == list(range(first, end))
        assert [round(float(time) * 25, 3) for time, _, _ in found] == list(range(end - first))
        times = sound_times(path)
        assert times
        assert max(b for _, b in times) <= (end - first) / 25 + 1.0
        if end != 24:
            assert max(b for _, b in times) <= (end - first) / 25


def test_split_is_all_or_nothing(tmp_path, released, spoken):
    (tmp_path / "out.003.mp4").write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists already"):
        run(spoken, tmp_path / "out.mp4", released, gap="split")
    assert [path.name for path in tmp_path.iterdir()] == ["out.003.mp4"]
    assert (tmp_path / "out.003.mp4").read_bytes() == b"mine"


def test_a_part_that_cannot_get_its_name_takes_the_others_back(tmp_path, released, spoken):
    def seal(captured):
        if len(list(tmp_path.iterdir())) == 3:  # all parts are begun
            (tmp_path / "out.003.mp4").write_bytes(b"mine")
        return released(captured)

    with pytest.raises(MediaError, match="came into being meanwhile"):
        run(spoken, tmp_path / "out.mp4", seal, gap="split")
    assert [path.name for path in tmp_path.iterdir()] == ["out.003.mp4"]


@pytest.mark.parametrize("gap", ["cut", "black", "split"])
def test_a_fault_after_a_gap_leaves_nothing(tmp_path, released, spoken, gap):
    def seal(captured):
        if captured.pts > 10 * spoken_step:
            raise KeyboardInterrupt
        return released(captured)

    with open_video(spoken) as reader:
        spoken_step = int(1 / 25 / reader.facts.time_base)
    with pytest.raises(KeyboardInterrupt):
        run(spoken, tmp_path / "out.mp4", seal, gap=gap)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("gap", ["cut", "black", "split"])
def test_gaps_at_both_ends(tmp_path, released, spoken, gap):
    gone = {0, 1, 2, 21, 22, 23}
    writer = run(spoken, tmp_path / "out.mp4", released, gap=gap, gone=gone)
    path = writer.paths[0] if gap == "split" else tmp_path / "out.mp4"
    times = [round(float(time) * 25, 3) for time, _, _ in shown(path)]
    assert times == ([0, *range(3, 22)] if gap == "black" else list(range(18)))
    length = 24 if gap == "black" else 18
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].duration * container.streams.video[0].time_base) * 25 == (
            pytest.approx(length, abs=0.01)
        )
    assert max(b for _, b in sound_times(path)) <= (21 if gap == "black" else 18) / 25


@pytest.mark.parametrize("gap", ["cut", "black", "split"])
def test_without_a_kept_frame_nothing_is_written(tmp_path, released, spoken, gap):
    with pytest.raises(MediaError, match="no frame"):
        run(spoken, tmp_path / "out.mp4", released, gap=gap, gone=set(range(24)))
    assert not list(tmp_path.iterdir())


def test_telling_subtitles_do_not_cross_a_gap(tmp_path, released):
    source = make_clip(Clip(tmp_path / "in.mkv", subtitles="subrip"))
    run(source, tmp_path / "all.mkv", released, gap="cut", gone={23}, keep_subtitles=True)
    run(source, tmp_path / "cut.mkv", released, gap="cut", gone={0, 1, 2, 3}, keep_subtitles=True)
    assert b"km/h" in (tmp_path / "all.mkv").read_bytes()
    assert b"km/h" not in (tmp_path / "cut.mkv").read_bytes()


def test_uneven_times_in_a_fine_clock(tmp_path, released):
    times = [0, 3003, 6006, 9100, 12012, 15015, 18000, 21021, 24024, 27027]
    source = make_clip(Clip(tmp_path / "in.mp4", times=times, time_base=Fraction(1, 90000)))
    run(source, tmp_path / "out.mp4", released, gap="cut", gone={3, 4, 7})
    found = [int(time * 90000) for time, _, _ in shown(tmp_path / "out.mp4")]
    assert found == [0, 3003, 6006, 9100, 12085, 15106, 18109]


@pytest.mark.parametrize("gap", ["cut", "split"])
def test_avi_keeps_no_sound_beside_gaps(tmp_path, released, gap):
    source = make_clip(Clip(tmp_path / "in.avi", sound="pcm_s16le"))
    with pytest.raises(MediaError, match="AVI has no times for sound"):
        run(source, tmp_path / "out.avi", released, gap=gap)
    assert run(source, tmp_path / "out.avi", released, gap="cut", audio="drop").frames_written == len(KEPT)


def test_a_writer_without_gap_withholds_nothing(tmp_path, spoken):
    with open_video(spoken) as reader, pytest.raises(UsageError, match="gap"):
        VideoWriter(tmp_path / "out.mp4", reader, gap="hole")
    with (
        pytest.raises(UsageError, match="withhold"),
        open_video(spoken) as reader,
        VideoWriter(tmp_path / "out.mp4", reader) as writer,
    ):
        writer.withhold(0)


def test_sound_far_from_any_kept_frame_does_not_travel():
    timeline = Timeline(Fraction(1, 10), closes=True)
    for pts in (0, 1, 2, 60, 61):  # a hole of 5.8 s that nobody withheld
        timeline.keep(pts)
    assert timeline.shift_of(Fraction(1, 2), Fraction(1)) == 0
    assert timeline.shift_of(Fraction(2), Fraction(21, 10)) is None
    assert timeline.shift_of(Fraction(52, 10), Fraction(6)) == 0
    timeline.withhold(62)
    assert timeline.shift_of(Fraction(60, 10), Fraction(62, 10)) == 0
    assert timeline.shift_of(Fraction(60, 10), Fraction(63, 10)) is None
    assert not timeline.knows(Fraction(7))
    timeline.end()
    assert timeline.knows(Fraction(7))
    assert timeline.all_before(Fraction(63, 10))
