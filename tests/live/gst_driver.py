"""Runs the GStreamer element under the system's Python, for `test_gst_element.py`; prints one line of JSON.

Buffers are pushed from the main thread straight into the element's pad, so that a fault can be raised at any
line of its code. The engine is a stand-in that fills every sample with HIDDEN: any other byte that comes out
of the element is a leak.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gi

for name in ("Gst", "GstApp", "GstBase", "GstVideo"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402

Gst.init(None)
ROOT = Path(__file__).resolve().parents[2]
ELEMENT_FILE = ROOT / "anonymize" / "live" / "gstreamer" / "python" / "vehicleanonymize.py"
sys.path.insert(0, str(ELEMENT_FILE.parent))  # as GStreamer's loader does
import vehicleanonymize  # noqa: E402
import vehicleanonymize_parts  # noqa: E402

from anonymize.frames import Dropped, FrameMemory, Reason, _seal_anonymized, _seal_released  # noqa: E402
from anonymize.live import element_road  # noqa: E402

HIDDEN = 0x55
RAW = bytes((7 * i + i // 251) % 80 + 100 for i in range(100_000))  # never HIDDEN, never 0
NV12 = "video/x-raw,format=NV12,width=642,height=48,framerate=30/1"
SIZE = 644 * 48 * 3 // 2


class StandIn:
    """An engine that hides everything, or does what `act` says."""

    def __init__(self, act=None) -> None:
        self.act, self.last_fault, self.warmed, self.seen, self.resets = act, "", [], [], 0

    def warm_up(self, **kind) -> None:
        self.warmed.append({k: str(v) for k, v in kind.items()})

    def reset(self, camera) -> None:
        self.resets += 1

    def process(self, captured, *, arrived_s):
        self.seen.append(captured.pts)
        if self.act is not None and (answer := self.act(self, captured)) is not None:
            return answer
        for plane in captured.planes:
            plane.fill(HIDDEN)
        return [_seal_released(_seal_anonymized(captured, captured.planes, FrameMemory()))]


class Bench:
    """One element between a pad of ours and an appsink."""

    def __init__(
        self, kind=vehicleanonymize.VehicleAnonymize, act=None, caps=NV12, engine=None, **properties
    ) -> None:
        self.engine = StandIn(act)
        element_road.make_engine = engine or (lambda options: self.engine)
        self.pipeline = Gst.Pipeline()
        self.element = kind()
        for name, value in properties.items():
            self.element.set_property(name.replace("_", "-"), value)
        self.sink = Gst.ElementFactory.make("appsink")
        self.sink.set_property("sync", False)
        self.sink.set_property("async", False)
        self.sink.set_property("wait-on-eos", False)  # or the end waits until we pull
        self.pipeline.add(self.element)
        self.pipeline.add(self.sink)
        self.element.link(self.sink)
        self.pad = Gst.Pad.new("feed", Gst.PadDirection.SRC)
        self.pad.link(self.element.get_static_pad("sink"))
        self.pad.set_active(True)
        self.started = self.pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE
        self.flows: list[str] = []
        self.send(Gst.Event.new_stream_start("s"))
        if caps:
            self.caps(caps)

    def send(self, event) -> bool:
        return self.pad.push_event(event)

    def caps(self, text: str) -> bool:
        took = self.send(Gst.Event.new_caps(Gst.Caps.from_string(text)))
        segment = Gst.Segment()
        segment.init(Gst.Format.TIME)
        self.send(Gst.Event.new_segment(segment))
        return took

    def push(self, number=0, *, buffer=None, size=SIZE, flags=0) -> str:
        if buffer is None:
            buffer = Gst.Buffer.new_wrapped(RAW[:size])
        buffer.pts, buffer.duration = number * 33_000_000, 33_000_000
        if flags:
            buffer.set_flags(flags)
        flow = self.pad.push(buffer)
        self.flows.append(flow.value_nick)
        return flow.value_nick

    def out(self) -> list:
        """The buffers that came out so far."""
        found = []
        while (sample := self.sink.emit("try-pull-sample", 0)) is not None:
            found.append(sample.get_buffer())
        return found

    def messages(self) -> list:
        bus, found = self.pipeline.get_bus(), []
        while message := bus.pop_filtered(
            Gst.MessageType.ERROR | Gst.MessageType.ELEMENT | Gst.MessageType.QOS
        ):
            if message.type == Gst.MessageType.ERROR:
                found.append("error: " + message.parse_error()[0].message)
            elif message.type == Gst.MessageType.QOS:
                found.append("qos")
            else:
                found.append("dropped: " + message.get_structure().get_string("reason"))
        return found

    def close(self) -> None:
        self.pipeline.set_state(Gst.State.NULL)


def leaked(buffers) -> int:
    """Bytes of these buffers that are neither hidden nor blank."""
    count = 0
    for buffer in buffers:
        content = buffer.extract_dup(0, buffer.get_size())
        count += len(content) - content.count(HIDDEN) - content.count(0)
    return count


def result(bench: Bench, **more) -> dict:
    buffers = bench.out()
    stats = bench.element.get_property("stats")
    answer = {
        "started": bench.started, "flows": bench.flows, "out": len(buffers), "leaked": leaked(buffers),
        "pts": [b.pts for b in buffers], "messages": bench.messages(), "stats": stats.to_string() if stats else "",
        "fault": bench.element.get_property("last-fault"), **more,
    }  # fmt: skip
    bench.close()
    return answer


# -- faults at every line, in every method -------------------------------------------------------------------------


def drive(bench: Bench) -> None:
    """What a stream does: frames, a tag, new caps in mid-stream, frames, a flush, the end."""
    bench.push(0)
    tags = Gst.TagList.new_empty()
    tags.add_value(Gst.TagMergeMode.REPLACE, "image-orientation", "rotate-90")
    bench.send(Gst.Event.new_tag(tags))
    bench.caps(NV12.replace("48", "46"))
    bench.push(1, size=644 * 46 * 3 // 2)
    bench.send(Gst.Event.new_gap(0, 1))
    query = Gst.Query.new_allocation(Gst.Caps.from_string(NV12), True)
    bench.element.get_static_pad("sink").query(query)
    bench.push(2, size=644 * 46 * 3 // 2, flags=Gst.BufferFlags.CORRUPTED)
    bench.send(Gst.Event.new_eos())


def every_line() -> dict:
    """Raise at the n-th line that the element or its road runs, for every n."""
    watched = {str(ELEMENT_FILE), vehicleanonymize_parts.__file__, element_road.__file__}
    faults = [MemoryError, KeyboardInterrupt, ValueError]
    report = {"runs": 0, "leaked": 0, "out": 0, "lines": set(), "methods": set()}
    number = 0
    while True:
        passed, where = 0, None

        def tracer(frame, event, argument, number=number):
            nonlocal passed, where
            if frame.f_code.co_filename not in watched:
                return None
            if event == "line":
                passed += 1
                if passed - 1 == number:
                    where = (frame.f_code.co_name, frame.f_lineno)
                    raise faults[number % 3]("injected")
            return tracer

        bench = None
        sys.settrace(tracer)
        try:
            bench = Bench(on_fault="drop")
            drive(bench)
        except (
            MemoryError,
            KeyboardInterrupt,
            ValueError,
        ):  # raised where Python itself calls: making the element
            pass
        finally:
            sys.settrace(None)
        if where is None:
            report["clean_out"] = len(bench.out())
            bench.close()
            break
        if bench is not None:
            buffers = bench.out()
            report["leaked"] += leaked(buffers)
            report["out"] += len(buffers)
            bench.close()
        report["runs"] += 1
        report["lines"].add(where)
        report["methods"].add(where[0])
        number += 1
    report["lines"], report["methods"] = len(report["lines"]), sorted(report["methods"])
    return report


def breaking(ours, methods, at_calls):
    """Kinds of an element one method of which raises past its guard from a certain call on; each with its calls."""
    for method in methods:
        for at_call in at_calls:
            calls = []

            def broken(self, *arguments, method=method, at_call=at_call, calls=calls):
                calls.append(method)
                if len(calls) >= at_call:
                    raise RuntimeError("injected")
                return getattr(ours, method)(self, *arguments)

            kind = type(f"Broken_{method}_{at_call}", (ours,), {method: broken})
            GObject.type_register(kind)
            yield method, at_call, kind, calls


def outcome_of(calls, buffers) -> dict:
    return {"calls": len(calls), "out": len(buffers), "leaked": leaked(buffers)}


def unguarded() -> dict:
    """Every overridden method raises past its guard, at its first and at a later call: the binding answers then."""
    ours, answers = vehicleanonymize.VehicleAnonymize, {}
    methods = sorted(n for n in vars(ours) if n.startswith("do_"))
    for method, at_call, kind, calls in breaking(ours, methods, (1, 2, 3)):
        bench = Bench(kind, style="solid")
        drive(bench)
        answers[f"{method} {at_call}"] = outcome_of(calls, bench.out())
        bench.close()
    return answers


def control() -> dict:
    """Without the element's second lock, what a raising method lets through must be seen as a leak."""
    base = vehicleanonymize.GstBase.BaseTransform

    def raising(self, buffer):
        raise RuntimeError("injected")

    def unlocked(self):
        return base.do_generate_output(self)

    members = {"do_transform_ip": raising, "do_generate_output": unlocked}
    kind = type("Unlocked", (vehicleanonymize.VehicleAnonymize,), members)
    GObject.type_register(kind)
    bench = Bench(kind)
    bench.push(0)
    return result(bench)


