"""Styles that would be too weak, or are none, are refused."""

from __future__ import annotations

import math

import pytest

from anonymize.errors import UsageError
from anonymize.hide import Style, Styles


def test_default_is_veil_grown_by_1_3():
    styles = Styles()
    assert (styles.face, styles.plate, styles.area) == (Style.VEIL,) * 3
    assert styles.growth == 1.3
    assert not styles.weak


def test_names_become_styles():
    styles = Styles(face="blur", plate="mosaic")
    assert (styles.face, styles.plate) == (Style.BLUR, Style.MOSAIC)
    assert styles.weak


@pytest.mark.parametrize(
    "wrong",
    [
        {"face": "pixelate"},
        {"plate": ""},
        {"area": "blur"},
        {"area": "mosaic"},
        {"growth": 0.99},
        {"growth": math.nan},
        {"growth": math.inf},
        {"growth": 11.0},
        {"soft_edge_fraction": -0.1},
        {"soft_edge_fraction": 1.1},
        {"face_sigma": 0.34},
        {"plate_sigma": 0.99},
        {"plate_sigma": math.nan},
    ],
    ids=str,
)
def test_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Styles(**wrong)


def test_strict_is_solid_without_soft_edges():
    strict = Styles(face="blur", plate="mosaic", growth=1.5).strict()
    assert {strict.face, strict.plate, strict.area} == {Style.SOLID}
    assert (strict.growth, strict.soft_edge_fraction) == (1.5, 0.0)
