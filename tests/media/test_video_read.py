"""What a reader makes of whole, broken and foreign files; all clips are drawn here."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.errors import MediaError, UsageError
from anonymize.frames import ColorMatrix, ColorRange
from anonymize.media.video import open_video
from anonymize.media.video_container import matroska_end
from anonymize.media.video_facts import cut_duration, orientation
from anonymize.media.video_order import PresentationOrder, Promise
from tests.media.video_samples import Clip, make_clip, number_of

P_FRAMES = {"preset": "fast", "crf": "20", "bf": "0"}
MS = Fraction(1, 1000)
IN_MS = range(0, 960, 40)


def packets_of(path: Path) -> list[tuple[int, int]]:
    """Position and size of every packet of the video, bytes."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size]


def damage(path: Path, number: int, how: Callable[[bytes], bytes]) -> Path:
    """The file with one packet changed."""
    position, size = packets_of(path)[number]
    content = path.read_bytes()
    changed = how(content[position : position + size])
    assert len(changed) == size
    target = path.with_name(f"damaged{path.suffix}")
    target.write_bytes(content[:position] + changed + content[position + size :])
    return target


def zeros(packet: bytes) -> bytes:
    return bytes(len(packet))


def cut_in_the_middle(packet: bytes) -> bytes:
    return packet[: len(packet) // 2] + bytes(len(packet) - len(packet) // 2)


def overwrite_the_end(packet: bytes) -> bytes:
    return packet[:20] + b"\xff" * (len(packet) - 20)


def read_all(path: Path, on_error: str = "fail") -> tuple[list[int], list[str]]:
    """Numbers drawn in the frames, and the reader's notes."""
    with open_video(path, on_error=on_error) as reader:  # type: ignore[arg-type]
        numbers = [number_of(captured.planes[0]) for captured in reader]
        assert reader.finished and reader.frames_read == len(numbers)
        return numbers, reader.notes


def test_frames_come_in_order_with_their_facts(tmp_path: Path) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", options={"preset": "fast", "bf": "3", "b-adapt": "0"}))
    with open_video(source, camera="left") as reader:
        frames = [(c.pts * c.time_base, number_of(c.planes[0]), c.camera) for c in reader]
    assert frames == [(Fraction(n, 25), n, "left") for n in range(24)]
    facts = reader.facts
    assert (facts.codec, facts.container, facts.reorders) == ("h264", "mp4", True)
    assert (facts.width, facts.height, facts.first_pts, facts.frames_promised) == (128, 96, 0, 24)
    assert facts.average_rate == 25
    assert reader.notes == []


@pytest.mark.parametrize(
    ("colour", "height", "matrix", "range_"),
    [
        ((1, 1, 1, 1), 96, ColorMatrix.BT709, ColorRange.LIMITED),
        ((2, 5, 5, 6), 96, ColorMatrix.BT601, ColorRange.FULL),
        ((1, 9, 9, 16), 96, ColorMatrix.BT2020, ColorRange.LIMITED),
        ((0, 2, 2, 2), 96, ColorMatrix.BT601, ColorRange.LIMITED),
        ((0, 2, 2, 2), 720, ColorMatrix.BT709, ColorRange.LIMITED),
    ],
)
def test_range_and_matrix_reach_the_frames(
    tmp_path: Path, colour: tuple[int, int, int, int], height: int, matrix: ColorMatrix, range_: ColorRange
) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(2), height=height, colour=colour))
    with open_video(source) as reader:
        captured = next(iter(reader))
    assert (captured.color_matrix, captured.color_range) == (matrix, range_)


def test_the_orientation_is_that_of_the_definition() -> None:
    """Upright = mirrored left to right if so, then turned clockwise: checked on a picture, pixel by pixel."""
    stored = np.arange(12).reshape(3, 4)
    for mirrored in (False, True):
        for turn_deg in (0, 90, 180, 270):
            upright = np.rot90(stored[:, ::-1] if mirrored else stored, -turn_deg // 90)
            matrix = matrix_between(stored, upright)
            assert orientation(matrix) == (mirrored, turn_deg)


def matrix_between(stored: np.ndarray, upright: np.ndarray) -> tuple[int, ...]:
    """The display matrix that carries pixels of `stored` to where they are in `upright`, translation left out."""

    def where(picture: np.ndarray, value: int) -> tuple[int, int]:
        row, column = np.argwhere(picture == value)[0]
        return int(column), int(row)

    (x0, y0), (xr, yr), (xd, yd) = (where(upright, int(stored[0, 0])), where(upright, int(stored[0, 1])),
                                    where(upright, int(stored[1, 0])))  # fmt: skip
    one = 1 << 16
    a, b, c, d = (xr - x0) * one, (yr - y0) * one, (xd - x0) * one, (yd - y0) * one
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


def test_interlaced_frames_say_so(tmp_path: Path) -> None:
    source = make_clip(
        Clip(
            tmp_path / "in.mp4",
            range(4),
            options={"preset": "fast", "flags": "+ildct+ilme", "x264-params": "tff=1"},
        )
    )
    with open_video(source) as reader:
        assert all(captured.interlaced for captured in reader)
        assert reader.facts.interlaced


@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuv444p10le"])
def test_formats_that_we_do_not_hold_are_converted_and_said(tmp_path: Path, pix_fmt: str) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(3), pix_fmt=pix_fmt))
    numbers, notes = read_all(source)
    assert numbers == [0, 1, 2]
    assert notes == [f"pixel format {pix_fmt} converted to yuv420p10le"]


