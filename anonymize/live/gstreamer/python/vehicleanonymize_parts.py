"""What both GStreamer elements share: their words, the guard of each method, and what is read from caps and buffers.

GStreamer's Python loader passes over this file: it holds no element. The package is imported when an element starts.
"""

import functools
import sys
from importlib import import_module
from typing import Any

import gi

for _name in ("Gst", "GstVideo"):
    gi.require_version(_name, "1.0")
from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402

PICTURES = (
    "video/x-raw, format=(string){ NV12, I420, BGR, RGB, GRAY8, Y42B, Y444, I420_10LE }, "
    "width=(int)[1, 16384], height=(int)[1, 16384], framerate=(fraction)[0/1, max]"
)
AUTHOR = "the vehicle-anonymize project"
READ_WRITE = GObject.ParamFlags.READWRITE
EVENTS = (
    "STREAM_START", "CAPS", "SEGMENT", "EOS", "GAP", "FLUSH_START", "FLUSH_STOP", "SEGMENT_DONE",
    "STREAM_GROUP_DONE", "BUFFERSIZE", "INSTANT_RATE_CHANGE",
)  # fmt: skip


class ElementError(Exception):
    """What ends the pipeline, in words for the user."""


def engine_parts(module: str = "element_road") -> Any:
    """A module with the road of a buffer, from the environment that PYTHONPATH names."""
    try:
        return import_module(f"anonymize.live.{module}")
    except BaseException as fault:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ElementError(
            f"vehicle-anonymize cannot be imported: {type(fault).__name__}: {fault}. GStreamer runs Python {version} "
            f"({sys.executable}). Wanted: PYTHONPATH with the site-packages folder of an environment of Python "
            f"{version} in which vehicle-anonymize is installed; see docs/live.md"
        ) from None


def in_words(fault: BaseException) -> str:
    """Our own messages as they are, others with the name of their kind."""
    ours = isinstance(fault, ElementError) or type(fault).__module__.startswith("anonymize.")
    return str(fault) if ours else f"{type(fault).__name__}: {fault}"


def guarded(answer: Any) -> Any:
    """Every fault of a method ends the pipeline, and `answer` is returned: never the binding's default."""

    def wrap(body: Any) -> Any:
        @functools.wraps(body)
        def method(self: Any, *arguments: Any) -> Any:
            try:
                return body(self, *arguments)
            except BaseException as fault:
                try:
                    self.refuse(in_words(fault), body.__name__)
                except BaseException:
                    sys.stderr.write("vehicleanonymize: a fault that could not even be told\n")
                return answer

        return method

    return wrap


def text_property(default: str, words: str) -> tuple[Any, ...]:
    """A text that can be read and written."""
    return (str, words, words, default, READ_WRITE)


def common_properties() -> dict[str, Any]:
    """The properties that both elements have."""
    read_only = GObject.ParamFlags.READABLE
    return {
        "threads": (int, "threads", "Threads of the network's run", 1, 64, 1, READ_WRITE),
        "style": text_property("veil", "How boxes are hidden: veil or solid"),
        "on-fault": text_property(
            "drop", "A frame that cannot be hidden box by box: drop, or hide as a whole"
        ),
        "camera": text_property("front", "Name of the camera, in messages"),
        "orientation": text_property(
            "auto", "auto (from the stream's tag), or rotate-90, flip-rotate-0, ..."
        ),
        "stats": (Gst.Structure, "stats", "Frames hidden, late, dropped by reason", read_only),
        "last-fault": (str, "last fault", "Why the last frame was dropped", "", read_only),
    }


def templates() -> tuple[Any, ...]:
    """One pad for raw video in, one for the same out."""
    return tuple(
        Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(PICTURES))
        for name, direction in (("sink", Gst.PadDirection.SINK), ("src", Gst.PadDirection.SRC))
    )


def post_error(element: Any, words: str, where: str) -> None:
    """Tell the pipeline that it is over."""
    fault = GLib.Error.new_literal(Gst.StreamError.quark(), words, Gst.StreamError.FAILED)
    element.post_message(Gst.Message.new_error(element, fault, where))


def post_drop(element: Any, name: str, reason: Any, pts_ns: int, fault: str) -> None:
    """Say on the bus that a frame was dropped, and why."""
    structure = Gst.Structure.new_empty(name)
    for field, value in (("reason", str(reason)), ("camera", element.chosen.get("camera", "front"))):
        structure.set_value(field, value)
    if pts_ns != Gst.CLOCK_TIME_NONE:
        structure.set_value("pts", GObject.Value(GObject.TYPE_UINT64, pts_ns))
    structure.set_value("fault", fault)
    element.post_message(Gst.Message.new_element(element, structure))


