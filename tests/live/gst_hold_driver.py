"""Runs `vehicleanonymizehold` under the system's Python, for `test_gst_hold.py`; prints one line of JSON.

The gate is the real one. The pipeline's clock is turned by the scenario and UTC follows it, so a drive of a minute
takes a moment. The engine is a stand-in that fills every sample with HIDDEN: any other byte that comes out is a leak.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from gst_driver import (  # starts GStreamer, names the elements' folder
    ELEMENT_FILE,
    HIDDEN,
    NV12,
    RAW,
    SIZE,
    breaking,
    leaked,
    outcome_of,
)

# isort: split
import vehicleanonymize_parts
import vehicleanonymizehold
from gi.repository import GObject, Gst, GstVideo

from anonymize.frames import Dropped, FrameMemory, Reason, _seal_anonymized, _seal_released
from anonymize.live import element_road, hold_road, stream_order
from anonymize.zones.views import CameraView
from tests.zones.places import Circle, fix, signed

HOLD_FILE = ELEMENT_FILE.with_name("vehicleanonymizehold.py")
FAR = Circle(0.0, 100_000.0, 1.0)
FRAME_S = 0.25
BORN_S = 1_800_000_000.0  # tests.zones.places.T0_S
READ_SITE, HOLD_ROAD = hold_road.read_site, hold_road.HoldRoad


class TurnedClock(Gst.Clock):
    """A pipeline's clock that stands until it is turned."""

    now_ns = 5 * Gst.SECOND

    def do_get_internal_time(self) -> int:
        return self.now_ns


class StandIn:
    """An engine that asks the real gate, and hides everything in memory of its own, or does what `act` says."""

    def __init__(self, gate, act=None) -> None:
        self.gate, self.act, self.last_fault, self.resets, self.warmed, self.seen = gate, act, "", 0, [], []

    def warm_up(self, **kind) -> None:
        self.warmed.append({k: str(v) for k, v in kind.items()})

    def reset(self, camera) -> None:
        self.resets += 1

    def process(self, captured):
        self.seen.append(captured.captured_at_s)
        if not self.gate.admit(captured):
            return [*self.collect(), Dropped(Reason.WITHHELD, captured.camera)]
        if self.act is not None and (answer := self.act(self, captured)) is not None:
            return answer
        planes = tuple(plane.copy() for plane in captured.planes)
        for plane in planes:
            plane.fill(HIDDEN)
        return self.gate.release(_seal_anonymized(captured, planes, FrameMemory()))

    def collect(self):
        return self.gate.collect()

    def close(self):
        return self.gate.close()


