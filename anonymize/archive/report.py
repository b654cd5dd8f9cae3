"""What was done to every file of an archive, in figures: the JSON of `archive report`."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from anonymize.archive.journal import FileRow, Journal, RunRow
from anonymize.archive.status import state_of
from anonymize.archive.words import amount, remaining
from anonymize.archive.work import FileResult

SCHEMA: Final = 1
UNCERTAIN: Final = 0.3  # a file whose least certain hidden box lies below wants a look
OF_ALL: Final = "audio kept"  # how a note begins that every video with sound has
LOOKS_SHOWN: Final = 20


@dataclass(slots=True)
class _Sums:
    """Counts over files that are done."""

    frames: int = 0
    duration_s: float = 0.0
    groups: int = 0
    copied_groups: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    confidences: list[int] = field(default_factory=lambda: [0] * 10)

    def add(self, result: FileResult) -> None:
        """Count one file."""
        self.kinds[result.kind] += 1
        self.frames += result.frames
        if result.kind == "video":  # the messages of a log may lie weeks apart
            self.duration_s += result.duration_s
        self.groups += result.groups
        self.copied_groups += result.copied_groups
        for mine, its in (
            (self.boxes, result.boxes), (self.objects, result.objects),
            (self.origins, result.origins), (self.dropped, result.dropped),
        ):  # fmt: skip
            mine.update(its)
        self.confidences = [
            mine + its for mine, its in zip(self.confidences, result.confidence_histogram, strict=True)
        ]


def whole_report(output: Path) -> dict[str, Any]:
    """Everything, as plain values; the page shows it, and JSON holds it."""
    with contextlib.closing(Journal(state_of(output).journal, reading=True)) as journal:
        rows, runs = list(journal.files()), journal.runs()
        files = [_file(row, journal) for row in rows]
    sums = _Sums()
    for row in rows:
        if row.state == "done" and row.result is not None:
            sums.add(row.result)
    last = runs[-1].facts if runs else {}
    return {
        "schema": SCHEMA,
        "output": str(output),
        "files": {
            "all": len(rows),
            **dict(sorted(Counter(row.state for row in rows).items())),
            "unreadable": len(last.get("unreadable", [])),
            "of other kinds": len(last.get("left_out", [])),
        },
        "source_bytes": sum(row.size for row in rows),
        "output_bytes": sum(row.output_size for row in rows),
        "kinds": dict(sums.kinds),
        "frames": sums.frames,
        "duration_s": round(sums.duration_s, 3),
        "objects": dict(sums.objects),
        "boxes": dict(sums.boxes),
        "origins": _shares(sums.origins),
        "confidence_histogram": sums.confidences,
        "dropped": dict(sums.dropped),
        "groups": sums.groups,
        "copied_groups": sums.copied_groups,
        "exceptions": _exceptions(rows, runs, files),
        "model_sha256": last.get("model_sha256"),
        "settings_digest": last.get("settings_digest"),
        "unreadable": last.get("unreadable", []),
        "left_out": last.get("left_out", []),
        "wants_a_look": [one for one in files if one["why"]],
        "runs": [_run(run) for run in runs],
        "each": files,
    }


def _shares(counts: Counter[str]) -> dict[str, dict[str, float]]:
    total = max(1, sum(counts.values()))
    return {name: {"boxes": count, "share": round(count / total, 4)} for name, count in counts.most_common()}


def _exceptions(rows: Iterable[FileRow], runs: list[RunRow], files: Iterable[Mapping[str, Any]]) -> list[str]:
    """Everything that hides less than the default, of all runs whose outputs lie there (SAFETY 22)."""
    in_use = {row.bound.settings_digest for row in rows if row.bound is not None and row.state == "done"}
    lines = [
        line
        for run in runs
        if run.facts.get("settings_digest") in in_use
        for line in run.facts.get("exceptions", [])
    ]
    lines += [
        f"{one['file']}: {one['released']} false hits are not hidden" for one in files if one["released"]
    ]
    return list(dict.fromkeys(lines))


def _file(row: FileRow, journal: Journal) -> dict[str, Any]:
    said = journal.said(row.key)
    in_force = said is not None and row.bound is not None and row.bound.corrections_digest != ""
    result = row.result or FileResult(kind="picture")
    return {
        "file": row.key,
        "state": row.state,
        "kind": row.kind,
        "error": row.error or None,
        "why": reasons(row),
        "recorded_s": round(row.mtime_ns / 1e9, 3),
        "ended_s": round(row.ended_s, 3),
        "seconds": row.seconds,
        "source_bytes": row.size,
        "output_bytes": row.output_size,
        "source_sha256": row.source_digest,
        "output_sha256": row.output_digest,
        "source_deleted": row.source_deleted,
        "adopted_by": row.proof or None,
        "frames": result.frames,
        "duration_s": result.duration_s,
        "objects": dict(result.objects),
        "dropped": dict(result.dropped),
        "removed": list(result.removed),
        "verified": list(result.verified),
        "notes": list(result.notes),
        "added": len(said.corrections.added) if said is not None and in_force else 0,
        "released": len(said.corrections.released) if said is not None and in_force else 0,
    }


def reasons(row: FileRow) -> list[str]:
    """Why a person should look at this file; empty where nothing asks for it."""
    if row.state != "done" or row.result is None:
        return [f"{row.state}: {row.error}" if row.error else row.state]
    lines = [f"{count} dropped as {reason}" for reason, count in row.result.dropped.items()]
    lines += [note for note in row.result.notes if not note.startswith(OF_ALL)]
    least = min((moment.confidence for moment in row.result.certainty), default=1.0)
    if least < UNCERTAIN:
        lines.append(f"least certain hidden box {least:.2f}")
    return lines


def _run(run: RunRow) -> dict[str, Any]:
    end_s = run.ended_s or run.told_s
    return {
        "begun_s": round(run.begun_s, 3),
        "ended": run.ended_s is not None,
        "seconds": round(end_s - run.begun_s, 1),
        "files": run.total_files,
        "bytes": run.total_bytes,
        "done_bytes": run.done_bytes,
        "workers": run.facts.get("workers"),
        "inputs": run.facts.get("inputs", []),
    }


def as_text(report: Mapping[str, Any]) -> str:
    """The report for a terminal."""
    files = report["files"]
    states = ", ".join(f"{count} {name}" for name, count in files.items() if name != "all" and count)
    lines = [f"exception: {line}" for line in report["exceptions"]]
    lines.append(f"{files['all']} files: {states}")
    objects = report["objects"]
    lines.append(
        f"{objects.get('face', 0)} faces and {objects.get('plate', 0)} plates hidden in {report['frames']} frames, "
        f"{remaining(report['duration_s'])} of video, {amount(report['source_bytes'])} in, "
        f"{amount(report['output_bytes'])} out"
    )
    if report["origins"]:
        shares = ", ".join(f"{name} {one['share']:.1%}" for name, one in report["origins"].items())
        lines.append(f"hidden boxes by origin: {shares}")
    if report["groups"]:
        lines.append(
            f"{report['copied_groups']} of {report['groups']} groups of pictures are the source's bit for bit"
        )
    if report["dropped"]:
        lines.append("dropped: " + ", ".join(f"{count} {why}" for why, count in report["dropped"].items()))
    wanted = report["wants_a_look"]
    lines += [f"look: {one['file']}: {'; '.join(one['why'])}" for one in wanted[:LOOKS_SHOWN]]
    if len(wanted) > LOOKS_SHOWN:
        lines.append(f"and {len(wanted) - LOOKS_SHOWN} more that want a look (--html or --json has all)")
    return "\n".join(lines)
