"""Positions and words that lie inside the coded pictures (SEI) or beside them do not reach the output."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.frames import CapturedFrame, ReleasedFrame
from anonymize.media.video import VideoWriter, open_video
from tests.media.video_samples import Clip, make_clip

Seal = Callable[[CapturedFrame], ReleasedFrame]
FAST: dict[str, Any] = {"preset": "ultrafast", "threads": 1}
POSITION = b"GPS 48.2082 16.3738 51km/h"


def sei(kind: int, payload: bytes) -> bytes:
    """An H.264 SEI NAL unit (ITU-T H.264, 7.3.2.3) with its length before it, as MP4 has it."""
    nal = bytes([6, kind, len(payload)]) + payload + b"\x80"
    return len(nal).to_bytes(4, "big") + nal


def captions(text: bytes) -> bytes:
    """CEA-608 captions as ATSC A/53 part 4 carries them."""
    pairs = [text[i : i + 2].ljust(2, b" ") for i in range(0, len(text), 2)]
    body = b"".join(b"\xfc" + pair for pair in pairs)
    return b"\xb5\x00\x31GA94\x03" + bytes([0xC0 | len(pairs), 0xFF]) + body + b"\xff"


@pytest.fixture
def talking_clip(tmp_path: Path) -> Path:
    """Every picture carries a position as user data, and captions."""
    plain = make_clip(Clip(tmp_path / "plain.mp4", range(12)))
    path = tmp_path / "in.mp4"
    with av.open(str(plain)) as container, av.open(str(path), "w") as output:
        stream = container.streams.video[0]
        target = output.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size:
                talk = sei(5, bytes(16) + POSITION) + sei(4, captions(b"MEET ME AT KIRCHENGASSE "))
                said = av.Packet(talk + bytes(packet))
                said.pts, said.dts, said.time_base = packet.pts, packet.dts, packet.time_base
                said.duration, said.is_keyframe = packet.duration, packet.is_keyframe
                said.stream = target
                output.mux(said)
    return path


@pytest.mark.parametrize("encoder", ["h264", "hevc", "av1", "vp9", "mjpeg"])
def test_words_inside_the_coded_pictures_do_not_travel(
    tmp_path: Path, talking_clip: Path, released: Seal, encoder: str
) -> None:
    with av.open(str(talking_clip)) as container:
        beside = {side.type.name for side in next(container.decode(video=0)).side_data}  # type: ignore[attr-defined]
        assert {"SEI_UNREGISTERED", "A53_CC"} <= beside
    assert POSITION in talking_clip.read_bytes()
    target = tmp_path / "out.mp4"
    options = FAST if encoder in ("h264", "hevc") else {"threads": 1}
    with (
        open_video(talking_clip) as reader,
        VideoWriter(target, reader, encoder=encoder, **options) as writer,
    ):
        for captured in reader:
            writer.write(released(captured))
    content = target.read_bytes()
    assert POSITION not in content and b"GA94" not in content and b"KIRCHENGASSE" not in content
    with av.open(str(target)) as container:
        for frame in container.decode(video=0):
            assert "A53_CC" not in {side.type.name for side in frame.side_data}  # type: ignore[attr-defined]


def test_an_outside_program_finds_no_position(tmp_path: Path, data_dir: Path, released: Seal) -> None:
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        pytest.skip("exiftool is not installed (apt-get install libimage-exiftool-perl)")

    def tags(path: Path) -> str:
        command = [exiftool, "-a", "-u", "-G1", "-ee", str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    for name in ("android_location.mp4", "iphone_rotated.mov"):
        source, target = data_dir / "video" / name, tmp_path / name
        with open_video(source) as reader, VideoWriter(target, reader, **FAST) as writer:
            for captured in reader:
                writer.write(released(captured))
        assert "GPS" in tags(source)
        found = tags(target)
        for word in ("GPS", "Latitude", "Location", "Make", "Model  ", "iPhone", "Android"):
            assert word not in found, f"{word} in {name}"


def test_sound_before_a_cut_does_not_travel(tmp_path: Path, released: Seal) -> None:
    """Cut with stream copy, what was said before the cut lies in the file behind the edit list."""
    whole = make_clip(Clip(tmp_path / "whole.mp4", range(50), sound="aac", options={"bf": "0", "g": "100"}))
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as container, av.open(str(cut), "w") as output:
        targets = {stream.index: output.add_stream_from_template(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                shift = round(1 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = targets[packet.stream_index]
                output.mux(packet)
    with av.open(str(cut)) as container:
        sound = [bytes(p) for p in container.demux(audio=0) if p.size]
        heard = [bytes(p) for p in av.open(str(cut)).demux(audio=0) if p.size and not p.is_discard]
    target = tmp_path / "out.mp4"
    with open_video(cut) as reader, VideoWriter(target, reader, **FAST) as writer:
        for captured in reader:
            writer.write(released(captured))
    with av.open(str(target)) as container:
        kept = [bytes(p) for p in container.demux(audio=0) if p.size]
    pre_roll = len(kept) - len(heard)
    assert kept[pre_roll:] == heard
    assert pre_roll * 1024 / 48000 <= 0.25 < (len(sound) - len(heard)) * 1024 / 48000
    assert any("packets of sound cut away" in note for note in writer.notes)
    assert any("frames that the edit list cuts away" in note for note in writer.notes)
    assert writer.frames_written == 25
