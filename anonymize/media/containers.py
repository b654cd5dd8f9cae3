"""Picture files taken apart without decoding a pixel: the one picture for the decoder, and what lay beside it.

The decoder gets a file that holds one picture and nothing else, so that nothing else can reach the output.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from anonymize.errors import MediaError
from anonymize.media.metadata import MAX_PROFILE_BYTES

MAX_DIRECTORY_ENTRIES: Final = 4096


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A picture file in parts.

    Attributes
    ----------
    picture : bytes
        A file of the same format that holds nothing but the one picture.
    width, height : int
        As the file's head says, px; 0 where only the decoder knows.
    exif : bytes or None
        The EXIF block from its "II" or "MM" on.
    icc_profile : bytes or None
    bits : int
        Of a sample.
    dropped : tuple of str
        What lay beside the picture, by name.
    lossless : bool
        For WebP: coded without loss.
    dpi : tuple of float or None
    """

    picture: bytes
    width: int = 0
    height: int = 0
    exif: bytes | None = None
    icc_profile: bytes | None = None
    bits: int = 8
    dropped: tuple[str, ...] = ()
    lossless: bool = True
    dpi: tuple[float, float] | None = None


def unique(names: list[str]) -> tuple[str, ...]:
    """The names in their order, each once."""
    return tuple(dict.fromkeys(names))


# -- JPEG ---------------------------------------------------------------------------------------------------

_JPEG_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_JPEG_FRAMES: Final = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical",
    0xC9: "arithmetic-coded",
    0xCA: "arithmetic-coded",
    0xCB: "arithmetic-coded lossless",
    0xCD: "hierarchical",
    0xCE: "hierarchical",
    0xCF: "hierarchical",
    0xDE: "hierarchical",
}
_CODING: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD})


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Markers of the first picture in a JPEG file up to its end: (marker, start, end of the whole segment).

    The segment of a scan (0xDA) reaches to the end of its coded pixels.

    Raises
    ------
    MediaError
        The file ends before the picture does.
    """
    position = 2
    while True:
        found = _JPEG_MARKER.search(content, position)
        if found is None:
            raise MediaError(f"is truncated: {len(content):,} bytes came without an end of the picture")
        start, marker = found.start(), content[found.start() + 1]
        if marker in (0xD8, 0x01):
            raise MediaError("is corrupt: another picture begins inside the picture")
        if marker == 0xD9:
            yield marker, start, start + 2
            return
        length = int.from_bytes(content[start + 2 : start + 4], "big")
        end = start + 2 + length
        if length < 2 or end > len(content):
            raise MediaError(f"is truncated or corrupt: a segment at byte {start:,} reaches beyond the end")
        if marker == 0xDA:
            behind = _JPEG_MARKER.search(content, end)
            end = len(content) if behind is None else behind.start()
        yield marker, start, end
        position = end


def unpack_jpeg(content: bytes) -> Unpacked:
    """The first picture of a JPEG file; second pictures, comments and trailing bytes are named and left out."""
    kept, dropped, profile_parts = [b"\xff\xd8"], [], {}
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    size = (0, 0)
    end = 0
    for marker, start, end in jpeg_segments(content):
        body = content[start + 4 : end]
        if marker in _JPEG_FRAMES:
            raise MediaError(f"is a {_JPEG_FRAMES[marker]} JPEG; wanted a baseline or progressive one")
        if marker in (0xC0, 0xC1, 0xC2):
            size = _jpeg_size(body, size)
        if marker in _CODING or marker == 0xD9:
            kept.append(content[start:end])
        elif marker == 0xEE and body.startswith(b"Adobe"):
            kept.append(b"\xff\xee\0\x0e" + body[:12])  # whether the samples are YCbCr, RGB, CMYK or YCCK
        elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            kept.append(b"\xff\xe0\0\x10" + body[:12] + b"\0\0")  # without its thumbnail
            dpi = _jfif_dpi(body)
            dropped += ["thumbnail"] * (len(body) > 14)
        elif marker == 0xE1 and body.startswith(b"Exif\0") and exif is None:
            exif = body[6:]
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile_parts[body[12]] = body[14:]
        else:
            dropped.append(_name_jpeg_segment(marker, body))
    if size == (0, 0):
        raise MediaError("is corrupt: a JPEG without a picture")
    if trailing := len(content) - end:
        dropped.append(f"{trailing:,} bytes after the picture (a second picture or a film may be among them)")
    profile = b"".join(profile_parts[number] for number in sorted(profile_parts)) or None
    return Unpacked(b"".join(kept), *size, exif, profile, dropped=unique(dropped), dpi=dpi)


def _jpeg_size(body: bytes, before: tuple[int, int]) -> tuple[int, int]:
    if before != (0, 0) or len(body) < 6:
        raise MediaError("is corrupt: a JPEG with two frame headers, or a short one")
    bits, height, width, _ = struct.unpack_from(">BHHB", body)
    if bits != 8:
        raise MediaError(f"is a JPEG of {bits} bits a sample; wanted 8")
    if not (width and height):
        raise MediaError(f"is a JPEG of {width} x {height} px; wanted at least 1 x 1")
    return width, height


def _jfif_dpi(body: bytes) -> tuple[float, float] | None:
    if body[7] not in (1, 2):
        return None
    across, down = struct.unpack_from(">HH", body, 8)
    per_inch = 1.0 if body[7] == 1 else 2.54
    return across * per_inch, down * per_inch


def _name_jpeg_segment(marker: int, body: bytes) -> str:
    if marker == 0xFE:
        return "comment"
    known = {
        b"http://ns.adobe.com/xap/1.0/": "XMP",
        b"http://ns.adobe.com/xmp/extension/": "extended XMP (a second picture may be in it)",
        b"Exif": "second EXIF block",
        b"MPF": "list of second pictures (MPF)",
        b"Photoshop 3.0": "IPTC",
        b"JFXX": "thumbnail",
        b"FPXR": "FlashPix",
        b"JP": "JUMBF (C2PA)",
        b"ICC_PROFILE": "damaged colour profile",
    }
    for start, name in known.items():
        if body.startswith(start):
            return name
    return f"segment APP{marker - 0xE0}" if 0xE0 <= marker <= 0xEF else f"segment 0x{marker:02X}"


# -- PNG ----------------------------------------------------------------------------------------------------

_PNG_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_NAMES: Final = {
    b"tEXt": "comment",
    b"zTXt": "comment",
    b"iTXt": "comment",
    b"tIME": "time of change",
    b"gAMA": "gamma",
    b"cHRM": "gamma",
    b"sRGB": "",  # what an untagged picture is taken for anyway
    b"sBIT": "",
    b"bKGD": "",
    b"hIST": "",
}


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Chunks of a PNG up to IEND: (name, start, end of the whole chunk).

    Raises
    ------
    MediaError
        The file ends before IEND, or the checksum of a chunk does not hold.
    """
    position = 8
    while True:
        if position + 12 > len(content):
            raise MediaError(f"is truncated: {len(content):,} bytes came without an end of the picture")
        length = int.from_bytes(content[position : position + 4], "big")
        name, end = content[position + 4 : position + 8], position + 12 + length
        if end > len(content):
            raise MediaError(f"is truncated: chunk at byte {position:,} reaches beyond the end")
        stored = int.from_bytes(content[end - 4 : end], "big")
        if zlib.crc32(memoryview(content)[position + 4 : end - 4]) != stored:
            raise MediaError(f"is corrupt: the checksum of the chunk at byte {position:,} does not hold")
        yield name, position, end
        if name == b"IEND":
            return
        position = end