class Drive:
    """One element between a pad of ours and an appsink, a clock, and a car."""

    def __init__(
        self, *circles, act=None, caps=NV12, kind=vehicleanonymizehold.VehicleAnonymizeHold, real_engine=None,
        site=None, play=True, engine=None, **properties,
    ) -> None:  # fmt: skip
        self.clock, self.feeding = TurnedClock(), True
        site = site or (lambda config, camera: hold_road.Site(
            signed(*(circles or (FAR,))), CameraView(0.0, clock_uncertainty_s=0.0)
        ))  # fmt: skip
        hold_road.read_site = site
        hold_road.HoldRoad = partial(HOLD_ROAD, clock_s=self.utc_s)
        element_road.make_engine = real_engine or (lambda options, zones: StandIn(zones, act))
        self.pipeline = Gst.Pipeline()
        self.pipeline.use_clock(self.clock)
        self.element = kind()
        for name, value in properties.items():
            self.element.set_property(name.replace("_", "-"), value)
        self.sink = Gst.ElementFactory.make("appsink")
        for name in ("sync", "async", "wait-on-eos"):
            self.sink.set_property(name, False)
        self.pipeline.add(self.element)
        self.pipeline.add(self.sink)
        self.element.link(self.sink)
        self.events: list[str] = []
        self.sink.get_static_pad("sink").add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM, self.note_event)
        self.pad = Gst.Pad.new("feed", Gst.PadDirection.SRC)
        self.pad.link(self.element.get_static_pad("sink"))
        self.pad.set_active(True)
        state = Gst.State.PLAYING if play else Gst.State.PAUSED
        self.started = self.pipeline.set_state(state) != Gst.StateChangeReturn.FAILURE
        self.base_ns = self.clock.now_ns
        self.flows: set[str] = set()
        self.got: list = []
        self.size = SIZE
        self.send(Gst.Event.new_stream_start("s"))
        if caps:
            self.caps(caps)
            self.segment()

    def note_event(self, pad, info):
        self.events.append(f"{info.get_event().type.value_nick} after {self.sink_count()}")
        return Gst.PadProbeReturn.OK

    def sink_count(self) -> int:
        self.out()
        return len(self.got)

    def utc_s(self) -> float:
        return BORN_S + (self.clock.now_ns - 5 * Gst.SECOND) / 1e9

    def at(self, seconds: float) -> None:
        self.clock.now_ns = round((5 + seconds) * Gst.SECOND)

    def send(self, event) -> bool:
        return self.pad.push_event(event)

    def caps(self, text: str) -> bool:
        self.size = GstVideo.VideoInfo.new_from_caps(Gst.Caps.from_string(text)).size
        return self.send(Gst.Event.new_caps(Gst.Caps.from_string(text)))

    def segment(self) -> None:
        segment = Gst.Segment()
        segment.init(Gst.Format.TIME)
        self.send(Gst.Event.new_segment(segment))

    def fix(self, seconds: float, east_m: float = 0.0) -> None:
        one = fix(seconds, east_m)
        nan = math.nan
        self.element.emit("fix", one.lon_deg, one.lat_deg, one.accuracy_m, one.time_s, 3, False, nan, nan)

    def push(self, seconds: float, *, content=None, flags=0, pts=None, buffer=None) -> str:
        buffer = buffer or Gst.Buffer.new_wrapped((content or RAW)[: self.size])
        buffer.pts = round(seconds * Gst.SECOND) if pts is None else pts
        buffer.duration = Gst.SECOND // 4
        if flags:
            buffer.set_flags(flags)
        flow = self.pad.push(buffer).value_nick
        self.flows.add(flow)
        return flow

    def go(self, first_s: float, last_s: float, east_m=lambda seconds: 0.0, step=1) -> None:
        """A fix each second, four frames a second (or one each `step` quarters)."""
        for quarter in range(round(first_s * 4), round(last_s * 4), step):
            seconds = quarter * FRAME_S
            self.at(seconds + 0.02)
            if quarter % 4 == 0 and self.feeding:
                self.fix(seconds, east_m(seconds))
            self.push(seconds)

    def out(self) -> list:
        while (sample := self.sink.emit("try-pull-sample", 0)) is not None:
            self.got.append((sample.get_buffer(), sample.get_caps().get_structure(0).get_int("height")[1]))
        return [buffer for buffer, _ in self.got]

    def messages(self) -> list[str]:
        bus, found = self.pipeline.get_bus(), []
        kinds = Gst.MessageType.ERROR | Gst.MessageType.ELEMENT | Gst.MessageType.WARNING
        while message := bus.pop_filtered(kinds):
            if message.type == Gst.MessageType.ERROR:
                found.append("error: " + message.parse_error()[0].message)
            elif message.type == Gst.MessageType.WARNING:
                found.append("warning: " + message.parse_warning()[0].message)
            else:
                found.append(message.get_structure().to_string())
        return found

    def close(self) -> None:
        self.pipeline.set_state(Gst.State.NULL)


def result(drive: Drive, **more) -> dict:
    buffers = drive.out()
    stats = drive.element.get_property("stats")
    answer = {
        "started": drive.started, "flows": sorted(drive.flows), "leaked": leaked(buffers), "events": drive.events,
        "pts_s": [b.pts / Gst.SECOND for b in buffers], "heights": [height for _, height in drive.got],
        "sizes": sorted({b.get_size() for b in buffers}), "durations": sorted({b.duration for b in buffers}),
        "messages": drive.messages(), "stats": stats.to_string() if stats else "",
        "fault": drive.element.get_property("last-fault"), **more,
    }  # fmt: skip
    drive.close()
    return answer


