"""The gate's decisions: every state of GEOFENCE.md, and no order of anything that releases a forbidden frame."""

from __future__ import annotations

import math

import pytest

from anonymize.errors import UsageError
from anonymize.zones.decide import KEEP, WAIT, Answer, Decider, Decision
from anonymize.zones.fixes import FineReason, Fix
from anonymize.zones.rules import BUILT_AT_S, ArchiveOptions, GateRules, ZonesInForce
from anonymize.zones.views import CameraView, Wedge, default_view
from tests.zones.places import T0_S, Circle, CircleZones, fix, signed

FAR = Circle(0.0, 100_000.0, 1.0)
SHARP = CameraView(view_m=0.0, clock_uncertainty_s=0.0)
MARGIN_M = 2.46 * 5.0 + 1.0 + 10.0  # of a sharp view


def drop(reason: FineReason) -> Decision:
    return Decision(Answer.DROP, reason)


class World:
    """A decider whose fixes arrive at once."""

    def __init__(self, *circles: Circle, rules: GateRules | None = None, view: CameraView = SHARP) -> None:
        self.zones = signed(*(circles or (FAR,)))
        self.decider = Decider(self.zones, rules, {"front": view})

    def give(self, *fixes: Fix) -> World:
        for one in fixes:
            self.decider.add_fix(one, max(one.time_s, T0_S) if math.isfinite(one.time_s) else T0_S)
        return self

    def stand(self, first_s: int, last_s: int, east_m: float = 0.0, **more: object) -> World:
        return self.give(*(fix(s, east_m, **more) for s in range(first_s, last_s + 1)))

    def ask(self, seconds: float, until: float | None = None, *, waited_s: float = 0.0) -> Decision:
        first, last = T0_S + seconds, T0_S + (seconds if until is None else until)
        return self.decider.decide("front", first, last, arrived_s=last, now_s=last + waited_s)

    def refuses(self, seconds: float) -> FineReason | None:
        return self.decider.refuses("front", T0_S + seconds, T0_S + seconds)


# where nothing is known


def test_no_fix_ever_waits_for_its_time_and_drops():
    world = World()
    assert world.refuses(1.0) is FineReason.NO_FIX
    assert world.ask(1.0) == WAIT
    assert world.ask(1.0, waited_s=6.0) == WAIT
    assert world.ask(1.0, waited_s=6.001) == drop(FineReason.NO_FIX)


def test_a_fix_on_one_side_only():
    world = World().give(fix(10))
    assert world.ask(9.0) == drop(FineReason.ONE_SIDED)
    assert world.ask(13.0) == WAIT
    assert world.ask(13.1, waited_s=6.1) == drop(FineReason.ONE_SIDED)
    world.decider.end_of_fixes()
    assert world.ask(13.1) == drop(FineReason.ONE_SIDED)


def test_a_frame_is_kept_when_three_seconds_before_and_behind_are_known():
    world = World().stand(0, 10)
    assert world.ask(2.999) == drop(FineReason.ONE_SIDED)
    assert world.ask(3.0) == KEEP
    assert world.ask(7.0) == KEEP
    assert world.ask(7.001) == WAIT
    assert world.ask(10.5) == WAIT
    assert world.ask(7.001, waited_s=6.1) == drop(FineReason.HOLD_TIMED_OUT)
    assert world.refuses(7.001) is None
    world.decider.end_of_fixes()
    assert world.ask(7.001) == drop(FineReason.HOLD_TIMED_OUT)


def test_a_group_is_kept_only_as_a_whole():
    world = World().stand(0, 10)
    assert world.ask(3.0, 7.0) == KEEP
    assert world.ask(2.9, 7.0) == drop(FineReason.ONE_SIDED)
    assert world.ask(3.0, 7.1) == WAIT


