"""GStreamer element `vehicleanonymizehold`: hides raw video and holds it until zones let it go.

Raw video in, the same video later, hidden, without the frames near restricted zones. It stands in place of
`vehicleanonymize`, before the encoder.

No buffer that comes in is ever handed on, nor any of its memory: there is one call of `push`, in `send`, of buffers
that `fresh_buffer` made and filled from a `ReleasedFrame`. So a method that raises lets nothing out; every one is
`guarded` besides, which ends the pipeline with a message.
"""

import time
from typing import Any

import gi

for _name in ("Gst", "GstVideo"):
    gi.require_version(_name, "1.0")
import vehicleanonymize_parts as parts  # noqa: E402
from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402
from vehicleanonymize_parts import READ_WRITE, ElementError, guarded  # noqa: E402

OPTIONS = ("threads", "style", "on-fault", "camera")
HOLD_BYTES = 1 << 29  # the gate's own default
DROPPED = "vehicleanonymizehold-dropped"
# lon_deg, lat_deg, accuracy_m, time_s, dimensions, dead_reckoned, wheel_speed_mps, heading_deg
FIX = (float, float, float, float, int, bool, float, float)


class VehicleAnonymizeHold(Gst.Element):
    """Frames wait in memory of the engine's; what leaves is new, hidden and outside every zone."""

    __gstmetadata__ = (
        "Vehicle anonymizer with zones", "Filter/Effect/Video",
        "Hides faces and licence plates, and holds frames until they are known to lie outside restricted zones",
        parts.AUTHOR,
    )  # fmt: skip
    __gsttemplates__ = parts.templates()
    __gproperties__ = {  # noqa: RUF012
        **parts.common_properties(),
        "config": parts.text_property(
            "", "Configuration file with the signed zones, [zones], and the camera's view"
        ),
        "nmea": parts.text_property("", "Device or FIFO with NMEA 0183 sentences of the receiver"),
        "hold-bytes": (
            GObject.TYPE_INT64, "hold", "Memory for frames that wait", 1, 1 << 40, HOLD_BYTES, READ_WRITE,
        ),
    }  # fmt: skip
    __gsignals__ = {  # noqa: RUF012
        "fix": (GObject.SignalFlags.RUN_LAST | GObject.SignalFlags.ACTION, None, FIX)
    }

    def __init__(self) -> None:
        self.refusal = ""  # why nothing may pass until the next start
        self.bad_setting = ""  # why this element never starts
        self.chosen: dict[str, Any] = {}
        self.road: Any = None
        self.feed: Any = None
        self.running = self.playing = self.ended = False
        self.kind: Any = None
        self.info: Any = None
        self.segment: Any = None
        super().__init__()
        self.incoming = Gst.Pad.new_from_template(self.get_pad_template("sink"), "sink")
        self.incoming.set_chain_function_full(self.take_buffer, None)
        self.incoming.set_event_function_full(self.take_event, None)
        self.incoming.set_query_function_full(self.answer_query, None)
        self.outgoing = Gst.Pad.new_from_template(self.get_pad_template("src"), "src")
        self.outgoing.set_query_function_full(self.answer_later_query, None)
        self.add_pad(self.incoming)
        self.add_pad(self.outgoing)

    # -- what goes wrong ---------------------------------------------------------------------------------------

    def refuse(self, words: str, where: str) -> None:
        """Nothing passes from now on, and the pipeline is told."""
        if where == "do_set_property":
            self.bad_setting = self.bad_setting or words
        if words == self.refusal and where != "do_change_state":  # told already
            return
        self.refusal = self.refusal or words
        parts.post_error(self, words, where)

    def no_more_fixes(self, words: str) -> None:
        """The receiver has ended or failed: from the feed's thread, once."""
        self.warn(words)
        structure = Gst.Structure.new_empty("vehicleanonymizehold-no-more-fixes")
        self.post_message(Gst.Message.new_element(self, structure))

    def warn(self, words: str) -> None:
        """What does not end the pipeline, but should be known."""
        fault = GLib.Error.new_literal(Gst.ResourceError.quark(), words, Gst.ResourceError.READ)
        self.post_message(Gst.Message.new_warning(self, fault, words))

    # -- properties and fixes ----------------------------------------------------------------------------------

    @guarded(None)
    def do_set_property(self, prop: Any, value: Any) -> None:
        """Keep the value; a wrong one, or one that comes too late, refuses everything."""
        road = parts.engine_parts()
        if self.running:
            raise ElementError(f"{prop.name} was set while the element runs; wanted it before the start")
        chosen = {**self.chosen, prop.name: value}
        parts.options_of(road, chosen, OPTIONS)
        self.chosen = chosen

    @guarded(None)
    def do_get_property(self, prop: Any) -> Any:
        """The value that was set, or the counters."""
        return parts.value_of(self, prop, "vehicleanonymizehold-stats")

    @guarded(None)
    def do_fix(self, *said: Any) -> None:
        """A position that was just measured; NaN where a number is not known, -1 for dimensions. Any thread."""
        from anonymize.zones.fixes import Fix

        lon_deg, lat_deg, accuracy_m, time_s, dimensions, dead_reckoned, wheel_speed_mps, heading_deg = said
        if not self.running:
            return
        try:
            self.road.fix(
                Fix(
                    lon_deg, lat_deg, known(accuracy_m), time_s, dimensions=None if dimensions == -1 else dimensions,
                    dead_reckoned=dead_reckoned, wheel_speed_mps=known(wheel_speed_mps),
                    heading_deg=known(heading_deg),
                )
            )  # fmt: skip
        except Exception as fault:  # its words may hold the place
            raise ElementError(f"a fix could not be taken: {type(fault).__name__}") from None

    # -- start and stop ----------------------------------------------------------------------------------------

    @guarded(Gst.StateChangeReturn.FAILURE)
    def do_change_state(self, change: Any) -> Any:
        """Zones, engine and receiver come before the first buffer and go behind the last."""
        if change == Gst.StateChange.READY_TO_PAUSED:
            self.start()
        if change == Gst.StateChange.PAUSED_TO_PLAYING:
            self.playing = True
        elif change != Gst.StateChange.PLAYING_TO_PLAYING:
            self.playing = False
        try:
            answer = Gst.Element.do_change_state(self, change)
            failed = answer == Gst.StateChangeReturn.FAILURE
        except BaseException:
            self.stop()
            raise
        if failed or change == Gst.StateChange.PAUSED_TO_READY:
            self.stop()
        return answer

    def start(self) -> None:
        """Read the zones, make the engine, open the receiver; raises where one of them is refused."""
        if self.bad_setting:
            raise ElementError(self.bad_setting)
        engine, hold = parts.engine_parts(), parts.engine_parts("hold_road")
        self.refusal, self.ended, self.kind, self.info, self.segment = "", False, None, None, None
        options = parts.options_of(engine, self.chosen, OPTIONS)
        site = hold.read_site(self.chosen.get("config", ""), options.camera)
        road = hold.HoldRoad(options, site, hold_bytes=self.chosen.get("hold-bytes", HOLD_BYTES))
        if self.chosen.get("orientation", "auto") != "auto":
            parts.turn(road, self.chosen["orientation"])
        if self.chosen.get("nmea"):
            self.feed = parts.engine_parts("nmea_feed").NmeaFeed(
                self.chosen["nmea"], road.fix, self.no_more_fixes
            )
        self.road, self.running = road, True
        for words in site.warnings:
            self.warn(words)

    def stop(self) -> None:
        """Wipe what waits. The counters stay readable."""
        self.running = self.playing = False
        self.kind = self.info = self.segment = None
        feed, self.feed = self.feed, None
        try:
            if feed is not None:
                feed.stop()
        finally:
            if self.road is not None:
                self.road.wipe()

    # -- frames ------------------------------------------------------------------------------------------------

    @guarded(Gst.FlowReturn.ERROR)
    def take_buffer(self, pad: Any, parent: Any, buffer: Any) -> Any:
        """Take a copy of the picture, and send what may leave by now."""
        if self.refusal or not self.running or self.kind is None:
            raise ElementError(self.refusal or "a frame came before its caps were understood")
        if self.ended:
            return Gst.FlowReturn.EOS
        captured_at_s, words = self.time_of_capture_s(buffer)
        words = parts.flag_fault(buffer) or words
        if words:
            leaving, reason = self.road.collect(), self.road.bad_frame(words)
        else:
            leaving, reason = self.hide(buffer, captured_at_s)
        if reason is not None:
            parts.post_drop(self, DROPPED, reason, buffer.pts, self.road.last_fault)
        return self.send(leaving)

    def hide(self, buffer: Any, captured_at_s: float) -> tuple[list[Any], Any]:
        """Map, hide a copy, unmap; what may leave by now, and the reason of a drop or None."""
        from anonymize.errors import FrameError
        from anonymize.live.stream_order import Ticket

        try:
            layout = parts.layout_of(buffer, self.kind, self.info)
        except FrameError as fault:
            return self.road.collect(), self.road.bad_frame(str(fault))
        mapped = buffer.map(Gst.MapFlags.READ)
        if mapped.__parent__ is None or mapped.data is None:
            return self.road.collect(), self.road.bad_frame("a buffer that cannot be mapped")
        try:
            ticket = Ticket(captured_at_s, buffer.pts, buffer.duration, self.kind, self.info)
            leaving, reason = self.road.take(mapped.data, layout, ticket)
        finally:
            buffer.unmap(mapped)
        return leaving, reason

    def time_of_capture_s(self, buffer: Any) -> tuple[float, str]:
        """UTC at which a buffer's picture was taken, s: now, less how long ago its time was by the pipeline's clock."""
        clock = self.get_clock()
        if clock is None or not self.playing:
            return 0.0, "a frame while no clock runs; wanted a live source in a pipeline that plays"
        if self.segment is None or self.segment.format != Gst.Format.TIME:
            return 0.0, "a frame outside a segment of time; wanted one from a live source"
        if buffer.pts == Gst.CLOCK_TIME_NONE:
            return 0.0, "a buffer without a time; wanted one from a live source"
        taken_ns = self.segment.to_running_time(Gst.Format.TIME, buffer.pts)
        if taken_ns == Gst.CLOCK_TIME_NONE:
            return 0.0, "a buffer outside its segment"
        for _ in range(3):  # whoever is interrupted between two clocks reads them apart
            begun_s = time.monotonic()
            now_ns, now_s = clock.get_time() - self.get_base_time(), self.road.clock_s()
            if time.monotonic() - begun_s <= self.road.clocks_s:
                return now_s - (now_ns - taken_ns) / 1e9, ""
        return 0.0, "the clocks could not be read together"

    def send(self, leaving: list[Any]) -> Any:
        """Push events and frames in their order; behind a fault, and behind a refusal downstream, no frame."""
        flow = Gst.FlowReturn.OK
        for one in leaving:
            if isinstance(one, Gst.Event):
                self.outgoing.push_event(one)
            elif flow == Gst.FlowReturn.OK:
                buffer = self.fresh_buffer(one)
                if self.refusal:
                    return Gst.FlowReturn.ERROR
                flow = self.outgoing.push(buffer)
                if flow == Gst.FlowReturn.OK:
                    self.road.count_hidden(one)
        return flow

    def fresh_buffer(self, leaving: Any) -> Any:
        """A new buffer that holds a released frame and nothing else."""
        from anonymize.live.memory_layout import MemoryLayout

        ticket = leaving.ticket
        info, count = ticket.form, ticket.form.finfo.n_planes
        layout = MemoryLayout(
            ticket.kind.pixel_format,
            info.width,
            info.height,
            parts.line_bytes(info),
            tuple(info.offset)[:count],
        )
        buffer = Gst.Buffer.new_allocate(None, info.size, None)
        mapped = buffer.map(Gst.MapFlags.READ | Gst.MapFlags.WRITE)
        if mapped.__parent__ is None or mapped.data is None or mapped.data.readonly:
            raise ElementError("no memory for a frame that may leave")
        try:
            self.road.write(leaving, mapped.data, layout)
        finally:
            buffer.unmap(mapped)
        buffer.pts, buffer.duration = ticket.pts_ns, ticket.duration_ns
        return buffer

    # -- events and queries ------------------------------------------------------------------------------------

    @guarded(False)
    def take_event(self, pad: Any, parent: Any, event: Any) -> bool:
        """Events keep their places among the frames that wait; what may hold a picture or a place goes no further."""
        kind = event.type
        if kind == Gst.EventType.FLUSH_START:
            return bool(self.outgoing.push_event(event))
        if kind == Gst.EventType.FLUSH_STOP:
            return self.flush(event)
        if not self.running:
            return False
        if kind == Gst.EventType.EOS:
            return self.end(event)
        if kind == Gst.EventType.CAPS and not self.take_caps(event.parse_caps()):
            return False
        if kind == Gst.EventType.SEGMENT:
            self.segment = event.parse_segment()
        elif kind == Gst.EventType.STREAM_START:
            self.road.forget()
        elif kind == Gst.EventType.TAG:
            event, turned = parts.allowed_tags(event)
            if turned and self.chosen.get("orientation", "auto") == "auto":
                parts.turn(self.road, turned)
        if event is not None and parts.may_pass(event):
            self.send(self.road.event(event))
        return True

    def take_caps(self, caps: Any) -> bool:
        """Learn what the pictures to come are and warm up for them; no frame is taken until that was done."""
        self.kind = self.info = None
        kind, info = parts.kind_of(caps)
        self.road.warm_up(kind, parts.line_bytes(info))
        self.kind, self.info = kind, info
        return True

    def flush(self, event: Any) -> bool:
        """What waits is forgotten; of the events that waited, what describes the stream to come is kept."""
        kept = self.road.flush() if self.running else []
        pushed = bool(self.outgoing.push_event(event))
        for one in kept:
            if one.type in (Gst.EventType.STREAM_START, Gst.EventType.CAPS, Gst.EventType.TAG):
                self.outgoing.push_event(one)
        self.segment = None
        return pushed

    def end(self, event: Any) -> bool:
        """What is certain now leaves, the rest is discarded; no frame is taken until the next start."""
        if not self.ended:
            self.ended = True
            self.send(self.road.end())
        return bool(self.outgoing.push_event(event))

    @guarded(False)
    def answer_query(self, pad: Any, parent: Any, query: Any) -> bool:
        """From upstream: caps are the same on both sides; padded lines are welcome; nothing else is answered."""
        if query.type == Gst.QueryType.CAPS:
            query.set_caps_result(self.possible_caps(query.parse_caps()))
        elif query.type == Gst.QueryType.ACCEPT_CAPS:
            fits = query.parse_accept_caps().is_subset(self.possible_caps(None))
            query.set_accept_caps_result(fits)
        elif query.type == Gst.QueryType.ALLOCATION:
            query.add_allocation_meta(GstVideo.video_meta_api_get_type(), None)
        else:
            return False
        return True

    def possible_caps(self, asked: Any) -> Any:
        """What downstream takes, of what can be hidden."""
        pictures = self.incoming.get_pad_template_caps()
        caps = self.outgoing.peer_query_caps(None).intersect(pictures)
        return caps if asked is None else asked.intersect(caps)

    @guarded(False)
    def answer_later_query(self, pad: Any, parent: Any, query: Any) -> bool:
        """From downstream: how late frames come; all else as a pad answers by itself."""
        if query.type != Gst.QueryType.LATENCY:
            return bool(pad.query_default(parent, query))
        if not self.running or not self.incoming.peer_query(query):
            return False
        live, least_ns, most_ns = query.parse_latency()
        hold_ns = int(self.road.latency_s * Gst.SECOND)
        most_ns = most_ns if most_ns == Gst.CLOCK_TIME_NONE else most_ns + hold_ns
        query.set_latency(live, least_ns + hold_ns, most_ns)
        return True


def known(number: float) -> float | None:
    """None for NaN."""
    return None if number != number else number


GObject.type_register(VehicleAnonymizeHold)
__gstelementfactory__ = ("vehicleanonymizehold", Gst.Rank.NONE, VehicleAnonymizeHold)