# -- zones ---------------------------------------------------------------------------------------------------------


def past_a_zone() -> dict:
    """20 m/s past a zone of 100 m round a point that is reached after 30 s."""
    drive = Drive(Circle(600.0, 0.0, 100.0))
    drive.go(0.0, 60.0, lambda seconds: 20.0 * seconds)
    while_driving = len(drive.out())
    held = drive.element.road.gate.held_bytes // (642 * 48 * 3 // 2)
    drive.send(Gst.Event.new_eos())
    return result(drive, while_driving=while_driving, held=held, order=len(drive.element.road._order))


def zones_everywhere() -> dict:
    drive = Drive(Circle(0.0, 0.0, 1e6))
    drive.go(0.0, 20.0)
    drive.send(Gst.Event.new_eos())
    return result(drive, order=len(drive.element.road._order))


def no_fixes() -> dict:
    """Without a fix nothing comes, and nothing is kept; nor when they end."""
    answers = {}
    for name, seconds in (("never", 0.0), ("ending", 20.0)):
        drive = Drive()
        drive.go(0.0, seconds)
        drive.feeding = False
        drive.go(seconds, 120.0)
        held = drive.element.road.gate.held_bytes
        order = len(drive.element.road._order)
        drive.send(Gst.Event.new_eos())
        answers[name] = result(drive, held=held, order=order)
    return answers


def whole_stream() -> dict:
    """New caps, a tag and an event in mid-stream: each in its place among the frames."""
    drive = Drive()
    drive.go(0.0, 12.0)
    tags = Gst.TagList.new_empty()
    raw = Gst.Sample.new(Gst.Buffer.new_wrapped(RAW[:500]), None, None, None)
    for name, value in (("image", raw), ("geo-location-latitude", 48.1), ("image-orientation", "rotate-90")):
        tags.add_value(Gst.TagMergeMode.REPLACE, name, value)
    drive.send(Gst.Event.new_tag(tags))
    drive.caps(NV12.replace("48", "46"))
    structure = Gst.Structure.new_empty("MyPicture")
    structure.set_value("sample", raw)
    drive.send(Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, structure))
    before = list(drive.events)
    drive.go(12.0, 24.0)
    drive.send(Gst.Event.new_eos())
    turn = drive.element.road._turn
    kept = drive.element.get_static_pad("src").get_sticky_event(Gst.EventType.TAG, 0)
    tags = kept.parse_tag()
    return result(drive, before=before, turn=turn, tags=[tags.nth_tag_name(i) for i in range(tags.n_tags())])


def flush() -> dict:
    """What waits at a flush never comes; what comes later does, and the caps that waited with it."""
    drive = Drive()
    drive.go(0.0, 12.0)
    drive.caps(NV12.replace("48", "46"))
    drive.send(Gst.Event.new_flush_start())
    drive.send(Gst.Event.new_flush_stop(False))
    drive.segment()
    before = len(drive.out())
    drive.go(12.0, 24.0)
    drive.send(Gst.Event.new_eos())
    return result(drive, before=before)


def stopped() -> dict:
    """To READY and back: what waited is blank and gone, and a new drive begins."""
    drive = Drive()
    drive.go(0.0, 12.0)
    gate = drive.element.road.gate
    waiting = [group.picture.planes[0] for group in gate._hold]
    before = len(drive.out())
    drive.pipeline.set_state(Gst.State.READY)
    blank = bool(waiting) and not any(plane.any() for plane in waiting)
    drive.pad.set_active(False)
    drive.pad.set_active(True)
    drive.pipeline.set_state(Gst.State.PLAYING)
    drive.clock.now_ns += Gst.SECOND
    drive.send(Gst.Event.new_stream_start("t"))
    drive.caps(NV12)
    drive.segment()
    after = len(drive.out())
    base_s = (drive.element.get_base_time() - 5 * Gst.SECOND) / Gst.SECOND
    for quarter in range(64):
        drive.at(base_s + 1 + quarter * FRAME_S + 0.02)
        if quarter % 4 == 0:
            drive.fix(drive.utc_s() - BORN_S - 0.02)
        drive.push(1 + quarter * FRAME_S)
    return result(drive, blank=blank, held=gate.held_bytes, came_at_stop=after - before)


