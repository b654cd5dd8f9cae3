"""Which encoder writes the hidden pictures, and with which settings.

The codec of the source is kept where this FFmpeg can encode it: who archives HEVC wants HEVC back. Quality is near
the source's by eye; `crf` and `preset` are the encoder's own words.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import MediaError, UsageError
from anonymize.frames import PixelFormat
from anonymize.media.priority import usual_priority
from anonymize.media.video_av import load_av
from anonymize.media.video_facts import MasteringLight, VideoFacts

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder of FFmpeg: its name, and the option names and values that stand for quality and speed."""

    name: str
    quality_option: str
    quality: int
    preset_option: str = ""
    preset: str = ""
    fixed: tuple[tuple[str, str], ...] = ()
    even_sizes: bool = False  # 4:2:0 needs even columns and rows, 4:2:2 even columns
    reorders: bool = True


# a53cc, udu_sei: no captions or user data of the source in the new stream (dash-cams write positions there). The
# writer's frames carry none anyway.
_NO_SEI: Final = (("a53cc", "0"), ("udu_sei", "0"))
ENCODERS: Final[dict[str, Encoder]] = {
    "h264": Encoder("libx264", "crf", 20, "preset", "veryfast", _NO_SEI, even_sizes=True),
    "hevc": Encoder("libx265", "crf", 22, "preset", "superfast", _NO_SEI, even_sizes=True),
    "av1": Encoder("libsvtav1", "crf", 30, "preset", "10", even_sizes=True),
    "vp9": Encoder(
        "libvpx-vp9", "crf", 30, "cpu-used", "6", (("b", "0"), ("deadline", "realtime"), ("row-mt", "1"))
    ),
    "mjpeg": Encoder("mjpeg", "qscale", 3, fixed=(("strict", "unofficial"),), reorders=False),
}
_NEAREST: Final = {"vp8": "vp9"}  # where we write not the codec itself; else h264
_NO_REORDER: Final = frozenset(
    {"avi", "mpegts"}
)  # no place for times before the first, and AVI has no pts at all
HOLDS: Final = {  # what players expect in each container, and what FFmpeg's muxers write without a fault
    "mp4": ("h264", "hevc", "av1", "vp9", "mjpeg"),
    "matroska": ("h264", "hevc", "av1", "vp9", "mjpeg"),
    "mov": ("h264", "hevc", "mjpeg"),
    "webm": ("vp9", "av1"),
    "avi": ("h264", "mjpeg"),
    "mpegts": ("h264", "hevc"),
}
_FORMATS: Final = {PixelFormat.GRAY8: "gray"}


def choose_encoder(wanted: str, facts: VideoFacts, muxer: str) -> str:
    """The key of `ENCODERS` for this source and container.

    Raises
    ------
    UsageError
        There is no encoder of the name `wanted`.
    MediaError
        This FFmpeg lacks the encoder, or it cannot take the source's pixel format or size.
    """
    if wanted not in (AUTO, *ENCODERS):
        raise UsageError(f"encoder {wanted!r} is not known; wanted {AUTO}, {', '.join(ENCODERS)}")
    if wanted != AUTO:
        if problem := _problem(wanted, facts, muxer):
            raise MediaError(problem)
        return wanted
    first = facts.codec if facts.codec in ENCODERS else _NEAREST.get(facts.codec, "h264")
    problems = []
    for key in (first, *(key for key in ("h264", "hevc", "vp9", "av1") if key != first)):
        problem = _problem(key, facts, muxer)
        if not problem:
            return key
        problems.append(problem)
    raise MediaError("; ".join(problems))


def _problem(key: str, facts: VideoFacts, muxer: str) -> str:
    """Why this encoder cannot be used, in words; empty where it can."""
    encoder = ENCODERS[key]
    av = load_av()
    if encoder.name not in av.codecs_available:
        return f"this FFmpeg has no {encoder.name}; wanted a build with it, or another --encoder"
    if key not in HOLDS[muxer]:
        return f"{muxer} holds no {key}; wanted {' or '.join(HOLDS[muxer])}, or another container"
    name = ffmpeg_format(facts.pixel_format)
    if name not in {form.name for form in av.Codec(encoder.name, "w").video_formats}:
        return f"{encoder.name} of this FFmpeg takes no {name}; wanted another --encoder"
    odd_columns = facts.pixel_format not in (PixelFormat.GRAY8, PixelFormat.YUV444P) and facts.width % 2
    odd_rows = facts.pixel_format in _CHROMA_ROWS and facts.height % 2
    if encoder.even_sizes and (odd_columns or odd_rows):
        return f"{encoder.name} takes no {name} of {facts.width} x {facts.height} px; wanted even sizes"
    return ""


_CHROMA_ROWS: Final = frozenset({PixelFormat.YUV420P, PixelFormat.NV12, PixelFormat.YUV420P10LE})


def ffmpeg_format(pixel_format: PixelFormat) -> str:
    """FFmpeg's name of the format."""
    return _FORMATS.get(pixel_format, str(pixel_format))


@dataclass(frozen=True, slots=True)
class Quality:
    """What the caller chose; None takes the encoder's default."""

    crf: int | None = None
    preset: str | None = None
    threads: int = 0


