"""Parameter sets of H.264 and HEVC: which picture they describe, and the records in which containers keep them.

Read as far as it must be known whether pixels lie outside what is shown, and no further.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from anonymize.errors import MediaError
from anonymize.media.nal import H264, NalRules, split_units

SetKey = tuple[int, int]  # type of the unit, and its id
Sets = Mapping[SetKey, bytes]
MAX_SET_BYTES: Final = 1024  # x264 and x265 write 10 to 60; a longer one may carry anything
_HIGH_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_CHROMA_STEPS: Final = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}  # columns and rows of a chroma sample


class _Bits:
    """A unit's bits from `start` bytes on, escape bytes (00 00 03) taken out."""

    def __init__(self, unit: bytes, start: int) -> None:
        content = unit[start:].replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(content, "big")
        self._left = 8 * len(content)

    def take(self, count: int) -> int:
        if count > self._left:
            raise MediaError("a parameter set is cut off")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value % 2 else -(value // 2)


@dataclass(frozen=True, slots=True)
class PictureShape:
    """What a sequence parameter set says of the pictures.

    Attributes
    ----------
    crop_px : tuple of int
        Columns and rows that are coded and not shown: left, right, top, bottom.
    block_px : int
        Side of the blocks that pictures are made of: what a size is rounded up to.
    progressive : bool
        Fields cannot be coded.
    says_delay : bool
        It says how far pictures may be reordered; a decoder that must guess learns it from the pictures before.
    """

    chroma_format: int
    luma_bits: int
    chroma_bits: int
    crop_px: tuple[int, int, int, int]
    block_px: int
    progressive: bool
    says_delay: bool

    @property
    def crops_beyond_alignment(self) -> bool:
        """Pixels travel along that nobody sees and no detector searched."""
        left, right, top, bottom = self.crop_px
        return bool(left or top or max(right, bottom) >= max(self.block_px, 16))


def set_key(unit: bytes, rules: NalRules) -> SetKey:
    """Which set this unit replaces."""
    kind = rules.type_of(unit)
    if rules is H264:
        return (kind, _Bits(unit, 4).golomb() if kind == 7 else _Bits(unit, 1).golomb())
    if kind == 32:
        return kind, _Bits(unit, 2).take(4)
    if kind == 34:
        return kind, _Bits(unit, 2).golomb()
    bits, _ = _hevc_sequence(unit)
    return kind, bits.golomb()


def shape_of(unit: bytes, rules: NalRules) -> PictureShape:
    """The pictures that a sequence parameter set describes.

    Raises
    ------
    MediaError
        It is cut off.
    """
    return _shape_h264(unit) if rules is H264 else _shape_hevc(unit)


def _shape_h264(unit: bytes) -> PictureShape:
    """H.264 7.3.2.1.1, to the cropping."""
    profile = unit[1] if len(unit) > 3 else 0
    bits = _Bits(unit, 4)
    bits.golomb()  # seq_parameter_set_id
    chroma, luma_bits, chroma_bits = 1, 8, 8
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3 and bits.take(1):
            raise MediaError("three colour planes coded apart")
        luma_bits, chroma_bits = 8 + bits.golomb(), 8 + bits.golomb()
        bits.take(1)
        if bits.take(1):
            _pass_scaling_lists(bits, 8 if chroma != 3 else 12)
    bits.golomb()  # log2_max_frame_num_minus4
    _pass_order_count(bits)
    bits.golomb()  # max_num_ref_frames
    bits.take(1)
    bits.golomb()  # width and height in macroblocks
    bits.golomb()
    progressive = bool(bits.take(1))
    if not progressive:
        bits.take(1)
    bits.take(1)
    columns, rows = _CHROMA_STEPS.get(chroma, (1, 1))
    rows *= 1 if progressive else 2
    crop = [bits.golomb() for _ in range(4)] if bits.take(1) else [0] * 4
    left, right, top, bottom = crop
    crop_px = left * columns, right * columns, top * rows, bottom * rows
    return PictureShape(chroma, luma_bits, chroma_bits, crop_px, 16, progressive, _says_delay(bits))


def _says_delay(bits: _Bits) -> bool:
    """H.264 E.1.1: whether the usability information ends with restrictions of the bitstream."""
    if not bits.take(1):
        return False
    if bits.take(1) and bits.take(8) == 255:  # shape of a pixel
        bits.take(32)
    if bits.take(1):  # overscan
        bits.take(1)
    if bits.take(1):  # range; primaries, transfer, matrix
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):  # site of chroma
        bits.golomb()
        bits.golomb()
    if bits.take(1):  # clock
        bits.take(65)
    rates = 0
    for _ in range(2):
        if bits.take(1):
            _pass_rates(bits)
            rates += 1
    if rates:
        bits.take(1)
    bits.take(1)
    return bool(bits.take(1))


def _pass_rates(bits: _Bits) -> None:
    """H.264 E.1.2."""
    count = bits.golomb() + 1
    bits.take(8)
    for _ in range(count):
        bits.golomb()
        bits.golomb()
        bits.take(1)
    bits.take(20)