@pytest.mark.parametrize(
    "times", [(math.nan, 1.0), (1.0, math.nan), (math.inf, math.inf), (-math.inf, 0.0), (5.0, 4.0)]
)
def test_times_that_cannot_be(times):
    world = World().stand(0, 10)
    first, last = T0_S + times[0], T0_S + times[1]
    assert world.decider.decide("front", first, last, arrived_s=T0_S, now_s=T0_S) == drop(
        FineReason.CAPTURE_TIME
    )
    assert world.decider.refuses("front", None, T0_S) is FineReason.CAPTURE_TIME


def test_camera_clock_offset_and_uncertainty_widen_the_time_asked_for():
    world = World(view=CameraView(0.0, clock_offset_s=100.0, clock_uncertainty_s=0.5)).stand(0, 10)
    assert world.ask(103.4) == drop(FineReason.ONE_SIDED)
    assert world.ask(103.5) == KEEP
    assert world.ask(106.5) == KEEP
    assert world.ask(106.6) == WAIT


# fixes that are not believed, and the three seconds round them


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (fix(10, accuracy_m=None), FineReason.ACCURACY_MISSING),
        (fix(10, dimensions=2), FineReason.TWO_DIMENSIONAL),
        (Fix(math.nan, math.nan, 5.0, T0_S + 10), FineReason.NO_POSITION),
        (Fix(0.0, 0.0, 5.0, T0_S + 10), FineReason.ZERO_POSITION),
        (fix(10, dead_reckoned=True), FineReason.DEAD_RECKONING),
        (fix(math.nan), FineReason.TIME),
        (fix(-1e9), FineReason.TIME),  # a clock that fell back
    ],
)
def test_a_bad_fix_breaks_the_way_and_is_scrubbed(bad, reason):
    world = World().stand(0, 9).give(bad)
    assert world.ask(9.5) == drop(reason)  # certain before the next fix comes
    assert world.ask(6.0) == drop(FineReason.SCRUB)
    assert world.ask(5.99) == KEEP
    assert world.refuses(11.0) is reason
    world.stand(11, 20)
    assert world.ask(5.99) == KEEP
    assert world.ask(6.0) == drop(FineReason.SCRUB)
    assert world.ask(9.5) == drop(reason)
    assert world.ask(14.0) == drop(FineReason.SCRUB)
    assert world.ask(14.01) == KEEP


def test_a_bad_fix_that_overtakes_a_good_one_breaks_its_own_leg_too():
    world = World().stand(0, 9)
    world.decider.add_fix(fix(10.1, accuracy_m=None), T0_S + 10.1)
    world.give(fix(10))
    assert world.refuses(10.5) is FineReason.SCRUB
    world.stand(11, 20)
    assert world.ask(10.5) == drop(FineReason.ACCURACY_MISSING)
    assert world.ask(14.0) == drop(FineReason.SCRUB)
    assert world.ask(14.01) == KEEP


def test_a_bad_fix_of_the_far_future_does_not_last():
    world = World().stand(0, 9)
    world.decider.add_fix(fix(1e9, accuracy_m=None), T0_S + 9.5)
    world.stand(10, 20)
    assert world.ask(10.5) == drop(FineReason.ACCURACY_MISSING)  # until a second behind its arrival
    assert world.ask(14.5) == KEEP


def test_a_gap_of_two_seconds_passes_and_a_longer_one_does_not():
    assert World().stand(0, 10).give(fix(12.0)).stand(13, 20).ask(11.0) == KEEP
    world = World().stand(0, 10).give(fix(12.1)).stand(13, 20)
    assert world.ask(11.0) == drop(FineReason.GAP)
    assert world.ask(7.0) == drop(FineReason.SCRUB)
    assert world.ask(15.2) == KEEP


def test_a_teleport_is_a_drop_on_both_sides_of_it():
    world = World().stand(0, 9).give(fix(10, 500.0)).stand(11, 20)
    assert world.ask(9.5) == drop(FineReason.SPEED)
    assert world.ask(10.5) == drop(FineReason.SPEED)
    assert world.ask(14.1) == KEEP