def passthrough() -> dict:
    """Somebody switches the base class to passthrough: it then does not ask us to hide."""
    bench = Bench()
    bench.push(0)
    bench.element.set_passthrough(True)
    bench.push(1)
    return result(bench)


# -- what comes in --------------------------------------------------------------------------------------------------


def plain() -> dict:
    bench = Bench(on_fault="drop", camera="rear")
    for number in range(3):
        bench.push(number)
    return result(bench, warmed=bench.engine.warmed)


def before_caps() -> dict:
    bench = Bench(caps=None)
    segment = Gst.Segment()
    segment.init(Gst.Format.TIME)
    bench.send(Gst.Event.new_segment(segment))
    bench.push(0)
    return result(bench)


def bad_caps() -> dict:
    """Caps that are refused at first, and in mid-stream."""
    answers = {}
    for text in (
        NV12 + ",interlace-mode=interleaved", NV12 + ",colorimetry=smpte240m",
        NV12 + ",multiview-mode=separated,views=2", NV12.replace("NV12", "YUY2"),
    ):  # fmt: skip
        first = Bench(caps=text)
        first.push(0)
        later = Bench()
        later.push(0)
        later.caps(text)
        later.push(1)
        answers[text] = {"first": result(first), "later": result(later)}
    return answers


def colors() -> dict:
    answers = {}
    for text in ("bt601", "bt709", "bt2020", "1:4:0:0"):
        bench = Bench(caps=f"{NV12},colorimetry={text}")
        answers[text] = [bench.engine.warmed[0][name] for name in ("color_range", "color_matrix")]
        bench.close()
    return answers