def test_formats_that_nothing_is_near_are_refused(tmp_path: Path) -> None:
    source = make_clip(
        Clip(
            tmp_path / "in.avi", range(2), codec="rawvideo", pix_fmt="bgr24", options={}, colour=(2, 2, 2, 2)
        )
    )
    with pytest.raises(MediaError, match="has pixel format bgr24"):
        open_video(source)


# -- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mp4", b"", "holds 0 bytes"),
        ("a.mp4", b"hello, I am a text\n" * 50, "cannot be read as a video"),
        ("a.mkv", bytes(range(256)) * 40, "cannot be read as a video"),
    ],
)
def test_what_is_no_video(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=message) as caught:
        open_video(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        open_video(tmp_path / "none.mp4")
    with pytest.raises(MediaError, match="cannot be read"):
        open_video(tmp_path)
    with pytest.raises(UsageError, match="threads is 0"):
        open_video(tmp_path / "none.mp4", threads=0)
    with pytest.raises(UsageError, match="on_error is 'ignore'"):
        open_video(tmp_path / "none.mp4", on_error="ignore")  # type: ignore[arg-type]


def test_a_video_without_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="stereo")
        sound.sample_rate = 48000
        output.mux(stream.encode(sound))
        output.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"holds no video \(its streams: audio\)"):
        open_video(path)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated_files(tmp_path: Path, extension: str, kept: float) -> None:
    times, base = (IN_MS, MS) if extension == "mkv" else (range(24), Fraction(1, 25))
    source = make_clip(Clip(tmp_path / f"in.{extension}", times, base, options=P_FRAMES))
    whole = source.read_bytes()
    source.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(MediaError, match="cut off"):
        read_all(source)