def test_a_late_fix_taints_the_way_from_its_time_on():
    world = World().stand(0, 10)
    assert world.ask(7.0) == KEEP
    world.give(fix(7.5, 40.0))
    assert world.ask(4.0) == drop(FineReason.SCRUB)
    assert world.ask(3.9) == KEEP
    assert world.ask(9.5) == drop(FineReason.TIME)
    world.give(fix(5.5, 40.0), fix(6.5, 40.0))  # earlier still, then within what is tainted already
    assert world.ask(5.5) == drop(FineReason.TIME)
    world.stand(11, 20)
    assert world.ask(10.5) == drop(FineReason.TIME)
    assert world.ask(14.1) == KEEP


def test_a_late_fix_leaves_older_faults_as_they_are_and_a_second_copy_does_no_harm():
    world = World().stand(0, 9).give(fix(10, 500.0)).give(fix(10, 500.0))
    assert world.ask(9.5) == drop(FineReason.SPEED)
    world.give(fix(10, 501.0))
    assert world.ask(9.5) == drop(FineReason.SPEED)


def test_fixes_far_from_their_arrival_are_a_jump_of_a_clock():
    world = World().stand(0, 10)
    world.decider.add_fix(fix(14), T0_S + 11.0)
    assert world.ask(10.5) == drop(FineReason.TIME)
    world = World().stand(0, 10)
    world.decider.add_fix(fix(11), T0_S + 23.0)
    assert world.ask(10.5) == drop(FineReason.TIME)
    world = World().stand(0, 10)
    world.decider.add_fix(fix(11), T0_S + 10.5)
    assert world.ask(10.5) == WAIT
    world.decider.add_fix(fix(12), math.nan)
    assert world.ask(11.5) == drop(FineReason.TIME)


@pytest.mark.parametrize(("arrived_s", "kept"), [(9.99, False), (10.0, True), (13.0, True), (13.01, False)])
def test_how_far_a_fix_may_be_from_its_arrival(arrived_s, kept):
    world = World().stand(0, 10)
    world.decider.add_fix(fix(11), T0_S + arrived_s)
    assert (world.ask(7.5) == KEEP) is kept


def test_a_freeze_is_dropped_from_its_beginning():
    world = (
        World().stand(0, 10, wheel_speed_mps=0.0).give(*(fix(s, wheel_speed_mps=2.0) for s in range(11, 16)))
    )
    assert world.ask(7.0) == KEEP
    assert world.ask(8.5) == WAIT  # the fix stands since 11 s with turning wheels: perhaps a freeze
    world.give(fix(16, wheel_speed_mps=2.0))
    assert world.ask(8.5) == drop(FineReason.SCRUB)
    assert world.ask(12.0) == drop(FineReason.FROZEN)
    world.give(fix(17, wheel_speed_mps=2.0))
    assert world.ask(16.5) == drop(FineReason.FROZEN)
    world.give(*(fix(s, s - 10.0, wheel_speed_mps=2.0) for s in range(18, 30)))
    assert world.ask(20.5) == KEEP


def test_a_short_stand_with_turning_wheels_is_no_freeze():
    world = (
        World().stand(0, 10, wheel_speed_mps=0.0).give(*(fix(s, wheel_speed_mps=2.0) for s in range(11, 15)))
    )
    assert world.ask(9.0) == WAIT
    world.give(fix(15, 2.0, wheel_speed_mps=2.0))
    assert world.ask(12.0) == KEEP


# zones


def test_the_margin_is_the_sum_that_the_specification_names():
    world = World(FAR, view=CameraView(150.0, clock_uncertainty_s=0.0))
    world.give(fix(0, accuracy_m=10.0), fix(1, accuracy_m=20.0))
    world.ask(0.5)
    asked = world.zones.index.asked[-1]
    assert asked["margin_m"] == pytest.approx(2.46 * 20.0 + 1.0 + 10.0 + 150.0)
    assert asked["time_s"] == T0_S + 0.5
    assert asked["clock_uncertainty_s"] == 60.5