def formats() -> dict:
    answers = {}
    for name in ("NV12", "I420", "BGR", "RGB", "GRAY8", "Y42B", "Y444", "I420_10LE"):
        info = GstVideo.VideoInfo.new_from_caps(Gst.Caps.from_string(NV12.replace("NV12", name)))
        bench = Bench(caps=NV12.replace("NV12", name), on_fault="drop")
        bench.push(0, size=info.size)
        buffers = bench.out()
        content = buffers[0].extract_dup(0, info.size) if buffers else b""
        answers[name] = {
            "size": info.size,
            "hidden": content.count(HIDDEN),
            "leaked": leaked(buffers) if name != "I420_10LE" else 0,
        }
        bench.close()
    return answers


def padded() -> dict:
    """A buffer's own strides and offsets, with raw bytes in the padding and between the planes."""
    bench = Bench()
    buffer = Gst.Buffer.new_wrapped(RAW[: 100 + 700 * 48 + 50 + 700 * 24 + 33])
    GstVideo.buffer_add_video_meta_full(
        buffer, 0, GstVideo.VideoFormat.NV12, 642, 48, 2, [100, 100 + 700 * 48 + 50, 0, 0], [700, 700, 0, 0]
    )
    bench.push(0, buffer=buffer)
    buffers = bench.out()
    content = buffers[0].extract_dup(0, buffers[0].get_size())
    bench.close()
    return {"hidden": content.count(HIDDEN), "wanted": 642 * 48 * 3 // 2, "leaked": leaked(buffers)}


def wrong_meta() -> dict:
    """VideoMeta that contradicts the caps or points behind the memory."""
    bench = Bench()
    for number, (width, offsets, strides) in enumerate(
        ((640, (0, 644 * 48), (644, 644)), (642, (0, 644 * 48 + 2), (644, 644)), (642, (0, 0), (644, 644)),
         (642, (0, 644 * 48), (20, 644)))
    ):  # fmt: skip
        buffer = Gst.Buffer.new_wrapped(RAW[:SIZE])
        GstVideo.buffer_add_video_meta_full(
            buffer, 0, GstVideo.VideoFormat.NV12, width, 48, 2, [*offsets, 0, 0], [*strides, 0, 0]
        )
        bench.push(number, buffer=buffer)
    return result(bench)


def flags() -> dict:
    """Buffers with flags; only the last three may come out, hidden."""
    bench = Bench()
    video = GstVideo.VideoBufferFlags
    for number, flag in enumerate(
        (Gst.BufferFlags.CORRUPTED, Gst.BufferFlags(int(video.INTERLACED)), Gst.BufferFlags(int(video.MULTIPLE_VIEW)),
         Gst.BufferFlags.GAP, Gst.BufferFlags.DISCONT, Gst.BufferFlags.DELTA_UNIT)
    ):  # fmt: skip
        bench.push(number, flags=flag)
    return result(bench)


def metas() -> dict:
    """Metas that hold a second, raw picture are taken off; times stay."""
    bench = Bench()
    buffer = Gst.Buffer.new_wrapped(RAW[:SIZE])
    raw = Gst.Buffer.new_wrapped(RAW[:SIZE])
    buffer.add_parent_buffer_meta(raw)
    GstVideo.buffer_add_video_time_code_meta_full(
        buffer, 30, 1, GLib.DateTime.new_now_utc(), 0, 1, 1, 1, 1, 0
    )
    GstVideo.buffer_add_video_region_of_interest_meta(buffer, "face", 1, 2, 3, 4)
    Gst.Meta.register_custom("SecondPicture", [], lambda *_: True)
    custom = buffer.add_custom_meta("SecondPicture")
    custom.get_structure().set_value("picture", raw)
    bench.push(0, buffer=buffer)
    buffers = bench.out()
    kinds = [t.name for t in GObject.type_from_name("gpointer").children if buffers[0].get_n_meta(t)]
    bench.close()
    return {"kinds": kinds, "leaked": leaked(buffers), "raw": raw.extract_dup(0, SIZE) == RAW[:SIZE]}


def memories() -> dict:
    """A buffer of three pieces of memory, one with read-only memory, one that others still hold, one too small."""
    answers = {}
    for name in ("pieces", "read-only", "shared", "small", "large"):
        bench = Bench()
        buffer = Gst.Buffer.new_wrapped(RAW[: {"small": SIZE - 3, "large": SIZE + 500}.get(name, SIZE)])
        kept = None
        if name == "pieces":
            buffer = Gst.Buffer.new()
            for begin, end in ((0, 1000), (1000, 20_000), (20_000, SIZE)):
                buffer.append_memory(Gst.Buffer.new_wrapped(RAW[begin:end]).get_all_memory())
        elif name == "read-only":
            buffer = Gst.Buffer.new()
            memory = Gst.Memory.new_wrapped(Gst.MemoryFlags.READONLY, RAW[:SIZE], SIZE, 0, None, None)
            buffer.append_memory(memory)
        elif name == "shared":
            kept = Gst.Buffer.new()
            kept.append_memory(buffer.get_all_memory())
        bench.push(0, buffer=buffer)
        answers[name] = result(bench)
        if kept is not None:
            answers[name]["kept"] = kept.extract_dup(0, SIZE) == RAW[:SIZE]
    return answers


def unmappable() -> dict:
    """The map fails, or what it gives cannot be written."""
    answers = {}
    real = Gst.Buffer.map
    for name in ("none", "raises", "readonly"):

        def broken(self, flags, name=name):
            if name == "raises":
                raise RuntimeError("injected")
            if name == "readonly":
                return SimpleNamespace(__parent__=self, data=memoryview(RAW))
            return SimpleNamespace(__parent__=None, data=None)

        bench = Bench()
        Gst.Buffer.map = broken
        try:
            bench.push(0)
        finally:
            Gst.Buffer.map = real
        answers[name] = result(bench)
    return answers


def events() -> dict:
    """Tags pass by an allow-list; what may hold a picture does not pass."""
    bench = Bench()
    raw = Gst.Sample.new(Gst.Buffer.new_wrapped(RAW[:500]), None, None, None)
    tags = Gst.TagList.new_empty()
    for name, value in (
        ("image", raw),
        ("geo-location-latitude", 48.1),
        ("comment", "x"),
        ("image-orientation", "flip-rotate-90"),
    ):
        tags.add_value(Gst.TagMergeMode.REPLACE, name, value)
    seen = []
    bench.sink.get_static_pad("sink").add_probe(
        Gst.PadProbeType.EVENT_DOWNSTREAM,
        lambda pad, info: seen.append(info.get_event()) or Gst.PadProbeReturn.OK,
    )
    bench.send(Gst.Event.new_tag(tags))
    structure = Gst.Structure.new_empty("MyPicture")
    structure.set_value("sample", raw)
    bench.send(Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, structure))
    bench.send(
        Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, Gst.Structure.new_empty("GstForceKeyUnit"))
    )
    bench.push(0)
    kinds = [e.type.value_nick for e in seen]
    kept = [e.parse_tag() for e in seen if e.type == Gst.EventType.TAG]
    names = [t.nth_tag_name(i) for t in kept for i in range(t.n_tags())]
    turn = bench.element.road._turn
    return result(bench, kinds=kinds, tags=names, turn=turn)


