"""Time windows: the agreed vectors, both ends included, and all that is not understood counts as always."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anonymize.zones.windows import Window, active, instant_s, limited_applicability, windows_of
from tests.zones.vectors import vectors

DAY_S = 86_400.0
SATURDAY = "2022-06-18T"


def at(text):
    time_s = instant_s(text)
    assert time_s is not None
    return time_s


def weekly(days=("SAT",), start="17:00:00Z", end="23:59:59Z", **period):
    """The windows of one weekly schedule."""
    return windows_of([{**period, "schedule": [{"day": list(days), "startTime": start, "endTime": end}]}])[0]


def is_active(windows, text, uncertainty_s=0.0):
    return active(windows, at(text), uncertainty_s)


def test_vectors():
    given = vectors("schedule")
    windows = weekly(
        given["days"],
        given["start"],
        given["end"],
        startDateTime=given["valid_from"],
        endDateTime=given["valid_to"],
    )
    for text, wanted in given["vectors"]:
        assert is_active(windows, text) is wanted, text


def test_both_ends_are_included_and_widened():
    windows = weekly()
    assert is_active(windows, f"{SATURDAY}17:00:00Z")
    assert not is_active(windows, f"{SATURDAY}16:59:59Z")
    assert is_active(windows, f"{SATURDAY}16:59:00Z", 60.0)
    assert not is_active(windows, f"{SATURDAY}16:58:59Z", 60.0)
    assert is_active(windows, f"{SATURDAY}23:59:59.9Z")
    assert is_active(windows, "2022-06-19T00:00:59Z", 60.0)
    assert not is_active(windows, "2022-06-19T00:01:01Z", 60.0)


def test_a_window_over_midnight():
    """It may mean the early hours of the day itself or of the next: both count."""
    windows = weekly(("FRI",), "22:00:00Z", "06:00:00Z")
    for text, wanted in [
        ("2022-06-17T21:59:59Z", False),
        ("2022-06-17T22:00:00Z", True),
        ("2022-06-18T06:00:00Z", True),
        ("2022-06-18T06:00:01Z", False),
        ("2022-06-17T05:00:00Z", True),
        ("2022-06-18T22:30:00Z", False),
    ]:
        assert is_active(windows, text) is wanted, text


def test_local_times_have_local_days():
    """Saturday 00:30 at +08:00 is Friday 16:30 UTC."""
    windows = weekly(("SAT",), "00:00:00+08:00", "01:00:00+08:00")
    assert is_active(windows, "2022-06-17T16:30:00Z")
    assert not is_active(windows, "2022-06-18T00:30:00Z")


def test_whole_days():
    assert is_active(weekly(start="00:00:00Z", end="00:00:00Z"), f"{SATURDAY}12:00:00Z")
    assert not is_active(weekly(start="00:00:00Z", end="00:00:00Z"), "2022-06-19T12:00:00Z")
    assert is_active(weekly(start="00:00Z", end="24:00Z"), f"{SATURDAY}23:59:59.5Z")


@pytest.mark.parametrize(
    "nothing", [None, [], [{}], [{"permanent": "YES", "endDateTime": "2000-01-01T00:00:00Z"}]]
)
def test_no_window_is_always(nothing):
    windows, _ = windows_of(nothing)
    assert windows == ()
    assert active(windows, 0.0, 0.0)


@pytest.mark.parametrize(
    "schedule",
    [
        {"day": ["SAT"], "startEvent": "SR", "endEvent": "SS"},
        {"day": ["SAT"], "startTime": "17:00:00Z", "endEvent": "EECT"},
        {"day": ["SAT"], "startTime": "17:00:00Z", "endTime": "18:00:00Z", "endEvent": "SS"},
        {"day": ["SAT"], "startTime": "17:00:00Z", "endTime": "18:00:00Z", "startEvent": "SR"},
        {"day": ["SAT"], "startTime": "17:00:00Z", "endTime": "24:00:01Z"},
        {"day": ["SAT"], "startTime": "17:00:00Z"},
        {"day": ["SAT"], "startTime": "17:00:00", "endTime": "18:00:00"},
        {"day": ["SAT"], "startTime": "25:00:00Z", "endTime": "26:00:00Z"},
        {"day": ["SAT"], "startTime": "17:00:00Z", "endTime": "18:00:00+01:00"},
        {"day": ["SAT"], "startTime": 17, "endTime": 18},
        {"day": ["HOLIDAY"], "startTime": "17:00:00Z", "endTime": "18:00:00Z"},
        {"day": ["SAT", "Samstag"], "startTime": "17:00:00Z", "endTime": "18:00:00Z"},
        {"day": [], "startTime": "17:00:00Z", "endTime": "18:00:00Z"},
        {"startTime": "17:00:00Z", "endTime": "18:00:00Z"},
        {"day": [["SAT"]], "startTime": "17:00:00Z", "endTime": "18:00:00Z"},
        "sometimes",
        7,
    ],
)
def test_what_is_not_understood_is_always_active(schedule):
    """Every hour of a week, and the reader is told."""
    windows, notes = windows_of([{"schedule": [schedule]}])
    assert notes
    for hour in range(24 * 7):
        assert active(windows, at(f"{SATURDAY}00:00:00Z") + 3600.0 * hour, 0.0)


def test_a_period_that_cannot_be_read_is_open():
    for period in ({"endDateTime": "soon"}, {"endDateTime": "2022-06-18T00:00:00"}, {"endDateTime": 5}):
        windows, notes = windows_of([period])
        assert notes
        assert is_active(windows, "2099-01-01T00:00:00Z")
    turned = {"startDateTime": "2023-01-01T00:00:00Z", "endDateTime": "2022-01-01T00:00:00Z"}
    windows, notes = windows_of([turned])
    assert notes
    assert is_active(windows, "2021-01-01T00:00:00Z")


@pytest.mark.parametrize("odd", [17, "always", [5], [None], {"schedule": {}}])
def test_wrong_types_are_always_active(odd):
    assert active(windows_of(odd)[0], 0.0, 0.0)


def test_too_many_windows_are_always_active():
    entry = {"startDateTime": "2022-01-01T00:00:00Z", "endDateTime": "2022-01-02T00:00:00Z"}
    windows, notes = windows_of([entry] * 10_001)
    assert windows == ()
    assert notes


@pytest.mark.parametrize("time_s", [math.nan, math.inf, -math.inf])
def test_a_time_that_is_no_number_is_any_time(time_s):
    windows = weekly()
    assert active(windows, time_s, 0.0)
    assert active(windows, 0.0, math.nan)
    assert active(windows, 0.0, -1.0)


def test_a_long_uncertainty_meets_every_week():
    assert active(weekly(), at("2022-06-20T12:00:00Z"), 4 * DAY_S)
    assert not active(weekly(startDateTime="2022-06-01T00:00:00Z"), at("2022-05-01T00:00:00Z"), 4 * DAY_S)


HOURS = st.integers(0, 23)


@settings(deadline=None)
@example(days={"MON"}, start=0, end=1, after_s=604_799.999_999_999_8)
@given(
    st.sets(st.sampled_from(["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]), min_size=1),
    HOURS,
    HOURS,
    st.floats(0, 14 * DAY_S),
)
def test_never_less_than_minute_by_minute(days, start, end, after_s):
    """Whatever a plain look at the clock finds active is active here."""
    names = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
    windows = weekly(sorted(days), f"{start:02d}:00:00Z", f"{end:02d}:00:00Z")
    monday_s = at("2022-06-13T00:00:00Z")
    time_s = monday_s + after_s
    after_s = time_s - monday_s  # as rounded: a ten-thousandth of a millisecond before midnight is midnight
    day, hour = names[int(after_s // DAY_S) % 7], after_s % DAY_S / 3600.0
    within = start <= hour <= end if start <= end else hour >= start or hour <= end
    if day in days and within:
        assert active(windows, time_s, 0.0)
    if day not in days and start < end:
        assert not active(windows, time_s, 0.0) or hour < 1.0 / 3600.0


def test_written_and_read_again():
    windows = weekly(("SAT", "SUN"), "17:00:00+05:30", "23:59:59+05:30", startDateTime="2022-06-15T09:00:00Z")
    assert windows_of(limited_applicability(windows))[0] == windows
    assert windows_of(limited_applicability([Window(0.0, 5.0)]))[0] == (Window(0.0, 5.0),)


def test_a_period_includes_its_whole_last_second():
    windows, notes = windows_of(
        [{"startDateTime": "2022-06-15T09:00:00Z", "endDateTime": "2022-06-18T09:00:00Z"}]
    )
    assert notes == []
    for text, wanted in [
        ("2022-06-15T08:59:59.9Z", False),
        ("2022-06-15T09:00:00Z", True),
        ("2022-06-18T09:00:00.9Z", True),
        ("2022-06-18T09:00:01Z", False),
        ("2022-06-18T09:00:02Z", False),
    ]:
        assert is_active(windows, text) is wanted, text
    assert is_active(windows, "2022-06-18T09:01:00.5Z", 60.0)
    assert is_active(windows, "2022-06-15T08:59:00Z", 60.0)
    assert not is_active(windows, "2022-06-15T08:58:59Z", 60.0)


def test_every_day_by_its_word():
    """Of four days one is tried in and out of the hours."""
    for word in ("ANY", ["ANY"], ["ANY", "SAT"]):
        windows, notes = windows_of(
            [{"schedule": {"day": word, "startTime": "08:00:00Z", "endTime": "09:00:00Z"}}]
        )
        assert notes == []
        for day in (13, 15, 18, 19):
            assert is_active(windows, f"2022-06-{day}T08:30:00Z")
            assert not is_active(windows, f"2022-06-{day}T10:00:00Z")


def test_west_of_greenwich():
    """Saturday 23:00 at -05:30 is Sunday 04:30 UTC."""
    windows = weekly(("SAT",), "23:00:00-05:30", "23:30:00-0530")
    assert is_active(windows, "2022-06-19T04:45:00Z")
    assert not is_active(windows, "2022-06-18T04:45:00Z")
    assert not is_active(windows, "2022-06-18T17:45:00Z")


def test_nothing_is_noted_where_nothing_is_wrong():
    for fine in (
        None,
        [],
        [{"startDateTime": "", "endDateTime": None, "schedule": []}],
        [{"permanent": "YES"}],
    ):
        assert windows_of(fine) == ((), [])


@pytest.mark.parametrize(
    ("zone", "utc_hour"), [("+10:00", 23), ("+12:30", 20), ("-11:00", 20), ("-1130", 20)]
)
def test_zones_of_two_digits(zone, utc_hour):
    """09:00 to 09:59 there, every day."""
    windows = weekly(("ANY",), f"09:00:00{zone}", f"09:59:00{zone}")
    minute = 30 if zone in ("+12:30", "-1130") else 0
    for hour in range(24):
        moment = f"2022-06-15T{hour:02d}:{minute:02d}:30Z"
        assert is_active(windows, moment) is (hour == utc_hour), hour


def test_a_day_may_end_at_24_and_seconds_may_be_left_out():
    windows = weekly(("SAT",), "17:00Z", "24:00:00Z")
    assert is_active(windows, f"{SATURDAY}17:00:00Z")
    assert not is_active(windows, f"{SATURDAY}16:59:59.5Z")
    assert is_active(windows, f"{SATURDAY}23:59:59Z")
    assert is_active(windows, "2022-06-19T00:00:00Z")
    assert not is_active(windows, "2022-06-19T00:00:02Z")


def test_one_of_several_windows_is_enough():
    entry = {"day": ["SAT"], "startTime": "09:00:00Z", "endTime": "10:00:00Z"}
    later = {"day": ["SAT"], "startTime": "17:00:00Z", "endTime": "18:00:00Z"}
    windows, notes = windows_of([{"schedule": [entry, later]}])
    assert (len(windows), notes) == (2, [])
    for text, wanted in (("09:30:00Z", True), ("12:00:00Z", False), ("17:30:00Z", True)):
        assert is_active(windows, f"{SATURDAY}{text}") is wanted
    assert windows_of([{"schedule": [entry]}, {}])[0] == ()  # a period without end takes them all in


@pytest.mark.parametrize("entry", [{"permanent": True}, {"permanent": "YES"}, 7, None])
def test_permanent_and_what_is_no_window_are_always_active(entry):
    dated = {"endDateTime": "2022-01-01T00:00:00Z"}
    windows, notes = windows_of([dated, entry])
    assert windows == ()
    assert bool(notes) is not isinstance(entry, dict)
    no = windows_of([{"permanent": "NO"} | dated])[0]
    assert not is_active(no, "2022-06-18T00:00:00Z")
