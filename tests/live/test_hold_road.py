"""What the element that holds does with a mapped buffer, without GStreamer."""

from __future__ import annotations

import numpy as np
import pytest

from anonymize.errors import FrameError, UsageError
from anonymize.frames import ColorMatrix, ColorRange, FrameMemory, PixelFormat, _seal_anonymized
from anonymize.live import element_road
from anonymize.live.element_road import ElementOptions, make_engine
from anonymize.live.gst_names import PictureKind
from anonymize.live.hold_road import CLOCKS_S, HoldRoad, Leaving, Site, read_site
from anonymize.live.memory_layout import MemoryLayout
from anonymize.live.stream_order import StreamOrder, Ticket
from anonymize.zones.views import CameraView
from tests.zones.places import T0_S, Circle, fix, signed

KIND = PictureKind(PixelFormat.GRAY8, 8, 4, ColorRange.LIMITED, ColorMatrix.BT709)
LAYOUT = MemoryLayout("gray8", 8, 4, (8,), (0,))
SITE = Site(signed(Circle(0.0, 100_000.0, 1.0)), CameraView(0.0, clock_uncertainty_s=0.0))


class Inverting:
    """An engine whose hidden picture tells what came."""

    def __init__(self, gate):
        self.gate, self.last_fault = gate, ""

    def process(self, captured):
        if not self.gate.admit(captured):
            return self.gate.collect()
        planes = tuple(255 - plane for plane in captured.planes)
        return self.gate.release(_seal_anonymized(captured, planes, FrameMemory()))

    def reset(self, camera):
        pass

    def collect(self):
        return self.gate.collect()

    def close(self):
        return self.gate.close()


class Ride:
    def __init__(self, monkeypatch, **options):
        self.now_s = T0_S
        monkeypatch.setattr(element_road, "make_engine", lambda options, zones: Inverting(zones))
        self.road = HoldRoad(ElementOptions(), SITE, clock_s=lambda: self.now_s, **options)
        self.left: list[object] = []

    def frame(self, seconds: float, value: int) -> None:
        self.now_s = T0_S + seconds
        memory = bytearray([value]) * 32
        ticket = Ticket(self.now_s, round(seconds * 1e9), 1, KIND, None)
        leaving, reason = self.road.take(memory, LAYOUT, ticket)
        assert reason is None
        memory[:] = b"\xee" * 32  # the buffer goes back to its pool
        self.left += leaving

    def go(self, first: int, last: int) -> None:
        for second in range(first, last):
            self.now_s = T0_S + second
            self.road.fix(fix(second))
            self.frame(second + 0.5, second)

    @property
    def seconds(self) -> list[float]:
        return [one.ticket.pts_ns / 1e9 for one in self.left if isinstance(one, Leaving)]


def test_frames_leave_late_in_order_and_as_they_came(monkeypatch):
    ride = Ride(monkeypatch)
    ride.go(0, 12)
    assert ride.seconds == [3.5, 4.5, 5.5, 6.5, 7.5]
    for one in ride.left:
        memory = bytearray(b"\x77" * 40)
        ride.road.write(one, memory, LAYOUT)
        value = 255 - int(one.ticket.pts_ns / 1e9)
        assert memory == bytes([value]) * 32 + bytes(8)  # no byte of what lay there before
    ride.left = ride.road.end()
    assert ride.seconds == []  # the fix 3 s behind the next one is not known


def test_an_event_waits_for_the_frames_before_it(monkeypatch):
    ride = Ride(monkeypatch)
    assert ride.road.event("first") == ["first"]
    ride.go(0, 8)
    assert ride.road.event("second") == []
    ride.go(8, 14)
    at = ride.left.index("second")
    assert [one.ticket.pts_ns / 1e9 for one in ride.left[:at]] == [3.5, 4.5, 5.5, 6.5, 7.5]
    assert [one.ticket.pts_ns / 1e9 for one in ride.left[at + 1 :]] == [8.5, 9.5]


def test_an_event_does_not_wait_for_frames_that_were_withheld(monkeypatch):
    ride = Ride(monkeypatch)
    ride.go(0, 8)
    assert ride.road.event("behind them") == []
    for second in range(8, 16):
        ride.frame(second + 0.5, 1)  # no fix comes any more
    assert "behind them" in ride.left
    assert len(ride.road._order) <= 7