# -- outcomes and settings ------------------------------------------------------------------------------------------


def outcomes() -> dict:
    """What the engine may answer; each must be a drop."""

    def dropped(engine, captured):
        engine.last_fault = "told"
        return [Dropped(Reason.DETECTOR_BLIND)]

    def raising(engine, captured):
        raise RuntimeError("injected")

    def elsewhere(engine, captured):
        planes = tuple(p.copy() for p in captured.planes)
        return [_seal_released(_seal_anonymized(captured, planes, FrameMemory()))]

    def nothing(engine, captured):
        return []

    def raw(engine, captured):
        return [captured]

    answers = {}
    for act in (dropped, raising, elsewhere, nothing, raw):
        bench = Bench(act=act)
        bench.push(0)
        bench.push(1)
        answers[act.__name__] = result(bench)
    return answers


def late() -> dict:
    def slow(engine, captured):
        if len(engine.seen) == 2:
            time.sleep(0.05)

    answers = {}
    for on_fault in ("drop", "hide"):
        bench = Bench(act=slow, deadline_ms=30.0, on_fault=on_fault)
        for number in range(3):
            bench.push(number)
        answers[on_fault] = result(bench)
    return answers


def settings() -> dict:
    """Values that are refused: the element does not start, and nothing comes out."""
    answers = {}
    for properties in (
        {"zones": "list.json"}, {"style": "blur"}, {"style": "x"}, {"on_fault": "pass"}, {"camera": ""},
        {"orientation": "rotate-45"},
    ):  # fmt: skip
        bench = Bench(**properties)
        bench.push(0)
        answers[str(properties)] = result(bench)
    bench = Bench()
    bench.push(0)
    bench.element.set_property("style", "solid")
    bench.push(1)
    answers["late"] = result(bench)
    return answers


