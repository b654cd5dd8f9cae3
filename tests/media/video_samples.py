"""Small drawn clips for the tests of video: each frame carries its number in its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from anonymize.media.priority import usual_priority

BITS = 8
FONT_FREE_SUBTITLE = b"48.2082 N 16.3738 E 51 km/h"
LOCATION = "+48.2082+016.3738/"


@dataclass
class Clip:
    """What a drawn clip holds; the defaults are a plain one of constant rate."""

    path: Path
    times: Sequence[int] = range(24)
    time_base: Fraction = Fraction(1, 25)
    width: int = 128
    height: int = 96
    pix_fmt: str = "yuv420p"
    codec: str = "libx264"
    last_duration: int = 0
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "18", "bf": "0"})
    rotation_ccw: int | None = None
    hflip: bool = False
    sound: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    telemetry: bool = False
    subtitles: str = ""
    cover: bool = False
    second_video: bool = False
    chapters: bool = False
    colour: tuple[int, int, int, int] = (1, 1, 1, 1)
    sample_aspect_ratio: Fraction | None = None
    muxer_options: dict[str, str] = field(default_factory=dict)


def numbered(number: int, width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """A picture of calm texture whose upper half holds `number` as eight dark or bright bars."""
    frame = av.VideoFrame(width, height, pix_fmt)
    frame.make_writable()
    for index, plane in enumerate(frame.planes):
        deep = plane.line_size >= 2 * plane.width and pix_fmt.endswith("10le")
        dtype, scale = (np.uint16, 4) if deep else (np.uint8, 1)
        lines = np.frombuffer(cast(Any, plane), cast(Any, dtype)).reshape(plane.height, -1)
        picture = lines[:, : plane.width]
        rows, columns = np.mgrid[: plane.height, : plane.width]
        if index:
            picture[:] = (100 + 20 * index + columns % 16) * scale
            continue
        picture[:] = (60 + (rows + columns + 3 * number) % 64) * scale
        for bit in range(BITS):
            bar = slice(bit * width // BITS, (bit + 1) * width // BITS)
            picture[: height // 2, bar] = (200 if number >> bit & 1 else 40) * scale
    return frame


def number_of(luma: np.ndarray[Any, Any]) -> int:
    """The number in a picture made by `numbered`, after any lossy codec."""
    height, width = luma.shape
    scale = 4 if luma.dtype == np.uint16 else 1
    bars = [luma[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] for bit in range(BITS)]
    return sum(1 << bit for bit, bar in enumerate(bars) if float(np.median(bar)) > 120 * scale)


def make_clip(clip: Clip) -> Path:
    """Write the clip with PyAV; returns its path."""
    with usual_priority(), av.open(str(clip.path), "w", container_options=clip.muxer_options) as output:
        output.metadata.update(clip.metadata)
        video: Any = output.add_stream(clip.codec, rate=25)
        video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pix_fmt
        video.time_base = clip.time_base
        video.codec_context.time_base = clip.time_base
        video.codec_context.thread_count = 1
        video.options = clip.options
        codec = video.codec_context
        codec.color_range, codec.colorspace, codec.color_primaries, codec.color_trc = clip.colour
        if clip.sample_aspect_ratio:
            codec.sample_aspect_ratio = clip.sample_aspect_ratio
        if clip.rotation_ccw is not None:
            video.set_display_rotation(clip.rotation_ccw, hflip=clip.hflip)
        beside = _streams_beside(output, clip)
        _encode(output, video, clip)
        for packet in beside:
            output.mux(packet)
        _add_sound(output, clip)
    return clip.path


def _streams_beside(output: Any, clip: Clip) -> list[Any]:
    """Streams that must not travel, and their packets; all streams are added before the first packet."""
    packets = []
    if clip.sound:
        clip._sound = output.add_stream(clip.sound, rate=48000)  # type: ignore[attr-defined]
    if clip.telemetry:
        stream = output.add_data_stream("bin_data")
        stream.time_base = Fraction(1, 1000)
        packets.append(_packet(stream, LOCATION.encode() * 4, 0))
    if clip.subtitles:
        stream = output.add_mux_stream(clip.subtitles)
        stream.time_base = Fraction(1, 1000)
        text = FONT_FREE_SUBTITLE
        payload = len(text).to_bytes(2, "big") + text if clip.subtitles == "mov_text" else text
        packets.append(_packet(stream, payload, 0, duration=500))
    for wanted, cover in ((clip.cover, True), (clip.second_video, False)):
        if wanted:
            stream = output.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj420p"
            stream.options = {"strict": "unofficial"}
            if cover:
                stream.disposition = 1024  # AV_DISPOSITION_ATTACHED_PIC
            picture = numbered(255, 48, 32, "yuvj420p")
            picture.pts, picture.time_base = 0, Fraction(1, 25)
            packets += stream.encode(picture) + stream.encode(None)
    if clip.chapters:
        chapter = {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
        output.set_chapters([{**chapter, "metadata": {"title": "Home, Kirchengasse 4"}}])
    return packets


def _packet(stream: Any, content: bytes, pts: int, duration: int = 100) -> Any:
    packet = av.Packet(content)
    packet.stream = stream
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = pts
    packet.duration = duration
    return packet


def _encode(output: Any, video: Any, clip: Clip) -> None:
    for number, time in enumerate(clip.times):
        frame = numbered(number, clip.width, clip.height, clip.pix_fmt)
        frame.pts, frame.time_base = time, clip.time_base
        last = number == len(clip.times) - 1
        frame.duration = clip.last_duration if last else clip.times[number + 1] - time
        output.mux(video.encode(frame))
    output.mux(video.encode(None))


def _add_sound(output: Any, clip: Clip) -> None:
    if not clip.sound:
        return
    stream = clip._sound  # type: ignore[attr-defined]
    length_s = float((clip.times[-1] - clip.times[0] + 1) * clip.time_base)
    samples = stream.codec_context.frame_size or 1024
    wave = (np.sin(np.arange(samples) / 9) * 8000).astype(np.int16)
    for start in range(0, int(length_s * 48000), samples):
        sound = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]).T.reshape(1, -1), format="s16", layout="stereo"
        )
        sound.sample_rate, sound.pts, sound.time_base = 48000, start, Fraction(1, 48000)
        output.mux(stream.encode(sound))
    output.mux(stream.encode(None))


@dataclass
class Contents:
    """A file as PyAV demuxes it: sorted times in seconds, sound packets, kinds of streams."""

    times_s: list[Fraction]
    sound: list[tuple[Fraction, bytes]]
    kinds: Sequence[str]
    duration_s: float  # of picture and sound; other tracks may be longer


def contents(path: Path) -> Contents:
    """What lies in the file, by PyAV and without our reader."""
    times, sound = [], []
    with av.open(str(path)) as container:
        kinds = [stream.type for stream in container.streams]
        video = container.streams.video[0].index
        for packet in container.demux():
            if packet.size == 0 or packet.pts is None:
                continue
            if packet.stream_index == video and not packet.is_discard:
                times.append(packet.pts * packet.time_base)
            elif packet.stream.type == "audio":
                sound.append((packet.pts * packet.time_base, bytes(packet)))
        ends = [
            float(((stream.start_time or 0) + stream.duration) * stream.time_base)
            for stream in container.streams
            if stream.type in ("video", "audio") and stream.duration and stream.time_base
        ]
        return Contents(sorted(times), sound, kinds, max(ends, default=(container.duration or 0) / 1e6))
