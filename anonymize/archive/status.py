"""How far an archive is, read from its journal beside a run."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Final

from anonymize.archive.journal import ENDED_BADLY, Journal, RunRow
from anonymize.archive.state import STATE_FOLDER, StateFolder
from anonymize.archive.words import amount, remaining

SCHEMA: Final = 1
NAMED: Final = 20  # files named in the text; JSON has all


def state_of(output: Path) -> StateFolder:
    """The state folder of an output, or the folder itself where it is one."""
    inside = StateFolder.of(output)
    if output.name == STATE_FOLDER or (output / "journal.sqlite").is_file():
        return StateFolder(output)
    return inside


def status(output: Path) -> dict[str, Any]:
    """Counts by state, the run at hand or the last one, what is in flight and what failed, as plain values."""
    state = state_of(output)
    with contextlib.closing(Journal(state.journal, reading=True)) as journal:
        runs = journal.runs()
        return {
            "schema": SCHEMA,
            "output": str(output),
            "running": state.is_locked(),
            "files": {name: count for name, (count, _) in journal.counts().items()},
            "bytes": {name: size for name, (_, size) in journal.counts().items()},
            "run": _run(runs[-1], running=state.is_locked()) if runs else None,
            "in_flight": [row.key for row in journal.files("doing")],
            "failed": [
                {"file": row.key, "state": row.state, "error": row.error}
                for row in journal.files(*ENDED_BADLY)
            ],
        }


def _run(run: RunRow, *, running: bool) -> dict[str, Any]:
    until_s = run.told_s if running else run.ended_s or run.told_s
    took_s = max(1e-3, until_s - run.begun_s)
    rate = run.done_bytes / took_s
    return {
        "begun_s": round(run.begun_s, 3),
        "seconds": round(took_s, 1),
        "ended": run.ended_s is not None,
        "silent_s": round(time.time() - run.told_s, 1) if running else None,
        "total_files": run.total_files,
        "total_bytes": run.total_bytes,
        "done_bytes": run.done_bytes,
        "bytes_per_s": round(rate, 1),
        "left_s": round((run.total_bytes - run.done_bytes) / rate, 1) if rate and running else None,
        "workers": run.facts.get("workers"),
        "exceptions": run.facts.get("exceptions", []),
    }


def as_text(values: dict[str, Any]) -> str:
    """The status for people."""
    run, lines = values["run"], []
    if run is None:
        lines.append("no run yet")
    elif values["running"]:
        left = remaining(run["left_s"]) + " left" if run["left_s"] is not None else "no estimate yet"
        share = run["done_bytes"] / max(1, run["total_bytes"])
        lines.append(
            f"running: {amount(run['done_bytes'])} of {amount(run['total_bytes'])} ({share:.0%}), "
            f"{amount(run['bytes_per_s'])}/s, {left}, {run['workers']} workers"
        )
    else:
        left = sum(values["files"].get(state, 0) for state in ("waiting", "doing"))
        lines.append(
            "not running; " + (f"{left} files are left: start it again" if left else "nothing is left to do")
        )
    words = ", ".join(f"{count} {name}" for name, count in sorted(values["files"].items()))
    lines.append(f"files: {words or 'none'}")
    lines += [f"in flight: {key}" for key in values["in_flight"][:NAMED] if values["running"]]
    lines += [f"{one['state']}: {one['file']}: {one['error']}" for one in values["failed"][:NAMED]]
    if len(values["failed"]) > NAMED:
        lines.append(f"and {len(values['failed']) - NAMED} more that failed")
    if run is not None:
        lines += [f"exception: {line}" for line in run["exceptions"]]
    return "\n".join(lines)
