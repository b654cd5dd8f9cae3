"""Vectors agreed between the projects, read where they are; this repository carries none of them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "shared" / "vectors" / "geofence_and_ledger.json"


@cache
def _read():
    return json.loads(FILE.read_text(encoding="utf-8"))


def vectors(name):
    """The vectors of that name; the test is skipped where the file is missing."""
    if not FILE.exists():
        pytest.skip("../shared/vectors is missing: agreed vectors not checked")
    return _read()[name]
