"""SAFETY 2: a decoder's planes are its own reference pictures; whoever hides in them must own them first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.frames import CapturedFrame, PixelFormat, ReleasedFrame
from anonymize.media.video import VideoWriter, open_video
from anonymize.media.video_planes import planes_of
from tests.media.video_samples import Clip, make_clip

Seal = Callable[[CapturedFrame], ReleasedFrame]
FAST: dict[str, Any] = {"preset": "ultrafast", "threads": 1}
CODECS = {
    "h264-p": ("libx264", "mp4", {"preset": "fast", "bf": "0"}),
    "h264-b": ("libx264", "mp4", {"preset": "fast", "bf": "3", "b-adapt": "0"}),
    "hevc": ("libx265", "mp4", {"preset": "superfast", "x265-params": "log-level=none"}),
    "vp9": ("libvpx-vp9", "mp4", {"deadline": "realtime", "cpu-used": "6"}),
}


def digest(frame: av.VideoFrame) -> str:
    return hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest()


def untouched(path: Path) -> dict[int, str]:
    """Digest of every decoded picture by its time, nobody having written on any."""
    with av.open(str(path)) as container:
        return {frame.pts or 0: digest(frame) for frame in container.decode(video=0)}


@pytest.fixture(params=CODECS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    codec, extension, options = CODECS[request.param]
    return make_clip(Clip(tmp_path / f"in.{extension}", codec=codec, options=options, width=320, height=240))


def test_writing_without_owning_would_damage_later_frames(clip: Path, request: pytest.FixtureRequest) -> None:
    """That the danger is real: without it the test below would prove nothing."""
    whole = untouched(clip)
    damaged = 0
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            damaged += digest(frame) != whole[frame.pts or 0]
            for plane in planes_of(frame, PixelFormat.YUV420P):
                plane[:] = 16
    # With B pictures the next reference is decoded before this one is handed out: such clips show no damage.
    assert damaged >= (0 if "h264-b" in str(request.node.name) else 5)


def test_writing_on_the_reader_s_frames_damages_none(clip: Path) -> None:
    whole = untouched(clip)
    seen = []
    with open_video(clip) as reader:
        for captured in reader:
            content = b"".join(plane.tobytes() for plane in captured.planes)
            seen.append((captured.pts, hashlib.sha256(content).hexdigest()))
            for plane in captured.planes:
                plane[:] = 16
    assert seen == sorted(whole.items())


def test_hiding_in_place_reaches_the_file_and_nothing_else_does(
    tmp_path: Path, clip: Path, released: Seal
) -> None:
    target = tmp_path / "out.mp4"
    with open_video(clip) as reader, VideoWriter(target, reader, encoder="h264", **FAST) as writer:
        for captured in reader:
            for plane in captured.planes:
                plane[:] = 128
            writer.write(released(captured))
    with av.open(str(target)) as container:
        for frame in container.decode(video=0):
            assert abs(frame.to_ndarray().astype(int) - 128).max() <= 2


def test_shared_clips(data_dir: Path) -> None:
    """The same on clips from cameras: none is damaged, and all but one in five would be."""
    in_danger = 0
    names = ("us_highway_720p.mp4", "iphone_rotated.mov", "person_signing_1.mkv")
    for name in names:
        path = data_dir / "video" / name
        whole = untouched(path)
        with open_video(path) as reader:
            for captured in reader:
                content = b"".join(plane.tobytes() for plane in captured.planes)
                assert hashlib.sha256(content).hexdigest() == whole[captured.pts]
                for plane in captured.planes:
                    plane[:] = 16
        with av.open(str(path)) as container:
            damaged = 0
            for frame in container.decode(video=0):
                damaged += digest(frame) != whole[frame.pts or 0]
                for plane in planes_of(frame, PixelFormat.YUV420P):
                    plane[:] = 16
        in_danger += damaged > 0
    assert in_danger >= 2
