"""What may stay beside a picture: orientation, capture times, colour profile, resolution; by allow-list.

Everything here is read into typed, checked values and written anew: no byte of the source's metadata is copied,
but the colour tables of its ICC profile.
"""

from __future__ import annotations

import datetime
import re
import struct
from dataclasses import dataclass, field
from typing import Final

from anonymize.media.output import FileIdentity
from anonymize.media.sniff import PictureFormat

_MOMENT: Final = re.compile(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", re.ASCII)
_SUBSECONDS: Final = re.compile(r"\d{1,9}", re.ASCII)
_OFFSET: Final = re.compile(r"[+-]\d\d:\d\d", re.ASCII)
_DPI_LIMIT: Final = 100_000.0
MAX_PROFILE_BYTES: Final = 8 << 20

ORIENTATION_TAG: Final = 0x0112
EXIF_IFD: Final = 0x8769
_GPS_IFD, _MAKER_NOTE = 0x8825, 0x927C
_SERIAL_NUMBERS: Final = frozenset(
    {0xA431, 0xA435, 0xC62F, 0xA420, 0xA430}
)  # body, lens, camera, unique id, owner
# What a TIFF needs to be decoded, and numbers that a new file states anew (TIFF 6.0, EXIF 2.32).
_STRUCTURE_TAGS: Final = frozenset(
    {*range(0x00FE, 0x010B), 0x0111, *range(0x0115, 0x011E), 0x0128, 0x013D, *range(0x0140, 0x0146)}
    | {0x0152, 0x0153, *range(0x0211, 0x0215), 0x8773, 0x9000, 0x9101, 0xA000, 0xA001, 0xA002, 0xA003}
)
_ASCII, _SHORT, _LONG = 2, 3, 4

# EXIF 2.32, 4.6.5: (moment, sub-seconds, offset) by the time it tells; IFD0 holds 0x0132, the Exif IFD the rest.
TIME_TAGS: Final[dict[str, tuple[int, int, int]]] = {
    "taken": (0x9003, 0x9291, 0x9011),
    "digitized": (0x9004, 0x9292, 0x9012),
    "changed": (0x0132, 0x9290, 0x9010),
}
_KEPT_TAGS: Final = frozenset({ORIENTATION_TAG, EXIF_IFD}.union(*TIME_TAGS.values()))

# Orientation of EXIF → (mirrored, rotation_deg) as `CapturedFrame` means them.
TURNS: Final[dict[int, tuple[bool, int]]] = {
    1: (False, 0),
    2: (True, 0),
    3: (False, 180),
    4: (True, 180),
    5: (True, 270),
    6: (False, 90),
    7: (True, 90),
    8: (False, 270),
}


@dataclass(frozen=True, slots=True)
class ExifTime:
    """One time of EXIF: local `moment` as "YYYY:MM:DD HH:MM:SS", `subseconds` as digits, `offset` as "+HH:MM".

    Raises
    ------
    ValueError
        A text of any other form: free text never passes as a time.
    """

    moment: str
    subseconds: str | None = None
    offset: str | None = None

    def __post_init__(self) -> None:
        for text, form in ((self.moment, _MOMENT), (self.subseconds, _SUBSECONDS), (self.offset, _OFFSET)):
            if text is not None and not form.fullmatch(text):
                raise ValueError(f"a time of EXIF is of another form; wanted {form.pattern}")

    @property
    def utc_s(self) -> float | None:
        """Seconds since 1970 UTC; None without an offset, or for a date that does not exist."""
        if self.offset is None:
            return None
        try:
            text = self.moment.replace(":", "-", 2) + self.offset
            second = datetime.datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            return None
        return second + (float(f"0.{self.subseconds}") if self.subseconds else 0.0)


@dataclass(frozen=True, slots=True)
class JpegCoding:
    """How a JPEG was coded: one quantisation table a component (natural order), subsampling, progressive.

    `subsampling` is Pillow's number: 0 for 4:4:4, 1 for 4:2:2, 2 for 4:2:0.
    """

    tables: tuple[tuple[int, ...], ...] = field(repr=False)
    subsampling: int
    progressive: bool = False


@dataclass(frozen=True, slots=True)
class PictureMetadata:
    """Everything that a written picture keeps of its source beside pixels, and how it was coded.

    Attributes
    ----------
    picture_format : PictureFormat
    orientation : int
        1 to 8, as EXIF means it.
    taken, digitized, changed : ExifTime or None
    icc_profile : bytes or None
        Colour tables only, rebuilt by `clean_icc_profile`.
    dpi : tuple of float or None
        Across and down, in 1 / inch.
    jpeg : JpegCoding or None
    webp_lossless : bool
    tiff_compression : str or None
        Pillow's name of a lossless compression.
    source : FileIdentity or None
        The file it was read from; a writer never replaces it. Not written.
    """

    picture_format: PictureFormat
    orientation: int = 1
    taken: ExifTime | None = None
    digitized: ExifTime | None = None
    changed: ExifTime | None = None
    icc_profile: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    jpeg: JpegCoding | None = None
    webp_lossless: bool = False
    tiff_compression: str | None = None
    source: FileIdentity | None = None

    def __post_init__(self) -> None:
        if self.orientation not in TURNS:
            raise ValueError(f"orientation is {self.orientation!r}; wanted 1 to 8")


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """What an EXIF block says that may stay, and names of what may not (never their values)."""

    orientation: int = 1
    taken: ExifTime | None = None
    digitized: ExifTime | None = None
    changed: ExifTime | None = None
    dropped: tuple[str, ...] = ()


def read_exif(block: bytes) -> ExifFacts:
    """The facts of an EXIF block or classic TIFF file (from its "II" or "MM" on); damage counts as absence."""
    try:
        return _read_exif(block)
    except (struct.error, ValueError, IndexError):
        return ExifFacts(dropped=("EXIF that cannot be read",))


def _read_exif(block: bytes) -> ExifFacts:
    order = {b"II*\0": "<", b"MM\0*": ">"}[block[:4]] if block[:4] in (b"II*\0", b"MM\0*") else None
    if order is None:
        return ExifFacts(dropped=("EXIF that cannot be read",))
    main, next_offset = _read_ifd(block, struct.unpack_from(order + "I", block, 4)[0], order)
    tags = dict(main)
    if EXIF_IFD in main:
        offset = struct.unpack(order + "I", main[EXIF_IFD][2][:4])[0]
        # A damaged Exif IFD must not cost the orientation, which stands in IFD0.
        try:
            tags = {**_read_ifd(block, offset, order)[0], **main}
        except (struct.error, ValueError):
            tags = dict(main)
    times = {
        name: _time(_text(tags, moment), _text(tags, subseconds), _text(tags, offset))
        for name, (moment, subseconds, offset) in TIME_TAGS.items()
    }
    return ExifFacts(
        _orientation(main, order),
        times["taken"],
        times["digitized"],
        times["changed"],
        _name_dropped(tags, bool(next_offset)),
    )


_Ifd = dict[int, tuple[int, int, bytes]]


def _read_ifd(block: bytes, offset: int, order: str) -> tuple[_Ifd, int]:
    """Tags of one directory as (type, count, value bytes), and the offset of the next directory."""
    (count,) = struct.unpack_from(order + "H", block, offset)
    tags: _Ifd = {}
    for index in range(count):
        tag, kind, values, raw = struct.unpack_from(order + "HHI4s", block, offset + 2 + 12 * index)
        if kind == _ASCII and values > 4:
            start = struct.unpack(order + "I", raw)[0]
            raw = block[start : start + min(values, 64)]
        tags.setdefault(tag, (kind, values, raw))
    end = offset + 2 + 12 * count
    return tags, struct.unpack_from(order + "I", block, end)[0] if end + 4 <= len(block) else 0


def _orientation(tags: _Ifd, order: str) -> int:
    kind, count, raw = tags.get(ORIENTATION_TAG, (0, 0, b""))
    if count != 1 or kind not in (_SHORT, _LONG):
        return 1
    value = int(struct.unpack_from(order + ("H" if kind == _SHORT else "I"), raw)[0])
    return value if value in TURNS else 1


def _text(tags: _Ifd, tag: int) -> str | None:
    kind, count, raw = tags.get(tag, (0, 0, b""))
    if kind != _ASCII:
        return None
    return raw[:count].split(b"\0")[0].decode("ascii", "replace").strip() or None


def _time(moment: str | None, subseconds: str | None, offset: str | None) -> ExifTime | None:
    """The time, without the parts that are of another form."""
    if moment is None or not _MOMENT.fullmatch(moment):
        return None
    keep_subseconds = subseconds is not None and _SUBSECONDS.fullmatch(subseconds)
    keep_offset = offset is not None and _OFFSET.fullmatch(offset)
    return ExifTime(moment, subseconds if keep_subseconds else None, offset if keep_offset else None)


def _name_dropped(tags: _Ifd, second_directory: bool) -> tuple[str, ...]:
    names = []
    if _GPS_IFD in tags:
        names.append("GPS position")
    if _MAKER_NOTE in tags:
        names.append("maker note")
    if _SERIAL_NUMBERS & tags.keys():
        names.append("serial numbers and owner")
    if second_directory:
        names.append("thumbnail")
    if tags.keys() - _KEPT_TAGS - _STRUCTURE_TAGS - _SERIAL_NUMBERS - {_GPS_IFD, _MAKER_NOTE}:
        names.append("other EXIF")
    return tuple(names)


def checked_dpi(across: float, down: float) -> tuple[float, float] | None:
    """The resolution in 1 / inch, or None where the numbers cannot be one."""
    if 1.0 <= across <= _DPI_LIMIT and 1.0 <= down <= _DPI_LIMIT:
        return (float(across), float(down))
    return None


# ICC.1:2022, 9.2: what says how samples become colours, plus the two texts a profile must have. Left out are
# `mmod` and `vcgt`, `dmdd`, `meta`, `tech`, private tags: monitors' profiles hold serial numbers there.
_PROFILE_TAGS: Final = frozenset(
    b"A2B0 A2B1 A2B2 A2B3 B2A0 B2A1 B2A2 B2A3 B2D0 B2D1 B2D2 B2D3 D2B0 D2B1 D2B2 D2B3 aabg aagg aarg "
    b"bTRC bXYZ bkpt chad chrm cicp cprt desc gTRC gXYZ gamt kTRC lumi rTRC rXYZ view wtpt".split()
)
_PROFILE_HEADER_BYTES: Final = 128


def clean_icc_profile(profile: bytes, color_space: bytes) -> bytes | None:
    """An ICC profile rebuilt from its header and allow-listed tags; None where it does not fit the pixels.

    Parameters
    ----------
    profile : bytes
    color_space : bytes
        What the header must name: b"RGB " or b"GRAY".

    Notes
    -----
    A profile without foreign tags and gaps comes back as it was, byte for byte, but for unused header bytes.
    """
    if len(profile) > MAX_PROFILE_BYTES or profile[36:40] != b"acsp" or profile[16:20] != color_space:
        return None
    try:
        (count,) = struct.unpack_from(">I", profile, _PROFILE_HEADER_BYTES)
        entries = [
            struct.unpack_from(">4sII", profile, _PROFILE_HEADER_BYTES + 4 + 12 * index)
            for index in range(min(count, 200))
        ]
    except struct.error:
        return None
    kept = [entry for entry in entries if entry[0] in _PROFILE_TAGS and entry[1] + entry[2] <= len(profile)]
    if not kept:
        return None
    return _build_profile(profile, kept)


def _build_profile(profile: bytes, entries: list[tuple[bytes, int, int]]) -> bytes:
    body = bytearray(struct.pack(">I", len(entries)) + bytes(12 * len(entries)))
    places: dict[tuple[int, int], int] = {}
    for _, offset, size in sorted(entries, key=lambda entry: entry[1]):
        if (offset, size) not in places:
            body += bytes(-len(body) % 4)
            places[offset, size] = _PROFILE_HEADER_BYTES + len(body)
            body += profile[offset : offset + size]
    body += bytes(-len(body) % 4)
    for index, (tag, offset, size) in enumerate(entries):
        struct.pack_into(">4sII", body, 4 + 12 * index, tag, places[offset, size], size)
    header = bytearray(profile[:_PROFILE_HEADER_BYTES])
    struct.pack_into(">I", header, 0, _PROFILE_HEADER_BYTES + len(body))
    header[100:] = bytes(28)  # reserved by the standard
    if bytes(header + body) != profile:
        header[84:100] = bytes(16)  # the profile's digest no longer holds; zero means none
    return bytes(header + body)
