"""Rates with their bounds, from the tables of `records`: by group of pictures, by size, over thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.evaluate.intervals import Weights, bootstrap, lower_bound, upper_bound
from anonymize.evaluate.matching import average_precision
from anonymize.evaluate.records import ClassRecord, Flags, Masks

SCOPE_PX: Final = {"face": 32.0, "plate": 16.0}  # GB/T 44464-2024, shorter side
COVERAGE_FROM_PX: Final = 16.0
BUCKETS_PX: Final = ((0.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, 64.0), (64.0, math.inf))
SIZE_EDGES_PX: Final = (4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 256)  # of the curve, half octaves
CURVE_POINTS: Final = 46


@dataclass(frozen=True, slots=True)
class Rate:
    """Hits of trials; `bound` is Clopper–Pearson's, one-sided 95 %: the lower one, of a false rate the upper.

    `resampled` is the 5th and 95th percentile over resampled pictures.
    """

    hits: int
    trials: int
    bound: float
    resampled: tuple[float, float]

    @property
    def value(self) -> float:
        """0 to 1; NaN of no trials."""
        return self.hits / self.trials if self.trials else math.nan

    def as_values(self) -> dict[str, Any]:
        """For JSON; what does not exist is None."""
        numbers = {"value": self.value, "bound": self.bound}
        return {
            **{name: rounded(number) for name, number in numbers.items()},
            "hits": self.hits,
            "of": self.trials,
            "bootstrap": [rounded(number) for number in self.resampled],
        }


def rounded(number: float) -> float | None:
    """To four places; None where it is no number."""
    return round(float(number), 4) if math.isfinite(number) else None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Some pictures of the set, and how often each is drawn in each resample."""

    pictures: Flags  # (P,)
    weights: Weights  # (resamples, P)

    def rate(
        self, hit: Flags, asked: Flags, picture: npt.NDArray[np.int64], *, is_fault: bool = False
    ) -> Rate:
        """The rate over the rows `asked` whose picture is in the group."""
        asked = asked & self.pictures[picture]
        hits = np.bincount(picture[asked & hit], minlength=len(self.pictures))
        trials = np.bincount(picture[asked], minlength=len(self.pictures))
        bound = (upper_bound if is_fault else lower_bound)(int(hits.sum()), int(trials.sum()))
        return Rate(int(hits.sum()), int(trials.sum()), bound, bootstrap(hits, trials, self.weights))


def group_rates(record: ClassRecord, group: Group) -> dict[str, Any]:
    """Everything that is said of one class in one group of pictures, at the model's threshold."""
    objects, masks = record.objects, record.masks
    scope_px = SCOPE_PX[record.label]
    in_scope = objects.shorter_px >= scope_px
    return {
        "pictures": int((record.used & group.pictures).sum()),
        "objects": int(group.pictures[objects.picture].sum()),
        "in_scope": {
            **object_rates(record, group, in_scope),
            **false_rates(record, group, masks.shorter_px >= scope_px),
            "ap": rounded(precision_over_recall(record, group, scope_px)),
        },
        "from_16_px": object_rates(record, group, objects.shorter_px >= COVERAGE_FROM_PX),
        "all_sizes": {
            **object_rates(record, group, np.ones(len(in_scope), bool)),
            **false_rates(record, group, np.ones(len(masks.scores), bool)),
            "ap": rounded(precision_over_recall(record, group, 0.0)),
        },
        "hidden_area": hidden_area(record, group),
    }


def object_rates(record: ClassRecord, group: Group, asked: Flags) -> dict[str, Any]:
    """Detection rate, coverage recall and recall at IoU 0.5 of the objects `asked`."""
    objects = record.objects
    columns = (
        ("detection_rate", objects.half),
        ("coverage_recall", objects.most),
        ("recall_iou50", objects.found),
    )
    return {
        name: group.rate(scores >= record.threshold, asked, objects.picture).as_values()
        for name, scores in columns
    }