def statistics(name: str, road: Any) -> Any:
    """The counters of a road, for the property `stats`."""
    structure = Gst.Structure.new_empty(name)
    for field, count in (road.statistics() if road else {}).items():
        structure.set_value(field, GObject.Value(GObject.TYPE_UINT64, count))
    return structure


def value_of(element: Any, prop: Any, statistics_name: str) -> Any:
    """The value of a property that was set, or the counters, or the last fault."""
    if prop.name == "stats":
        return statistics(statistics_name, element.road)
    if prop.name == "last-fault":
        return element.refusal or (element.road.last_fault if element.road else "")
    return element.chosen.get(prop.name, prop.default_value)


def turn(road: Any, name: str) -> None:
    """How the pictures to come are made upright, by GStreamer's name."""
    from anonymize.live.gst_names import orientation

    rotation_deg, mirrored = orientation(name)
    road.turn(rotation_deg, mirrored=mirrored)


def options_of(parts: Any, chosen: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The properties of these names as a checked value."""
    if chosen.get("orientation", "auto") != "auto":
        from anonymize.live.gst_names import orientation

        orientation(chosen["orientation"])
    return parts.ElementOptions(**{name.replace("-", "_"): chosen[name] for name in names if name in chosen})


# -- events ------------------------------------------------------------------------------------------------------


def may_pass(event: Any) -> bool:
    """Whether a stream needs this event downstream; nothing else passes: it may hold a picture or a place."""
    return (
        event.type == Gst.EventType.TAG  # of which `allowed_tags` has gone through the tags
        or event.has_name("GstForceKeyUnit")
        or event.type in [getattr(Gst.EventType, name, None) for name in EVENTS]
    )


def allowed_tags(event: Any) -> tuple[Any, str | None]:
    """The event with the tags that may pass, or None; and an orientation that it told."""
    from anonymize.live.gst_names import TAGS

    tags = event.parse_tag()
    kept = Gst.TagList.new_empty()
    kept.set_scope(tags.get_scope())
    for index in range(tags.n_tags()):
        name = tags.nth_tag_name(index)
        if name in TAGS:
            kept.add_value(Gst.TagMergeMode.REPLACE, name, tags.get_value_index(name, 0))
    found, turned = tags.get_string("image-orientation")
    filtered = None
    if not kept.is_empty():
        filtered = Gst.Event.new_tag(kept)
        filtered.set_seqnum(event.get_seqnum())
    return filtered, turned if found else None


# -- caps and buffers ----------------------------------------------------------------------------------------------


def kind_of(caps: Any) -> tuple[Any, Any]:
    """What caps say in our words, and GStreamer's description of how such a picture lies in memory."""
    from anonymize.live.gst_names import picture_kind

    info = GstVideo.VideoInfo.new_from_caps(caps)
    if info is None:
        raise ElementError(f"caps {caps.to_string()}; wanted raw video")
    structure = caps.get_structure(0)
    kind = picture_kind(
        structure.get_string("format"), info.width, info.height,
        color_range=info.colorimetry.range.value_nick, color_matrix=info.colorimetry.matrix.value_nick,
        interlace_mode=info.interlace_mode.value_nick, views=info.views,
        multiview_mode=structure.get_string("multiview-mode"),
    )  # fmt: skip
    return kind, info


def line_bytes(info: Any) -> tuple[int, ...]:
    """Bytes from line to line of each plane."""
    return tuple(info.stride)[: info.finfo.n_planes]


def layout_of(buffer: Any, kind: Any, info: Any) -> Any:
    """Strides and offsets: the buffer's own where it says them, else those of the caps."""
    from anonymize.errors import FrameError
    from anonymize.live.memory_layout import MemoryLayout

    meta = GstVideo.buffer_get_video_meta(buffer)
    said = info if meta is None else meta
    count = info.finfo.n_planes
    if meta is not None and (
        (meta.width, meta.height, meta.format, meta.n_planes)
        != (info.width, info.height, info.finfo.format, count)
    ):
        raise FrameError(
            f"a buffer says {meta.width} x {meta.height} px of {meta.format.value_nick}; caps say "
            f"{info.width} x {info.height} px of {info.finfo.format.value_nick}"
        )
    return MemoryLayout(
        kind.pixel_format, info.width, info.height, tuple(said.stride)[:count], tuple(said.offset)[:count]
    )


def flag_fault(buffer: Any) -> str:
    """Why the flags of a buffer forbid to hide it, or ""."""
    flags = buffer.get_flags()
    if flags & Gst.BufferFlags.CORRUPTED:
        return "a buffer with the CORRUPTED flag: its decoder could not make the picture whole"
    video = int(flags)
    for name in ("INTERLACED", "MULTIPLE_VIEW", "FIRST_IN_BUNDLE"):
        if video & int(getattr(GstVideo.VideoBufferFlags, name)):
            return f"a buffer with the {name} flag; wanted one progressive picture a buffer"
    return ""
