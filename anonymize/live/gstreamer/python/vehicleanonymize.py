"""GStreamer element `vehicleanonymize`: hides every face and plate in raw video, in place.

GStreamer's Python loader reads this file with the system's Python; the engine is imported when the element starts.

The binding answers OK for a method that raised, and OK passes the frame on. So a frame gets out of here by
one way only: `do_transform_ip` says of this very buffer that it was hidden, then `do_generate_output` hands it on.
Where either raises, or is never reached, no buffer is handed on: its default is none. Every method is `guarded`
besides, which ends the pipeline with a message.
"""

import time
from typing import Any

import gi

for _name in ("Gst", "GstBase", "GstVideo"):
    gi.require_version(_name, "1.0")
import vehicleanonymize_parts as parts  # noqa: E402
from gi.repository import GObject, Gst, GstBase, GstVideo  # noqa: E402
from vehicleanonymize_parts import READ_WRITE, ElementError, guarded  # noqa: E402

OPTIONS = ("threads", "style", "on-fault", "deadline-ms", "camera")


class VehicleAnonymize(GstBase.BaseTransform):
    """In place, one buffer in and at most one out, nothing unhidden."""

    __gstmetadata__ = (
        "Vehicle anonymizer", "Filter/Effect/Video", "Hides faces and licence plates in place, or drops the frame",
        parts.AUTHOR,
    )  # fmt: skip
    __gsttemplates__ = parts.templates()
    __gproperties__ = {  # noqa: RUF012
        **parts.common_properties(),
        "deadline-ms": (
            float,
            "deadline",
            "From arrival to outcome, ms; 0: none",
            0.0,
            1e6,
            0.0,
            READ_WRITE,
        ),
        "zones": parts.text_property("", "Refused: an element that works in place cannot hold frames"),
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
        parts.post_error(self, words, where)

    def tell_drop(self, reason: str, buffer: Any) -> None:
        """Say on the bus that a frame was dropped, and if late, as GStreamer's own quality message."""
        parts.post_drop(self, "vehicleanonymize-dropped", reason, buffer.pts, self.road.last_fault)
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
        road = parts.engine_parts()
        if prop.name == "zones":
            if value:
                raise ElementError(road.ZONES_REFUSED)
            return
        if self.road is not None:
            raise ElementError(f"{prop.name} was set while the element runs; wanted it before the start")
        chosen = {**self.chosen, prop.name: value}
        parts.options_of(road, chosen, OPTIONS)
        self.chosen = chosen

    @guarded(None)
    def do_get_property(self, prop: Any) -> Any:
        """The value that was set, or the counters."""
        return parts.value_of(self, prop, "vehicleanonymize-stats")

    # -- start, caps, stop -------------------------------------------------------------------------------------

    @guarded(False)
    def do_start(self) -> bool:
        """Make the engine; false, with a message, where a property was refused."""
        if self.bad_setting:
            raise ElementError(self.bad_setting)
        road = parts.engine_parts()
        self.refusal, self.hidden_now, self.kind, self.info = "", False, None, None
        self.road = road.ElementRoad(parts.options_of(road, self.chosen, OPTIONS))
        if self.chosen.get("orientation", "auto") != "auto":
            parts.turn(self.road, self.chosen["orientation"])
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
        if not incoming.is_equal(outgoing):
            raise ElementError(
                f"caps change from {incoming.to_string()} to {outgoing.to_string()}; wanted the same"
            )
        kind, info = parts.kind_of(incoming)
        self.set_passthrough(False)
        self.road.warm_up(kind, parts.line_bytes(info))
        self.kind, self.info = kind, info
        return True

    @guarded(False)
    def do_propose_allocation(self, decided: Any, query: Any) -> bool:
        """Padded lines and planes at any offset are welcome."""
        query.add_allocation_meta(GstVideo.video_meta_api_get_type(), None)
        return True

    @guarded(False)
    def do_sink_event(self, event: Any) -> bool:
        """Pass on what a stream needs; tags by allow-list, and nothing that may hold a picture or a place."""
        kind = event.type
        if kind == Gst.EventType.TAG:
            event, turned = parts.allowed_tags(event)
            if turned and self.road is not None and self.chosen.get("orientation", "auto") == "auto":
                parts.turn(self.road, turned)
        elif kind in (Gst.EventType.STREAM_START, Gst.EventType.FLUSH_STOP) and self.road is not None:
            self.road.forget()
        if event is None or not parts.may_pass(event):
            return True
        return bool(GstBase.BaseTransform.do_sink_event(self, event))

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
            layout = parts.layout_of(buffer, self.kind, self.info)
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

    def what_is_wrong(self, buffer: Any) -> str:
        """Why this buffer cannot be hidden, or "". Takes everything off it that is not on the list."""
        return parts.flag_fault(buffer) or self.strip(buffer)

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
