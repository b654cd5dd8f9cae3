"""The written video is the source in everything but its pixels: all clips are drawn here."""

from __future__ import annotations

import resource
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.errors import MediaError, UsageError
from anonymize.frames import CapturedFrame, PixelFormat, ReleasedFrame
from anonymize.media.video import VideoWriter, open_video
from anonymize.media.video_encoders import HOLDS
from anonymize.media.video_write import MUXERS
from tests.media.video_samples import FONT_FREE_SUBTITLE, LOCATION, Clip, contents, make_clip, number_of

Seal = Callable[[CapturedFrame], ReleasedFrame]
FAST: dict[str, Any] = {"preset": "ultrafast", "threads": 1}


def copy_video(source: Path, target: Path, released: Seal, **options: Any) -> VideoWriter:
    """The road of a video with nothing hidden."""
    with open_video(source) as reader, VideoWriter(target, reader, **{**FAST, **options}) as writer:
        for captured in reader:
            writer.write(released(captured))
    assert [p.name for p in target.parent.iterdir() if p.name.startswith(".")] == []
    return writer


def pictures(path: Path) -> list[tuple[Fraction, int]]:
    """Time and drawn number of every picture, by plain PyAV; AVI has decoding times alone."""
    found = []
    with av.open(str(path)) as container:
        container.flags = container.flags & ~1  # AVFMT_FLAG_GENPTS
        for frame in container.decode(video=0):
            assert frame.time_base is not None
            time = frame.pts if frame.pts is not None else frame.dts
            assert time is not None
            found.append((time * frame.time_base, number_of(frame.to_ndarray(format="gray"))))
    return sorted(found)


B_FRAMES = {"preset": "fast", "crf": "18", "bf": "3", "b-adapt": "0"}
UNEVEN = [0, 3, 4, 11, 12, 40, 41, 43, 90, 91, 92, 200, 207, 500]


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "ts", "avi"])
def test_every_container_keeps_frames_and_times(tmp_path: Path, released: Seal, extension: str) -> None:
    source = make_clip(Clip(tmp_path / f"in.{extension}"))
    target = tmp_path / f"out.{extension}"
    writer = copy_video(source, target, released)
    assert writer.frames_written == 24
    assert pictures(target) == pictures(source)


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("options", [{"preset": "ultrafast", "bf": "0"}, B_FRAMES], ids=["no-b", "b"])
@pytest.mark.parametrize("first", [0, 7, 1_000_003])
def test_uneven_times_from_any_start_are_kept(
    tmp_path: Path, released: Seal, extension: str, options: dict[str, str], first: int
) -> None:
    base = Fraction(1, 1000) if extension == "mkv" else Fraction(1, 90_000)
    times = [first + time for time in UNEVEN]
    exact = {"video_track_timescale": "90000", "movie_timescale": "90000"} if extension != "mkv" else {}
    source = make_clip(
        Clip(
            tmp_path / f"in.{extension}", times, base, options=options, muxer_options=exact, last_duration=33
        )
    )
    target = tmp_path / f"out.{extension}"
    writer = copy_video(source, target, released)
    assert [time for time, _ in pictures(source)] == [time * base for time in times]
    assert pictures(target) == pictures(source)
    assert contents(target).duration_s == pytest.approx(contents(source).duration_s, abs=2e-6)
    assert writer.notes == []


@pytest.mark.parametrize("sound", ["aac", "flac"])
def test_sound_is_kept_bit_for_bit_or_dropped(tmp_path: Path, released: Seal, sound: str) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", sound=sound))
    writer = copy_video(source, tmp_path / "kept.mp4", released)
    assert contents(tmp_path / "kept.mp4").sound == contents(source).sound != []
    assert any("not anonymised" in note for note in writer.notes)
    writer = copy_video(source, tmp_path / "mute.mp4", released, audio="drop")
    assert contents(tmp_path / "mute.mp4").kinds == ["video"]
    assert any("audio" in note and "left out" in note for note in writer.notes)


EIGHT = [(turn, flip) for turn in (0, 90, 180, 270) for flip in (False, True)]


