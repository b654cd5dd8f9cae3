"""The processes beside a run: burnt cores, and the control loop that tells the machine's lateness from ours."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from anonymize.bench import control
from anonymize.errors import AnonymizeError

ANSWER_S: Final = 20.0


class Companions:
    """Processes of `control.py`; the first keeps the schedule if a control is wanted."""

    def __init__(self, *, load: int, control_work_ms: float) -> None:
        self._controlled = control_work_ms > 0
        count = max(load, int(self._controlled))
        self._processes = [
            _start({"burn": number < load, "work_ms": control_work_ms if number == 0 else 0.0})
            for number in range(count)
        ]
        try:
            for process in self._processes:
                if _line(process).strip() != "ready":
                    raise AnonymizeError("the control loop did not start; wanted one word: ready")
        except BaseException:
            self.end()
            raise

    def go(self, schedule: dict[str, float]) -> None:
        """Tell all of them `start_s`, `period_s`, `ticks`, `lost_after_s` and `end_s` (monotonic clock)."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(schedule) + "\n")
            process.stdin.flush()

    def finished_ms(self) -> list[float] | None:
        """What the control loop noted; None without one."""
        if not self._controlled:
            return None
        output, _ = self._processes[0].communicate(timeout=ANSWER_S)
        if self._processes[0].returncode:
            raise AnonymizeError(f"the control loop ended with code {self._processes[0].returncode}")
        noted: list[float] = json.loads(output)
        return noted

    def end(self) -> None:
        """End them all."""
        for process in self._processes:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


def _start(told: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(control.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(told) + "\n")
    process.stdin.flush()
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@contextlib.contextmanager
def companions(*, load: int, control_work_ms: float = 0.0) -> Iterator[Companions]:
    """Processes for the length of a block."""
    started = Companions(load=load, control_work_ms=control_work_ms)
    try:
        yield started
    finally:
        started.end()