@pytest.mark.parametrize(("east_m", "inside"), [(MARGIN_M - 0.1, True), (MARGIN_M + 0.1, False)])
def test_a_fix_within_the_margin_refuses_the_frame_before_any_work(east_m, inside):
    world = World(Circle(0.0, 0.0, 0.001)).give(fix(0, east_m))
    assert world.decider.refuses("front", T0_S + 3.5, T0_S + 3.5) is (FineReason.ZONE if inside else None)
    world.stand(1, 10, east_m)
    assert world.refuses(5.0) is (FineReason.ZONE if inside else None)
    assert world.ask(5.0) == (drop(FineReason.ZONE) if inside else KEEP)


def test_the_swept_path_counts_not_the_fixes():
    circle = Circle(0.0, 30.0, 8.0)
    world = World(circle).give(*(fix(s, -300.0 + 60.0 * s) for s in range(11)))
    # fixes at -60, 0 and 60 m; without the one at 0 the path still passes at 30 m from the middle
    world_without = World(circle).give(*(fix(s, -300.0 + 60.0 * s) for s in range(11) if s != 5))
    for each in (world, world_without):
        assert each.ask(5.2).reason is FineReason.ZONE
        assert each.ask(4.8).reason is FineReason.ZONE


def test_enter_at_once_and_leave_after_three_seconds_and_twenty_metres():
    way = [400.0 - 40.0 * s for s in range(11)] + [40.0 * s for s in range(1, 21)]  # to the zone and back
    world = World(Circle(0.0, 0.0, 10.0)).give(*(fix(s, east_m) for s, east_m in enumerate(way)))
    # the border lies at 10 + 23.3 m, that of leaving at 53.3 m: legs 9-10 and 10-11 touch, 11-12 (40..80) is near
    assert world.ask(5.9) == KEEP
    assert world.ask(6.0) == drop(FineReason.SCRUB)
    assert world.ask(9.5) == drop(FineReason.ZONE)
    assert world.ask(13.9) == drop(FineReason.SCRUB)
    assert world.ask(14.5) == drop(FineReason.LEAVING)  # outside by 20 m more since 12 s
    assert world.ask(14.99) == drop(FineReason.LEAVING)
    assert world.ask(15.0) == KEEP


def test_being_inside_now_says_nothing_of_frames_long_before():
    world = World(Circle(0.0, 0.0, 10.0)).stand(0, 10, 90.0).give(fix(11))
    assert world.ask(5.0) == KEEP
    assert world.ask(11.5) == drop(FineReason.SCRUB)
    assert world.ask(14.5) == WAIT


def test_in_the_ring_round_a_zone_it_still_counts_as_inside():
    world = World(Circle(0.0, 0.0, 10.0)).give(*(fix(s, 0.0) for s in range(5)))
    world.give(*(fix(5 + s, 45.0) for s in range(60)))
    assert world.ask(50.0) == drop(FineReason.LEAVING)
    assert world.refuses(66.0) is FineReason.LEAVING
    world.give(*(fix(65 + s, 90.0) for s in range(10)))
    assert world.ask(67.9) == drop(FineReason.LEAVING)
    assert world.ask(69.01) == KEEP


@pytest.mark.parametrize(
    ("east_m", "left"), [(10.0 + MARGIN_M + 19.9, False), (10.0 + MARGIN_M + 20.1, True)]
)
def test_the_ring_is_twenty_metres_wide(east_m, left):
    world = World(Circle(0.0, 0.0, 10.0)).give(fix(0)).stand(1, 20, east_m)
    assert (world.ask(15.0) == KEEP) is left


def test_leaving_is_certain_before_the_next_fix_and_ends_for_frames_behind_it():
    world = World(Circle(0.0, 0.0, 10.0)).give(fix(0)).stand(1, 3, 90.0)
    assert world.ask(3.5) == drop(FineReason.SCRUB)
    assert world.ask(3.9, 4.2) == drop(FineReason.SCRUB)
    assert world.ask(4.1) == WAIT  # outside since 1 s: free from 4 s on
    assert world.refuses(4.1) is None


