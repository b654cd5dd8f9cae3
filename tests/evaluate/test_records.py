"""From looks to rates on three pictures whose every number can be counted by eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.findings import give_causes, list_findings
from anonymize.evaluate.intervals import resamples
from anonymize.evaluate.overlap import as_boxes
from anonymize.evaluate.rates import Group, by_size, curve, group_rates, hidden_area
from anonymize.evaluate.records import Look, record_class
from anonymize.evaluate.report import common_floor

THRESHOLDS = {"face": 0.5, "plate": 0.4}


def picture(
    boxes: list, classes: list[str], *, ignored: list[int] = (), labelled=("face", "plate"), name="a.png"
):
    flags = np.zeros(len(boxes), bool)
    flags[list(ignored)] = True
    return LabelledPicture(
        Path(name),
        name,
        "drawn",
        200,
        100,
        frozenset(labelled),
        as_boxes(boxes),
        np.array(classes, np.str_),
        flags,
    )


def look(*rows: tuple[str, float, tuple], dropped: str = "") -> Look:
    """Hidden areas are the boxes themselves, so that areas can be counted."""
    boxes = as_boxes([box for _, _, box in rows])
    labels = np.array([label for label, _, _ in rows], np.str_)
    return Look(boxes, boxes, labels, np.array([score for _, score, _ in rows], np.float64), 0.05, dropped)


def group_of(count: int) -> Group:
    return Group(np.ones(count, bool), resamples(count, 1))


def values_of(pictures: list, looks: list, label: str):
    record = record_class(pictures, looks, label, THRESHOLDS)
    return record, group_rates(record, group_of(len(pictures)))


PLATE, SMALL = (0, 0, 40, 20), (100, 0, 140, 15)  # px; the second is under the scope of 16 px


def test_in_scope_half_hidden_and_ninety_percent_hidden():
    shown = picture([PLATE, SMALL, (0, 50, 40, 70)], ["plate"] * 3)
    found = look(("plate", 0.9, (0, 0, 40, 10)), ("plate", 0.9, SMALL), ("plate", 0.39, (0, 50, 40, 70)))
    record, values = values_of([shown], [found], "plate")
    scope = values["in_scope"]
    assert (scope["detection_rate"]["hits"], scope["detection_rate"]["of"]) == (1, 2)
    assert (scope["coverage_recall"]["hits"], scope["coverage_recall"]["of"]) == (0, 2)
    assert (scope["recall_iou50"]["hits"], scope["recall_iou50"]["of"]) == (1, 2)
    assert values["all_sizes"]["coverage_recall"]["hits"] == 1  # the small one
    assert record.objects.most.tolist()[2] == 0.39  # it would be hidden from there on
    points = curve(record, group_of(1), 0.05)
    assert points[0]["detection_rate"] == 1.0 and points[-1]["detection_rate"] == 0.0


def test_an_area_of_the_other_class_hides_too_where_it_reaches_its_threshold():
    shown = picture([PLATE], ["plate"])
    for score, hits in ((0.5, 1), (0.49, 0)):
        _, values = values_of([shown], [look(("face", score, PLATE))], "plate")
        assert values["in_scope"]["detection_rate"]["hits"] == hits
        assert values["in_scope"]["recall_iou50"]["hits"] == 0  # but it is no find of a plate


def test_false_hits_ignore_boxes_and_masks_out_of_scope():
    shown = picture([PLATE, (100, 50, 140, 70)], ["plate", "plate"], ignored=[1])
    found = look(
        ("plate", 0.9, (39, 19, 79, 39)),  # shares one px with an object: no false hit by the standard
        ("plate", 0.8, (130, 60, 170, 80)),  # on an ignore box: counts neither way
        ("plate", 0.7, (0, 60, 40, 80)),  # false
        ("plate", 0.7, (160, 0, 200, 12)),  # false, under the scope
        ("plate", 0.3, (150, 20, 190, 40)),  # under the threshold
    )
    record, values = values_of([shown], [found], "plate")
    scope = values["in_scope"]
    assert (scope["false_rate"]["hits"], scope["false_rate"]["of"]) == (1, 2)
    assert (scope["false_rate_close"]["hits"], scope["false_rate_close"]["of"]) == (
        3,
        3,
    )  # an eighth is not close
    assert (values["all_sizes"]["false_rate"]["hits"], values["all_sizes"]["false_rate"]["of"]) == (2, 3)
    kinds = [(finding.kind, finding.xyxy) for finding in list_findings("m", record, [shown])]
    assert kinds == [("miss", PLATE), ("false hit", (0, 60, 40, 80))]


def test_a_class_that_is_not_labelled_is_neither_asked_nor_wrong():
    shown = picture([(0, 0, 40, 40)], ["face"], ignored=[0], labelled=("plate",))
    record, values = values_of([shown], [look(("face", 0.9, (100, 0, 140, 40)))], "face")
    assert not record.used.any() and values["in_scope"]["false_rate"]["of"] == 0 and values["pictures"] == 0
    assert values["in_scope"]["detection_rate"]["value"] is None


def test_a_dropped_picture_counts_nowhere():
    shown = picture([PLATE], ["plate"])
    record, values = values_of([shown], [look(dropped="too_many")], "plate")
    assert not record.used.any() and values["objects"] == 0


def test_hidden_areas_by_hand():
    """80 x 20 px hidden over a box of 40 x 20, a false one of 40 x 20; the ignored one counts neither way."""
    shown = picture([PLATE, (100, 50, 140, 70)], ["plate", "plate"], ignored=[1])
    found = look(
        ("plate", 0.9, (0, 0, 80, 20)), ("plate", 0.9, (0, 60, 40, 80)), ("plate", 0.9, (100, 50, 140, 70))
    )
    record, _ = values_of([shown], [found], "plate")
    rest = 200 * 100 - 2 * 800
    assert hidden_area(record, group_of(1)) == {
        "times_boxes": 3.0,
        "times_boxes_met": 2.0,
        "share_of_rest": pytest.approx(1600 / rest, abs=5e-5),
    }


def test_buckets_hold_their_lower_edge():
    shown = picture([(0, 0, 40, 8), (0, 20, 40, 36), (0, 40, 40, 55.9)], ["plate"] * 3)
    record, _ = values_of([shown], [look()], "plate")
    steps = by_size(record, group_of(1), ((0, 8), (8, 16), (16, 32)))
    assert [step["detection_rate"]["of"] for step in steps] == [0, 2, 1]


def test_ap_in_scope_leaves_small_ones_out_both_ways():
    shown = picture([PLATE, SMALL], ["plate", "plate"])
    found = look(("plate", 0.9, SMALL), ("plate", 0.85, (150, 50, 190, 60)), ("plate", 0.8, PLATE))
    _, values = values_of([shown], [found], "plate")
    assert values["in_scope"]["ap"] == 1.0
    assert values["all_sizes"]["ap"] == pytest.approx(0.5 + 0.5 * 2 / 3, abs=1e-4)


def test_curves_begin_where_nearly_all_pictures_were_looked_at():
    assert common_floor([0.1] * 60 + [0.2] * 39 + [0.58]) == 0.2
    assert common_floor([0.1, 0.58]) == 0.58
    assert common_floor([]) == 0.0


def test_causes_come_back_to_the_same_place():
    shown = picture([PLATE, (0, 50, 40, 70)], ["plate", "plate"])
    record, _ = values_of([shown], [look(("plate", 0.9, (100, 0, 140, 20)))], "plate")
    findings = list_findings("m", record, [shown])
    row = {
        "kind": "false hit",
        "label": "plate",
        "picture": "a.png",
        "x1": "102",
        "y1": "0",
        "x2": "141",
        "y2": "20",
    }
    elsewhere = {**row, "picture": "b.png", "cause": "model"}
    named = give_causes(
        findings, [{**row, "cause": "label"}, elsewhere, {**row, "kind": "miss", "cause": "model"}]
    )
    assert [(finding.kind, finding.cause) for finding in named] == [
        ("miss", ""),
        ("miss", ""),
        ("false hit", "label"),
    ]