def _pass_scaling_lists(bits: _Bits, count: int) -> None:
    for index in range(count):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _pass_order_count(bits: _Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(bits.golomb()):
            bits.signed()


def _hevc_sequence(unit: bytes) -> tuple[_Bits, int]:
    """The bits behind profile, tier and level (H.265 7.3.2.2.1, 7.3.3), and the number of sub-layers less one."""
    bits = _Bits(unit, 2)
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    bits.take(96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    return bits, layers


def _shape_hevc(unit: bytes) -> PictureShape:
    bits, layers = _hevc_sequence(unit)
    bits.golomb()  # sps_seq_parameter_set_id
    chroma = bits.golomb()
    if chroma == 3 and bits.take(1):
        raise MediaError("three colour planes coded apart")
    bits.golomb()
    bits.golomb()
    columns, rows = _CHROMA_STEPS.get(chroma, (1, 1))
    left, right, top, bottom = [bits.golomb() for _ in range(4)] if bits.take(1) else [0] * 4
    luma_bits, chroma_bits = 8 + bits.golomb(), 8 + bits.golomb()
    bits.golomb()  # log2_max_pic_order_cnt_lsb_minus4
    for _ in range(layers + 1 if bits.take(1) else 1):
        for _ in range(3):
            bits.golomb()
    block = 8 << bits.golomb()  # log2_min_luma_coding_block_size_minus3
    crop = left * columns, right * columns, top * rows, bottom * rows
    return PictureShape(chroma, luma_bits, chroma_bits, crop, block, True, True)


# -- the records of MP4 and Matroska ----------------------------------------------------------------------------


def read_record(record: bytes, rules: NalRules) -> tuple[list[bytes], int]:
    """The units in a codec's record (avcC, hvcC, or Annex B), and the bytes of the lengths in its packets.

    Raises
    ------
    MediaError
        The record is cut off.
    """
    if not record or record[0] != 1:
        return split_units(record, 0), 0
    try:
        return _read_avcc(record) if rules is H264 else _read_hvcc(record)
    except IndexError:
        raise MediaError("the record of its parameter sets is cut off") from None


def _read_avcc(record: bytes) -> tuple[list[bytes], int]:
    units: list[bytes] = []
    at = 5
    for mask in (31, 255):
        count = record[at] & mask
        at = _take_units(record, at + 1, count, units)
    return units, (record[4] & 3) + 1


def _read_hvcc(record: bytes) -> tuple[list[bytes], int]:
    units: list[bytes] = []
    at = 23
    for _ in range(record[22]):
        count = int.from_bytes(record[at + 1 : at + 3], "big")
        at = _take_units(record, at + 3, count, units)
    return units, (record[21] & 3) + 1


def _take_units(record: bytes, at: int, count: int, units: list[bytes]) -> int:
    for _ in range(count):
        size = record[at] << 8 | record[at + 1]
        units.append(record[at + 2 : at + 2 + size])
        at += 2 + size
    if at > len(record):
        raise IndexError
    return at


def make_record(sets: Iterable[bytes], rules: NalRules) -> bytes:
    """avcC (ISO/IEC 14496-15, 5.3.3) or hvcC (8.3.3) with these sets and lengths of four bytes; the first describes."""
    by_type: dict[int, list[bytes]] = {kind: [] for kind in rules.sets}
    for unit in sets:
        by_type[rules.type_of(unit)].append(unit)
    if rules is H264:
        return _make_avcc(by_type[7], by_type[8])
    first = by_type[33][0]
    shape = _shape_hevc(first)
    plain = first[:40].replace(b"\0\0\3", b"\0\0")
    layers, nested = plain[2] >> 1 & 7, plain[2] & 1
    head = bytes([1]) + plain[3:15] + b"\xf0\0\xfc"
    head += bytes(
        [0xFC | shape.chroma_format, 0xF8 | shape.luma_bits - 8, 0xF8 | shape.chroma_bits - 8, 0, 0]
    )
    head += bytes([(layers + 1) << 3 | nested << 2 | 3, len(rules.sets)])
    return head + b"".join(
        bytes([kind]) + len(units).to_bytes(2, "big") + b"".join(_sized(unit) for unit in units)
        for kind, units in by_type.items()
    )


def _make_avcc(sequences: list[bytes], pictures: list[bytes]) -> bytes:
    first = sequences[0]
    shape = _shape_h264(first)
    record = bytes([1, *first[1:4], 0xFF, 0xE0 | len(sequences)])
    record += b"".join(_sized(unit) for unit in sequences)
    record += bytes([len(pictures)]) + b"".join(_sized(unit) for unit in pictures)
    if first[1] in _HIGH_PROFILES:
        depths = 0xF8 | shape.luma_bits - 8, 0xF8 | shape.chroma_bits - 8
        record += bytes([0xFC | shape.chroma_format, *depths, 0])
    return record


def _sized(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


def in_order(sets: Sets) -> list[bytes]:
    """The sets as a decoder wants them: by type, then by id."""
    return [sets[key] for key in sorted(sets)]


def free_id(sets: Sets) -> int | None:
    """An id that no set of the source has, from 1; None where all are taken (H.264 knows 32)."""
    taken = {number for _, number in sets}
    return next((number for number in range(1, 32) if number not in taken), None)
