"""Weak finds that go on count as found: what is seen a little in frame after frame is there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from anonymize.boxes import BoxTable
from anonymize.errors import TooManyError
from anonymize.track.seen_frame import SeenFrame
from anonymize.track.tracker import Tracker

# bench/two_passes.py --stills 30: recall by frame of faces 0.959 -> 0.979, of plates 0.951 -> 1.000, and 6 % more
# of the picture is hidden. From 0.65 of the threshold on it is 4 % more again, and nothing more is found.
PERSIST_S: Final = 0.5  # so long in a row
PERSIST_SHARE: Final = 0.8  # in that share of the frames
PERSIST_SCORE: Final = 0.75  # with that mean confidence, of the class's threshold
PERSIST_HITS: Final = 5  # and so often: at two frames a second, one weak find is no proof
HOLD_S: Final = 0.3  # a longer pause begins anew


def count_persistent(
    frames: Iterable[SeenFrame], size: tuple[int, int], thresholds: Mapping[int, float]
) -> Iterator[SeenFrame]:
    """The same frames, with weak finds made strong once they went on for `PERSIST_S`; nothing becomes weak.

    The finds before that moment stay weak: the linker follows them back.

    Parameters
    ----------
    frames : iterable of SeenFrame
    size : (width, height), px
    thresholds : mapping of class id to confidence
        From which a find is strong.
    """
    tracker, table = Tracker(hold_s=HOLD_S, first_hold_s=HOLD_S), BoxTable()
    chains: dict[int, deque[tuple[float, float]]] = {}  # (time, share of the threshold) of the last finds
    times: deque[float] = deque()
    began_s: float | None = None
    for seen in frames:
        began_s = seen.time_s if began_s is None else began_s
        since_s = seen.time_s - PERSIST_S
        times.append(seen.time_s)
        _drop_before(times, since_s)
        seen.fill(table).strong[: table.count] = True  # here a weak find begins a chain
        try:
            tracker.step(table, seen.time_s, shift=seen.shift_px, size=size)
        except TooManyError:  # finds alone always have room
            tracker.forget()
            tracker.step(table, seen.time_s, shift=seen.shift_px, size=size)
        strong = seen.strong.copy()
        for row, track_id in enumerate(tracker.ids_of(table).tolist()):
            chain = chains.setdefault(track_id, deque())
            chain.append((seen.time_s, float(seen.scores[row]) / thresholds[int(seen.class_ids[row])]))
            while chain[0][0] <= since_s:
                chain.popleft()
            if began_s <= since_s and len(chain) >= max(PERSIST_HITS, PERSIST_SHARE * len(times)):
                strong[row] |= sum(share for _, share in chain) >= PERSIST_SCORE * len(chain)
        chains = {track_id: chain for track_id, chain in chains.items() if chain[-1][0] > since_s}
        yield replace(seen, strong=strong)


def _drop_before(times: deque[float], since_s: float) -> None:
    while times and times[0] <= since_s:
        times.popleft()
