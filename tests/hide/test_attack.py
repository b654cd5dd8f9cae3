"""The attack of `bench/attack_plates.py` reads a plate under a weak blur, and guesses under veil and solid."""

from __future__ import annotations

import numba
import pytest

from bench.attack_plates import Score, attack, count_outputs, interval
from bench.drawn_plates import CHARACTERS, make_stage

CHANCE = 1 / len(CHARACTERS)

pytestmark = pytest.mark.skipif(
    bool(numba.config.DISABLE_JIT), reason="hiding 400 plates a frame takes minutes with the JIT off"
)


@pytest.fixture(scope="module")
def stage():
    return make_stage(96)


def is_chance(score: Score) -> bool:
    low, high = interval(score.characters_read, score.characters)
    return low <= CHANCE <= high and score.plates_read == 0


def test_the_attack_reads_a_fixed_blur(stage):
    score = attack("fixed blur, σ 4 px", stage, [1, 2], 0.0, plates=40, seed=1)[1]
    assert score.characters_read >= 0.9 * score.characters
    assert score.plates_read >= 0.8 * score.plates
    assert score.plates_picked == score.plates
    assert not is_chance(score)


@pytest.mark.parametrize("style", ["veil", "solid"])
def test_one_frame_and_thirty_say_nothing(stage, style):
    scores = attack(style, stage, [1, 30], 0.25, plates=60, seed=2)
    for score in scores.values():
        assert score.characters == 420
        assert is_chance(score)
        assert score.plates_picked <= 2  # of 60, each with a chance of 1 in 1,000
        assert score.trace_levels == 0  # no character changes one sample of the hidden picture


def test_a_blur_over_a_film_is_read_better_than_by_chance(stage):
    scores = attack("blur", stage, [1, 12], 0.25, plates=40, seed=3)
    assert not is_chance(scores[12])
    assert scores[12].characters_read > scores[1].characters_read


@pytest.mark.parametrize(("style", "films"), [("veil", 1), ("solid", 1), ("blur", 6), ("mosaic", 6)])
def test_films_of_different_plates(stage, style, films):
    assert count_outputs(style, stage, plates=6, frames=4) == films


def test_interval_of_known_counts():
    assert interval(0, 20) == (0.0, pytest.approx(0.1684, abs=1e-4))  # 1 - 0.025 ** (1 / 20)
    assert interval(20, 20) == (pytest.approx(0.8316, abs=1e-4), 1.0)
    assert interval(3, 20) == (pytest.approx(0.0321, abs=1e-4), pytest.approx(0.3789, abs=1e-4))