@pytest.mark.parametrize(("turn", "flip"), EIGHT)
def test_all_eight_orientations(tmp_path: Path, released: Seal, turn: int, flip: bool) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(3), rotation_ccw=turn, hflip=flip))
    copy_video(source, tmp_path / "out.mp4", released)
    with open_video(source) as before, open_video(tmp_path / "out.mp4") as after:
        assert before.facts.display_matrix == after.facts.display_matrix
        # set_display_rotation: the turn counter-clockwise, then the mirror; ours: the mirror, then the turn.
        clockwise = (360 - turn) % 360
        assert (before.facts.mirrored, before.facts.rotation_deg) == (
            (True, (360 - clockwise) % 360) if flip else (False, clockwise)
        )


def test_orientation_survives_matroska_and_is_refused_where_it_cannot(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(3), rotation_ccw=90))
    copy_video(source, tmp_path / "out.mkv", released)
    with open_video(tmp_path / "out.mkv") as after:
        assert after.facts.rotation_deg == 270
    with pytest.raises(MediaError, match="holds no orientation"):
        copy_video(source, tmp_path / "out.avi", released)


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (2, 1, 1, 1), (1, 6, 6, 6), (1, 5, 5, 4), (1, 9, 9, 16)])
def test_colour_and_pixel_shape(tmp_path: Path, released: Seal, colour: tuple[int, int, int, int]) -> None:
    ratio = Fraction(4, 3)
    source = make_clip(Clip(tmp_path / "in.mp4", range(3), colour=colour, sample_aspect_ratio=ratio))
    copy_video(source, tmp_path / "out.mp4", released)
    with open_video(source) as before, open_video(tmp_path / "out.mp4") as after:
        assert after.facts.colour == before.facts.colour
        found = after.facts.colour
        assert (found.range, found.matrix, found.primaries, found.transfer) == colour
        assert before.facts.sample_aspect_ratio == after.facts.sample_aspect_ratio == ratio


FORMATS = [
    ("yuv420p", "libx264", "mp4", PixelFormat.YUV420P),
    ("yuv422p", "libx264", "mp4", PixelFormat.YUV422P),
    ("yuv444p", "libx264", "mp4", PixelFormat.YUV444P),
    ("gray", "libx265", "mp4", PixelFormat.GRAY8),
    ("yuv420p10le", "libx264", "mp4", PixelFormat.YUV420P10LE),
    ("yuv420p10le", "libx265", "mp4", PixelFormat.YUV420P10LE),
    ("yuv420p10le", "libsvtav1", "mkv", PixelFormat.YUV420P10LE),
    ("yuv420p", "libvpx-vp9", "webm", PixelFormat.YUV420P),
    ("yuvj422p", "mjpeg", "avi", PixelFormat.YUV422P),
]


@pytest.mark.parametrize(("pix_fmt", "codec", "extension", "ours"), FORMATS)
def test_formats_and_codecs_are_kept(
    tmp_path: Path, released: Seal, pix_fmt: str, codec: str, extension: str, ours: PixelFormat
) -> None:
    options = {
        "mjpeg": {"strict": "unofficial"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    }
    base = Fraction(1, 1000) if extension in ("mkv", "webm") else Fraction(1, 25)
    times = [number * 40 for number in range(8)] if base.denominator == 1000 else range(8)
    clip = Clip(
        tmp_path / f"in.{extension}",
        times,
        base,
        pix_fmt=pix_fmt,
        codec=codec,
        options=options.get(codec, {}),
    )
    if codec == "mjpeg":
        clip.colour = (2, 2, 2, 2)
    source = make_clip(clip)
    target = tmp_path / f"out.{extension}"
    copy_video(source, target, released, preset=None)
    with open_video(source) as before, open_video(target) as after:
        assert before.facts.pixel_format == after.facts.pixel_format == ours
        assert before.facts.codec == after.facts.codec
        planes = [next(iter(reader)).planes for reader in (before, after)]
    assert pictures(target) == pictures(source)
    for one, other in zip(*planes, strict=True):
        scale = 4 if one.dtype == np.uint16 else 1
        assert np.abs(one.astype(int) - other.astype(int)).mean() < 4 * scale


def test_odd_sizes_and_padding(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(4), width=1278, height=718))
    copy_video(source, tmp_path / "out.mp4", released)
    with open_video(tmp_path / "out.mp4") as after:
        frame = next(iter(after))
        assert [plane.shape for plane in frame.planes] == [(718, 1278), (359, 639), (359, 639)]
        assert frame.planes[0].strides[0] >= 1280
    odd = make_clip(
        Clip(tmp_path / "in.avi", range(4), width=63, height=47, pix_fmt="yuvj420p", codec="mjpeg",
             options={"strict": "unofficial"}, colour=(2, 2, 2, 2))
    )  # fmt: skip
    copy_video(odd, tmp_path / "out.avi", released, preset=None)
    with open_video(tmp_path / "out.avi") as after:
        assert [plane.shape for plane in next(iter(after)).planes] == [(47, 63), (24, 32), (24, 32)]
    with pytest.raises(MediaError, match="wanted even sizes"):
        copy_video(odd, tmp_path / "out.mp4", released, encoder="h264")


