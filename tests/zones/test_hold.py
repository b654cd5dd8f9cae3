"""The hold keeps its books: bytes, order per camera, nothing lost without being named."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.zones.hold import Group, Hold

ACTION = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["front", "rear"]), st.integers(0, 60)),
    st.tuples(st.just("keep"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("discard"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("take"), st.just(0), st.just(0)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTION, max_size=40), st.integers(1, 150))
def test_nothing_is_lost_or_counted_twice(actions, most_bytes):
    hold = Hold(most_bytes)
    added: list[Group] = []
    gone: list[Group] = []
    taken: list[Group] = []
    for kind, what, size in actions:
        waiting = list(hold)
        if kind == "add":
            group = Group(
                what, 0.0, 0.0, 0.0, Fraction(1, 30), [len(added)], chunks=[b"x" * size], size_bytes=size
            )
            added.append(group)
            gone += hold.add(group)
        elif kind == "keep" and waiting:
            waiting[what % len(waiting)].kept = True
        elif kind == "discard" and waiting:
            unwanted = waiting[what % len(waiting)]
            hold.discard({id(unwanted)})
            gone.append(unwanted)
        elif kind == "take":
            taken += hold.take_kept()
        assert hold.size_bytes == sum(group.size_bytes for group in hold) <= most_bytes
        assert len(hold) == len(list(hold))
    everywhere = [*hold, *gone, *taken]
    assert sorted(group.pts[0] for group in everywhere) == list(range(len(added)))
    assert all(group.kept for group in taken)
    assert all(not group.chunks for group in gone)
    for camera in ("front", "rear"):
        order = [group.pts[0] for group in taken if group.camera == camera]
        assert order == sorted(order)
