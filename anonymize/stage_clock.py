"""Measures the stages of one frame's road."""

from __future__ import annotations

import time

from anonymize.frames import Timings


class StageClock:
    """Started when made; each call names the stage that has just ended."""

    __slots__ = ("_last_s", "_stages_ms", "_start_s")

    def __init__(self) -> None:
        self._start_s = self._last_s = time.perf_counter()
        self._stages_ms: dict[str, float] = {}

    def stage(self, name: str) -> None:
        """The stage `name` (a field of `Timings`) took the time since the call before."""
        now_s = time.perf_counter()
        self._stages_ms[name] = self._stages_ms.get(name, 0.0) + (now_s - self._last_s) * 1000.0
        self._last_s = now_s

    def skip(self) -> None:
        """The time since the call before belongs to no stage."""
        self._last_s = time.perf_counter()

    def timings(self) -> Timings:
        """All stages so far, and the whole, ms."""
        return Timings(**self._stages_ms, total_ms=(time.perf_counter() - self._start_s) * 1000.0)
