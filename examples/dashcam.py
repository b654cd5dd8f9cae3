"""A dash-cam: a camera, or a file as if it were one at its real pace, hidden, held while zones ask for it, and stored.

anonymize store init STORE --purpose accident-evidence --contact ... --region CN --consent-days 365 --key KEYFILE
python examples/dashcam.py /dev/video0 STORE --status /run/dashcam.json
python examples/dashcam.py drive.mp4 STORE --loop --zones LIST --zones-root ROOT --zones-state STATE --track drive.gpx

Ends cleanly on SIGTERM or Ctrl-C: the last group is closed, sealed and in the ledger. The status file is replaced in
one step every second; a watchdog looks at its age, `state`, `last_frame_s` and `fault`. It does not say how many
frames zones have withheld: who reads it every second would learn where they lie.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from anonymize.kernel_cache import use_kernel_cache

use_kernel_cache()  # before the engine is imported: else each start compiles for some 20 s

from anonymize.cameras import CameraGroup  # noqa: E402
from anonymize.errors import AnonymizeError  # noqa: E402
from anonymize.frames import CapturedFrame, Dropped, Reason, ReleasedFrame  # noqa: E402
from anonymize.media.video import open_video  # noqa: E402
from anonymize.pipeline import Engine  # noqa: E402
from anonymize.settings import Settings  # noqa: E402
from anonymize.store.coding import GroupMaker  # noqa: E402
from anonymize.store.making import key_home  # noqa: E402
from anonymize.store.settings import replace_file, utc_day  # noqa: E402
from anonymize.store.store import Store  # noqa: E402
from anonymize.store.vault import MadeBy  # noqa: E402
from anonymize.zones.zone_gate import ZoneGate  # noqa: E402

CAMERA = "front"


class Positions:
    """The fixes of a track, given to the gate as a receiver would: each when its time has come.

    In a vehicle a thread reads the receiver and calls `gate.fix`; a track is driven anew from the moment of the start.
    """

    def __init__(self, path: Path, gate: ZoneGate) -> None:
        from anonymize.zones.feeds import read_track

        self._gate = gate
        self._fixes = sorted(read_track(path).fixes, key=lambda fix: fix.time_s)
        self._shift_s = time.time() - (self._fixes[0].time_s if self._fixes else 0.0)

    def give(self) -> None:
        """All that are due by now."""
        from dataclasses import replace

        while self._fixes and self._fixes[0].time_s + self._shift_s <= time.time():
            fix = self._fixes.pop(0)
            self._gate.fix(replace(fix, time_s=fix.time_s + self._shift_s))


class Dashcam:
    """Camera, engine, gate and store, put together.

    Parameters
    ----------
    options : argparse.Namespace
    stop : threading.Event
        Set by a signal.
    """

    def __init__(self, options: argparse.Namespace, stop: threading.Event) -> None:
        self.options, self.stop = options, stop
        self.state, self.last_frame_s, self.frames, self.fault = "starting", 0.0, 0, ""
        self.gate: ZoneGate | None = None
        self.store: Store | None = None
        zones, version = zones_of(options) if options.zones else (None, None)
        self.write_status()
        # the store gives the gate its encoder, and the engine tells the store what made the frames
        if zones is not None:
            self.gate = ZoneGate(zones, encoders=self.encoder)
        self.engine = Engine(settings=Settings(), zones=self.gate, in_place=True, threads=options.threads)
        self.store = Store.open(
            options.store,
            key_home(options.store, options.key),
            made_by=MadeBy.of(self.engine, zone_list=version),
        )
        self.positions = Positions(options.track, self.gate) if self.gate and options.track else None
        self.day = utc_day(time.time())

    @property
    def open_store(self) -> Store:
        """The store, which is there before the first frame."""
        assert self.store is not None
        return self.store

    def encoder(self, camera: str) -> GroupMaker:
        """For the gate, once the first frame has come."""
        return self.open_store.group_encoder(camera)

    def run(self) -> None:
        """Record until SIGTERM, Ctrl-C or the end of the file."""
        status = threading.Thread(target=self.keep_status, name="status", daemon=True)
        status.start()
        try:
            with open_source(self.options.source, self.stop, loop=self.options.loop) as frames:
                first = next(frames)
                self.warm_up(first)
                self.state = "running"
                with CameraGroup(self.engine, [CAMERA], self.deliver) as group:
                    for frame in frames:
                        self.frames, self.last_frame_s = self.frames + 1, time.time()
                        if self.positions:
                            self.positions.give()
                        if not group.submit(frame):
                            self.open_store.take([Dropped(Reason.QUEUE_FULL, CAMERA)])
            self.state = "stopping"
            self.open_store.take(self.engine.close())
            self.take_groups()
        except BaseException as fault:
            self.state, self.fault = "failed", f"{type(fault).__name__}: {fault}"
            raise
        finally:
            self.end()

    def warm_up(self, first: CapturedFrame) -> None:
        """Compile and look for the canary before the camera's first frame counts."""
        self.engine.warm_up(
            width=first.width, height=first.height, pixel_format=first.pixel_format, camera=CAMERA,
            rotation_deg=first.rotation_deg, mirrored=first.mirrored,
            color_range=first.color_range, color_matrix=first.color_matrix,
        )  # fmt: skip

    def deliver(self, outcome: ReleasedFrame | Dropped) -> None:
        """Every outcome of the engine; with zones the frames come as groups beside it."""
        self.open_store.take([outcome])
        self.take_groups()

    def take_groups(self) -> None:
        """What the gate has let go, and once a day why it has not."""
        if self.gate is None:
            return
        self.open_store.take_groups(self.gate.take_groups())
        today = utc_day(time.time())
        if today != self.day:
            self.hand_over_counts(today)
            self.day = today

    def hand_over_counts(self, before: Any) -> None:
        """Fine reasons, as counts of a day, for the ledger alone."""
        assert self.gate is not None
        for day, reasons in self.gate.withheld.take_before(before).items():
            self.open_store.count_withheld(day, reasons)

    def end(self) -> None:
        """Close the store, whatever has happened, and say so."""
        try:
            if self.gate is not None:
                self.hand_over_counts(utc_day(time.time()) + timedelta(days=1))
            self.open_store.close()
        except AnonymizeError as fault:
            self.state, self.fault = "failed", str(fault)
            raise
        finally:
            self.stop.set()
            if self.state != "failed":
                self.state = "stopped"
            self.write_status()

    def keep_status(self) -> None:
        """Replace the status file every second."""
        while not self.stop.wait(1.0):
            self.write_status()

    def write_status(self) -> None:
        """One JSON object, whole at any moment."""
        if self.options.status is None:
            return
        status = self.store.status() if self.store else {}
        dropped = dict(status.get("dropped", {}))
        dropped.pop(str(Reason.WITHHELD), None)
        words = {
            **status, "dropped": dropped, "state": self.state, "written_at_s": round(time.time(), 3),
            "last_frame_s": round(self.last_frame_s, 3), "frames": self.frames, "pid": os.getpid(),
        }  # fmt: skip
        if self.fault:
            words["fault"] = {"reason": "failed", "text": self.fault}
        replace_file(self.options.status, json.dumps(words).encode(), lasting=False)


