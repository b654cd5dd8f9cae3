"""GStreamer element `vehicleanonymize`: hides every face and plate in raw video, in place.

GStreamer's Python loader reads this file with the system's Python; the engine is imported when the element starts.

The binding answers OK for a method that raised, and OK passes the frame on. So a frame gets out of here by
one way only: `do_transform_ip` says of this very buffer that it was hidden, then `do_generate_output` hands it on.
Where either raises, or is never reached, no buffer is handed on: its default is none. Every method is `guarded`
besides, which ends the pipeline with a message.
"""

import functools
import sys
import time
from typing import Any

import gi

for _name in ("Gst", "GstBase", "GstVideo"):
    gi.require_version(_name, "1.0")
from gi.repository import GLib, GObject, Gst, GstBase, GstVideo  # noqa: E402

PICTURES = (
    "video/x-raw, format=(string){ NV12, I420, BGR, RGB, GRAY8, Y42B, Y444, I420_10LE }, "
    "width=(int)[1, 16384], height=(int)[1, 16384], framerate=(fraction)[0/1, max]"
)
READ_WRITE = GObject.ParamFlags.READWRITE
EVENTS = (
    "STREAM_START", "CAPS", "SEGMENT", "EOS", "GAP", "FLUSH_START", "FLUSH_STOP", "SEGMENT_DONE",
    "STREAM_GROUP_DONE", "BUFFERSIZE", "INSTANT_RATE_CHANGE",
)  # fmt: skip


class ElementError(Exception):
    """What ends the pipeline, in words for the user."""


def engine_parts() -> Any:
    """The module with the road of a buffer, from the environment that PYTHONPATH names."""
    try:
        from anonymize.live import element_road
    except BaseException as fault:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ElementError(
            f"vehicle-anonymize cannot be imported: {type(fault).__name__}: {fault}. GStreamer runs Python {version} "
            f"({sys.executable}). Wanted: PYTHONPATH with the site-packages folder of an environment of Python "
            f"{version} in which vehicle-anonymize is installed; see docs/live.md"
        ) from None
    return element_road


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
    return (str, words, words, default, READ_WRITE)


