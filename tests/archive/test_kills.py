"""Drivers and workers killed at random moments; `bench/archive_kills.py --kills 300` is the whole trial."""

from __future__ import annotations

from bench.archive_kills import kill_often


def test_a_dozen_kills_lose_nothing_and_do_nothing_twice(tmp_path):
    found = kill_often(tmp_path, kills=12, files=250, takes_ms=10.0, seed=3)
    assert found.partial == []
    assert found.redone == []
    assert found.lost == []
    assert found.left_over == []
    assert found.orphans == 0
    assert found.kills_of_driver + found.kills_of_worker >= 4  # fewer where all was done before the twelfth
