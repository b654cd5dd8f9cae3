"""The acceptance report as plain values: one entry a model, the same for each, so that they stand side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from anonymize.detect import ModelEntry
from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.findings import Finding, count_causes, give_causes, list_findings
from anonymize.evaluate.intervals import resamples, upper_bound
from anonymize.evaluate.overlap import area, covered_share, intersection
from anonymize.evaluate.rates import (
    BUCKETS_PX,
    Group,
    by_size,
    curve,
    group_rates,
    rounded,
    size_steps,
)
from anonymize.evaluate.records import STANDARD_SHARE, ClassRecord, Look, record_class

SCHEMA: Final = 1
NEARLY_ALL: Final = 0.98  # one crowded picture does not cut the curves short
SEED: Final = 44_464  # of the bootstrap; any fixed number serves


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one model gave: its part of the report, and every miss and false hit in scope."""

    values: dict[str, Any]
    findings: list[Finding]


def evaluate_model(
    entry: ModelEntry,
    pictures: Sequence[LabelledPicture],
    looks: Sequence[Look],
    *,
    excluded: Sequence[str] = (),
    causes: Sequence[Mapping[str, Any]] = (),
    seed: int = SEED,
) -> Evaluation:
    """The report of one model over a labelled set.

    Parameters
    ----------
    excluded : sequence of str
        Sources that the headline leaves out, because their scenes were trained on too.
    causes : rows of `read_causes`
    """
    thresholds = {label.value: threshold for label, threshold in entry.threshold.items()}
    groups = _groups(pictures, excluded, seed)
    floor = common_floor([look.floor for look in looks if not look.dropped])
    findings: list[Finding] = []
    classes: dict[str, Any] = {}
    for label in thresholds:
        record = record_class(pictures, looks, label, thresholds)
        if not record.used.any():
            continue
        classes[label] = _class_values(record, groups, floor)
        findings += list_findings(entry.name, record, pictures)
    findings = give_causes(findings, causes)
    values = {
        "name": entry.name,
        "sha256": entry.sha256,
        "parameters": entry.parameters,
        "thresholds": thresholds,
        "dropped": _dropped(pictures, looks),
        "curves_from": floor,
        "looked_at_from": dict(
            sorted(Counter(str(look.floor) for look in looks if not look.dropped).items())
        ),
        "classes": classes,
        "causes": count_causes(findings),
    }
    return Evaluation(values, findings)


def common_floor(floors: Sequence[float]) -> float:
    """Where curves begin: the lowest threshold from which nearly all pictures were looked at."""
    return float(np.quantile(floors, NEARLY_ALL, method="higher")) if len(floors) else 0.0


def _groups(pictures: Sequence[LabelledPicture], excluded: Sequence[str], seed: int) -> dict[str, Group]:
    """`headline` first, then all pictures, then each source."""
    sources = np.array([picture.source for picture in pictures], np.str_)
    weights = resamples(len(pictures), seed)
    chosen = {"headline": ~np.isin(sources, list(excluded)), "all": np.ones(len(sources), bool)}
    chosen |= {f"source {name}": sources == name for name in sorted(set(sources.tolist()))}
    return {name: Group(flags, weights) for name, flags in chosen.items()}


def _class_values(record: ClassRecord, groups: Mapping[str, Group], floor: float) -> dict[str, Any]:
    of_class = {
        name: group
        for name, group in groups.items()
        if (group.pictures & record.used).any() or name == "headline"
    }
    return {
        "groups": {name: group_rates(record, group) for name, group in of_class.items()},
        "by_height": {name: by_size(record, of_class[name], BUCKETS_PX) for name in ("headline", "all")},
        "curve": curve(record, groups["headline"], floor),
        "by_size": by_size(record, groups["headline"], size_steps()),
    }


def _dropped(pictures: Sequence[LabelledPicture], looks: Sequence[Look]) -> list[dict[str, str]]:
    """Pictures of which the engine lets nothing go: not counted in any rate."""
    return [
        {"picture": picture.name, "reason": look.dropped}
        for picture, look in zip(pictures, looks, strict=True)
        if look.dropped
    ]


def sign_hits(
    entry: ModelEntry, pictures: Sequence[LabelledPicture], looks: Sequence[Look]
) -> dict[str, Any]:
    """Labelled signs on which a face or plate was found (half of its box lies on the sign), and those half hidden."""
    signs = sum(len(picture.boxes) for picture in pictures)
    hits = dict.fromkeys([label.value for label in entry.labels], 0)
    hidden = 0
    for picture, look in zip(pictures, looks, strict=True):
        strong = np.zeros(len(look.scores), bool)
        for label, threshold in entry.threshold.items():
            mine = (look.labels == label.value) & (look.scores >= np.float32(threshold))
            strong |= mine
            inside = intersection(picture.boxes, look.boxes[mine])
            hits[label.value] += int(
                (inside >= 0.5 * np.maximum(area(look.boxes[mine]), 1e-9)).any(axis=1).sum()
            )
        hidden += int((covered_share(picture.boxes, look.hidden[strong]) >= STANDARD_SHARE).sum())
    counts = {**{f"{label}_found_on": count for label, count in hits.items()}, "half_hidden": hidden}
    return {
        name: {
            "value": rounded(count / signs) if signs else None,
            "bound": rounded(upper_bound(count, signs)),
            "hits": count,
            "of": signs,
        }
        for name, count in counts.items()
    }


def whole_report(
    pictures: Sequence[LabelledPicture], models: Sequence[dict[str, Any]], **options: Any
) -> dict[str, Any]:
    """The value that `--json` prints: the set, how it was looked at, and one entry a model."""
    sources: dict[str, int] = {}
    for picture in pictures:
        sources[picture.source] = sources.get(picture.source, 0) + 1
    return {
        "schema": SCHEMA,
        "pictures": len(pictures),
        "sources": dict(sorted(sources.items())),
        **options,
        "models": list(models),
    }
