"""What a store costs: `python bench/store.py [write] [delete] [week] [--encoding jpeg|h264]`.

write   what `Store.take` adds to the camera's thread at 30 frames/s of 1080p, all threads on one core: clock and
        processor time a frame; and the processor time of the whole process a frame (coding, sealing, writing)
delete  10,000 segments of 20 kB deleted for ever: keys, files, tombstones, checkpoint
week    a simulated week of a segment every 10 s, kept for 2 days: memory a day

Beside each clock time stands the processor time: other work on the machine disturbs it least.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

import numpy as np

from anonymize.canary import planes_from_rgb
from anonymize.drawing import draw_street
from anonymize.frames import (
    CapturedFrame,
    ColorMatrix,
    ColorRange,
    FrameMemory,
    PixelFormat,
    ReleasedFrame,
    _seal_anonymized,
    _seal_released,
)
from anonymize.media.segments import Coding
from anonymize.store import objects
from anonymize.store.keys import KeyFile
from anonymize.store.settings import StoreSettings, write_settings
from anonymize.store.store import Store
from anonymize.store.vault import MadeBy, Segment

MADE_BY = MadeBy("0" * 64)
DAY_S = 86_400.0


def new_store(place: Path, **changes: Any) -> tuple[Path, KeyFile]:
    """A store with a consent."""
    folder = place / "store"
    folder.mkdir()
    given: dict[str, Any] = {
        "origin": "bench.test/store", "purpose": "test", "contact": "nobody", "region": "CN",
        "consent_from": "2020-01-01", "consent_until": "9000-01-01",
    }  # fmt: skip
    write_settings(folder, StoreSettings(**(given | changes)))
    return folder, KeyFile.create(place / "device.key")


@contextmanager
def without_fsync() -> Any:
    """Objects are written without waiting for the disk: for what is not measured."""
    real = os.fsync
    objects.os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        yield
    finally:
        objects.os.fsync = real


def released_frames(width: int, height: int) -> Callable[[int], ReleasedFrame]:
    """Frames of the drawn street, moved by some px from one to the next."""
    rgb, _ = draw_street(width, height)
    colours = {"color_matrix": ColorMatrix.BT709, "color_range": ColorRange.LIMITED}
    pictures = [planes_from_rgb(np.roll(rgb, 4 * n, 1), PixelFormat.NV12, **colours) for n in range(8)]

    def frame(number: int) -> ReleasedFrame:
        planes = pictures[number % 8]
        captured = CapturedFrame(planes, "nv12", number, Fraction(1, 30))
        return _seal_released(_seal_anonymized(captured, planes, FrameMemory()))

    return frame


def paced(frames: int, job: Callable[[int], object]) -> tuple[list[float], list[float]]:
    """Clock and processor ms of this thread for each of the jobs, 30 a second."""
    waits_ms, busy_ms = [], []
    start_s = time.monotonic()
    for number in range(frames):
        time.sleep(max(0.0, start_s + number / 30 - time.monotonic()))
        begun_s, begun_cpu_s = time.perf_counter(), time.thread_time()
        job(number)
        waits_ms.append((time.perf_counter() - begun_s) * 1e3)
        busy_ms.append((time.thread_time() - begun_cpu_s) * 1e3)
    return waits_ms, busy_ms


def told(name: str, values: list[float]) -> str:
    """One line of figures."""
    cuts = statistics.quantiles(values, n=100)
    return f"  {name:32} median {cuts[49]:6.2f}  p99 {cuts[98]:6.2f}  max {max(values):6.2f} ms"


def before_others(thread: int, priority: int) -> None:
    """Let a thread run before all ordinary ones: what a core with nothing else to do would give it. Needs root."""
    os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))


def write(seconds: float, encoding: str, *, undisturbed: bool) -> None:
    """The write path at 30 frames/s, beside a bare copy of the same frames in the same schedule."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    frame = released_frames(1920, 1080)
    frames = round(30 * seconds)
    if undisturbed:
        before_others(threading.get_native_id(), 20)
    copied_ms, copied_busy_ms = paced(frames // 2, lambda number: frame(number).copy())
    with tempfile.TemporaryDirectory() as place:
        folder, home = new_store(Path(place))
        store = Store.open(folder, home, made_by=MADE_BY, coding=Coding(encoding=encoding))  # type: ignore[arg-type]
        if undisturbed:
            before_others(store._writer._thread.native_id, 10)  # type: ignore[union-attr,arg-type]
        paced(90, lambda number: store.take([frame(number)]))
        cpu_s = time.process_time()
        waits_ms, busy_ms = paced(frames, lambda number: store.take([frame(90 + number)]))
        cpu_s = time.process_time() - cpu_s
        store.close()
        status = store.status()
    more_ms, more_busy_ms = paced(frames // 2, lambda number: frame(number).copy())
    print(
        f"write, {encoding}: {frames} frames of 1080p NV12, {status['stored']}, dropped {status['dropped'] or 'none'}"
    )
    print(told("camera's thread, take", waits_ms))
    print(told("  of it busy (processor)", busy_ms))
    print(told("a bare copy, same schedule", copied_ms + more_ms))
    print(told("  of it busy (processor)", copied_busy_ms + more_busy_ms))
    print(f"  processor, all threads: {cpu_s / frames * 1e3:.2f} ms a frame; load {os.getloadavg()[0]:.1f}")


def segments(count: int, size: int) -> list[Segment]:
    """Bytes that stand for groups."""
    random = np.random.default_rng(count)
    return [Segment(b"\x00\x00\x00\x02{}" + random.bytes(size), "personal", 30) for _ in range(count)]


def delete(count: int) -> None:
    """Delete so many segments."""
    with tempfile.TemporaryDirectory() as place:
        folder, home = new_store(Path(place))
        with Store.open(folder, home) as store:
            with without_fsync():
                for _ in range(count // 100):
                    store.vault.put(segments(100, 20_000), MADE_BY)
            os.sync()
            start_s, cpu_s = time.monotonic(), time.process_time()
            deleted = store.vault.delete(store.vault.index.entries(), "owner")
            store.vault.ledger.checkpoint()
            took_s, cpu_s = time.monotonic() - start_s, time.process_time() - cpu_s
            left = sum(1 for path in folder.rglob("*") if len(path.name) == 64)
            print(f"delete: {deleted} segments in {took_s:.2f} s (processor {cpu_s:.2f} s), {left} left")
            print(f"  load {os.getloadavg()[0]:.1f}")


def week(every_s: float) -> None:
    """Memory over a simulated week."""
    with tempfile.TemporaryDirectory() as place, without_fsync():
        now_s = [1_800_000_000.0]
        folder, home = new_store(Path(place), retention_days={"personal": 2})
        with Store.open(folder, home, clock=lambda: now_s[0]) as store:
            print("week: day, resident MB, segments held, rows")
            for day in range(7):
                for _ in range(round(DAY_S / every_s / 20)):
                    now_s[0] += 20 * every_s
                    store.vault.put(segments(20, 2_000), MADE_BY)
                    store.tick(now=True)
                held = store.vault.index.totals()[1]
                print(f"  {day + 1}  {resident_mb():7.2f}  {held:7}  {store.vault.ledger.size:7}")


def resident_mb() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", default=["delete", "week", "write"])
    parser.add_argument("--encoding", default="jpeg", choices=("jpeg", "h264"))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--undisturbed", action="store_true", help="write: run before all other processes (root)"
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--every-s", type=float, default=10.0)
    options = parser.parse_args()
    jobs = {
        "delete": lambda: delete(options.count),
        "week": lambda: week(options.every_s),
        "write": lambda: write(options.seconds, options.encoding, undisturbed=options.undisturbed),
    }
    for name in sorted(options.what):  # `write` last: it keeps to one core
        jobs[name]()


if __name__ == "__main__":
    main()