def test_a_fault_while_inside_begins_the_leaving_anew():
    world = (
        World(Circle(0.0, 0.0, 10.0))
        .give(fix(0))
        .stand(1, 3, 90.0)
        .give(fix(4, accuracy_m=None))
        .stand(5, 20, 90.0)
    )
    assert world.ask(7.5) == drop(FineReason.SCRUB)
    assert world.ask(8.01) == KEEP


def test_a_zone_is_only_asked_for_in_its_time():
    circle = Circle(0.0, 0.0, 50.0, active_s=(T0_S + 100.0, T0_S + 110.0))
    world = World(circle).stand(0, 200)
    assert world.ask(30.0) == KEEP
    assert world.ask(41.0) == drop(FineReason.ZONE)  # 60 s of clock error
    assert world.ask(168.0) == drop(FineReason.ZONE)
    assert world.ask(180.0) == KEEP


def test_an_index_that_fails_forbids_and_heals():
    world = World(FAR).stand(0, 5)
    world.zones.index.fault = RuntimeError("broken")
    world.stand(6, 8)
    assert world.ask(7.5) == drop(FineReason.ZONES_FAILED)
    world.zones.index.fault = None
    world.stand(9, 20)
    assert world.ask(15.0) == KEEP
    world.zones.index.circles = (
        Circle(0.0, 40.0, 0.001),
    )  # near enough to count as inside, had it been inside
    world.zones.index.fault = RuntimeError("broken")
    assert world.stand(21, 22).ask(21.5) == drop(FineReason.ZONES_FAILED)
    world.zones.index.fault = None
    world.stand(23, 40)
    assert world.ask(35.0) == drop(FineReason.LEAVING)  # who knows where it was


# the list, the clock


@pytest.mark.parametrize(
    ("zones", "reason"),
    [
        (ZonesInForce(None), FineReason.LIST_MISSING),
        (ZonesInForce(None, fault=FineReason.SCHEDULE_UNKNOWN), FineReason.SCHEDULE_UNKNOWN),
        (ZonesInForce(CircleZones(FAR)), FineReason.LIST_UNSIGNED),
        (
            ZonesInForce(CircleZones(FAR), signed=True, fault=FineReason.LIST_OLD_VERSION),
            FineReason.LIST_OLD_VERSION,
        ),
        (ZonesInForce(CircleZones(FAR), signed=True, store_nothing_after_s=T0_S), FineReason.LIST_EXPIRED),
        (
            ZonesInForce(CircleZones(FAR), signed=True, store_nothing_after_s=math.nan),
            FineReason.LIST_EXPIRED,
        ),
        (ZonesInForce(CircleZones(FAR), signed=True), None),
    ],
)
def test_a_list_that_may_not_be_relied_on(zones, reason):
    world = World().stand(0, 10)
    world.decider.replace_zones(zones)
    assert world.ask(5.0) == (KEEP if reason is None else drop(reason))
    assert world.refuses(5.0) is reason


def test_a_newer_list_judges_again_what_is_not_decided():
    world = World().stand(0, 10)
    assert world.ask(5.0) == KEEP
    world.decider.replace_zones(signed(Circle(0.0, 0.0, 5.0)))
    assert world.ask(5.0) == drop(FineReason.ZONE)
    only_one_fix = World().give(fix(0))
    assert only_one_fix.refuses(3.5) is None
    only_one_fix.decider.replace_zones(signed(Circle(0.0, 0.0, 5.0)))
    assert only_one_fix.refuses(3.5) is FineReason.ZONE


def test_a_clock_earlier_than_the_build():
    decider = Decider(signed(FAR))
    early = BUILT_AT_S - 1.0
    assert decider.refuses("front", early, early) is FineReason.CLOCK_BEFORE_BUILD
    assert decider.refuses("front", early, BUILT_AT_S) is FineReason.NO_FIX
    assert (
        Decider(signed(FAR), GateRules(not_before_s=None)).refuses("front", early, early) is FineReason.NO_FIX
    )