def latency() -> dict:
    drive = Drive()
    drive.pad.set_query_function_full(lambda pad, parent, query: query.set_latency(True, 7, 11) or True, None)
    query = Gst.Query.new_latency()
    answered = drive.sink.get_static_pad("sink").peer_query(query)
    return result(drive, answered=answered, latency=list(query.parse_latency()))


# -- what is refused -----------------------------------------------------------------------------------------------


def settings() -> dict:
    answers = {}
    for properties in (
        {}, {"config": sys.argv[2]}, {"config": "/nowhere.toml"}, {"style": "blur"}, {"on_fault": "pass"},
        {"orientation": "x"}, {"nmea": "/nowhere", "config": sys.argv[3]}, {"nmea": __file__, "config": sys.argv[3]},
    ):  # fmt: skip
        drive = Drive(site=READ_SITE, **properties)
        drive.push(0.0)
        answers[str(sorted(properties.items()))] = result(drive)
    drive = Drive()
    drive.go(0.0, 8.0)
    before = len(drive.out())
    drive.element.set_property("style", "solid")
    drive.go(8.0, 12.0)
    answers["late"] = result(drive, before=before)
    return answers


def without_time() -> dict:
    """Buffers whose time of capture cannot be known are dropped."""
    answers = {}
    for name in ("no pts", "no playing", "bytes", "corrupted", "before the segment", "meta"):
        drive = Drive(play=name != "no playing", caps=None)
        drive.caps(NV12)
        segment = Gst.Segment()
        segment.init(Gst.Format.BYTES if name == "bytes" else Gst.Format.TIME)
        if name == "before the segment":
            segment.start = 1000 * Gst.SECOND
        drive.send(Gst.Event.new_segment(segment))
        for quarter in range(80):
            drive.at(quarter * FRAME_S)
            if quarter % 4 == 0:
                drive.fix(quarter * FRAME_S)
            buffer = Gst.Buffer.new_wrapped(RAW[:SIZE])
            if name == "meta":
                strides = [20, 644, 0, 0]
                nv12 = GstVideo.VideoFormat.NV12
                GstVideo.buffer_add_video_meta_full(buffer, 0, nv12, 642, 48, 2, [0, 644 * 48, 0, 0], strides)
            drive.push(
                quarter * FRAME_S, buffer=buffer, pts=Gst.CLOCK_TIME_NONE if name == "no pts" else None,
                flags=Gst.BufferFlags.CORRUPTED if name == "corrupted" else 0,
            )  # fmt: skip
        answers[name] = result(drive)
    return answers


def outcomes() -> dict:
    """What the engine may answer besides what the gate released."""

    def dropped(engine, captured):
        engine.last_fault = "told"
        return [Dropped(Reason.DETECTOR_BLIND)]

    def raising(engine, captured):
        raise RuntimeError("injected")

    def raw(engine, captured):
        return [captured]

    def never_waited_for(engine, captured):
        from dataclasses import replace

        other = replace(captured, captured_at_s=captured.captured_at_s + 0.001)
        return [
            _seal_released(_seal_anonymized(other, tuple(p.copy() for p in captured.planes), FrameMemory()))
        ]

    def another(engine, captured):
        from dataclasses import replace

        other = replace(captured, pts=captured.pts + 1)
        return [
            _seal_released(_seal_anonymized(other, tuple(p.copy() for p in captured.planes), FrameMemory()))
        ]

    answers = {}
    for act in (dropped, raising, raw, never_waited_for, another):
        drive = Drive(act=act)
        drive.go(0.0, 12.0)
        answers[act.__name__] = result(drive)
    return answers


