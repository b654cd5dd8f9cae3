"""SAFETY 15 and the picture part of issue 3, point 8: what lies beside the picture does not reach the output."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from anonymize.errors import MediaError
from anonymize.frames import CapturedFrame, ReleasedFrame
from anonymize.media.metadata import ExifTime, clean_icc_profile, read_exif
from anonymize.media.pictures import CapturedPicture, encode_picture, open_picture, write_picture
from anonymize.media.sniff import PictureFormat
from tests.media import making

Seal = Callable[[CapturedFrame], ReleasedFrame]
SECRETS = (b"Anna", b"SN-4711", b"Maker", b"SECRET", b"ftyp", b"ns.adobe.com", b"8BIM", b"MPF\0", b"GPS")
STREET = making.street()
SLOW_WITHOUT_JIT = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1",
    reason="walking over 7 MB of JPEG takes a minute with the JIT off",
)
# A second picture with a face in it, as previews, depth maps and gain maps carry one.
SECOND = making.encoded(making.street(40, 30), "JPEG", comment=b"SECRET second picture")
FILM = b"\0\0\0\x18ftypmp42SECRET" + bytes(300)
XMP = b"<x:xmpmeta><rdf:li>SECRET</rdf:li><exif:GPSLatitude>52,31N</exif:GPSLatitude></x:xmpmeta>"


@functools.cache  # a profile holds the second in which it was made
def srgb_profile() -> bytes:
    """An sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def private_profile() -> bytes:
    """The same with a monitor's serial number in a private tag."""
    profile = srgb_profile()
    (count,) = struct.unpack_from(">I", profile, 128)
    table, body = bytearray(profile[132 : 132 + 12 * count]), profile[132 + 12 * count :]
    for place in range(4, len(table), 12):
        struct.pack_into(">I", table, place, struct.unpack_from(">I", table, place)[0] + 12)
    secret = b"mmod" + bytes(4) + b"SN-4711 SECRET monitor  "
    table += struct.pack(">4sII", b"mmod", len(profile) + 12, len(secret))
    whole = bytearray(profile[:128] + struct.pack(">I", count + 1) + table + body + secret)
    struct.pack_into(">I", whole, 0, len(whole))
    return bytes(whole)


def private_jpeg() -> bytes:
    """A JPEG with everything beside its picture that phones and cameras have been seen to put there."""
    content = making.encoded(STREET, "JPEG", icc_profile=private_profile(), quality=80)
    thumbnail = b"JFXX\0\x10" + SECOND
    for marker, body in (
        (0xE1, b"Exif\0\0" + with_thumbnail(making.exif_block(orientation=6)[6:])),
        (0xFE, b"SECRET comment of Anna"),
        (0xE0, thumbnail),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + SECOND),
        (0xE2, b"MPF\0MM\0*\0\0\0\x08" + bytes(20)),
        (0xE2, b"FPXR\0SECRET"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0SECRET"),
        (0xEB, b"JP\0\x01SECRET C2PA"),
        (0xE5, b"SECRET of a maker"),
        (0xEE, b"Adobe\0\x64\0\0\0\0\x01SECRET behind the marker"),
    ):
        content = making.with_jpeg_segment(content, marker, body)
    return content + SECOND + FILM


def with_thumbnail(exif: bytes) -> bytes:
    """The EXIF block with a second directory that points at a whole picture."""
    order = "<" if exif.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, start)
    changed = bytearray(exif)
    struct.pack_into(order + "I", changed, start + 2 + 12 * count, len(exif))
    entries = [(0x0201, 4, 1, len(exif) + 30), (0x0202, 4, 1, len(SECOND))]
    directory = struct.pack(order + "H", 2) + b"".join(
        struct.pack(order + "HHII", *entry) for entry in entries
    )
    return bytes(changed) + directory + bytes(4) + SECOND


def private_png() -> bytes:
    content = making.encoded(STREET, "PNG", icc_profile=private_profile())
    for name, body in (
        (b"tEXt", b"Comment\0SECRET Anna"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"SECRET Anna")),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        (b"eXIf", making.exif_block(orientation=6)[6:]),
        (b"tIME", b"\x07\xe8\x05\x06\x07\x08\x09"),
        (b"prVt", b"SECRET chunk"),
    ):
        content = making.with_png_chunk(content, name, body)
    return content + SECOND


