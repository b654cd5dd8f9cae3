"""Coded pictures of H.264 and HEVC as the units they are made of (NAL units), and which of them may be copied.

ITU-T H.264 (08/2021) table 7-1 and H.265 (08/2021) table 7-1. Only slices of the one shown picture pass, and
parameter sets: a list of what is refused would keep auxiliary pictures, second cameras and free payload (SAFETY 11).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from anonymize.errors import MediaError

START_CODE: Final = b"\0\0\0\1"


@dataclass(frozen=True, slots=True)
class NalRules:
    """What the types of a codec's units mean.

    Attributes
    ----------
    slices : frozenset of int
        Types that hold the pictures, and pass.
    closed : frozenset of int
        Types of slices of a picture (IDR) on which a decoder begins anew.
    sets : tuple of int
        Parameter sets, in the order in which a decoder wants them.
    partitions : frozenset of int
        Types that hold parts of pictures in a way that is not copied.
    sei : frozenset of int
        Supplemental information: goes out.
    """

    codec: str
    slices: frozenset[int]
    closed: frozenset[int]
    sets: tuple[int, ...]
    partitions: frozenset[int]
    sei: frozenset[int]

    def type_of(self, unit: bytes) -> int:
        """The unit's type; -1 for one of another layer (a second view, a finer copy) or with no header."""
        if self.codec == "h264":
            return unit[0] & 31 if unit else -1
        if len(unit) < 2 or (unit[0] & 1) << 5 | unit[1] >> 3:
            return -1
        return unit[0] >> 1 & 63


H264: Final = NalRules(
    "h264",
    slices=frozenset({1, 5}),
    closed=frozenset({5}),
    sets=(7, 8),
    partitions=frozenset({2, 3, 4}),
    sei=frozenset({6}),
)
HEVC: Final = NalRules(
    "hevc",
    slices=frozenset({*range(10), *range(16, 22)}),
    closed=frozenset({19, 20}),
    sets=(32, 33, 34),
    partitions=frozenset(),
    sei=frozenset({39, 40}),
)
RULES: Final = {"h264": H264, "hevc": HEVC}


def split_units(content: bytes, length_bytes: int) -> list[bytes]:
    """The units of a packet.

    Parameters
    ----------
    content : bytes
    length_bytes : int
        Bytes of the length before each unit (MP4, Matroska: 1 to 4); 0: start codes lie between them (Annex B).

    Raises
    ------
    MediaError
        A unit is longer than what is left.
    """
    if length_bytes == 0:
        return _split_start_codes(content)
    units, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + length_bytes], "big")
        at += length_bytes
        if at + size > len(content):
            raise MediaError(f"a unit of {size} bytes came where {max(0, len(content) - at)} are left")
        if unit := content[at : at + size].rstrip(b"\0"):  # no unit ends with a zero byte (7.4.1)
            units.append(unit)
        at += size
    return units


def _split_start_codes(content: bytes) -> list[bytes]:
    units = []
    at = content.find(b"\0\0\1")
    while at >= 0:
        begin = at + 3
        at = content.find(b"\0\0\1", begin)
        unit = (content[begin:at] if at >= 0 else content[begin:]).rstrip(b"\0")
        if unit:
            units.append(unit)
    return units


def join_units(units: Iterable[bytes], *, start_codes: bool) -> bytes:
    """The bytes of a packet: with start codes, or with four bytes of length before each unit."""
    if start_codes:
        return b"".join(START_CODE + unit for unit in units)
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def slices_of(units: Iterable[bytes], rules: NalRules) -> list[bytes]:
    """The units that hold the picture."""
    return [unit for unit in units if rules.type_of(unit) in rules.slices]


def begins_anew(slices: Sequence[bytes], rules: NalRules) -> bool:
    """Whether the picture needs none before it, and none after it needs one before it."""
    return bool(slices) and all(rules.type_of(unit) in rules.closed for unit in slices)


def sei_types(unit: bytes, rules: NalRules) -> set[int]:
    """The payload types in a unit of supplemental information (H.264 7.3.2.3.1, H.265 7.3.5)."""
    at = 1 if rules.codec == "h264" else 2
    found = set()
    while at + 2 <= len(unit) and unit[at:] != b"\x80":
        kind, at = _run_of_255(unit, at)
        size, at = _run_of_255(unit, at)
        found.add(kind)
        at += size  # escape bytes inside make it a little short: then a later type may be read wrong, never the first
    return found


def _run_of_255(unit: bytes, at: int) -> tuple[int, int]:
    total = 0
    while at < len(unit) and unit[at] == 255:
        total += 255
        at += 1
    return (total + unit[at], at + 1) if at < len(unit) else (total, at)
