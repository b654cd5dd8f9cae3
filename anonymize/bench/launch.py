"""Starts the process of one run, waits for its answer and never longer than it may take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

from anonymize.bench.plan import RunPlan
from anonymize.errors import AnonymizeError, UsageError

START_LIMIT_S: Final = 600.0  # compiling every kernel on a busy machine included
LIMIT_STEPS: Final = 60  # of a search, more than it can take
LOOK_S: Final = 0.2


class BenchError(AnonymizeError, RuntimeError):
    """A run gave no figures: its process failed, or did not come to an end."""


def launch(
    plan: RunPlan,
    *,
    cache: str | None = None,
    check: Callable[[], None] = lambda: None,
    show: bool = False,
) -> dict[str, Any]:
    """The answer of a fresh process.

    Parameters
    ----------
    plan : RunPlan
    cache : str or None
        Folder for compiled kernels; None: the user's own.
    check : callable
        Asked several times a second; what it raises ends the run.
    show : bool
        Let the process's progress through to standard error.

    Raises
    ------
    BenchError
        The process failed or did not end in time.
    UsageError
        What the plan asks for cannot be carried out.
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache} if cache else dict(os.environ)
    spawned_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "anonymize.bench.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        answer, said = _wait(
            process, json.dumps([spawned_s, plan.as_json()]) + "\n", spawned_s + limit_s(plan), check
        )
    finally:
        process.kill()
        process.wait()
    check()  # Ctrl-C ends the process too: what was asked for comes first
    try:
        values: dict[str, Any] = json.loads(answer)
    except ValueError:
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        raise BenchError(
            f"a run's process ended with code {process.returncode} and without figures: {last[0]}"
        ) from None
    if "error" in values:
        raise (UsageError if values["usage"] else BenchError)(values["error"])
    return values


def limit_s(plan: RunPlan) -> float:
    """When a run is given up, s after it began."""
    if plan.task == "start":
        return START_LIMIT_S
    times = LIMIT_STEPS if plan.task == "limit" else 1
    return START_LIMIT_S + times * (plan.flat_s + plan.paced_s * 1.5 + 5.0) + 60.0


def _wait(
    process: subprocess.Popen[str], words: str, end_s: float, check: Callable[[], None]
) -> tuple[str, str]:
    told: str | None = words
    while True:
        try:
            output, said = process.communicate(told, timeout=LOOK_S)
        except subprocess.TimeoutExpired:
            told = None
            check()
            if time.monotonic() > end_s:
                raise BenchError("a run did not end in time; it was ended") from None
            continue
        return output, said or ""


def cold_start(plan: RunPlan, *, check: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """The start without compiled kernels: in an empty folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="anonymize-bench-") as folder:  # made with mode 0700
        start: dict[str, Any] = launch(plan.with_(task="start"), cache=folder, check=check)["start"]
    return start