def unpack_png(content: bytes) -> Unpacked:
    """The picture of a PNG file; animations are refused, texts and trailing bytes left out."""
    kept, dropped = [content[:8]], []
    exif: bytes | None = None
    profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    size, bits, end = (0, 0), 8, 0
    for name, start, end in png_chunks(content):
        body = content[start + 8 : end - 4]
        if name in (b"acTL", b"fcTL", b"fdAT"):
            raise MediaError("is an animated PNG; wanted one picture")
        if name == b"IHDR" and len(body) == 13:
            size, bits = (int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")), body[8]
        if name in _PNG_KEPT:
            kept.append(content[start:end])
        elif name == b"eXIf":
            exif = body
        elif name == b"iCCP":
            profile = _png_profile(body)
        elif name == b"pHYs" and len(body) == 9:
            across, down, unit = struct.unpack(">IIB", body)
            dpi = (across * 0.0254, down * 0.0254) if unit == 1 else None
        else:
            dropped.append(_PNG_NAMES.get(name, "unknown chunks"))
    if trailing := len(content) - end:
        dropped.append(f"{trailing:,} bytes after the picture")
    return Unpacked(b"".join(kept), *size, exif, profile, bits, unique([n for n in dropped if n]), dpi=dpi)


def _png_profile(body: bytes) -> bytes | None:
    name_end = body.find(b"\0")
    if not 0 < name_end < 80:
        return None
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(body[name_end + 2 :], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflate.eof else None


# -- WebP ---------------------------------------------------------------------------------------------------


def unpack_webp(content: bytes) -> Unpacked:
    """The picture of a WebP file; animations are refused, XMP, unknown chunks and trailing bytes left out."""
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content) or end < 20:
        raise MediaError(f"is truncated: {len(content):,} bytes came; its head says {end:,}")
    chunks: dict[bytes, bytes] = {}
    dropped = []
    position = 12
    while position + 8 <= end:
        name, size = (
            content[position : position + 4],
            int.from_bytes(content[position + 4 : position + 8], "little"),
        )
        if position + 8 + size > end:
            raise MediaError(f"is truncated or corrupt: chunk at byte {position:,} reaches beyond the end")
        if name in chunks:
            dropped.append("second chunks of a kind")
        chunks.setdefault(name, content[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    if b"ANIM" in chunks or b"ANMF" in chunks:
        raise MediaError("is an animated WebP; wanted one picture")
    dropped += ["XMP"] * (b"XMP " in chunks)
    if chunks.keys() - {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP "}:
        dropped.append("unknown chunks")
    if trailing := len(content) - end:
        dropped.append(f"{trailing:,} bytes after the picture")
    exif = chunks.get(b"EXIF")
    if exif is not None and exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    picture, width, height = _webp_picture(chunks)
    lossless = b"VP8L" in chunks
    return Unpacked(
        picture, width, height, exif, chunks.get(b"ICCP"), dropped=unique(dropped), lossless=lossless
    )


def _webp_picture(chunks: dict[bytes, bytes]) -> tuple[bytes, int, int]:
    """A WebP file of the pixels alone, and its size in px."""
    if (coded := chunks.get(b"VP8L")) is not None and len(coded) >= 5:
        bits = int.from_bytes(coded[1:5], "little")
        return _riff([(b"VP8L", coded)]), (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if (coded := chunks.get(b"VP8 ")) is None or len(coded) < 10:
        raise MediaError("is corrupt: a WebP without a picture")
    width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", coded, 6))
    if b"ALPH" not in chunks:
        return _riff([(b"VP8 ", coded)]), width, height
    head = struct.pack("<I", 0x10) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _riff([(b"VP8X", head), (b"ALPH", chunks[b"ALPH"]), (b"VP8 ", coded)]), width, height


def _riff(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"WEBP"
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# -- TIFF and BMP -------------------------------------------------------------------------------------------

_TIFF_DROPPED: Final = {
    0x02BC: "XMP",
    0x83BB: "IPTC",
    0x8649: "IPTC",
    0x010E: "comment",
    0x8298: "comment",
    0x013B: "comment",
    0x830E: "position on the map (GeoTIFF)",
    0x8482: "position on the map (GeoTIFF)",
}


def unpack_tiff(content: bytes) -> Unpacked:
    """The picture of a TIFF file as it is (the decoder follows its offsets); what stands beside is named."""
    tags, following = _tiff_directory(content)
    if following:
        raise MediaError("is a TIFF of several pages; wanted one picture")
    if 0x014A in tags or 0xC612 in tags:
        raise MediaError("is a raw camera file or a TIFF with pictures inside; wanted one plain picture")
    dropped = [_TIFF_DROPPED[tag] for tag in sorted(tags & _TIFF_DROPPED.keys())]
    return Unpacked(
        content, exif=content if content[2:4] in (b"*\0", b"\0*") else None, dropped=unique(dropped)
    )


def _tiff_directory(content: bytes) -> tuple[set[int], bool]:
    """Tags of the first directory, and whether another one follows."""
    order = "<" if content.startswith(b"II") else ">"
    big = 43 in (content[2], content[3])
    try:
        (start,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), content, start)
        if count > MAX_DIRECTORY_ENTRIES:
            raise MediaError(
                f"is corrupt: a directory of {count:,} entries; wanted {MAX_DIRECTORY_ENTRIES} at most"
            )
        first, entry = start + (8 if big else 2), 20 if big else 12
        tags = {struct.unpack_from(order + "H", content, first + entry * index)[0] for index in range(count)}
        (following,) = struct.unpack_from(order + ("Q" if big else "I"), content, first + entry * count)
    except (struct.error, OverflowError):
        raise MediaError(
            f"is truncated: its directory lies beyond the {len(content):,} bytes that came"
        ) from None
    return tags, following != 0


def add_exif_directory(tiff: bytes, texts: dict[int, str]) -> bytes:
    """A little-endian classic TIFF of one page with an Exif directory of `texts` (tag: ASCII) put to its end.

    Pillow and libtiff write one into uncompressed files only ("Error setting from dictionary", Pillow 13).
    """
    (start,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, start)
    entries = [tiff[start + 2 + 12 * index : start + 14 + 12 * index] for index in range(count)]
    place = len(tiff) + len(tiff) % 2
    text_place = place + 2 + 12 * len(texts) + 4
    inner, strings = struct.pack("<H", len(texts)), b""
    for tag, text in sorted(texts.items()):
        value = text.encode("ascii") + b"\0"
        inner += struct.pack("<HHI", tag, 2, len(value))
        inner += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", text_place + len(strings))
        strings += value + bytes(len(value) % 2) if len(value) > 4 else b""
    inner += bytes(4) + strings
    entries.append(struct.pack("<HHII", 0x8769, 4, 1, place))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    main = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return tiff[:4] + struct.pack("<I", place + len(inner)) + tiff[8:].ljust(place - 8, b"\0") + inner + main


def unpack_bmp(content: bytes) -> Unpacked:
    """The picture of a BMP file; bytes after it are not looked at by the decoder."""
    if len(content) < 26:
        raise MediaError(f"is truncated: {len(content):,} bytes came without a whole head")
    return Unpacked(content)
