"""Parts of reading and writing video that a whole run reaches only when something else is broken."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.errors import FrameError, MediaError
from anonymize.frames import CapturedFrame, PixelFormat, ReleasedFrame
from anonymize.media.video import VideoWriter, open_video
from anonymize.media.video_av import FileWindow, foreign_errors, refuse_other_files
from anonymize.media.video_check import check_times
from anonymize.media.video_container import avi_end
from anonymize.media.video_encoders import choose_encoder
from tests.media.video_samples import Clip, make_clip

Seal = Callable[[CapturedFrame], ReleasedFrame]
FAST: dict[str, Any] = {"preset": "ultrafast", "threads": 1}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_clip(Clip(tmp_path / "in.mp4", range(4)))


def gray(width: int, height: int, pts: int = 0, base: Fraction = Fraction(1, 25)) -> CapturedFrame:
    return CapturedFrame((np.zeros((height, width), np.uint8),), PixelFormat.GRAY8, pts, base)


def test_the_written_file_is_compared_time_by_time(source: Path) -> None:
    base = Fraction(1, 25)
    descriptor = os.open(source, os.O_RDONLY)
    try:
        assert check_times(descriptor, source, array("q", [0, 1, 2, 3]), base) == 0
        with pytest.raises(MediaError, match="4 frames were found in it; wanted the 3 written"):
            check_times(descriptor, source, array("q", [0, 1, 2]), base)
        with pytest.raises(MediaError, match=r"frame 2 was found at 0\.080000 s; wanted 0\.120000 s"):
            check_times(descriptor, source, array("q", [0, 1, 3, 4]), base)
        finer = array("q", [0, 4_000_001, 8_000_000, 12_000_000])  # 10 ns beside: within half a step
        assert check_times(descriptor, source, finer, Fraction(1, 100_000_000)) == Fraction(1, 12800)
    finally:
        os.close(descriptor)


def test_frames_of_another_source_are_refused(tmp_path: Path, source: Path, released: Seal) -> None:
    with open_video(source) as reader:
        frames = list(reader)
        strangers = [gray(128, 96), replace(frames[0], time_base=Fraction(1, 30))]
        for stranger in strangers:
            with (
                pytest.raises(MediaError, match="as the reader gives them"),
                VideoWriter(tmp_path / "out.mp4", reader, **FAST) as writer,
            ):
                writer.write(released(stranger))
        with (
            pytest.raises(MediaError, match="wanted rising times"),
            VideoWriter(tmp_path / "out.mp4", reader, **FAST) as writer,
        ):
            writer.write(released(frames[1]))
            writer.write(released(frames[1]))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_interlaced_video_is_refused_before_any_work(tmp_path: Path) -> None:
    options = {"preset": "fast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    source = make_clip(Clip(tmp_path / "in.mp4", range(4), options=options))
    with open_video(source) as reader, pytest.raises(MediaError, match="is interlaced"):
        VideoWriter(tmp_path / "out.mp4", reader)


def test_a_build_without_the_gpl_encoders(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An FFmpeg without x264 and x265: H.264 becomes VP9, and asking for H.264 says why not."""
    with open_video(source) as reader:
        facts = reader.facts
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264", "libx265"})
    assert choose_encoder("auto", facts, "mp4") == "vp9"
    with pytest.raises(MediaError, match="has no libx264"):
        choose_encoder("h264", facts, "mp4")
    with pytest.raises(MediaError, match=r"no libx264.*no libx265.*holds no vp9"):
        choose_encoder("auto", facts, "mpegts")


def test_formats_that_no_encoder_takes_name_each_reason(source: Path) -> None:
    with open_video(source) as reader:
        facts = replace(reader.facts, pixel_format=PixelFormat.YUV422P, width=127, codec="mjpeg")
    assert choose_encoder("auto", facts, "mp4") == "mjpeg"
    assert (
        choose_encoder("auto", replace(facts, codec="h264"), "mp4") == "vp9"
    )  # x264 and x265 want even sizes
    with pytest.raises(MediaError, match="libsvtav1 of this FFmpeg takes no yuv422p"):
        choose_encoder("av1", facts, "mp4")


def test_reading_errors_of_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "some.bin"
    path.write_bytes(b"0123456789")
    descriptor = os.open(path, os.O_RDONLY)
    window, other = FileWindow(descriptor), FileWindow(descriptor)
    assert (window.read(4), other.read(2), window.read(), other.tell()) == (b"0123", b"01", b"456789", 2)
    assert (window.seek(-3, os.SEEK_END), window.read(2), window.seek(1, os.SEEK_CUR)) == (7, b"78", 10)
    assert window.readable() and window.seekable()
    os.close(descriptor)
    with pytest.raises(MediaError, match="cannot be read at byte 10"):
        window.read(1)


def test_errors_from_below_become_ours_and_keep_the_name() -> None:
    name = Path("a.mp4")
    with pytest.raises(MediaError, match=r"a\.mp4: opening: Invalid data"), foreign_errors(name, "opening"):
        raise av.error.InvalidDataError(1, "Invalid data")
    with pytest.raises(MediaError, match=r"a\.mp4: the file asks for another one"), foreign_errors(name, "x"):
        refuse_other_files("http://example.org/b.ts", 0, {})
    with pytest.raises(MediaError, match=r"^a\.mp4: gone$"), foreign_errors(name, "x"):
        raise MediaError("a.mp4: gone")
    with pytest.raises(FrameError, match=r"^odd$"), foreign_errors(name, "x"):
        raise FrameError("odd")
    with pytest.raises(ZeroDivisionError), foreign_errors(name, "x"):
        raise ZeroDivisionError  # a bug of ours stays one


def test_avi_ends() -> None:
    assert avi_end(b"RIFF\x10\x00\x00\x00AVI ") == 24
    assert avi_end(b"RIFF\x00\x00\x00\x00AVI ") == 0
    assert avi_end(b"RIFF\x10\x00\x00\x00WAVE") == 0