def test_what_is_not_picture_or_sound_is_left_out_and_named(tmp_path: Path, released: Seal) -> None:
    source = make_clip(
        Clip(
            tmp_path / "in.mp4",
            sound="aac",
            telemetry=True,
            subtitles="mov_text",
            cover=True,
            chapters=True,
            metadata={
                "location": LOCATION,
                "title": "Anna drives home",
                "creation_time": "2024-05-01T10:20:30.000000Z",
            },
        )
    )
    assert LOCATION.encode() in source.read_bytes() and FONT_FREE_SUBTITLE in source.read_bytes()
    target = tmp_path / "out.mp4"
    writer = copy_video(source, target, released)
    content = target.read_bytes()
    for secret in (LOCATION.encode(), FONT_FREE_SUBTITLE, b"Anna", b"Kirchengasse", b"48.2082"):
        assert secret not in content
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.chapters() == []
        assert container.metadata["creation_time"] == "2024-05-01T10:20:30.000000Z"
        assert set(container.metadata) <= {
            "creation_time", "encoder", "major_brand", "minor_version", "compatible_brands",
        }  # fmt: skip
    said = "; ".join(writer.notes)
    for name in ("telemetry", "subtitles", "cover picture", "chapters", "location", "title"):
        assert name in said, name
    assert LOCATION not in said and "Anna" not in said