def private_webp() -> bytes:
    content = making.encoded(
        STREET, "WEBP", lossless=True, icc_profile=private_profile(), exif=making.exif_block(orientation=6), xmp=XMP
    )  # fmt: skip
    content += b"prVt" + struct.pack("<I", 12) + b"SECRET chunk"
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:] + SECOND


def private_tiff() -> bytes:
    exif = Image.Exif()
    exif.load(making.exif_block(orientation=6))
    exif[0x02BC] = XMP
    exif[0x83BB] = b"SECRET IPTC"
    exif[0x8649] = b"8BIM\x04\x04\0\0SECRET"
    exif[0xC350] = b"SECRET private tag"
    return making.encoded(STREET, "TIFF", icc_profile=private_profile(), exif=exif) + SECOND


def private_bmp() -> bytes:
    content = making.encoded(STREET, "BMP")
    gap = b"SECRET between head and pixels.."
    moved = bytearray(content[:54] + gap + content[54:] + SECOND)
    struct.pack_into("<I", moved, 10, 54 + len(gap))
    return bytes(moved)


PRIVATE = {
    PictureFormat.JPEG: private_jpeg,
    PictureFormat.PNG: private_png,
    PictureFormat.WEBP: private_webp,
    PictureFormat.TIFF: private_tiff,
    PictureFormat.BMP: private_bmp,
}
# All that exiftool may find in an output, by group and tag.
ALLOWED = {
    "IFD0": {"Orientation", "ModifyDate"},
    "ExifIFD": {
        "DateTimeOriginal", "CreateDate", "SubSecTime", "SubSecTimeOriginal", "SubSecTimeDigitized",
        "OffsetTime", "OffsetTimeOriginal", "OffsetTimeDigitized",
    },
    "JFIF": {"JFIFVersion", "ResolutionUnit", "XResolution", "YResolution"},
    "PNG": {
        "ImageWidth", "ImageHeight", "BitDepth", "ColorType", "Compression", "Filter", "Interlace", "ProfileName",
        "Palette",
    },
    "PNG-pHYs": {"PixelUnits", "PixelsPerUnitX", "PixelsPerUnitY"},
    "RIFF": {
        "VP8Version", "ImageWidth", "ImageHeight", "HorizontalScale", "VerticalScale", "WebP_Flags", "AlphaIsUsed",
    },
}  # fmt: skip
ALLOWED_TIFF = {
    "ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "PhotometricInterpretation", "StripOffsets",
    "SamplesPerPixel", "RowsPerStrip", "StripByteCounts", "PlanarConfiguration", "XResolution", "YResolution",
    "ResolutionUnit", "SampleFormat",
}  # fmt: skip
# Of the file itself, computed, or of the colour profile, whose tags are checked byte by byte elsewhere.
UNCHECKED_GROUPS = {"ExifTool", "System", "File", "Composite"}


def outside_program() -> str:
    program = shutil.which("exiftool")
    if program is None:
        pytest.skip(
            "exiftool is not installed (Debian: libimage-exiftool-perl): outputs are not checked with it"
        )
    return program


