"""A recorder that is killed at any moment leaves nothing half-written, and nothing of a frame outside its seal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork and SIGKILL")


@pytest.fixture(scope="module")
def kills():
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from bench import store_kills

    return store_kills


def test_killed_while_recording_and_deleting(kills):
    found = kills.kill_at_random(12, seed=20, longest_s=0.5)
    assert found["kills"] == 12
    assert found["segments"] > 0


def test_killed_at_lines_of_the_stores_own_code(kills):
    found = kills.kill_at_lines(170, first=40)
    assert found["kills"] >= 8
    assert found["without_row"] + found["deletions_completed"] > 0


def test_the_search_finds_what_it_looks_for(kills, tmp_path):
    (tmp_path / "left").write_bytes(b"x" * 5000 + kills.RAW)
    with pytest.raises(AssertionError, match="left holds"):
        kills.search(tmp_path)
