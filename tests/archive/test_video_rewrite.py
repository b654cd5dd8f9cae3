"""Groups without a box stay as they are, bit for bit; the others are hidden; nothing else changes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.archive.video_rewrite import rewrite_video
from anonymize.archive.work import ArchiveSettings
from anonymize.errors import MediaError, VerificationError
from anonymize.frames import Box, CapturedFrame, Dropped, Reason
from anonymize.media.nal import HEVC, join_units, split_units
from anonymize.media.parameter_sets import read_record
from anonymize.media.video import open_video
from tests.archive.video_making import (
    AREA,
    CODECS,
    FAST,
    FILL,
    GROUP,
    Hider,
    area_of,
    decoded,
    grouped_clip,
    joined,
    remade,
    rewritten,
    seal,
)
from tests.media.video_samples import contents

IN_GROUP_1 = GROUP + 3


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("kind", CODECS)
def test_groups_without_a_box_are_bit_identical(tmp_path: Path, kind: str, extension: str) -> None:
    source = grouped_clip(tmp_path / f"in.{extension}", kind)
    target = tmp_path / f"out.{extension}"
    facts = rewritten(source, target, IN_GROUP_1)
    assert (facts.fall_back, facts.frames, facts.groups, facts.copied_groups) == ("", 32, 4, 3)
    before, after = decoded(source), decoded(target)
    assert [time for time, _ in after] == [time for time, _ in before]
    assert [n for n in range(32) if after[n] != before[n]] == list(range(GROUP, 2 * GROUP))
    assert abs(area_of(target, IN_GROUP_1) - FILL).mean() < 6 < abs(area_of(source, IN_GROUP_1) - FILL).mean()
    assert contents(target).duration_s == pytest.approx(contents(source).duration_s, abs=2e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, target.name])


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_an_independent_ffmpeg_decodes_the_same_pictures(tmp_path: Path, kind: str, extension: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")

    def pictures(path: Path) -> list[str]:
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        assert done.stderr == ""
        return [line.rsplit(",", 1)[1].strip() for line in done.stdout.splitlines() if line[0] != "#"]

    source = grouped_clip(tmp_path / f"in.{extension}", kind)
    target = tmp_path / f"out.{extension}"
    rewritten(source, target, 0, 2 * GROUP)
    before, after = pictures(source), pictures(target)
    changed = [*range(GROUP), *range(2 * GROUP, 3 * GROUP)]
    assert [n for n in range(4 * GROUP) if after[n] != before[n]] == changed


@pytest.mark.parametrize("kind", ["hevc", "hevc-b"])
def test_a_second_decoder_gives_the_same_pictures(tmp_path: Path, kind: str) -> None:
    """libde265 shares no line with FFmpeg."""
    program = shutil.which("libde265-dec265")
    if program is None:
        pytest.skip("libde265's program is not installed (apt-get install libde265-examples)")
    source, target = grouped_clip(tmp_path / "in.mkv", kind), tmp_path / "out.mkv"
    rewritten(source, target, 0, IN_GROUP_1)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        units, length = read_record(bytes(stream.codec_context.extradata or b""), HEVC)
        for packet in container.demux(stream):
            units += split_units(bytes(packet), length)
    (tmp_path / "out.265").write_bytes(join_units(units, start_codes=True))
    command = [program, "-q", "-o", str(tmp_path / "out.yuv"), str(tmp_path / "out.265")]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    content, size = (tmp_path / "out.yuv").read_bytes(), 128 * 96 * 3 // 2
    pictures = [content[at : at + size] for at in range(0, len(content), size)]
    found = [hashlib.sha256(picture).hexdigest() for picture in pictures]
    assert found == [digest for _, digest in decoded(target)]
    assert found[2 * GROUP :] == [digest for _, digest in decoded(source)][2 * GROUP :]


@pytest.mark.parametrize("kind", ["h264-b", "hevc-b"])
def test_what_a_player_shows_after_a_seek(tmp_path: Path, kind: str) -> None:
    """Into the middle of a copied run, straight from an encoded one: the right parameter sets are in force."""
    source = grouped_clip(tmp_path / "in.mp4", kind)
    target = tmp_path / "out.mp4"
    rewritten(source, target, 0)
    before = dict(decoded(source))
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        next(container.decode(stream))
        for group in (3, 1, 2):
            container.seek(round(Fraction(group * GROUP, 25) / stream.time_base), stream=stream)
            shown = next(container.decode(stream))
            assert shown.pts is not None and shown.time_base is not None
            digest = dict(decoded(target))[shown.pts * shown.time_base]
            assert digest == before[shown.pts * shown.time_base]
            assert hashlib.sha256(shown.to_ndarray().tobytes()).hexdigest() == digest


@pytest.mark.parametrize("kind", ["h264-b", "hevc-b"])
@pytest.mark.parametrize(("first", "then"), [("mkv", "mp4"), ("ts", "mkv"), ("mp4", "ts"), ("ts", "mp4")])
def test_groups_are_copied_into_another_container(tmp_path: Path, kind: str, first: str, then: str) -> None:
    source = grouped_clip(tmp_path / f"in.{first}", kind)
    target = tmp_path / f"out.{then}"
    facts = rewritten(source, target, IN_GROUP_1)
    assert (facts.fall_back, facts.copied_groups) == ("", 3)
    before, after = decoded(source), decoded(target)
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=5e-4)
    same = [n for n in range(32) if after[n][1] == before[n][1]]
    assert same == [*range(GROUP), *range(2 * GROUP, 4 * GROUP)]


UNEVEN = [7 + n * n for n in range(4 * GROUP)]


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("kind", ["h264", "h264-b"])
def test_uneven_times_sound_orientation_and_colour_are_kept(
    tmp_path: Path, kind: str, extension: str
) -> None:
    base = Fraction(1, 1000)
    source = grouped_clip(
        tmp_path / f"in.{extension}", kind, times=UNEVEN, time_base=base, sound="aac", rotation_ccw=90,
        colour=(2, 5, 5, 6), last_duration=40, sample_aspect_ratio=Fraction(4, 3),
        metadata={"creation_time": "2024-05-06T07:08:09.000000Z"},
    )  # fmt: skip
    target = tmp_path / f"out.{extension}"
    facts = rewritten(source, target, IN_GROUP_1, frames=32)
    assert facts.copied_groups == 3
    before, after = contents(source), contents(target)
    assert after.times_s == before.times_s == [time * base for time in UNEVEN]
    assert after.sound == before.sound != []
    assert after.duration_s == pytest.approx(before.duration_s, abs=2e-3)
    with open_video(source) as one, open_video(target) as other:
        names = ("rotation_deg", "mirrored", "display_matrix", "colour", "color_range", "pixel_format", "codec",
                 "sample_aspect_ratio", "creation_time", "time_base", "container")  # fmt: skip
        assert {n: getattr(one.facts, n) for n in names} == {n: getattr(other.facts, n) for n in names}
    assert "audio kept as it is: voices are not anonymised" in facts.notes
    silent = rewritten(
        source,
        tmp_path / f"silent.{extension}",
        0,
        settings=ArchiveSettings(preset="ultrafast", audio="drop"),
    )
    assert contents(tmp_path / f"silent.{extension}").kinds == ["video"] and silent.copied_groups == 3


@pytest.mark.parametrize("kind", ["h264", "hevc"])
def test_ten_bits_and_wide_colours_in_both_kinds_of_groups(tmp_path: Path, kind: str) -> None:
    source = grouped_clip(tmp_path / "in.mp4", kind, pix_fmt="yuv420p10le", colour=(1, 9, 9, 16))
    target = tmp_path / "out.mp4"
    facts = rewritten(source, target, IN_GROUP_1)
    assert (facts.fall_back, facts.copied_groups) == ("", 3)
    before, after = decoded(source), decoded(target)
    assert sum(one == other for one, other in zip(before, after, strict=True)) == 24
    assert abs(area_of(target, IN_GROUP_1) - FILL).mean() < 6
    with av.open(str(target)) as container:
        for frame in container.decode(video=0):
            described = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.format.name)
            assert described == (9, 9, 16, "yuv420p10le")


def test_a_file_without_any_box_is_all_copied(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4", "h264-b")
    facts = rewritten(source, tmp_path / "out.mp4")
    assert facts.copied_groups == facts.groups == 4
    assert decoded(tmp_path / "out.mp4") == decoded(source)


def test_a_keyframe_that_is_no_clean_start_lies_inside_a_group(tmp_path: Path) -> None:
    """Open groups reach to the next IDR: here one from 0 and one from 24, keyframes every 8."""
    options = {"preset": "fast", "crf": "18", "bf": "2", "forced-idr": "1",
               "x264-params": "keyint=8:min-keyint=8:open-gop=1:scenecut=0"}  # fmt: skip
    one = grouped_clip(tmp_path / "one.ts", groups=3, options=options)
    two = grouped_clip(tmp_path / "two.ts", groups=3, options=options, times=range(30, 54))
    source = joined(tmp_path / "in.ts", one, two)
    facts = rewritten(source, tmp_path / "out.ts", 30)
    assert (facts.fall_back, facts.groups, facts.copied_groups) == ("", 2, 1)
    before, after = decoded(source), decoded(tmp_path / "out.ts")
    assert [n for n in range(48) if before[n] != after[n]] == list(range(24, 48))


def test_what_is_asked_and_told(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4", "h264-b")
    hider, told, asked = Hider(IN_GROUP_1), [], []

    def has_boxes(number: int) -> bool:
        asked.append(number)
        return hider.has_boxes(number)

    rewrite_video(
        source, tmp_path / "out.mp4", has_boxes=has_boxes, hide=hider.hide, settings=FAST,
        progress=told.append, check_stop=lambda: None,
    )  # fmt: skip
    assert asked == sorted(asked) == [*range(IN_GROUP_1 + 1), *range(2 * GROUP, 4 * GROUP)]
    assert hider.seen == list(range(GROUP, 2 * GROUP))
    assert told == sorted(told) and told[-1] == source.stat().st_size


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_a_sample_of_the_output_is_shown_with_its_boxes(tmp_path: Path, extension: str) -> None:
    source = grouped_clip(tmp_path / "in.mp4", groups=50, width=64, height=96)
    seen: list[tuple[int, int, int]] = []

    def look(frame: CapturedFrame, boxes: tuple[Box, ...]) -> None:
        seen.append((round(frame.pts * frame.time_base * 25), len(boxes), int(frame.planes[0][60, 20])))

    rewritten(source, tmp_path / f"out.{extension}", *range(80), check_frame=look)
    encoded = [(number, boxes) for number, boxes, _ in seen if number < 80]
    assert encoded == [(0, 1), (50, 1)]  # every 2 s
    assert all(abs(value - FILL) < 12 for number, _, value in seen if number < 80)
    assert [number for number, boxes, _ in seen if number >= 80 and not boxes] == [
        80,
        336,
    ]  # every 10 s, at a group


def test_nothing_is_left_where_a_sample_is_refused(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4")

    def look(frame: CapturedFrame, boxes: tuple[Box, ...]) -> None:
        if not boxes:
            raise VerificationError("a face was found")

    with pytest.raises(VerificationError, match="a face was found"):
        rewritten(source, tmp_path / "out.mp4", 0, check_frame=look)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_dropped_frame_fails_the_file(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4")

    def hide(captured: CapturedFrame, number: int) -> Dropped:
        return Dropped(Reason.TOO_MANY)

    with pytest.raises(MediaError, match="frame 8 was dropped as too_many"):
        rewritten(source, tmp_path / "out.mp4", IN_GROUP_1, hide=hide)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_frame_hidden_as_a_whole_is_written_and_verified(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4")

    def hide(captured: CapturedFrame, number: int) -> object:
        for plane in captured.planes:
            plane[:] = FILL
        return seal(captured, hidden_whole=True, reason=Reason.TOO_MANY)

    facts = rewritten(source, tmp_path / "out.mp4", IN_GROUP_1, hide=hide)  # type: ignore[arg-type]
    assert any(line.startswith("8 hidden areas in 8 frames hold their fill") for line in facts.verified)


def test_another_number_of_frames_than_was_searched(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4")
    for settings in (FAST, ArchiveSettings(preset="ultrafast", copy_groups=False)):
        with pytest.raises(MediaError, match=r"32 frames.*wanted the 31 searched before"):
            rewritten(source, tmp_path / "out.mp4", 0, frames=31, settings=settings)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_stop_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4")
    hider, calls = Hider(IN_GROUP_1), []

    def check_stop() -> None:
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrite_video(
            source, tmp_path / "out.mp4", has_boxes=hider.has_boxes, hide=hider.hide, settings=FAST,
            progress=lambda _: None, check_stop=check_stop,
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("copied", [True, False])
def test_a_damaged_picture_fails_the_file(tmp_path: Path, copied: bool) -> None:
    """Whether the group would be copied or not: the first picture of each run is decoded, and every hidden one."""

    def damaged(packet: object, number: int) -> bytes:
        content = bytes(packet)  # type: ignore[call-overload]
        return content[:-60] if number == GROUP else content

    source = remade(grouped_clip(tmp_path / "whole.mkv"), tmp_path / "in.mkv", damaged)
    with pytest.raises(MediaError):
        rewritten(source, tmp_path / "out.mkv", 0 if copied else IN_GROUP_1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "whole.mkv"]


def test_the_area_is_the_tests_own(tmp_path: Path) -> None:
    """The clip's pictures differ from the fill where it is asked for: otherwise nothing above could fail."""
    source = grouped_clip(tmp_path / "in.mp4")
    assert abs(area_of(source, IN_GROUP_1) - FILL).mean() > 20
    assert AREA[2] <= 128 and AREA[3] <= 96