class VehicleAnonymize(GstBase.BaseTransform):
    """In place, one buffer in and at most one out, nothing unhidden."""

    __gstmetadata__ = (
        "Vehicle anonymizer", "Filter/Effect/Video", "Hides faces and licence plates in place, or drops the frame",
        "the vehicle-anonymize project",
    )  # fmt: skip
    __gsttemplates__ = tuple(
        Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(PICTURES))
        for name, direction in (("sink", Gst.PadDirection.SINK), ("src", Gst.PadDirection.SRC))
    )
    __gproperties__ = {  # noqa: RUF012
        "threads": (int, "threads", "Threads of the network's run", 1, 64, 1, READ_WRITE),
        "style": text_property("veil", "How boxes are hidden: veil or solid"),
        "on-fault": text_property(
            "drop", "A frame that cannot be hidden box by box: drop, or hide as a whole"
        ),
        "deadline-ms": (
            float,
            "deadline",
            "From arrival to outcome, ms; 0: none",
            0.0,
            1e6,
            0.0,
            READ_WRITE,
        ),
        "camera": text_property("front", "Name of the camera, in messages"),
        "orientation": text_property(
            "auto", "auto (from the stream's tag), or rotate-90, flip-rotate-0, ..."
        ),
        "zones": text_property("", "Refused: an element that works in place cannot hold frames"),
        "stats": (
            Gst.Structure,
            "stats",
            "Frames hidden, late, dropped by reason",
            GObject.ParamFlags.READABLE,
        ),
        "last-fault": (str, "last fault", "Why the last frame was dropped", "", GObject.ParamFlags.READABLE),
    }

    def __init__(self) -> None:
        self.hidden_now = False  # do_transform_ip has hidden the buffer that is on its way
        self.refusal = ""  # why nothing may pass until the next start
        self.bad_setting = ""  # why this element never starts
        self.chosen: dict[str, Any] = {}
        self.road: Any = None
        self.kind: Any = None
        self.info: Any = None
        super().__init__()
        self.set_in_place(True)
        self.set_passthrough(False)
        self.set_qos_enabled(True)

    # -- what goes wrong ---------------------------------------------------------------------------------------

    def refuse(self, words: str, where: str) -> None:
        """Nothing passes from now on, and the pipeline is told."""
        self.hidden_now = False
        if where == "do_set_property":
            self.bad_setting = self.bad_setting or words
        if words == self.refusal and where != "do_start":  # told already
            return
        self.refusal = self.refusal or words
        fault = GLib.Error.new_literal(Gst.StreamError.quark(), words, Gst.StreamError.FAILED)
        self.post_message(Gst.Message.new_error(self, fault, where))

    def tell_drop(self, reason: str, buffer: Any) -> None:
        """Say on the bus that a frame was dropped, and if late, as GStreamer's own quality message."""
        structure = Gst.Structure.new_empty("vehicleanonymize-dropped")
        for name, value in (("reason", str(reason)), ("camera", self.chosen.get("camera", "front"))):
            structure.set_value(name, value)
        if buffer.pts != Gst.CLOCK_TIME_NONE:
            structure.set_value("pts", GObject.Value(GObject.TYPE_UINT64, buffer.pts))
        structure.set_value("fault", self.road.last_fault)
        self.post_message(Gst.Message.new_element(self, structure))
        if reason == "late":
            when_ns = self.segment.to_running_time(Gst.Format.TIME, buffer.pts)
            message = Gst.Message.new_qos(self, True, when_ns, when_ns, buffer.pts, buffer.duration)
            message.set_qos_stats(
                Gst.Format.BUFFERS,
                self.road.hidden,
                GObject.Value(GObject.TYPE_UINT64, self.road.late).get_value(),
            )
            self.post_message(message)

    # -- properties --------------------------------------------------------------------------------------------

    @guarded(None)
    def do_set_property(self, prop: Any, value: Any) -> None:
        """Keep the value; a wrong one, or one that comes too late, refuses everything."""
        parts = engine_parts()
        if prop.name == "zones":
            if value:
                raise ElementError(parts.ZONES_REFUSED)
            return
        if self.road is not None:
            raise ElementError(f"{prop.name} was set while the element runs; wanted it before the start")
        chosen = {**self.chosen, prop.name: value}
        self.options(parts, chosen)
        self.chosen = chosen

    @guarded(None)
    def do_get_property(self, prop: Any) -> Any:
        """The value that was set, or the counters."""
        if prop.name == "stats":
            structure = Gst.Structure.new_empty("vehicleanonymize-stats")
            for name, count in (self.road.statistics() if self.road else {}).items():
                structure.set_value(name, GObject.Value(GObject.TYPE_UINT64, count))
            return structure
        if prop.name == "last-fault":
            return self.refusal or (self.road.last_fault if self.road else "")
        return self.chosen.get(prop.name, prop.default_value)

    def options(self, parts: Any, chosen: dict[str, Any]) -> Any:
        """The properties as a checked value."""
        if chosen.get("orientation", "auto") != "auto":
            from anonymize.live.gst_names import orientation

            orientation(chosen["orientation"])
        names = {name.replace("-", "_"): value for name, value in chosen.items() if name != "orientation"}
        return parts.ElementOptions(**names)

    # -- start, caps, stop -------------------------------------------------------------------------------------

    @guarded(False)
    def do_start(self) -> bool:
        """Make the engine; false, with a message, where a property was refused."""
        if self.bad_setting:
            raise ElementError(self.bad_setting)
        parts = engine_parts()
        self.refusal, self.hidden_now, self.kind, self.info = "", False, None, None
        self.road = parts.ElementRoad(self.options(parts, self.chosen))
        if self.chosen.get("orientation", "auto") != "auto":
            self.turn(self.chosen["orientation"])
        return True

    @guarded(False)
    def do_stop(self) -> bool:
        """Give the engine back. The counters stay readable."""
        self.hidden_now, self.kind, self.info = False, None, None
        return True

    @guarded(False)
    def do_set_caps(self, incoming: Any, outgoing: Any) -> bool:
        """Learn what the pictures are and warm up for them; nothing passes until that was done."""
        self.kind = self.info = None
        from anonymize.live.gst_names import picture_kind

        if not incoming.is_equal(outgoing):
            raise ElementError(
                f"caps change from {incoming.to_string()} to {outgoing.to_string()}; wanted the same"
            )
        info = GstVideo.VideoInfo.new_from_caps(incoming)
        if info is None:
            raise ElementError(f"caps {incoming.to_string()}; wanted raw video")
        structure = incoming.get_structure(0)
        kind = picture_kind(
            structure.get_string("format"), info.width, info.height,
            color_range=info.colorimetry.range.value_nick, color_matrix=info.colorimetry.matrix.value_nick,
            interlace_mode=info.interlace_mode.value_nick, views=info.views,
            multiview_mode=structure.get_string("multiview-mode"),
        )  # fmt: skip
        self.set_passthrough(False)
        self.road.warm_up(kind, tuple(info.stride)[: info.finfo.n_planes])
        self.kind, self.info = kind, info
        return True

    def turn(self, name: str) -> None:
        """How the pictures to come are made upright, by GStreamer's name."""
        from anonymize.live.gst_names import orientation

        rotation_deg, mirrored = orientation(name)
        self.road.turn(rotation_deg, mirrored=mirrored)

    @guarded(False)
    def do_propose_allocation(self, decided: Any, query: Any) -> bool:
        """Padded lines and planes at any offset are welcome."""
        query.add_allocation_meta(GstVideo.video_meta_api_get_type(), None)
        return True

    @guarded(False)
    def do_sink_event(self, event: Any) -> bool:
        """Pass on what a stream needs; tags by allow-list, and nothing that may hold a picture or a place."""
        from anonymize.live.gst_names import TAGS

        kind = event.type
        if kind == Gst.EventType.TAG:
            event = self.allowed_tags(event, TAGS)
        elif kind in (Gst.EventType.STREAM_START, Gst.EventType.FLUSH_STOP) and self.road is not None:
            self.road.forget()
        if event is None or not (
            kind == Gst.EventType.TAG
            or event.has_name("GstForceKeyUnit")
            or kind in [getattr(Gst.EventType, name, None) for name in EVENTS]
        ):
            return True
        return bool(GstBase.BaseTransform.do_sink_event(self, event))

    def allowed_tags(self, event: Any, allowed: frozenset[str]) -> Any:
        """The event with the tags that may pass, or None; an orientation is taken over."""
        tags = event.parse_tag()
        kept = Gst.TagList.new_empty()
        kept.set_scope(tags.get_scope())
        for index in range(tags.n_tags()):
            name = tags.nth_tag_name(index)
            if name in allowed:
                kept.add_value(Gst.TagMergeMode.REPLACE, name, tags.get_value_index(name, 0))
        found, turned = tags.get_string("image-orientation")
        if found and self.road is not None and self.chosen.get("orientation", "auto") == "auto":
            self.turn(turned)
        if kept.is_empty():
            return None
        filtered = Gst.Event.new_tag(kept)
        filtered.set_seqnum(event.get_seqnum())
        return filtered

    # -- frames ------------------------------------------------------------------------------------------------

    @guarded((Gst.FlowReturn.ERROR, None))
    def do_generate_output(self) -> tuple[Any, Any]:
        """The one way out: a buffer of which `do_transform_ip` said just now that it is hidden, or none."""
        self.hidden_now = False
        flow, buffer = GstBase.BaseTransform.do_generate_output(self)
        hidden, self.hidden_now = self.hidden_now, False
        if flow != Gst.FlowReturn.OK or buffer is None:
            return flow, None
        if not hidden or self.refusal:
            raise ElementError(self.refusal or "a buffer came through that was not hidden")
        return flow, buffer

    @guarded(Gst.FlowReturn.ERROR)
    def do_transform_ip(self, buffer: Any) -> Any:
        """Hide the buffer in place; OK only for what was hidden, CUSTOM_SUCCESS (dropped) for a bad frame."""
        arrived_s = time.monotonic()
        self.hidden_now = False
        if self.refusal or self.road is None or self.kind is None:
            raise ElementError(self.refusal or "a frame came before its caps were understood")
        from anonymize.frames import Reason

        words = self.what_is_wrong(buffer)
        if words:
            reason = self.road.count_drop(self.road.fault(Reason.BAD_FRAME, words))
        else:
            reason = self.hide(buffer, arrived_s)
        if reason is not None:
            self.tell_drop(reason, buffer)
            return Gst.FlowReturn.CUSTOM_SUCCESS
        self.hidden_now = True
        return Gst.FlowReturn.OK

    def hide(self, buffer: Any, arrived_s: float) -> Any:
        """Map, hide, unmap; the reason of a drop, or None."""
        from anonymize.errors import FrameError
        from anonymize.frames import Reason

        pts_ns = buffer.pts if buffer.pts != Gst.CLOCK_TIME_NONE else time.monotonic_ns()
        try:
            layout = self.layout(buffer)
        except FrameError as fault:
            return self.road.count_drop(self.road.fault(Reason.BAD_FRAME, str(fault)))
        mapped = buffer.map(Gst.MapFlags.READ | Gst.MapFlags.WRITE)
        if mapped.__parent__ is None or mapped.data is None or mapped.data.readonly:
            return self.road.count_drop(
                self.road.fault(Reason.BAD_FRAME, "a buffer that cannot be mapped for writing")
            )
        try:
            return self.road.hide(mapped.data, layout, self.kind, pts_ns, arrived_s)
        finally:
            buffer.unmap(mapped)

    def layout(self, buffer: Any) -> Any:
        """Strides and offsets: the buffer's own where it says them, else those of the caps."""
        from anonymize.errors import FrameError
        from anonymize.live.memory_layout import MemoryLayout

        meta = GstVideo.buffer_get_video_meta(buffer)
        said = self.info if meta is None else meta
        count = self.info.finfo.n_planes
        if meta is not None and (
            (meta.width, meta.height, meta.format, meta.n_planes)
            != (self.info.width, self.info.height, self.info.finfo.format, count)
        ):
            raise FrameError(
                f"a buffer says {meta.width} x {meta.height} px of {meta.format.value_nick}; caps say "
                f"{self.info.width} x {self.info.height} px of {self.info.finfo.format.value_nick}"
            )
        return MemoryLayout(
            self.kind.pixel_format, self.info.width, self.info.height,
            tuple(said.stride)[:count], tuple(said.offset)[:count],
        )  # fmt: skip

    def what_is_wrong(self, buffer: Any) -> str:
        """Why this buffer cannot be hidden, or "". Takes everything off it that is not on the list."""
        flags = buffer.get_flags()
        if flags & Gst.BufferFlags.CORRUPTED:
            return "a buffer with the CORRUPTED flag: its decoder could not make the picture whole"
        video = int(flags)
        for name in ("INTERLACED", "MULTIPLE_VIEW", "FIRST_IN_BUNDLE"):
            if video & int(getattr(GstVideo.VideoBufferFlags, name)):
                return f"a buffer with the {name} flag; wanted one progressive picture a buffer"
        return self.strip(buffer)

    def strip(self, buffer: Any) -> str:
        """Remove every meta that is not on the allow-list: they can hold a second picture."""
        from anonymize.live.gst_names import METAS

        for api in POINTERS.children:
            if api.name in METAS or not buffer.get_n_meta(api):
                continue
            if api.name == "GstParentBufferMetaAPI":  # it kept the memory from being used again: take our own
                buffer.replace_all_memory(buffer.copy_deep().get_all_memory())
            while (meta := buffer.get_meta(api)) is not None:
                if not buffer.remove_meta(meta):
                    return f"a buffer with a {api.name} that cannot be removed"
        return ""


POINTERS = GObject.type_from_name("gpointer")  # every kind of meta that is known to this process is its child
GObject.type_register(VehicleAnonymize)
__gstelementfactory__ = ("vehicleanonymize", Gst.Rank.NONE, VehicleAnonymize)
