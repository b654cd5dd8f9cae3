"""Every miss and every false hit in scope, one row each, with a cause that a person fills in after a look."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from anonymize.errors import UsageError
from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.overlap import as_boxes, iou
from anonymize.evaluate.rates import SCOPE_PX, false_in_scope
from anonymize.evaluate.records import ClassRecord

CAUSES = ("model", "label", "out of scope")  # issue 4; others are taken as they come
SAME_IOU = (
    0.5  # a cause belongs to what lies in the same place, also when another model's box is a little off
)
NO_CAUSE = "not looked at"


@dataclass(frozen=True, slots=True)
class Finding:
    """One miss or false hit in scope.

    `confidence` of a miss is the threshold at which it would be hidden, None where none is.
    """

    model: str
    kind: str  # miss, false hit
    label: str
    source: str
    picture: str
    x1: float
    y1: float
    x2: float
    y2: float
    shorter_px: float
    confidence: float | None
    cause: str = ""

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Of the labelled box, or of the detection."""
        return self.x1, self.y1, self.x2, self.y2


def list_findings(model: str, record: ClassRecord, pictures: Sequence[LabelledPicture]) -> list[Finding]:
    """All misses and false hits in scope at the model's threshold, the largest first."""
    objects, masks = record.objects, record.masks
    missed = (objects.shorter_px >= SCOPE_PX[record.label]) & (objects.half < record.threshold)
    wrong = false_in_scope(record)
    rows = [
        ("miss", objects.picture[row], objects.boxes[row], objects.shorter_px[row], objects.half[row])
        for row in np.flatnonzero(missed)
    ] + [
        ("false hit", masks.picture[row], masks.boxes[row], masks.shorter_px[row], masks.scores[row])
        for row in np.flatnonzero(wrong)
    ]
    found = []
    for kind, picture, box, shorter_px, score in rows:
        x1, y1, x2, y2 = (round(float(edge), 1) for edge in box)
        confidence = round(float(score), 3) if np.isfinite(score) else None
        of = pictures[picture]
        found.append(
            Finding(
                model,
                kind,
                record.label,
                of.source,
                of.name,
                x1,
                y1,
                x2,
                y2,
                round(float(shorter_px), 1),
                confidence,
            )
        )
    return sorted(found, key=lambda finding: (finding.kind != "miss", -finding.shorter_px, finding.picture))


def give_causes(findings: Sequence[Finding], causes: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The findings with the causes that were written for the same place, kind, class and picture."""
    by_place: dict[tuple[str, str, str], list[tuple[Any, str]]] = {}
    for row in causes:
        if str(row.get("cause") or "").strip():
            place = (str(row["kind"]), str(row["label"]), str(row["picture"]))
            box = [float(row[name]) for name in ("x1", "y1", "x2", "y2")]
            by_place.setdefault(place, []).append((box, str(row["cause"]).strip()))
    named = []
    for finding in findings:
        known = by_place.get((finding.kind, finding.label, finding.picture), [])
        overlaps = iou(as_boxes(finding.xyxy), as_boxes([box for box, _ in known]))[0]
        if len(known) and overlaps.max() >= SAME_IOU:
            finding = replace(finding, cause=known[int(overlaps.argmax())][1])
        named.append(finding)
    return named


def count_causes(findings: Sequence[Finding]) -> dict[str, dict[str, int]]:
    """How often each cause was given, by kind and class."""
    counts: dict[str, Counter[str]] = {}
    for finding in findings:
        key = f"{finding.label}, {finding.kind}"
        counts.setdefault(key, Counter())[finding.cause or NO_CAUSE] += 1
    return {key: dict(counter) for key, counter in sorted(counts.items())}


def read_causes(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV or JSON file as `write_findings` makes them.

    Raises
    ------
    UsageError
        The file cannot be read, or lacks a column.
    """
    try:
        text = path.read_text("utf-8")
        rows = json.loads(text) if path.suffix.lower() == ".json" else list(csv.DictReader(io.StringIO(text)))
        wanted = {"kind", "label", "picture", "x1", "y1", "x2", "y2", "cause"}
        if not isinstance(rows, list) or any(wanted - set(row) for row in rows):
            raise ValueError(f"wanted rows with {', '.join(sorted(wanted))}")
        for row in rows:
            for name in ("x1", "y1", "x2", "y2"):
                float(row[name])
    except (OSError, ValueError, TypeError) as fault:
        raise UsageError(f"--causes {path}: {fault}") from None
    return rows


def write_findings(findings: Sequence[Finding], suffix: str) -> bytes:
    """The list as JSON (`.json`) or CSV, with an empty column `cause` to be filled."""
    rows = [asdict(finding) for finding in findings]
    if suffix.lower() == ".json":
        return json.dumps(rows, indent=1, ensure_ascii=False).encode()
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Finding)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
