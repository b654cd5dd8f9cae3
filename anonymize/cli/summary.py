"""What a run says at its end: first what is not hidden and what was left out, then the counts and the failures."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

from anonymize.cli.inputs import Plan
from anonymize.cli.work import Result
from anonymize.cli.zones_in_use import ZonesInUse
from anonymize.detect import Model
from anonymize.frames import Label
from anonymize.settings import Settings

SCHEMA = 1


def warnings(
    options: argparse.Namespace, settings: Settings, results: list[Result], zones: ZonesInUse | None = None
) -> list[str]:
    """What these outputs still hold, and which settings hide or leave out less than the default."""
    if zones is None:
        lines = ["no restricted zones are in use: no frame was dropped for where it was taken"]
    else:
        lines = list(zones.warnings)
    if any(result.kind == "video" and not result.error for result in results):
        if options.audio == "keep":
            lines.append(
                "audio is NOT anonymised and was kept where there is any (--audio drop leaves it out)"
            )
        lines.append(
            "text burned into the picture (position, speed, own plate) is not looked for: "
            "hide it with --hide-always x1,y1,x2,y2"
        )
        if options.keep_subtitles:
            lines.append("subtitles were kept; dash-cams write positions there")
    return lines + [f"exception: {line}" for line in exceptions(settings, zones)]


def exceptions(settings: Settings, zones: ZonesInUse | None) -> list[str]:
    """What was loosened by hand (SAFETY 22)."""
    return [*settings.exceptions(), *(zones.exceptions if zones else ())]


def as_values(
    options: argparse.Namespace,
    settings: Settings,
    model: Model,
    plan: Plan,
    results: list[Result],
    *,
    zones: ZonesInUse | None = None,
) -> dict[str, Any]:
    """The summary for `--json`. Which input lost frames to zones stands nowhere, only how many in all."""
    done = [result for result in results if not result.error]
    dropped = sum((result.dropped for result in done), Counter[str]())
    withheld = sum(result.withheld for result in results)
    return {
        "schema": SCHEMA,
        "done": len(done),
        "failed": len(results) - len(done) + len(plan.unreadable),
        "warnings": warnings(options, settings, results, zones),
        "exceptions": exceptions(settings, zones),
        "zones": zones and _zones(zones, withheld),
        "model": {"name": model.entry.name, "sha256": model.entry.sha256},
        "frames": sum(result.frames for result in done),
        "frames_dropped": dict(dropped),
        "objects_hidden": _by_label(result.objects for result in done),
        "boxes_hidden": _by_label(result.boxes for result in done),
        "seconds": round(sum(result.seconds for result in results), 3),
        "inputs": [_input(result) for result in results if result.outputs or result.error],
        "unreadable": plan.unreadable,
        "left_out": [str(path) for path in plan.left_out],
    }


def _zones(zones: ZonesInUse, withheld: int) -> dict[str, Any]:
    return {
        "count": zones.count,
        "signed": zones.version is not None,
        "version": zones.version,
        "gap": zones.gap,
        "frames_withheld": withheld,
    }


def _by_label(counts: Any) -> dict[str, int]:
    total = sum(counts, Counter[Label]())
    return {label.value: total[label] for label in (Label.FACE, Label.PLATE, Label.AREA)}


def _input(result: Result) -> dict[str, Any]:
    return {
        "source": str(result.job.source),
        "output": None if result.error else result.outputs[0],
        "outputs": [] if result.error else result.outputs,
        "kind": result.kind,
        "frames": result.frames if not result.error else 0,
        "frames_dropped": dict(result.dropped),
        "objects_hidden": _by_label([result.objects]),
        "notes": result.notes,
        "seconds": round(result.seconds, 3),
        "error": result.error or None,
    }


def as_text(values: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [f"note: {line}" for line in values["warnings"]]
    lines += _notes(values["inputs"])
    if values["left_out"]:
        lines.append(
            f"note: {len(values['left_out'])} files of other kinds left out: {_some(values['left_out'])}"
        )
    if zones := values["zones"]:
        lines.append(
            f"zones: {zones['count']}, "
            + (f"signed list version {zones['version']}" if zones["signed"] else "list not signed")
            + f"; {zones['frames_withheld']} frames were left out"
        )
    if values["frames_dropped"]:
        lines.append(
            f"dropped frames: {', '.join(f'{n} {why}' for why, n in values['frames_dropped'].items())}"
        )
    lines += [f"failed: {line}" for line in values["unreadable"]]
    lines += [f"failed: {one['error']}" for one in values["inputs"] if one["error"]]
    objects = values["objects_hidden"]
    total = values["done"] + values["failed"]
    lines.append(
        f"{values['done']} of {total} inputs done, {values['failed']} failed: {objects['face']} faces and "
        f"{objects['plate']} plates hidden in {values['frames']} frames, {values['seconds']:.1f} s, "
        f"model {values['model']['name']} {values['model']['sha256'][:12]}"
    )
    return "\n".join(lines)


def _notes(inputs: list[dict[str, Any]]) -> list[str]:
    """What each input says of itself; what many say stands once, with their number."""
    sources: dict[str, list[str]] = {}
    for one in inputs:
        for note in one["notes"]:
            sources.setdefault(note, []).append(one["source"])
    return [
        f"note: {names[0] if len(names) == 1 else f'{len(names)} inputs ({_some(names)})'}: {note}"
        for note, names in sources.items()
    ]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def as_json(values: dict[str, Any]) -> str:
    """One JSON object."""
    return json.dumps(values, indent=2, ensure_ascii=False)