def test_what_was_forgotten_is_dropped_and_being_inside_is_not_forgotten():
    world = World(Circle(0.0, 0.0, 10.0)).give(fix(0)).stand(1, 20, 45.0)
    assert world.ask(15.0) == drop(FineReason.LEAVING)
    world.decider.forget_before(T0_S + 10.5)
    assert world.ask(9.0) == drop(FineReason.ONE_SIDED)
    assert world.ask(15.0) == drop(FineReason.LEAVING)
    world.decider.forget_before(T0_S + 1e6)
    assert world.refuses(22.0) is FineReason.LEAVING
    World().decider.forget_before(T0_S)


def test_where_the_way_was_forgotten_it_may_have_been_inside():
    """A newer list, a late fix or another camera judge anew, and nobody knows any more that it was inside."""
    world = World(Circle(0.0, 0.0, 10.0)).give(fix(0)).stand(1, 20, 45.0)
    world.decider.forget_before(T0_S + 10.5)
    assert world.ask(15.0) == drop(FineReason.LEAVING)
    world.decider.replace_zones(world.zones)
    assert world.ask(15.0) == drop(FineReason.LEAVING)
    world.stand(21, 30, 90.0)
    assert world.ask(26.0) == KEEP


def test_a_gap_of_two_seconds_is_no_bridged_one():
    world = World(Circle(0.0, MARGIN_M + 1.0, 0.001), rules=archive(max_gap_s=10.0))
    world.give(*(fix(2 * k) for k in range(9)))
    assert world.ask(7.0) == KEEP


def test_a_frame_at_the_very_time_of_a_fix_lies_in_both_its_legs():
    world = World(Circle(0.0, 0.0, 10.0)).stand(0, 10, 60.0).stand(11, 20, 0.0).stand(21, 30, 60.0)
    for seconds in (10.0, 21.0):
        assert world.ask(seconds).reason is FineReason.ZONE
    assert world.ask(9.999).reason is FineReason.SCRUB
    newest = World(Circle(0.0, 0.0, 10.0)).stand(0, 10)
    assert newest.give(fix(11, accuracy_m=None)).ask(10.0).reason is FineReason.ZONE
    broken = World().stand(0, 10).give(fix(11, accuracy_m=None))
    assert broken.ask(10.0) == drop(FineReason.SCRUB)
    assert broken.ask(10.001) == drop(FineReason.ACCURACY_MISSING)


# options of archives


def archive(**options: object) -> GateRules:
    return GateRules(not_before_s=None, archive=ArchiveOptions(**options))


def test_track_accuracy_stands_in_where_there_is_none():
    world = World(rules=archive(track_accuracy_m=8.0)).stand(0, 10, accuracy_m=None)
    assert world.ask(5.0) == KEEP
    assert world.zones.index.asked[-1]["margin_m"] == pytest.approx(2.46 * 8.0 + 11.0)
    nan = World(rules=archive(track_accuracy_m=8.0)).stand(0, 10, accuracy_m=math.nan)
    for world in (nan, World(rules=archive()).stand(0, 10, accuracy_m=None)):
        assert world.ask(5.0, waited_s=9.0) == drop(FineReason.ACCURACY_MISSING)
        assert world.refuses(5.0) is FineReason.ACCURACY_MISSING


def test_a_bridged_gap_grows_to_all_that_can_be_reached():
    rules = archive(max_gap_s=10.0, top_speed_mps=20.0)
    # 100 m in 10 s at up to 20 m/s: half width = sqrt(200^2 - (100 - 24.6)^2) / 2
    reach_m = math.sqrt(200.0**2 - (100.0 - 24.6) ** 2) / 2.0
    for off_m, kept in ((reach_m + MARGIN_M + 0.5, True), (reach_m + MARGIN_M - 0.5, False)):
        world = World(Circle(50.0, off_m, 0.001), rules=rules)
        world.give(fix(-20), fix(-10), fix(0), fix(10, 100.0), fix(20, 100.0), fix(30, 100.0))
        assert (world.ask(5.0) == KEEP) is kept
    assert World(rules=rules).give(fix(0), fix(10.1)).ask(5.0) == drop(FineReason.GAP)
    # faster than the stated top speed is not believed; at its border the ellipse is a line
    assert World(rules=rules).give(fix(0), fix(10, 230.0)).ask(5.0) == drop(FineReason.SPEED)


