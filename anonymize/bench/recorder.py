"""What became of every frame of a run: durations whole and by stage, misses, drops by reason, in windows of time."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from anonymize.bench.histogram import NEVER_MS, Histogram, merged, summary
from anonymize.frames import Dropped, ReleasedFrame, Timings
from anonymize.pipeline import Outcome

STAGES: Final = tuple(one.name for one in fields(Timings) if one.name != "total_ms")
WHOLE: Final = ("latency", "service")
MAX_WINDOWS: Final = 120
SHORTEST_WINDOW_S: Final = 0.25


@dataclass(slots=True)
class Window:
    """A stretch of a run."""

    at_s: float
    durations: dict[str, Histogram] = field(default_factory=dict)
    frames: int = 0
    begun: int = 0
    misses: int = 0
    cpu_ms: float = 0.0

    def add(self, name: str, duration_ms: float) -> None:
        """Count one duration."""
        if name not in self.durations:
            self.durations[name] = Histogram()
        self.durations[name].add(duration_ms)

    def as_values(self, whole: str) -> dict[str, Any]:
        """For JSON."""
        return {
            "at_s": round(self.at_s, 3),
            "frames": self.frames,
            "begun": self.begun,
            "misses": self.misses,
            "cpu_ms": round(self.cpu_ms, 3),
            "max_ms": round(self.durations[whole].max_ms, 4),
            "never": {name: one.never for name, one in self.durations.items() if one.never},
            "counts": {name: one.as_list() for name, one in self.durations.items()},
        }


class Recorder:
    """Takes every frame of one run.

    A frame that did not come out counts as one that never came, in the duration of the whole: with a deadline
    `latency` (from due), without one `service` (from begun).

    Parameters
    ----------
    start_s : float
        When the run begins, monotonic clock, s.
    seconds : float
        How long it is meant to take; it decides the length of a window.
    deadline_ms : float or None
        None where nothing is due.
    """

    def __init__(self, start_s: float, seconds: float, deadline_ms: float | None = None) -> None:
        self.window_s = max(SHORTEST_WINDOW_S, seconds / MAX_WINDOWS)
        self.missed = bytearray()
        self.dropped: Counter[str] = Counter()
        self.hidden_whole: Counter[str] = Counter()
        self.predicted: Counter[str] = Counter()
        self.hidden: Counter[str] = Counter()
        self.delivered = 0
        self._whole = "service" if deadline_ms is None else "latency"
        self._start_s, self._deadline_ms = start_s, math.inf if deadline_ms is None else deadline_ms
        self._windows: list[Window] = []
        self._cpu_s = time.process_time()

    def take(self, outcomes: Sequence[Outcome], due_s: float, began_s: float, ended_s: float) -> None:
        """One frame was worked on: what came of it, when it was due, begun and ended (monotonic clock, s)."""
        window = self._window(ended_s)
        window.begun += 1
        outcome = outcomes[0]
        if isinstance(outcome, Dropped):
            self._lose(window, str(outcome.reason))
            return
        latency_ms = (ended_s - due_s) * 1000
        if self._whole == "latency":
            window.add("latency", latency_ms)
        window.add("service", (ended_s - began_s) * 1000)
        self._count(window, late=latency_ms > self._deadline_ms)
        self.delivered += 1
        self._look_at(outcome, window)

    def lose(self, reason: str, now_s: float) -> None:
        """One frame was never begun."""
        self._lose(self._window(now_s), reason)

    def _lose(self, window: Window, reason: str) -> None:
        self.dropped[reason] += 1
        window.add(self._whole, NEVER_MS)
        self._count(window, late=True)

    def _count(self, window: Window, *, late: bool) -> None:
        window.frames += 1
        window.misses += late
        self.missed.append(late)

    def _look_at(self, frame: ReleasedFrame, window: Window) -> None:
        if frame.hidden_whole:
            self.hidden_whole[str(frame.reason)] += 1
            return
        if frame.predicted_only:
            self.predicted[str(frame.reason)] += 1
            return
        for box in frame.boxes:
            self.hidden[str(box.label)] += 1
        timings = frame.timings
        for name in STAGES:
            window.add(name, getattr(timings, name))

    def _window(self, now_s: float) -> Window:
        number = int((now_s - self._start_s) / self.window_s)
        if not self._windows or number > int(self._windows[-1].at_s / self.window_s + 0.5):
            self._settle_cpu()
            self._windows.append(Window(number * self.window_s))
        return self._windows[-1]

    def _settle_cpu(self) -> None:
        cpu_s = time.process_time()
        if self._windows:
            self._windows[-1].cpu_ms = (cpu_s - self._cpu_s) * 1000
        self._cpu_s = cpu_s

    def values(self, seconds: float) -> dict[str, Any]:
        """Everything, for JSON; `seconds` is how long it really took."""
        self._settle_cpu()
        frames = len(self.missed)
        begun = sum(window.begun for window in self._windows)
        cpu_ms = sum(window.cpu_ms for window in self._windows)
        unseen = self.hidden_whole.total() + self.predicted.total()
        return {
            "seconds": round(seconds, 3),
            "frames": frames,
            "delivered": self.delivered,
            "frames_per_s": round(self.delivered / seconds, 3) if seconds > 0 else 0.0,
            "dropped": dict(self.dropped),
            "hidden_whole": dict(self.hidden_whole),
            "predicted_only": dict(self.predicted),
            "boxes_hidden_per_frame": {
                label: round(count / max(1, self.delivered - unseen), 3)
                for label, count in sorted(self.hidden.items())
            },
            "misses": sum(self.missed) if self._whole == "latency" else None,
            "cpu_ms_per_frame": round(cpu_ms / begun, 4) if begun else None,
            "cores": round(cpu_ms / 1000 / seconds, 3) if seconds > 0 else 0.0,
            "durations_ms": self._durations(),
            "window_s": self.window_s,
            "windows": [window.as_values(self._whole) for window in self._windows],
        }

    def _durations(self) -> dict[str, dict[str, float | None]]:
        return {
            name: summary(merged(w.durations[name] for w in self._windows if name in w.durations))
            for name in (*WHOLE, *STAGES)
            if any(name in w.durations for w in self._windows)
        }

    def latency(self) -> Histogram:
        """All latencies."""
        return merged(w.durations["latency"] for w in self._windows if "latency" in w.durations)