def add_video_stream(
    output: OutputContainer, key: str, facts: VideoFacts, quality: Quality, *, reorders: bool = True
) -> VideoStream:
    """A stream of the output with all facts of the source: set before the header is written, or they are lost.

    `reorders` False: no B pictures, whatever the source has.
    """
    muxer = output.format.name
    stream: Any = output.add_stream(ENCODERS[key].name, rate=facts.average_rate)
    stream.time_base = facts.time_base
    codec = stream.codec_context
    if key == "hevc" and muxer in ("mp4", "mov"):
        codec.codec_tag = "hvc1"  # the one that Apple's players take
    if facts.display_matrix is not None:
        stream.set_display_matrix(facts.display_matrix)
    _set_up(codec, key, facts, quality, reorders=reorders and facts.reorders and muxer not in _NO_REORDER)
    with usual_priority():
        codec.open()  # wrong settings are an error here, before the first frame
    return stream  # type: ignore[no-any-return]


def encoder_again(stream: Any, key: str, facts: VideoFacts, quality: Quality) -> Any:
    """A fresh encoder, without B pictures, for what follows a gap: nothing before the gap is in its memory.

    Raises
    ------
    MediaError
        Its parameter sets are not those in the header of the file.
    """
    codec: Any = load_av().CodecContext.create(ENCODERS[key].name, "w")
    codec.framerate = facts.average_rate
    if stream.codec_context.flags & _GLOBAL_HEADER:
        codec.flags |= _GLOBAL_HEADER
    _set_up(codec, key, facts, quality, reorders=False)
    with usual_priority():
        codec.open()
    if bytes(codec.extradata or b"") != bytes(stream.codec_context.extradata or b""):
        raise MediaError(f"{key} cannot begin anew in one file; wanted another --encoder, or --gap split")
    return codec


def group_encoder(key: str, facts: VideoFacts, quality: Quality, set_id: int) -> Any:
    """A fresh encoder without B pictures for groups between copied ones, with its parameter sets in `extradata`.

    Parameters
    ----------
    set_id : int
        Of the parameter sets, H.264 only: not one of the source's.
    """
    codec: Any = load_av().CodecContext.create(ENCODERS[key].name, "w")
    codec.framerate = facts.average_rate
    codec.flags |= _GLOBAL_HEADER
    _set_up(codec, key, facts, quality, reorders=False)
    own = {"h264": ("x264-params", f"sps-id={set_id}"), "hevc": ("x265-params", "open-gop=0")}
    option, value = own[key]
    codec.options = {**codec.options, option: ":".join(filter(None, (codec.options.get(option), value)))}
    with usual_priority():
        codec.open()
    return codec


def _set_up(codec: Any, key: str, facts: VideoFacts, quality: Quality, *, reorders: bool) -> None:
    encoder = ENCODERS[key]
    codec.width, codec.height = facts.width, facts.height
    codec.pix_fmt = ffmpeg_format(facts.pixel_format)
    codec.time_base = facts.time_base
    codec.color_range = facts.colour.range
    codec.colorspace = facts.colour.matrix
    codec.color_primaries = facts.colour.primaries
    codec.color_trc = facts.colour.transfer
    if facts.sample_aspect_ratio:
        codec.sample_aspect_ratio = facts.sample_aspect_ratio
    codec.thread_count = quality.threads
    if encoder.reorders and not reorders:
        # No B pictures where the source has none: then no decoding time lies before the first picture's, and
        # also players that pass over edit lists show every frame at its time.
        codec.max_b_frames = 0
    codec.options = _options(key, encoder, facts.mastering, quality)
    if facts.chroma_location:
        codec.options = {**codec.options, "chroma_sample_location": facts.chroma_location}


_GLOBAL_HEADER: Final = 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER


def _options(key: str, encoder: Encoder, light: MasteringLight | None, quality: Quality) -> dict[str, str]:
    options = dict(encoder.fixed)
    chosen = str(encoder.quality if quality.crf is None else quality.crf)
    if encoder.quality_option == "qscale":  # the same for every picture; `global_quality` alone is not heard
        options["qmin"] = options["qmax"] = chosen
    else:
        options[encoder.quality_option] = chosen
    if encoder.preset_option:
        options[encoder.preset_option] = quality.preset or encoder.preset
    if key == "hevc":
        parts = ["log-level=error", *(_x265_light(light) if light else ())]
        if quality.threads:
            parts += [f"pools={quality.threads}", f"frame-threads={min(quality.threads, 4)}"]
        options["x265-params"] = ":".join(parts)
    if key == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # its own way to be told not to print
        if quality.threads:
            options["svtav1-params"] = f"lp={quality.threads}"
    if key == "h264" and light:
        options["x264-params"] = ":".join(_x264_light(light))
    return options


def _display(light: MasteringLight) -> str:
    """As x264 and x265 want it: chromaticity in 0.00002, luminance in 0.0001 cd/m2 (ITU-T H.265, D.3.28)."""

    def point(xy: tuple[Fraction, Fraction]) -> str:
        return ",".join(str(round(value * 50_000)) for value in xy)

    levels = f"{round(light.max_luminance * 10_000)},{round(light.min_luminance * 10_000)}"
    corners = "".join(
        f"{name}({point(xy)})" for name, xy in zip("GBR", (light.green, light.blue, light.red), strict=True)
    )
    return f"{corners}WP({point(light.white)})L({levels})"


def _x265_light(light: MasteringLight) -> list[str]:
    content = f"max-cll={light.max_content_light},{light.max_average_light}"
    return [f"master-display={_display(light)}", "hdr10=1", "repeat-headers=1"] + [content] * bool(
        light.max_content_light
    )


def _x264_light(light: MasteringLight) -> list[str]:
    content = f"cll={light.max_content_light},{light.max_average_light}"
    return [f"mastering-display={_display(light)}"] + [content] * bool(light.max_content_light)