def test_an_index_that_promises_more_than_there_is(tmp_path: Path) -> None:
    """The index lies at the front, as phones and `faststart` write it, and the pictures are cut."""
    source = make_clip(Clip(tmp_path / "in.mp4", options=P_FRAMES, muxer_options={"movflags": "faststart"}))
    whole = source.read_bytes()
    assert whole.index(b"moov") < whole.index(b"mdat")
    source.write_bytes(whole[: len(whole) * 7 // 10])
    with pytest.raises(MediaError, match=r"cut off: [\d,]+ bytes came, [\d,]+ are promised"):
        open_video(source)
    numbers, notes = read_all(source, "skip-frame")
    assert numbers == list(range(len(numbers))) and 5 < len(numbers) < 24
    assert f"{24 - len(numbers)} frames left out because they could not be decoded" in notes


DAMAGES = [
    ("mp4", "libx264", P_FRAMES, zeros),
    ("mp4", "libx264", P_FRAMES, cut_in_the_middle),
    ("mp4", "libx264", {"preset": "fast", "bf": "3", "b-adapt": "0"}, cut_in_the_middle),
    ("mkv", "libx264", P_FRAMES, overwrite_the_end),
    ("avi", "mjpeg", {"strict": "unofficial"}, zeros),
]


@pytest.mark.parametrize(("extension", "codec", "options", "how"), DAMAGES)
def test_a_frame_that_cannot_be_decoded(
    tmp_path: Path, extension: str, codec: str, options: dict[str, str], how: Callable[[bytes], bytes]
) -> None:
    times, base = (IN_MS, MS) if extension == "mkv" else (range(24), Fraction(1, 25))
    clip = Clip(
        tmp_path / f"in.{extension}", times, base, codec=codec, options=options, width=320, height=240
    )
    if codec == "mjpeg":
        clip.pix_fmt, clip.colour = "yuvj420p", (2, 2, 2, 2)
    broken = damage(make_clip(clip), 9, how)
    with pytest.raises(MediaError, match=r"frame 9\b.*wanted every frame whole"):
        read_all(broken)
    numbers, notes = read_all(broken, "skip-frame")
    assert len(numbers) == 23
    assert len([number for number in numbers if number in range(24)]) == 23
    assert notes[-1] == "1 frames left out because they could not be decoded"


def test_damage_that_a_container_passes_over_is_noticed(tmp_path: Path) -> None:
    """A Matroska reader searches on after a broken block and says nothing: 15 of 24 frames would be gone unnoticed."""
    broken = damage(make_clip(Clip(tmp_path / "in.mkv", IN_MS, MS, options=P_FRAMES)), 9, zeros)
    with pytest.raises(MediaError, match=r"up to 0\.320 s, 0\.960 s are promised"):
        read_all(broken)
    numbers, notes = read_all(broken, "skip-frame")
    assert numbers == list(range(9))
    assert any("promised" in note for note in notes)


def test_a_picture_that_changes_its_size(tmp_path: Path) -> None:
    joined = tmp_path / "joined.avi"
    with av.open(str(joined), "w") as output:
        for start, width in ((0, 128), (12, 160)):
            part = make_clip(
                Clip(tmp_path / f"{width}.avi", range(12), width=width, codec="mjpeg", pix_fmt="yuvj420p",
                     options={"strict": "unofficial"}, colour=(2, 2, 2, 2))
            )  # fmt: skip
            with av.open(str(part)) as container:
                if start == 0:
                    target = output.add_stream_from_template(container.streams.video[0])
                for packet in container.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = (packet.dts or 0) + start
                        packet.stream = target
                        output.mux(packet)
    for on_error in ("fail", "skip-frame"):
        with pytest.raises(MediaError, match="one size and format"):
            read_all(joined, on_error)


def test_edit_lists_hide_what_players_do_not_show(tmp_path: Path) -> None:
    """Cut with stream copy: the frames before the cut lie in the file, and must not come out."""
    source = make_clip(Clip(tmp_path / "whole.mp4", options={**P_FRAMES, "g": "100"}))
    cut = tmp_path / "cut.mp4"
    with av.open(str(source)) as container, av.open(str(cut), "w") as output:
        stream = container.streams.video[0]
        target = output.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and packet.dts is not None and stream.time_base:
                shift = round(Fraction(10, 25) / stream.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = target
                output.mux(packet)
    assert len(packets_of(cut)) == 24
    numbers, notes = read_all(cut)
    assert numbers == list(range(10, 24))
    assert notes == ["10 frames that the edit list cuts away, and no player shows, left out"]


def test_frames_before_the_first_whole_picture_are_left_out(tmp_path: Path) -> None:
    """A recording that starts in the middle of a group: every player begins at the next whole picture."""
    source = make_clip(Clip(tmp_path / "in.ts", options={**P_FRAMES, "g": "10", "sc_threshold": "0"}))
    late = tmp_path / "late.ts"
    with av.open(str(source)) as container, av.open(str(late), "w", format="mpegts") as output:
        stream = container.streams.video[0]
        target = output.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            if number >= 7:
                packet.stream = target
                output.mux(packet)
    numbers, notes = read_all(late)
    assert numbers == list(range(10, 24))
    assert notes == ["3 frames before the first whole picture left out, as players do"]


# -- order ----------------------------------------------------------------------------------------------------


def test_pictures_leave_by_time_and_losses_are_told() -> None:
    order = PresentationOrder()
    frame = av.VideoFrame(16, 16, "gray")
    for number, pts in enumerate([0, 30, 10, 20, 5]):
        order.promise(Promise(number, pts, None, leading=False))
    out = []
    for number, pts in [(0, 0), (1, 30), (2, 10), (4, 5), (3, 20)]:
        order.put(number, pts, frame)
        out.append([ready[0] for ready in order.ready()])
    assert out == [[0], [], [], [5, 10], [20, 30]]
    for number in range(5, 40):
        order.promise(Promise(number, number * 10, None, leading=False))
    order.put(39, 390, frame)
    assert [promise.number for promise in order.lost(39)] == list(range(5, 22))
    assert list(order.ready()) == []
    assert len(order.lost(None)) == 17
    assert [ready[0] for ready in order.ready()] == [390]


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(tmp_path: Path, threads: int) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", options={"preset": "fast", "bf": "3"}))
    with open_video(source, threads=threads) as reader:
        assert [number_of(captured.planes[0]) for captured in reader] == list(range(24))


def test_frames_may_be_kept_while_reading_on(tmp_path: Path) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", options=P_FRAMES))
    with open_video(source) as reader:
        frames = list(reader)
    assert [number_of(captured.planes[0]) for captured in frames] == list(range(24))
    assert all(plane.flags.writeable for captured in frames for plane in captured.planes)


def test_small_parts() -> None:
    third = Fraction(1, 90_000)
    assert cut_duration(1000, 3000, None, third) == 3000
    assert cut_duration(1000, 3000, 3999, third) == 3000  # rounding of the film's clock
    assert cut_duration(1000, 3000, 2500, third) == 1500
    assert cut_duration(1000, 0, 2500, third) == 1500
    assert cut_duration(1000, 3000, 900, third) == 3000
    assert matroska_end(b"RIFF") == 0
    assert matroska_end(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x40\x10") == 11 + 16
    assert matroska_end(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7) == 0


def test_pyav_is_loaded_with_the_first_video_only() -> None:
    code = "import sys, anonymize, anonymize.media.video as v; assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_message_when_pyav_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MediaError, match=r"pip install vehicle-anonymize\[video\]"):
        open_video(tmp_path / "any.mp4")


def test_times_rise(tmp_path: Path) -> None:
    source = make_clip(Clip(tmp_path / "in.mkv", IN_MS, MS, options={"preset": "fast", "bf": "3"}))
    with open_video(source) as reader:
        times = [captured.pts for captured in reader]
        assert all(a < b for a, b in pairwise(times))
        assert math.isclose(float(reader.facts.average_rate), 25, rel_tol=0.01)
        assert reader.take_duration(times[-1]) in (0, 40)