# -- faults at every line, in every method -------------------------------------------------------------------------


def whole_drive(drive: Drive) -> None:
    """A frame and a fix each second; new caps, a tag, a bad frame, a flush, the end."""
    drive.go(0.0, 7.0, step=4)
    drive.caps(NV12.replace("48", "46"))
    tags = Gst.TagList.new_empty()
    tags.add_value(Gst.TagMergeMode.REPLACE, "image-orientation", "rotate-90")
    drive.send(Gst.Event.new_tag(tags))
    drive.push(7.0, flags=Gst.BufferFlags.CORRUPTED)
    query = Gst.Query.new_allocation(Gst.Caps.from_string(NV12), True)
    drive.element.get_static_pad("sink").query(query)
    drive.go(8.0, 12.0, step=4)
    drive.send(Gst.Event.new_flush_start())
    drive.send(Gst.Event.new_flush_stop(False))
    drive.segment()
    drive.go(12.0, 17.0, step=4)
    if drive.started:  # a sink that does not play waits with the end
        drive.send(Gst.Event.new_eos())


def every_line() -> dict:
    """Raise at the first, a middle and the last time that each line of the element or its road is run."""
    watched = {str(HOLD_FILE), vehicleanonymize_parts.__file__, hold_road.__file__, stream_order.__file__,
               element_road.__file__}  # fmt: skip
    faults = [MemoryError, KeyboardInterrupt, ValueError]

    def run(target=None, at=0):
        seen: dict[tuple[str, str, int], int] = {}

        def tracer(frame, event, argument):
            if frame.f_code.co_filename not in watched:
                return None
            if event == "line":
                where = (frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)
                seen[where] = seen.get(where, 0) + 1
                if where == target and seen[where] == at:
                    raise faults[(where[2] + at) % 3]("injected")
            return tracer

        drive = None
        sys.settrace(tracer)
        try:
            drive = Drive(on_fault="drop")
            whole_drive(drive)
        except (MemoryError, KeyboardInterrupt, ValueError):  # raised where Python itself calls
            pass
        finally:
            sys.settrace(None)
        buffers = drive.out() if drive is not None else []
        answer = len(buffers), leaked(buffers)
        if drive is not None:
            drive.close()
        return seen, *answer

    seen, clean_out, clean_leaked = run()
    report = {"clean_out": clean_out, "leaked": clean_leaked, "runs": 0, "short": 0,
              "lines": len(seen), "methods": sorted({name for _, name, _ in seen})}  # fmt: skip
    for where, count in seen.items():
        for at in {1, (count + 1) // 2, count}:
            _, out, bytes_leaked = run(where, at)
            report["leaked"] += bytes_leaked
            report["short"] += out < clean_out
            report["runs"] += 1
    return report


def unguarded() -> dict:
    """Every method that the binding calls raises past its guard, at its first and at a later call."""

    def faulty(engine, captured):
        raise RuntimeError("injected")

    methods = (
        "take_buffer", "take_event", "answer_query", "answer_later_query", "do_change_state", "do_fix",
        "do_set_property", "send", "hide", "fresh_buffer", "refuse",
    )  # fmt: skip
    ours, answers = vehicleanonymizehold.VehicleAnonymizeHold, {}
    for method, at_call, kind, calls in breaking(ours, methods, (1, 3, 8)):
        drive = Drive(kind=kind, style="solid", act=faulty if method == "refuse" else None)
        whole_drive(drive)
        answers[f"{method} {at_call}"] = outcome_of(calls, drive.out())
        drive.close()
    return answers


def control() -> dict:
    """An element that hands its own buffers on must be seen as a leak."""

    def leaking(self, pad, parent, buffer):
        return self.outgoing.push(buffer)

    ours = vehicleanonymizehold.VehicleAnonymizeHold
    kind = type("Leaking", (ours,), {"take_buffer": leaking})
    GObject.type_register(kind)
    drive = Drive(kind=kind)
    drive.push(0.0)
    return result(drive)


# -- the real network, a signed list, a receiver -------------------------------------------------------------------


def sentence(body: str) -> str:
    check = 0
    for letter in body:
        check ^= ord(letter)
    return f"${body}*{check:02X}\r\n"


def epoch(utc_s: float, lon_deg: float, lat_deg: float) -> bytes:
    """What a receiver says of one second."""
    moment = time.gmtime(utc_s)
    at, day = time.strftime("%H%M%S.00", moment), time.strftime("%d%m%y", moment)

    def degrees(value: float, width: int) -> str:
        return f"{int(value):0{width}d}{(value - int(value)) * 60:07.4f}"

    place = f"{degrees(lat_deg, 2)},N,{degrees(lon_deg, 3)},E"
    bodies = (
        f"GNRMC,{at},A,{place},20.0,90.0,{day},,,A", f"GNGGA,{at},{place},1,12,0.7,500.0,M,47.0,M,,",
        "GNGSA,A,3,01,02,03,04,,,,,,,,,1.2,0.7,1.0",
    )  # fmt: skip
    return "".join(map(sentence, bodies)).encode()


def real() -> dict:
    """A signed list, sentences from a FIFO and the packaged network; buffers are overwritten once they are taken."""
    global BORN_S
    config, fifo = sys.argv[2], sys.argv[3]
    BORN_S = float(math.floor(time.time()))
    os.mkfifo(fifo)
    caps = "video/x-raw,format=NV12,width=640,height=360,framerate=30/1,colorimetry=bt709"
    make_engine = element_road.make_engine
    drive = Drive(caps=None, site=READ_SITE, real_engine=make_engine, config=config, nmea=fifo)
    if not drive.started:
        return result(drive)
    drive.caps(caps)
    drive.segment()
    import anonymize
    from anonymize.canary import draw_canary
    from anonymize.frames import LAYOUTS, PixelFormat

    blank = LAYOUTS[PixelFormat.NV12].allocate(640, 360)
    frame = draw_canary(
        anonymize.CapturedFrame(blank, "nv12", pts=0, time_base=Fraction(1, 10**9)), 0.5
    ).frame
    raw = b"".join(plane.tobytes() for plane in frame.planes)
    road, refs = drive.element.road, []
    with Path(fifo).open("wb", buffering=0) as receiver:
        for second in range(22):
            drive.at(second + 0.02)
            # east at 40 m/s along 50.002 N, where the zone begins at 10.001 E, reached after 19.7 s; far enough away at
            # first for the largest secret margin (200 m), which each list's key makes anew
            receiver.write(epoch(BORN_S + second, 9.99 + second * 40.0 / 71_700.0, 50.002))
            until_s = time.monotonic() + 5.0
            while road.fixes < second + 1 and time.monotonic() < until_s:
                time.sleep(0.01)
            buffer = Gst.Buffer.new_allocate(None, len(raw), None)
            buffer.fill(0, raw)
            drive.push(float(second), buffer=buffer)
            overwritten = buffer.memset(0, 0xEE, len(raw))
            refs.append((overwritten == len(raw), buffer.mini_object.refcount))
    until_s = time.monotonic() + 5.0
    while road.fixes and drive.element.feed._thread.is_alive() and time.monotonic() < until_s:
        time.sleep(0.01)
    drive.send(Gst.Event.new_eos())
    engine, same, changed = anonymize.Engine(), [], True
    for buffer in drive.out():  # tracks remember: each frame is hidden after those before it
        (outcome,) = engine.process(replace(frame, pts=buffer.pts))
        wanted = b"".join(plane.tobytes() for plane in outcome.planes)
        same.append(buffer.extract_dup(0, buffer.get_size()) == wanted)
        changed &= wanted != raw
    return result(
        drive, same=same, changed=changed, overwritten=all(one for one, _ in refs), fixes=road.fixes
    )


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(globals()[sys.argv[1]]()) + "\n")