def false_rates(record: ClassRecord, group: Group, asked: Flags) -> dict[str, Any]:
    """Share of hidden areas that touch no object; those on ignore boxes alone count neither way.

    `false_rate` as in the standard (one shared px is a touch), `false_rate_close` where only a quarter of the
    smaller of the two is one.
    """
    masks = record.masks
    asked = asked & (masks.scores >= record.threshold)
    pairs = (
        ("false_rate", masks.on_object, masks.on_ignored),
        ("false_rate_close", masks.near_object, masks.near_ignored),
    )
    return {
        name: group.rate(
            ~on_object, asked & (on_object | ~on_ignored), masks.picture, is_fault=True
        ).as_values()
        for name, on_object, on_ignored in pairs
    }


def precision_over_recall(record: ClassRecord, group: Group, from_px: float) -> float:
    """Average precision at IoU 0.5 of objects from `from_px` on; smaller ones count neither way."""
    masks, objects = record.masks, record.objects
    asked = group.pictures[objects.picture] & (objects.shorter_px >= from_px)
    paired = np.isfinite(masks.paired_px)
    counts = np.where(
        paired, masks.paired_px >= from_px, np.isnan(masks.paired_px) & (masks.shorter_px >= from_px)
    )
    counts = counts.astype(bool) & group.pictures[masks.picture]
    return average_precision(masks.scores[counts], paired[counts], int(asked.sum()))


def hidden_area(record: ClassRecord, group: Group) -> dict[str, float | None]:
    """Hidden px as a multiple of the objects' px, the same for hits alone, and the share hidden of the rest."""
    chosen = record.used & group.pictures
    areas = record.areas
    return {
        "times_boxes": rounded(_ratio(areas.hidden[chosen].sum(), areas.boxes[chosen].sum())),
        "times_boxes_met": rounded(_ratio(areas.on_objects[chosen].sum(), areas.met[chosen].sum())),
        "share_of_rest": rounded(_ratio(areas.hidden_rest[chosen].sum(), areas.rest[chosen].sum())),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def by_size(
    record: ClassRecord, group: Group, edges: tuple[tuple[float, float], ...]
) -> list[dict[str, Any]]:
    """Rates by the shorter side of the object, and of the detection for the false rate; px of the picture."""
    objects, masks = record.objects, record.masks
    return [
        {
            "from_px": low,
            "below_px": None if math.isinf(high) else high,
            **object_rates(record, group, (objects.shorter_px >= low) & (objects.shorter_px < high)),
            **false_rates(record, group, (masks.shorter_px >= low) & (masks.shorter_px < high)),
        }
        for low, high in edges
    ]


def curve(record: ClassRecord, group: Group, floor: float) -> list[dict[str, float | None]]:
    """In scope: detection rate, coverage recall and false rate from the threshold `floor` to 0.95."""
    objects, masks = record.objects, record.masks
    scope_px = SCOPE_PX[record.label]
    asked = group.pictures[objects.picture] & (objects.shorter_px >= scope_px)
    counted = group.pictures[masks.picture] & (masks.shorter_px >= scope_px)
    counted &= masks.on_object | ~masks.on_ignored
    points = []
    for threshold in np.linspace(floor, 0.95, CURVE_POINTS):
        shown = counted & (masks.scores >= threshold)
        points.append(
            {
                "threshold": rounded(threshold),
                "detection_rate": rounded(_ratio((asked & (objects.half >= threshold)).sum(), asked.sum())),
                "coverage_recall": rounded(_ratio((asked & (objects.most >= threshold)).sum(), asked.sum())),
                "false_rate": rounded(_ratio((shown & ~masks.on_object).sum(), shown.sum())),
            }
        )
    return points


def size_steps() -> tuple[tuple[float, float], ...]:
    """The bins of the curve of recall against size, px."""
    edges = (0.0, *map(float, SIZE_EDGES_PX), math.inf)
    return tuple(pairwise(edges))


def false_in_scope(record: ClassRecord) -> Flags:
    """Hidden areas in scope that touch nothing labelled, at the model's threshold."""
    masks: Masks = record.masks
    large = masks.shorter_px >= SCOPE_PX[record.label]
    return large & (masks.scores >= record.threshold) & ~masks.on_object & ~masks.on_ignored