def check_with_exiftool(*paths: Path) -> None:
    """No tag beside the allow-list, by a program that knows thousands."""
    command = [outside_program(), "-j", "-a", "-u", "-G1", *map(str, paths)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert len(found) == len(paths)
    for tags in found:
        is_tiff = tags["File:FileType"] == "TIFF"
        for name in tags:
            group, _, tag = name.rpartition(":")
            allowed = ALLOWED.get(group, set()) | (ALLOWED_TIFF if is_tiff and group == "IFD0" else set())
            unchecked = group in UNCHECKED_GROUPS or group.startswith("ICC") or name == "SourceFile"
            assert unchecked or tag in allowed, (tags["SourceFile"], name)
        assert not any("Warning" in name or "Error" in name for name in tags), tags


def captured(tmp_path: Path, content: bytes) -> CapturedPicture:
    (tmp_path / "source").write_bytes(content)
    return open_picture(tmp_path / "source")


@pytest.mark.parametrize("wanted", list(PictureFormat))
@pytest.mark.parametrize("source", list(PictureFormat))
def test_nothing_private_reaches_the_output(
    tmp_path: Path, released: Seal, source: PictureFormat, wanted: PictureFormat
) -> None:
    content = PRIVATE[source]()
    assert b"SECRET" in content
    picture = captured(tmp_path, content)
    write_picture(tmp_path / "out", released(picture.frame), picture.metadata, picture_format=wanted)
    written = (tmp_path / "out").read_bytes()
    for secret in SECRETS:
        assert secret not in written, secret
    assert SECOND[-60:] not in written
    again = open_picture(tmp_path / "out")
    assert not [note for note in again.notes if note.startswith("dropped")]
    if source is not PictureFormat.BMP and wanted is not PictureFormat.BMP:
        assert again.metadata.taken == ExifTime("2024:05:06 07:08:07", "123", "+02:00")
        assert again.metadata.icc_profile == clean_icc_profile(srgb_profile(), b"RGB ")
    if shutil.which("exiftool"):
        check_with_exiftool(tmp_path / "out")


def test_what_was_dropped_is_said_without_its_value(tmp_path: Path) -> None:
    notes = captured(tmp_path, private_jpeg()).notes
    said = "\n".join(notes)
    for name in (
        "GPS position",
        "maker note",
        "serial numbers",
        "thumbnail",
        "comment",
        "XMP",
        "IPTC",
        "MPF",
        "C2PA",
    ):
        assert name in said
    assert f"{len(SECOND) + len(FILM):,} bytes after the picture" in said
    assert not any(secret.decode() in said for secret in (b"Anna", b"SN-4711", b"SECRET"))


def test_free_text_in_the_place_of_a_time_does_not_pass(tmp_path: Path) -> None:
    block = making.exif_block(
        taken="Anna was in Berlin!", changed="2024:05:06 Anna's :)", subseconds="Anna", offset="SECRET"
    )
    facts = read_exif(block[6:])
    assert facts.taken is facts.changed is None
    block = making.exif_block(subseconds="12 Anna", offset="+02:00 Anna")
    assert read_exif(block[6:]).taken == ExifTime("2024:05:06 07:08:07")
    for text in ("2024:05:06 07:08:07\n", "２０２４:05:06 07:08:07", "Anna"):
        with pytest.raises(ValueError, match="wanted"):
            ExifTime(text)
    with pytest.raises(ValueError, match="wanted"):
        ExifTime("2024:05:06 07:08:07", "1234567890")
    assert ExifTime("2024:02:31 25:08:07", None, "+01:00").utc_s is None


@pytest.mark.parametrize("damage", range(0, 300, 7))
def test_damaged_exif_costs_the_facts_and_not_the_picture(tmp_path: Path, damage: int) -> None:
    block = bytearray(making.exif_block(orientation=6))
    block[6 + damage % (len(block) - 6)] ^= 0xFF
    content = making.with_jpeg_segment(making.encoded(STREET, "JPEG"), 0xE1, bytes(block))
    assert captured(tmp_path, content).frame.width == 97


# -- Colour profiles ----------------------------------------------------------------------------------------


def test_a_profile_keeps_its_colors_and_loses_its_serial_number() -> None:
    plain, private = srgb_profile(), private_profile()
    assert clean_icc_profile(plain, b"RGB ") is not None
    assert b"SN-4711" in private
    cleaned = clean_icc_profile(private, b"RGB ")
    assert cleaned is not None and cleaned == clean_icc_profile(plain, b"RGB ")
    profile = ImageCms.getOpenProfile(io.BytesIO(cleaned))
    assert ImageCms.getProfileDescription(profile) == ImageCms.getProfileDescription(
        ImageCms.getOpenProfile(io.BytesIO(plain))
    )


@pytest.mark.parametrize("profile", [b"", b"Anna" * 50, bytes(200), srgb_profile()[:140]])
def test_what_is_no_profile_is_dropped(profile: bytes) -> None:
    assert clean_icc_profile(profile, b"RGB ") is None


def test_a_profile_of_other_colors_is_dropped(tmp_path: Path) -> None:
    assert clean_icc_profile(srgb_profile(), b"GRAY") is None
    gray = making.encoded(making.street(channels=1), "PNG", icc_profile=srgb_profile())
    picture = captured(tmp_path, gray)
    assert picture.metadata.icc_profile is None
    assert "dropped: a colour profile that does not fit the pixels" in picture.notes


# -- Several pictures in one file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picture_format", "options", "message"),
    [
        ("PNG", {}, "is an animated PNG; wanted one picture"),
        ("PNG", {"default_image": True}, "is an animated PNG; wanted one picture"),
        ("WEBP", {"lossless": True}, "is an animated WebP; wanted one picture"),
        ("TIFF", {}, "is a TIFF of several pages; wanted one picture"),
        ("TIFF", {"compression": "tiff_lzw"}, "is a TIFF of several pages; wanted one picture"),
        ("GIF", {}, "is a GIF"),
    ],
)
def test_animations_and_pages_are_refused(
    tmp_path: Path, picture_format: str, options: dict[str, Any], message: str
) -> None:
    second = Image.fromarray(STREET[::-1].copy())
    content = making.encoded(STREET, picture_format, save_all=True, append_images=[second], **options)
    with pytest.raises(MediaError, match=message):
        captured(tmp_path, content)


