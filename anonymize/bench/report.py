"""All runs of one benchmark and the machine around them, as plain values: what JSON, table and page are made of."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from anonymize.bench import machine
from anonymize.bench.launch import cold_start, launch
from anonymize.bench.plan import RunPlan
from anonymize.errors import UsageError

SCHEMA: Final = 1
KIND: Final = "anonymize bench"

Progress = Callable[[str], None]


def make_report(
    plans: Sequence[RunPlan], *, cold: bool, progress: Progress, check: Callable[[], None]
) -> dict[str, Any]:
    """Run all plans one after the other, each in a fresh process."""
    known, before = machine.facts(), machine.state()
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": KIND,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": known,
        "before": before,
        "warnings": machine.warnings(before, known),
        "runs": [],
    }
    if cold:
        progress("start without compiled kernels")
        report["cold_start"] = cold_start(plans[0], check=check)
    for number, plan in enumerate(plans, 1):
        progress(f"run {number} of {len(plans)}: {plan_words(plan)}")
        report["runs"].append(one_run(plan, check))
    report["after"] = machine.state()
    return report


def one_run(plan: RunPlan, check: Callable[[], None]) -> dict[str, Any]:
    """One run; a start that had to compile is measured once more, for it says nothing of the next ones."""
    begun_s = time.monotonic()
    values = launch(plan, check=check)
    if values["start"]["kernels"] == "compiled":
        values["start_compiling"] = values["start"]
        values["start"] = launch(plan.with_(task="start"), check=check)["start"]
    size = {name: values[name] for name in ("width", "height", "pixel_format")}
    return {
        "key": {**plan.key(), **size},
        **values,
        "flat_s": plan.flat_s,
        "paced_s": plan.paced_s,
        "took_s": round(time.monotonic() - begun_s, 1),
    }


def plan_words(plan: RunPlan) -> str:
    """A plan in a few words."""
    what = "the clip" if plan.clip else f"{plan.width} × {plan.height} {plan.pixel_format}"
    return f"{what}, {plan.threads} thread" + "s" * (plan.threads > 1)


def size_words(width: int, height: int) -> str:
    """1080p for 1920 x 1080 and so on; other sizes by their sides."""
    known = {(640, 360): "360p", (1280, 720): "720p", (1920, 1080): "1080p", (3840, 2160): "2160p"}
    return known.get((width, height), f"{width} × {height}")


def all_dropped(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs in which no frame came out at all."""
    return [
        run
        for run in report["runs"]
        if run["modes"] and not any(m["delivered"] for m in run["modes"].values())
    ]


def read_report(path: Path) -> dict[str, Any]:
    """A report that `--json` wrote.

    Raises
    ------
    UsageError
        The file cannot be read, or is something else.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise UsageError(f"{path}: cannot be read: {fault.strerror}") from None
    except ValueError:
        raise UsageError(f"{path}: is no JSON; wanted a report of `anonymize bench --json`") from None
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise UsageError(f"{path}: is no report of `anonymize bench --json`")
    if values.get("schema") != SCHEMA:
        raise UsageError(f"{path}: is of schema {values.get('schema')!r}; wanted {SCHEMA}")
    if not isinstance(values.get("runs"), list) or not values["runs"]:
        raise UsageError(f"{path}: holds no run; wanted at least one")
    return values
