"""`anonymize models`: what is installed, checked against its hash, and how well it was measured to do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from anonymize.detect import ModelEntry, load_packaged, packaged_manifest, read_manifest
from anonymize.errors import ModelError
from anonymize.frames import Label

FAILED = 1


def execute(options: argparse.Namespace) -> int:
    """Print every packaged model; 1 if one is missing or altered."""
    values = [_facts(entry) for entry in read_manifest(packaged_manifest()).values()]
    if options.json:
        print(json.dumps(values, indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(_text(facts) for facts in values))
    return 0 if all(facts["intact"] for facts in values) else FAILED


def _facts(entry: ModelEntry) -> dict[str, Any]:
    try:
        load_packaged(entry.name)
        state = ""
    except ModelError as fault:
        state = str(fault)
    return {
        "name": entry.name,
        "sha256": entry.sha256,
        "intact": not state,
        "fault": state or None,
        "adapter": entry.adapter,
        "labels": list(entry.labels),
        "threshold": _by_name(entry.threshold),
        "threshold_cautious": _by_name(entry.threshold_cautious),
        "threshold_thorough": _by_name(entry.threshold_thorough),
        "size_multiple": entry.size_multiple,
        "parameters": entry.parameters,
        "licence": entry.licence,
        "provenance": entry.provenance,
        "training": entry.training,
        "measured": dict(entry.measured),
    }


def _by_name(thresholds: Mapping[Label, float]) -> dict[str, float]:
    return {label.value: value for label, value in thresholds.items()}


def _text(facts: dict[str, Any]) -> str:
    thresholds = "; ".join(
        f"{name} {', '.join(f'{label} {value}' for label, value in facts[key].items())}"
        for name, key in (
            ("thresholds", "threshold"),
            ("--cautious", "threshold_cautious"),
            ("--thorough", "threshold_thorough"),
        )
        if facts[key]
    )
    lines = [
        f"{facts['name']}",
        f"  sha256       {facts['sha256']} ({'checked' if facts['intact'] else 'WRONG'})",
        f"  finds        {', '.join(facts['labels'])}; {thresholds}",
        f"  input        any size in steps of {facts['size_multiple']} px; a 16 px plate keeps at least 8 px",
        f"  parameters   {facts['parameters']:,}",
        f"  licence      {facts['licence']}",
        f"  provenance   {facts['provenance']}",
        f"  training     {facts['training']}",
    ]
    lines += _measured(facts["measured"], "  measured     ")
    if facts["fault"]:
        lines.append(f"  fault        {facts['fault']}")
    return "\n".join(lines)


def _measured(measured: Mapping[str, Any], margin: str) -> list[str]:
    """Nested tables as one line each: `plate.coverage_recall 0.91`."""
    lines: list[str] = []
    for key, value in measured.items():
        if isinstance(value, Mapping):
            inner = ", ".join(f"{name} {number}" for name, number in value.items())
            lines.append(f"{margin}{key}: {inner}")
        else:
            lines.append(f"{margin}{key}: {value}")
    return lines