def test_after_a_flush_nothing_that_waited_leaves(monkeypatch):
    ride = Ride(monkeypatch)
    ride.go(0, 8)
    ride.road.event("caps")
    waiting = [group.picture.planes[0] for group in ride.road.gate._hold]
    ride.left.clear()
    assert ride.road.flush() == ["caps"]
    ride.go(8, 16)
    assert min(ride.seconds) == 8.5
    assert waiting
    assert not any(plane.any() for plane in waiting)


def test_the_memory_for_waiting_frames_is_bounded(monkeypatch):
    ride = Ride(monkeypatch, hold_bytes=64)  # two of them, and four are needed
    ride.go(0, 12)
    assert ride.seconds == []
    assert ride.road.gate.held_bytes <= 64
    assert len(ride.road._order) <= 2


def test_a_frame_of_another_shape_is_not_written(monkeypatch):
    ride = Ride(monkeypatch)
    ride.go(0, 9)
    with pytest.raises(FrameError, match="wanted"):
        ride.road.write(ride.left[0], bytearray(9 * 4), MemoryLayout("gray8", 9, 4, (9,), (0,)))
    one_line = MemoryLayout("gray8", 8, 1, (8,), (0,))
    with pytest.raises(FrameError, match="wanted"):
        ride.road.write(ride.left[0], bytearray(8), one_line)


def test_a_picture_that_does_not_fit_its_layout_is_a_bad_frame(monkeypatch):
    ride = Ride(monkeypatch)
    _, reason = ride.road.take(bytes(3), LAYOUT, Ticket(T0_S, 0, 1, KIND, None))
    assert reason == "bad_frame"
    assert len(ride.road._order) == 0


def test_a_ticket_is_found_by_its_time_alone():
    order = StreamOrder()
    first, second = Ticket(1.0, 0, 1, KIND, None), Ticket(2.0, 1, 1, KIND, None)
    for item in (first, "a", second, "b"):
        order.add(item)
    assert order.reach(1.5) == ([], None)
    assert order.reach(2.0) == (["a"], second)
    assert order.settle(5.0) == ["b"]
    assert len(order) == 0


def test_with_zones_the_engine_copies():
    assert not make_engine(ElementOptions(), zones=Ride).in_place  # any gate
    assert make_engine(ElementOptions()).in_place


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "was given none"),
        ('[zones]\nlist = "zones.json"\n', "signed lists alone"),
        ('[zones]\nlist = "a"\nroot = "b"\nstate = "c"\ndatum = "wgs84"\n', "signed lists alone"),
        ('[zones]\nlist = "a"\nroot = "missing"\nstate = "c"\n', "cannot be read"),
        ('[zones]\nlist = "a"\nroot = "b"\nstate = "c"\n[cameras.front]\nyaw_deg = 1.0\n', "wanted view_m"),
    ],
)
def test_a_site_without_a_signed_list_is_refused(tmp_path, text, why):
    pytest.importorskip("tuf")
    config = tmp_path / "site.toml"
    config.write_text(text)
    with pytest.raises(UsageError, match=why):
        read_site(str(config), "front")
    with pytest.raises(UsageError, match="use vehicleanonymize"):
        read_site("", "front")


def test_a_site_gives_the_cameras_view_and_clock(tmp_path, monkeypatch):
    config = tmp_path / "site.toml"
    config.write_text(
        '[zones]\nlist = "a"\nroot = "b"\nstate = "c"\n'
        "[cameras.rear]\nview_m = 30.0\nclock_offset_s = 0.05\nclock_uncertainty_s = 0.0\n"
    )
    from anonymize.live import hold_road

    monkeypatch.setattr(hold_road, "_signed_zones", lambda *paths: (signed(), tuple(map(str, paths))))
    site = read_site(str(config), "rear")
    assert site.view == CameraView(30.0, clock_offset_s=0.05, clock_uncertainty_s=CLOCKS_S)
    assert site.warnings == tuple(str(tmp_path / name) for name in "abc")
    front = read_site(str(config), "front").view
    assert (front.view_m, front.clock_uncertainty_s) == (150.0, 0.1 + CLOCKS_S)
    assert np.isfinite(front.clock_offset_s)