def test_free_text_does_not_travel_as_a_time(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mkv", range(3), Fraction(1, 1000), metadata={"comment": "x"}))
    with open_video(source) as reader:
        assert reader.facts.creation_time is None
    copy_video(source, tmp_path / "out.mkv", released)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert set(container.metadata) == {"ENCODER"}


def test_a_second_video_is_left_out(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mov", second_video=True))
    writer = copy_video(source, tmp_path / "out.mov", released)
    assert contents(tmp_path / "out.mov").kinds == ["video"]
    assert any("second video" in note for note in writer.notes)


def test_subtitles_travel_only_when_asked_for(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mkv", range(0, 960, 40), Fraction(1, 1000), subtitles="subrip"))
    copy_video(source, tmp_path / "out.mkv", released)
    assert FONT_FREE_SUBTITLE not in (tmp_path / "out.mkv").read_bytes()
    copy_video(source, tmp_path / "kept.mkv", released, keep_subtitles=True)
    assert FONT_FREE_SUBTITLE in (tmp_path / "kept.mkv").read_bytes()


def test_times_that_a_container_cannot_hold_are_rounded_and_said(tmp_path: Path, released: Seal) -> None:
    exact = {"video_track_timescale": "90000", "movie_timescale": "90000"}
    source = make_clip(Clip(tmp_path / "in.mp4", UNEVEN, Fraction(1, 90_000 // 17), muxer_options=exact))
    writer = copy_video(source, tmp_path / "out.mkv", released)
    assert writer.notes == ["times rounded to the container's 1/1000 s"]


def test_frames_that_were_not_released_leave_the_others_where_they_are(
    tmp_path: Path, released: Seal
) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", sound="aac"))
    target = tmp_path / "out.mp4"
    with open_video(source) as reader, VideoWriter(target, reader, **FAST) as writer:
        for number, captured in enumerate(reader):
            if number not in (0, 5, 6, 23):
                writer.write(released(captured))
    kept = [pair for pair in pictures(source) if pair[1] not in (0, 5, 6, 23)]
    assert pictures(target) == kept
    assert contents(target).sound == contents(source).sound
    assert "4 of 24 frames were not released" in writer.notes


def test_only_released_frames_are_taken(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(3)))
    target = tmp_path / "out.mp4"
    with (
        pytest.raises(TypeError, match="wanted a ReleasedFrame"),
        open_video(source) as reader,
        VideoWriter(target, reader, **FAST) as writer,
    ):
        for captured in reader:
            writer.write(captured)  # type: ignore[arg-type]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_a_frame_may_change_as_soon_as_it_is_written(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", options=B_FRAMES))
    copy_video(source, tmp_path / "calm.mp4", released)
    with open_video(source) as reader, VideoWriter(tmp_path / "torn.mp4", reader, **FAST) as writer:
        for captured in reader:
            writer.write(released(captured))
            for plane in captured.planes:
                plane[:] = 7
    assert (tmp_path / "torn.mp4").read_bytes() == (tmp_path / "calm.mp4").read_bytes()


@pytest.mark.parametrize("when", ["at once", "in the middle", "at the end", "Ctrl-C"])
def test_nothing_is_left_of_a_file_that_fails(tmp_path: Path, released: Seal, when: str) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", sound="aac"))
    fault: type[BaseException] = KeyboardInterrupt if when == "Ctrl-C" else ValueError
    with (
        pytest.raises(fault),
        open_video(source) as reader,
        VideoWriter(tmp_path / "out.mp4", reader, **FAST) as writer,
    ):
        for number, captured in enumerate(reader):
            if when == "at once" or (when in ("in the middle", "Ctrl-C") and number == 12):
                raise fault
            writer.write(released(captured))
        raise fault
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_a_file_of_which_not_all_was_read_is_not_kept(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4"))
    with (
        pytest.raises(MediaError, match="not all frames"),
        open_video(source) as reader,
        VideoWriter(tmp_path / "out.mp4", reader, **FAST) as writer,
    ):
        writer.write(released(next(iter(reader))))
    with (
        pytest.raises(MediaError, match="no frame"),
        open_video(source) as reader,
        VideoWriter(tmp_path / "out.mp4", reader, **FAST),
    ):
        assert sum(1 for _ in reader) == 24
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_targets_that_are_refused(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(3)))
    before = source.read_bytes()
    with pytest.raises(MediaError, match="is the source itself"):
        copy_video(source, source, released, overwrite=True)
    (tmp_path / "there.mp4").write_bytes(b"mine")
    with pytest.raises(MediaError, match="exists already"):
        copy_video(source, tmp_path / "there.mp4", released)
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"
    copy_video(source, tmp_path / "there.mp4", released, overwrite=True)
    assert len(pictures(tmp_path / "there.mp4")) == 3
    with pytest.raises(UsageError, match="not known"):
        copy_video(source, tmp_path / "out.mp4", released, encoder="mpeg1")
    with pytest.raises(UsageError, match="audio is"):
        copy_video(source, tmp_path / "out.mp4", released, audio="loud")
    with pytest.raises(MediaError, match="webm holds no h264"):
        copy_video(source, tmp_path / "out.webm", released, encoder="h264")
    with pytest.raises(MediaError, match="settings"):
        copy_video(source, tmp_path / "out.mp4", released, preset="no-such-preset")
    assert source.read_bytes() == before


def test_a_full_disk_leaves_nothing(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", width=640, height=480))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (50_000, before[1])
    )  # writing beyond it fails, as on a full disk
    try:
        with pytest.raises(MediaError, match="File too large"):
            copy_video(source, tmp_path / "out.mp4", released, crf=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


HDR = ":".join(
    [
        "log-level=none",
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
        "max-cll=1000,400",
    ]
)


@pytest.mark.parametrize("encoder", ["hevc", "h264"])
def test_mastering_light_of_hdr_video(tmp_path: Path, released: Seal, encoder: str) -> None:
    source = make_clip(
        Clip(
            tmp_path / "in.mp4", range(3), codec="libx265", pix_fmt="yuv420p10le", colour=(1, 9, 9, 16),
            options={"preset": "ultrafast", "x265-params": HDR},
        )
    )  # fmt: skip
    copy_video(source, tmp_path / "out.mp4", released, encoder=encoder)
    with open_video(source) as before, open_video(tmp_path / "out.mp4") as after:
        light = before.facts.mastering
        assert light is not None
        assert (light.red, light.max_luminance) == ((Fraction(17, 25), Fraction(8, 25)), Fraction(1000))
        assert (light.max_content_light, light.max_average_light) == (1000, 400)
        assert after.facts.mastering == light
        assert after.facts.colour == before.facts.colour


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("encoder", ["h264", "hevc"])
def test_chroma_stays_where_it_is_sited(tmp_path: Path, released: Seal, place: int, encoder: str) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(3), options={"x264-params": f"chromaloc={place}"}))
    copy_video(source, tmp_path / "out.mp4", released, encoder=encoder)
    with open_video(source) as before, open_video(tmp_path / "out.mp4") as after:
        assert (
            before.facts.chroma_location
            == after.facts.chroma_location
            == ["left", "center", "topleft"][place]
        )


def test_two_frames_at_one_time_are_told(tmp_path: Path, released: Seal) -> None:
    source = make_clip(Clip(tmp_path / "in.mkv", [0, 40, 80, 120], Fraction(1, 1000)))
    twice = tmp_path / "twice.mkv"
    with av.open(str(source)) as container, av.open(str(twice), "w") as output:
        target = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size and packet.pts is not None:
                packet.pts = packet.dts = 40 if packet.pts == 80 else packet.pts
                packet.stream = target
                output.mux(packet)
    with pytest.raises(MediaError, match=r"frame 2 has the time of the one before it \(at 0\.040 s\)"):
        copy_video(twice, tmp_path / "out.mkv", released)
    with (
        open_video(twice, on_error="skip-frame") as reader,
        VideoWriter(tmp_path / "out.mkv", reader, **FAST) as writer,
    ):
        for captured in reader:
            writer.write(released(captured))
    assert [number for _, number in pictures(tmp_path / "out.mkv")] == [0, 1, 3]
    assert "1 frames left out because they could not be decoded" in writer.notes


def test_a_gap_in_avi_stays_a_gap(tmp_path: Path, released: Seal) -> None:
    """AVI counts frames: a place that is left out is written as an empty chunk."""
    source = make_clip(Clip(tmp_path / "in.avi", codec="mjpeg", pix_fmt="yuvj420p", colour=(2, 2, 2, 2),
                            options={"strict": "unofficial"}))  # fmt: skip
    with open_video(source) as reader, VideoWriter(tmp_path / "out.avi", reader) as writer:
        for number, captured in enumerate(reader):
            if number not in (4, 5, 11):
                writer.write(released(captured))
    kept = [pair for pair in pictures(source) if pair[1] not in (4, 5, 11)]
    assert pictures(tmp_path / "out.avi") == kept
    with open_video(tmp_path / "out.avi") as reader:  # the header counts 24 frames, and that is no loss
        assert [(c.pts * c.time_base, number_of(c.planes[0])) for c in reader] == kept


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_reordered_pictures(tmp_path: Path, released: Seal, codec: str) -> None:
    source = make_clip(Clip(tmp_path / "in.avi", codec=codec, options={"bf": "2"}))
    copy_video(source, tmp_path / "out.avi", released, encoder="h264")
    with open_video(tmp_path / "out.avi") as reader:
        assert [(c.pts * c.time_base, number_of(c.planes[0])) for c in reader] == [
            (Fraction(number, 25), number) for number in range(24)
        ]


OTHERS = [
    ("webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5"}),
    ("webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "6"}),
    ("mp4", "libx264", {"x264-params": "open-gop=1:keyint=8:bframes=3"}),
    ("ts", "libx264", {"x264-params": "open-gop=1:keyint=8:bframes=3"}),
    ("mp4", "libx264", {"preset": "fast", "x264-params": "intra-refresh=1:keyint=8"}),
    (
        "mp4",
        "libx265",
        {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=1:keyint=8:bframes=3"},
    ),
    ("ts", "mpeg2video", {"bf": "2"}),
    ("mp4", "mpeg4", {"bf": "2"}),
]


@pytest.mark.parametrize(("extension", "codec", "options"), OTHERS)
def test_hidden_references_and_open_groups_are_no_losses(
    tmp_path: Path, released: Seal, extension: str, codec: str, options: dict[str, str]
) -> None:
    """Packets that show no picture, and pictures that lean on those before a keyframe, are no errors."""
    times, base = (
        (range(0, 1600, 40), Fraction(1, 1000)) if extension == "webm" else (range(40), Fraction(1, 25))
    )
    source = make_clip(Clip(tmp_path / f"in.{extension}", times, base, codec=codec, options=options))
    fast = {"encoder": "vp9", "preset": "8"} if extension == "webm" else {"encoder": "h264"}
    writer = copy_video(source, tmp_path / f"out.{extension}", released, **fast)
    coded = f"coded as {writer.encoder}, the source was "
    assert [note for note in writer.notes if not note.startswith(coded)] == []
    assert [number for _, number in pictures(tmp_path / f"out.{extension}")] == list(range(40))


def test_fragmented_files_as_dash_cams_write_them(tmp_path: Path, released: Seal) -> None:
    source = make_clip(
        Clip(tmp_path / "in.mp4", sound="aac", options={"preset": "ultrafast", "bf": "0", "g": "8"},
             muxer_options={"movflags": "frag_keyframe+empty_moov"})
    )  # fmt: skip
    copy_video(source, tmp_path / "out.mp4", released)
    assert pictures(tmp_path / "out.mp4") == pictures(source)
    assert contents(tmp_path / "out.mp4").sound == contents(source).sound


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm", "avi", "ts"])
@pytest.mark.parametrize("encoder", ["h264", "hevc", "av1", "vp9", "mjpeg"])
def test_every_pair_of_container_and_codec_works_or_says_why_not(
    tmp_path: Path, released: Seal, extension: str, encoder: str
) -> None:
    source = make_clip(Clip(tmp_path / "in.mkv", [0, 40, 80], Fraction(1, 1000)))
    target = tmp_path / f"out.{extension}"
    preset = "ultrafast" if encoder in ("h264", "hevc") else None
    if encoder not in HOLDS[MUXERS[target.suffix]]:
        with pytest.raises(MediaError, match=f"holds no {encoder}"):
            copy_video(source, target, released, encoder=encoder, preset=preset)
        assert not target.exists()
        return
    copy_video(source, target, released, encoder=encoder, preset=preset)
    assert [number for _, number in pictures(target)] == [0, 1, 2]


@pytest.mark.parametrize(("encoder", "good", "poor"), [("h264", 10, 40), ("hevc", 10, 40), ("av1", 20, 60),
                                                        ("vp9", 10, 60), ("mjpeg", 2, 20)])  # fmt: skip
def test_every_encoder_hears_the_quality(
    tmp_path: Path, released: Seal, encoder: str, good: int, poor: int
) -> None:
    source = make_clip(Clip(tmp_path / "in.mkv", range(4)))
    sizes = []
    for quality in (good, poor):
        copy_video(source, tmp_path / f"{quality}.mkv", released, encoder=encoder, crf=quality, preset=None)
        sizes.append((tmp_path / f"{quality}.mkv").stat().st_size)
    assert sizes[0] > 1.2 * sizes[1]