def restart() -> dict:
    """After a fault the same element may start anew, and hides."""
    bench = Bench()
    bench.caps(NV12 + ",interlace-mode=interleaved")
    bench.push(0)
    bench.out()
    bench.messages()
    bench.pipeline.set_state(Gst.State.NULL)
    bench.pad.set_active(False)
    bench.pad.set_active(True)
    bench.pipeline.set_state(Gst.State.PLAYING)
    bench.send(Gst.Event.new_stream_start("t"))
    bench.caps(NV12)
    bench.flows.clear()
    bench.push(1)
    return result(bench)


def real() -> dict:
    """The packaged network on the drawn canary: the element's bytes are those of `Engine.process`."""
    from fractions import Fraction

    import anonymize
    from anonymize.frames import LAYOUTS, PixelFormat

    caps = "video/x-raw,format=NV12,width=1280,height=720,framerate=30/1,colorimetry=bt709"
    bench = Bench(
        engine=element_road.make_engine, caps=caps
    )  # before numba is imported: the cache is named there
    from anonymize.canary import draw_canary

    planes = LAYOUTS[PixelFormat.NV12].allocate(1280, 720)
    frame = draw_canary(
        anonymize.CapturedFrame(planes, "nv12", pts=0, time_base=Fraction(1, 10**9)), 0.5
    ).frame
    raw = b"".join(plane.tobytes() for plane in frame.planes)
    engine_ms, besides_ms = [], []
    process = bench.element.road.engine.process

    def timed(captured, **more):
        begun_s = time.perf_counter()
        outcomes = process(captured, **more)
        engine_ms.append((time.perf_counter() - begun_s) * 1000.0)
        return outcomes

    bench.element.road.engine.process = timed
    hidden = []
    for number in range(int(sys.argv[2])):
        buffer = Gst.Buffer.new_allocate(None, len(raw), None)
        buffer.fill(0, raw)
        begun_s = time.perf_counter()
        bench.push(number, buffer=buffer)
        besides_ms.append((time.perf_counter() - begun_s) * 1000.0 - engine_ms[-1])
        hidden = (
            [b.extract_dup(0, b.get_size()) for b in bench.out()] if number == 0 else bench.out() and hidden
        )
    (outcome,) = anonymize.Engine().process(frame)
    same = hidden == [b"".join(plane.tobytes() for plane in outcome.planes)]
    bench.flows.clear()
    return result(
        bench,
        same=same,
        changed=hidden != [raw],
        engine_ms=quantiles(engine_ms),
        besides_ms=quantiles(besides_ms),
    )


def quantiles(values_ms: list[float]) -> list[float]:
    """Median, p99 and maximum."""
    ordered = sorted(values_ms)
    return [round(ordered[min(len(ordered) - 1, int(len(ordered) * q))], 3) for q in (0.5, 0.99, 1.0)]


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(globals()[sys.argv[1]]()) + "\n")
