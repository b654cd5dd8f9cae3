"""The time before which no clock is believed: kept up to date by `scripts/check repository`."""

from __future__ import annotations

import time

import pytest

from anonymize.zones.rules import BUILT_AT_S
from scripts.check_repository import build_time, build_time_faults

DAY_S = 86_400.0
BUILT_S = 1_793_491_200.0  # 2026-11-01
SOURCE = "BUILT_AT_S: Final = 1_793_491_200.0  # 2026-11-01\n"


def test_this_tree_is_up_to_date():
    assert list(build_time([])) == []
    assert time.time() >= BUILT_AT_S


@pytest.mark.parametrize(
    ("changes", "commit_s", "fault"),
    [
        ("## 0.1.0 (not released yet)", BUILT_S + 59 * DAY_S, ""),
        ("## 0.1.0 (2026-11-01)", None, ""),
        ("## 0.1.0 (2026-11-02)", None, "older than the newest release"),
        ("## 0.2.0 (2026-10-02)\n\n## 0.1.0 (2026-12-02)", None, "older than the newest release"),
        ("", BUILT_S - 1.0, "later than the commit"),
        ("", BUILT_S + 61 * DAY_S, "60 days older than the commit"),
    ],
)
def test_what_is_out_of_date_is_said(changes, commit_s, fault):
    faults = list(build_time_faults(SOURCE, changes, commit_s))
    assert len(faults) == bool(fault)
    assert all(fault in line for line in faults)


def test_a_time_that_cannot_be_found_is_out_of_date():
    assert len(list(build_time_faults("", "## 0.1.0 (2026-11-02)", None))) == 1