def test_an_unsigned_list_only_by_the_option():
    zones = ZonesInForce(CircleZones(FAR))
    decider = Decider(zones, archive(unsigned_zones=True))
    assert decider.refuses("front", T0_S, T0_S) is FineReason.NO_FIX


def test_every_option_in_use_stands_in_the_report():
    assert ArchiveOptions().exceptions() == []
    lines = ArchiveOptions(8.0, 30.0, 40.0, True).exceptions()
    assert len(lines) == 3
    assert "8 m" in lines[0]
    assert "30 s" in lines[1]
    assert "40 m/s" in lines[1]


@pytest.mark.parametrize(
    "options",
    [
        {"track_accuracy_m": 0.0},
        {"track_accuracy_m": math.nan},
        {"track_accuracy_m": 101.0},
        {"max_gap_s": 1.9},
        {"max_gap_s": math.inf},
        {"top_speed_mps": 0.0},
        {"top_speed_mps": 71.0},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(UsageError):
        ArchiveOptions(**options)


def test_values_at_the_border_of_their_range():
    assert ArchiveOptions(100.0, 2.0, 70.0).exceptions()
    assert ArchiveOptions(0.1, top_speed_mps=0.1).top_speed_mps == 0.1
    assert GateRules(feed_latency_s=0.0, scrub_s=0.0).hold_timeout_s == 2.0
    assert GateRules(feed_latency_s=60.0, scrub_s=60.0).hold_timeout_s == 122.0
    zones = ZonesInForce(CircleZones(FAR), signed=True, store_nothing_after_s=T0_S)
    assert zones.fault_at(T0_S, unsigned_allowed=False) is None


def test_rules_out_of_range_and_their_times():
    for bad in ({"feed_latency_s": -1.0}, {"scrub_s": math.nan}):
        with pytest.raises(UsageError):
            GateRules(**bad)
    assert GateRules().hold_timeout_s == 6.0
    assert archive(max_gap_s=30.0).hold_timeout_s == 34.0
    assert (GateRules().track_accuracy_m, GateRules().unsigned_allowed) == (None, False)


# what a camera sees


def test_cameras_that_nobody_configured():
    assert [default_view(name).view_m for name in ("front", "left", "dash0")] == [150.0, 50.0, 150.0]


def sector(wedge: Wedge, heading_deg: float) -> list[tuple[float, float]]:
    """Points of the border of what is seen, m east and north."""
    half = wedge.field_of_view_deg / 2.0 + wedge.heading_uncertainty_deg
    angles = [math.radians(heading_deg + wedge.yaw_deg - half + half * i / 10.0) for i in range(21)]
    return [(0.0, 0.0)] + [(wedge.range_m * math.sin(a), wedge.range_m * math.cos(a)) for a in angles]


@pytest.mark.parametrize("view_deg", [20.0, 60.0, 70.0, 120.0, 160.0, 359.0])
@pytest.mark.parametrize("turn_deg", [0.0, 25.0, 60.0])
def test_the_circle_round_a_wedge_holds_it_all_the_way(view_deg, turn_deg):
    from tests.zones.places import metres, segment_distance_m

    wedge = Wedge(30.0, view_deg, 120.0)
    view = CameraView(wedge=wedge)
    start, end = fix(0, heading_deg=350.0), fix(1, 20.0, 10.0, heading_deg=(350.0 + turn_deg) % 360.0)
    a, b, radius_m = view.seen_from(start, end)
    assert radius_m <= 120.0 + 20.0 * math.hypot(2.0, 1.0)
    for share in (0.0, 0.3, 0.5, 1.0):
        for turn_share in (0.0, 0.4, 1.0):
            for east, north in sector(wedge, 350.0 + turn_deg * turn_share):
                seen = (east + share * 20.0, north + share * 10.0)
                assert segment_distance_m(seen, metres(a), metres(b)) <= radius_m + 0.05


@pytest.mark.parametrize(
    ("view_deg", "offset_m", "radius_m"),
    [
        (60.0, 57.735, 57.735),
        (90.0, 70.711, 70.711),
        (120.0, 50.0, 86.603),
        (180.0, 0.0, 100.0),
        (300.0, 0.0, 100.0),
    ],
)
def test_the_smallest_circle_round_a_sector_of_a_hundred_metres(view_deg, offset_m, radius_m):
    assert Wedge(0.0, view_deg, 100.0, 0.0).circle() == pytest.approx((offset_m, radius_m), abs=1e-3)
    assert Wedge(0.0, view_deg - 40.0, 100.0, 20.0).circle() == pytest.approx((offset_m, radius_m), abs=1e-3)


def test_a_wedge_that_moves_without_turning_needs_no_more_than_its_circle():
    view = CameraView(wedge=Wedge(0.0, 60.0, 100.0, 0.0))
    assert view.seen_from(fix(0, heading_deg=10.0), fix(1, 20.0, heading_deg=10.0))[2] == pytest.approx(
        57.735, abs=1e-3
    )
    turning = view.seen_from(fix(0, heading_deg=10.0), fix(1, 5.0, heading_deg=30.0))[2]
    bulge_m = 57.735 * (1.0 - math.cos(math.radians(10.0)))
    assert turning == pytest.approx(57.735 + bulge_m + 5.0, abs=0.01)


@pytest.mark.parametrize(
    ("first", "second"),
    [(None, 1.0), (1.0, None), (math.nan, 1.0), (0.0, 61.0), (10.0, 300.0)],
)
def test_without_a_heading_the_wedge_is_a_circle(first, second):
    view = CameraView(wedge=Wedge(0.0, 60.0, 120.0))
    start, end = fix(0, heading_deg=first), fix(1, 5.0, heading_deg=second)
    assert view.seen_from(start, end) == ((start.lon_deg, start.lat_deg), (end.lon_deg, end.lat_deg), 120.0)


def test_near_the_pole_the_wedge_is_a_circle():
    view = CameraView(wedge=Wedge(0.0, 60.0, 120.0))
    pole = Fix(0.0, 89.5, 5.0, T0_S, heading_deg=0.0)
    assert view.seen_from(pole, pole)[2] == 120.0


def test_a_wedge_looks_ahead_and_not_behind():
    circle = Circle(0.0, -60.0, 5.0)  # 60 m behind a car that looks north
    for view, kept in ((CameraView(150.0), False), (CameraView(wedge=Wedge(0.0, 40.0, 150.0)), True)):
        world = World(circle, view=view).stand(0, 20, heading_deg=0.0)
        assert (world.ask(10.0) == KEEP) is kept
    ahead = World(Circle(0.0, 160.0, 5.0), view=CameraView(wedge=Wedge(0.0, 40.0, 150.0))).stand(
        0, 20, heading_deg=0.0
    )
    assert ahead.ask(10.0) == drop(FineReason.ZONE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: CameraView(-1.0),
        lambda: CameraView(math.inf),
        lambda: CameraView(clock_offset_s=math.nan),
        lambda: CameraView(clock_uncertainty_s=-0.1),
        lambda: Wedge(math.nan, 60.0, 100.0),
        lambda: Wedge(0.0, 0.0, 100.0),
        lambda: Wedge(0.0, 60.0, 0.0),
        lambda: Wedge(0.0, 60.0, 100.0, -1.0),
    ],
)
def test_views_out_of_range(make):
    with pytest.raises(UsageError):
        make()
