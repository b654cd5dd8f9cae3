"""`compare` on durations whose truth is known: it finds what is slower and does not cry at noise."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from anonymize.bench import compare as tested
from anonymize.errors import UsageError
from tests.bench.reports import mode, noisy_ms, report

FRAMES = 240  # 8 s at 30 frames/s: what a plain `anonymize bench` has


def pair(seed: int, shift: float, frames: int = FRAMES) -> tuple[dict, dict]:
    """Two reports, the second slower by a factor."""
    rng = np.random.default_rng(seed)
    a, b = noisy_ms(rng, frames, 18.0), noisy_ms(rng, frames, 18.0 * shift)
    return report({"paced": mode(a)}), report({"paced": mode(b)})


def regressions(a: dict, b: dict, margin: float = 0.05) -> list[str]:
    verdicts, _ = tested.compare(a, b, margin=margin, other_machine=False)
    return [verdict.figure for verdict in verdicts if verdict.regression]


def test_the_same_report_has_no_regression():
    a, _ = pair(1, 1.0)
    verdicts, _ = tested.compare(a, deepcopy(a), margin=0.05, other_machine=False)
    assert all(abs(verdict.ratio - 1) < 1e-9 and not verdict.regression for verdict in verdicts)


def test_a_tenth_slower_is_found_and_a_tenth_faster_is_not():
    found = 0
    for seed in range(10):
        a, b = pair(seed, 1.10)
        found += "latency p50" in regressions(a, b)
        assert seed or not regressions(b, a)
    assert found >= 8


def test_noise_alone_is_no_regression():
    assert not [seed for seed in range(20) if regressions(*pair(1000 + seed, 1.0))]


def test_chance_of_a_false_alarm_at_the_margin_itself_is_as_stated():
    """Exactly 5 % slower at a margin of 5 %: the hardest case that is still no regression."""
    alarms = {0.05: 0, 0.01: 0}
    trials = 150
    for seed in range(trials):
        a, b = (
            tested.stretches(one["runs"][0]["modes"]["paced"]["windows"]) for one in pair(5000 + seed, 1.05)
        )
        before, after = tested.quantile_table(a, "latency"), tested.quantile_table(b, "latency")
        slowed = [before.slower(row, 1.05) for row in before.rows]
        rng = np.random.default_rng(seed)
        p = tested.permute(slowed, after.rows, tested.quantile("p50"), rng, most=1000)[2]
        for level in alarms:
            alarms[level] += p < level
    assert alarms[0.05] <= 16  # 7.5 expected; more has a chance of 0.1 %
    assert alarms[0.01] <= 6  # 1.5 expected; more has a chance of 0.1 %


def test_a_slower_tail_alone_is_found_in_a_long_run():
    rng = np.random.default_rng(3)
    a, b = noisy_ms(rng, 6000, 18.0), noisy_ms(rng, 6000, 18.0)
    b[rng.random(6000) < 0.03] *= 3.0
    assert regressions(report({"paced": mode(a)}), report({"paced": mode(b)})) == ["latency p99"]


def test_lost_frames_are_slower_than_any():
    rng = np.random.default_rng(4)
    a, b = noisy_ms(rng, FRAMES, 18.0), noisy_ms(rng, FRAMES, 18.0)
    lost = report({"paced": mode(b, never=150)})
    assert "latency p90" in regressions(report({"paced": mode(a)}), lost)


def test_too_few_frames_for_a_quantile_are_said():
    verdicts, notes = tested.compare(*pair(5, 1.0), margin=0.05, other_machine=False)
    assert "latency p99" not in {verdict.figure for verdict in verdicts}
    assert any("p99 is not judged: 240 frames; wanted 1000" in note for note in notes)


def test_too_short_a_run_is_not_compared():
    with pytest.raises(UsageError, match="too short"):
        tested.compare(*pair(6, 1.0, frames=30), margin=0.05, other_machine=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 1920, "height": 1080}, "runs: only in A"),
        ({"threads": 2}, "runs: only in A"),
        ({"load": 1}, "runs: only in A"),
        ({"deadline_ms": 50.0}, "runs: only in A"),
    ],
)
def test_other_runs_are_not_compared(change, words):
    a, b = pair(7, 1.0)
    b["runs"][0]["key"].update(change)
    with pytest.raises(UsageError, match=words):
        tested.compare(a, b, margin=0.05, other_machine=False)


def test_another_model_or_clip_is_not_compared():
    for name, value in (("model", {"name": "drive", "sha256": "cd" * 32}), ("scene", {"sha256": "x"})):
        a, b = pair(8, 1.0)
        b["runs"][0][name] = value
        with pytest.raises(UsageError, match="not comparable"):
            tested.compare(a, b, margin=0.05, other_machine=True)


def test_another_machine_is_compared_only_where_that_is_asked_for():
    a, b = pair(9, 1.0)
    b["machine"]["cpu"] = "another"
    with pytest.raises(UsageError, match="--other-machine"):
        tested.compare(a, b, margin=0.05, other_machine=False)
    assert tested.compare(a, b, margin=0.05, other_machine=True)[0]


def test_what_else_differed_is_said():
    a, b = pair(10, 1.0)
    b["machine"]["versions"] = {"numpy": "3.0"}
    b["warnings"] = ["load average 7"]
    b["runs"][0]["modes"]["paced"]["boxes_hidden_per_frame"] = {"face": 4.0}
    _, notes = tested.compare(a, b, margin=0.05, other_machine=False)
    for words in ("versions", "B warned: load average 7", "not the same work"):
        assert any(words in note for note in notes)


def test_holm_allows_one_false_alarm_in_a_hundred_comparisons():
    def verdict(p: float) -> tested.Verdict:
        return tested.Verdict("run", "p50", 1.0, 2.0, 2.0, p, p, 1.0, True)

    family = [verdict(0.004), verdict(0.0001), verdict(0.9)]
    tested.holm(family)
    assert [one.regression for one in family] == [True, True, False]  # 0.0001 * 3, 0.004 * 2
    family = [verdict(0.004), verdict(0.004), verdict(0.9)]
    tested.holm(family)
    assert not any(one.regression for one in family)  # 0.004 * 3