class open_source:  # noqa: N801  # a context manager, read as a word
    """The frames of a camera (V4L2), or of a file at its real pace, until `stop`."""

    def __init__(self, source: Path, stop: threading.Event, *, loop: bool) -> None:
        self._source, self._stop, self._loop = source, stop, loop

    def __enter__(self) -> Iterator[CapturedFrame]:
        is_camera = stat.S_ISCHR(self._source.stat().st_mode)
        self._frames = self._of_camera() if is_camera else self._of_file()
        return self._frames

    def __exit__(self, *_: object) -> None:
        self._frames.close()

    def _of_file(self) -> Iterator[CapturedFrame]:
        """Each frame when its time has come, stamped with the time of now; a camera does not wait either."""
        from dataclasses import replace

        base_s, shift = None, 0
        while True:
            with open_video(self._source, camera=CAMERA) as reader:
                first = last = None
                for frame in reader:
                    first = frame.pts if first is None else first
                    if base_s is None and frame.pts > first:  # the engine warms up with the first frame
                        base_s = time.monotonic()
                    due_s = (base_s or 0.0) + float((frame.pts - first + shift) * frame.time_base)
                    if self._stop.wait(max(0.0, due_s - time.monotonic())):
                        return
                    last = frame.pts - first + shift
                    yield replace(frame, pts=last, captured_at_s=time.time())
            if not self._loop or last is None:
                return
            shift = last + max(1, round(1 / (30 * reader.facts.time_base)))

    def _of_camera(self) -> Iterator[CapturedFrame]:
        """Decoded or raw pictures of the device, in its own format."""
        import av

        from anonymize.frames import PixelFormat
        from anonymize.media.video_planes import writable_planes

        with av.open(str(self._source), format="v4l2") as device:
            stream = device.streams.video[0]
            for picture in device.decode(stream):
                if self._stop.is_set():
                    return
                known = picture.format.name in {str(one) for one in PixelFormat}
                usable = picture if known else picture.reformat(format="yuv420p")
                usable.make_writable()
                yield CapturedFrame(
                    writable_planes(usable, PixelFormat(usable.format.name)),
                    usable.format.name,
                    picture.pts,
                    picture.time_base,
                    captured_at_s=time.time(),
                    camera=CAMERA,
                )


def zones_of(options: argparse.Namespace) -> tuple[Any, int | None]:
    """A signed list in force, and its version; a list that is refused lets nothing be recorded."""
    from anonymize.zones.errors import ZoneListError
    from anonymize.zones.in_force import refused_list, signed_in_force
    from anonymize.zones.signed import load_signed_zones

    try:
        signed = load_signed_zones(options.zones, options.zones_root.read_bytes(), options.zones_state)
    except ZoneListError as refusal:
        print(f"zones: {refusal}; nothing is recorded", file=sys.stderr)
        return refused_list(refusal), None
    return signed_in_force(signed), signed.version


def main() -> int:
    """0: ended as it was asked to; 1: failed."""
    parser = argparse.ArgumentParser(description="Record a camera, or a file as if it were one.")
    parser.add_argument("source", type=Path, help="video file, or V4L2 device")
    parser.add_argument("store", type=Path, help="folder made by `anonymize store init`")
    parser.add_argument("--key", type=Path, help="the device's key file, if not the usual one")
    parser.add_argument("--status", type=Path, help="status file for a watchdog")
    parser.add_argument("--loop", action="store_true", help="begin the file again at its end")
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--zones", type=Path, help="signed list of restricted zones (a folder)")
    parser.add_argument("--zones-root", type=Path)
    parser.add_argument("--zones-state", type=Path)
    parser.add_argument("--track", type=Path, help="position log to be driven anew, in place of a receiver")
    options = parser.parse_args()
    if options.zones and not (options.zones_root and options.zones_state):
        parser.error("--zones needs --zones-root and --zones-state")
    try:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        dashcam = Dashcam(options, stop)
        dashcam.run()
    except AnonymizeError as fault:
        print(f"dashcam: {fault}", file=sys.stderr)
        return 1
    print(json.dumps(dashcam.open_store.status()["stored"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
