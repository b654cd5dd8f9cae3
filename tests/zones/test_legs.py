"""The chain of legs itself: which legs a fix changes, and what it remembers."""

from __future__ import annotations

import pytest

from anonymize.zones.fixes import FineReason
from anonymize.zones.legs import Legs
from anonymize.zones.rules import GateRules
from tests.zones.places import T0_S, fix


@pytest.fixture
def legs() -> Legs:
    return Legs(GateRules())


def give(legs: Legs, first: int, last: int, **more: object) -> list[int]:
    return [legs.add(one, one.time_s) for one in (fix(s, **more) for s in range(first, last + 1))]


def faults(legs: Legs) -> list[FineReason | None]:
    return [leg.fault for leg in legs.legs]


def test_each_fix_makes_the_last_leg_and_nothing_else(legs):
    assert give(legs, 0, 4) == [0, 1, 2, 3, 4]
    assert legs.legs[0].start is legs.legs[0].end
    assert [leg.seconds for leg in legs.legs] == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert (legs.first_s, legs.newest_s, legs.settled_s) == (T0_S, T0_S + 4, T0_S + 4)
    assert legs.add(fix(4), T0_S + 4.5) == 5  # delivered twice: nothing changed
    assert len(legs.legs) == 5


def test_a_late_fix_changes_the_leg_that_it_lies_in_and_all_behind(legs):
    give(legs, 0, 6)
    assert legs.add(fix(3.5), T0_S + 6) == 4
    assert faults(legs) == [None] * 4 + [FineReason.TIME] * 3
    assert legs.add(fix(5.5), T0_S + 6) == 6  # all of them faulty already
    assert legs.add(fix(1.5), T0_S + 6) == 2
    assert faults(legs) == [None] * 2 + [FineReason.TIME] * 5
    assert legs.add(fix(0.0), T0_S + 6) == 0  # the time of the first fix said twice, another place or not
    assert faults(legs) == [FineReason.TIME] * 7


def test_a_fix_of_before_the_chain_changes_no_leg(legs):
    give(legs, 0, 2)
    assert legs.add(fix(-1), T0_S + 2) == 3
    assert faults(legs) == [None] * 3
    give(legs, 3, 3)
    assert legs.legs[-1].fault is FineReason.TIME  # but it breaks the way to the next one
    give(legs, 4, 4)
    assert legs.legs[-1].fault is None


def test_the_time_of_the_newest_fix_said_twice_is_a_jump(legs):
    give(legs, 0, 3)
    legs.add(fix(3, 1.0), T0_S + 3)
    assert legs.break_reason is FineReason.TIME
    assert faults(legs) == [None] * 3 + [FineReason.TIME]


def test_a_fix_at_the_time_of_a_bad_one_does_not_mend_the_way(legs):
    give(legs, 0, 2)
    legs.add(fix(3, accuracy_m=None), T0_S + 3)
    legs.add(fix(3), T0_S + 3)
    assert legs.break_reason is FineReason.ACCURACY_MISSING
    give(legs, 4, 5)
    assert faults(legs) == [None] * 3 + [FineReason.ACCURACY_MISSING] * 2 + [None]


def test_a_bad_fix_that_is_far_ahead_is_a_break_for_a_second_only(legs):
    give(legs, 0, 2)
    legs.add(fix(1e6), T0_S + 2.0)
    give(legs, 3, 5)
    assert faults(legs) == [None] * 3 + [FineReason.TIME, FineReason.TIME, None]


def test_a_freeze_reaches_back_to_where_it_began_and_settles_only_then(legs):
    give(legs, 0, 2, wheel_speed_mps=3.0)
    assert legs.settled_s == T0_S  # the same to the last digit since 0 s
    assert give(legs, 3, 4, wheel_speed_mps=3.0) == [3, 4]
    assert give(legs, 5, 5, wheel_speed_mps=3.0) == [0]  # 5 s: known now
    assert faults(legs) == [FineReason.FROZEN] * 6
    assert give(legs, 6, 7, wheel_speed_mps=3.0) == [6, 7]
    assert faults(legs) == [FineReason.FROZEN] * 8
    assert legs.add(fix(8, 3.0, wheel_speed_mps=3.0), T0_S + 8) == 8
    assert legs.settled_s == T0_S + 8
    assert legs.legs[-1].fault is None


def test_what_ended_before_is_forgotten_the_last_leg_never(legs):
    give(legs, 0, 5)
    assert legs.forget_before(T0_S - 1) == 0
    assert not legs.forgot
    assert legs.forget_before(T0_S + 2) == 2
    assert legs.forgot
    assert (legs.first_s, len(legs.legs), legs.end_times_s[0]) == (T0_S + 1, 4, T0_S + 2)
    assert legs.forget_before(T0_S + 3) == 1
    assert legs.forget_before(T0_S + 100) == 2
    assert len(legs.legs) == 1
    assert legs.forget_before(T0_S + 100) == 0
    assert Legs(GateRules()).forget_before(T0_S) == 0


def test_forgetting_does_not_hide_legs_from_a_late_fix(legs):
    give(legs, 0, 6)
    legs.add(fix(4.5), T0_S + 6)
    assert faults(legs).count(FineReason.TIME) == 2
    assert legs.forget_before(T0_S + 3) == 3
    assert legs.add(fix(3.5), T0_S + 6) == 1
    assert faults(legs) == [None] + [FineReason.TIME] * 3
