"""Hashes of a Merkle tree that prove a row, or that a tree begins with a smaller one (RFC 6962, 2.1.1 and 2.1.2)."""

from __future__ import annotations

from collections.abc import Callable

Subtree = Callable[[int, int], bytes]  # root over the leaves from the first up to, and without, the second


def inclusion_path(index: int, size: int, subtree: Subtree) -> tuple[bytes, ...]:
    """The hashes beside the way from leaf `index` up to the root of `size` leaves, lowest first; index < size."""
    first, last, path = 0, size, []
    while last - first > 1:
        middle = first + _largest_power_below(last - first)
        if index < middle:
            path.append(subtree(middle, last))
            last = middle
        else:
            path.append(subtree(first, middle))
            first = middle
    return tuple(reversed(path))


def consistency_path(first: int, second: int, subtree: Subtree) -> tuple[bytes, ...]:
    """The hashes that lead from the root of `first` leaves to that of `second`; none if one is empty or both equal."""
    if first in (0, second):
        return ()
    begin, end, whole, path = 0, second, True, []  # `whole`: the smaller root is known to who checks
    while end != first:
        middle = begin + _largest_power_below(end - begin)
        if first <= middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin, whole = middle, False
    if not whole:
        path.append(subtree(begin, end))
    return tuple(reversed(path))


def _largest_power_below(count: int) -> int:
    """The largest power of two that is less than `count`, which is 2 or more."""
    return 1 << (count - 1).bit_length() - 1