def test_an_animation_of_a_single_picture_is_refused_too(tmp_path: Path) -> None:
    still = making.encoded(STREET, "PNG")
    with pytest.raises(MediaError, match="animated PNG"):
        captured(tmp_path, making.with_png_chunk(still, b"acTL", struct.pack(">II", 1, 0)))
    with pytest.raises(MediaError, match="animated PNG"):
        captured(tmp_path, making.with_png_chunk(still, b"fdAT", bytes(4) + b"SECRET"))


def test_raw_camera_files_and_tiffs_with_inner_pictures_are_refused(tmp_path: Path) -> None:
    for tag, value in ((330, 8), (50706, b"\1\4\0\0")):
        exif = Image.Exif()
        exif[tag] = value
        with pytest.raises(MediaError, match="raw camera file or a TIFF with pictures inside"):
            captured(tmp_path, making.encoded(STREET, "TIFF", exif=exif))


def test_of_several_jpegs_in_a_row_the_first_is_read_and_the_others_never(
    tmp_path: Path, released: Seal
) -> None:
    """MPO: stereo pictures, previews in full size, gain maps."""
    second = Image.fromarray(STREET[::-1].copy())
    content = making.encoded(STREET, "MPO", save_all=True, append_images=[second], quality=90)
    picture = captured(tmp_path, content)
    with Image.open(tmp_path / "source") as image:
        assert getattr(image, "n_frames", 1) == 2
        assert np.array_equal(np.asarray(image), picture.frame.planes[0])
    assert any("second pictures (MPF)" in note for note in picture.notes)
    assert any("bytes after the picture" in note for note in picture.notes)
    encoded = encode_picture(released(picture.frame), picture.metadata)
    assert encoded.count(b"\xff\xd8\xff") == 1
    assert len(encoded) < 0.7 * len(content)


# -- Pictures from elsewhere --------------------------------------------------------------------------------


@SLOW_WITHOUT_JIT
def test_real_pictures_leave_pixels_orientation_time_and_colors(
    tmp_path: Path, released: Seal, data_dir: Path
) -> None:
    sources = sorted((data_dir / "exif").glob("*.jpg"))
    assert len(sources) == 16
    for source in sources:
        picture = open_picture(source)
        write_picture(tmp_path / source.name, released(picture.frame), picture.metadata)
        written = (tmp_path / source.name).read_bytes()
        assert written.count(b"\xff\xd8\xff") == 1, source.name
        again = open_picture(tmp_path / source.name)
        assert again.notes == ()
        if picture.metadata.jpeg is not None:
            assert again.metadata.jpeg == picture.metadata.jpeg
        with Image.open(source) as image:
            assert (image.width, image.height) == (picture.frame.width, picture.frame.height)
            if image.mode != "CMYK":
                assert np.array_equal(np.asarray(image), picture.frame.planes[0])
    check_with_exiftool(*(tmp_path / source.name for source in sources))


@SLOW_WITHOUT_JIT
def test_real_pictures_keep_what_exiftool_reads_as_orientation_and_time(
    tmp_path: Path, released: Seal, data_dir: Path
) -> None:
    program = outside_program()
    sources = sorted((data_dir / "exif").glob("*.jpg"))
    for source in sources:
        picture = open_picture(source)
        write_picture(tmp_path / source.name, released(picture.frame), picture.metadata)
    names = ["Orientation", "DateTimeOriginal", "SubSecTimeOriginal", "OffsetTimeOriginal"]
    wanted_tags = [f"-EXIF:{name}" for name in names]

    def read(folder: Path) -> list[dict[str, Any]]:
        paths = [str(folder / source.name) for source in sources]
        done = subprocess.run([program, "-j", *wanted_tags, "-n", *paths], capture_output=True, check=True)
        return list(json.loads(done.stdout))

    for before, after in zip(read(data_dir / "exif"), read(tmp_path), strict=True):
        assert before.get("Orientation", 1) == after.get("Orientation", 1), before["SourceFile"]
        for name in names[1:]:
            text = before.get(name)
            if text is None or not str(text).strip(" :0"):
                continue
            assert text == after.get(name), (before["SourceFile"], name)
