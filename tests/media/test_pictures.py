"""Pictures are read by content, whole or not at all, within limits."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from anonymize.errors import MediaError
from anonymize.frames import PixelFormat
from anonymize.media.metadata import TURNS
from anonymize.media.pictures import CapturedPicture, open_picture, upright
from anonymize.media.sniff import PictureFormat, is_picture
from tests.media import making

STREET = making.street()
LOSSLESS = [
    ("PNG", {}),
    ("BMP", {}),
    ("WEBP", {"lossless": True, "exact": True}),
    ("TIFF", {"compression": "raw"}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
]
LOSSY = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"restart_marker_blocks": 5}),
    ("WEBP", {}),
    ("TIFF", {"compression": "jpeg"}),
]


def read(tmp_path: Path, content: bytes, name: str = "picture.jpg") -> CapturedPicture:
    path = tmp_path / name
    path.write_bytes(content)
    return open_picture(path)


def refusal(tmp_path: Path, content: bytes, name: str = "picture.jpg") -> str:
    with pytest.raises(MediaError) as caught:
        read(tmp_path, content, name)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: "), "the message says where"
    return message.removeprefix(f"{tmp_path / name}: ")


# -- What is read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("picture_format", "options"), LOSSLESS)
def test_lossless_formats_are_read_bit_for_bit(
    tmp_path: Path, picture_format: str, options: dict[str, Any]
) -> None:
    picture = read(tmp_path, making.encoded(STREET, picture_format, **options))
    assert picture.frame.pixel_format is PixelFormat.RGB24
    assert np.array_equal(picture.frame.planes[0], STREET)
    assert picture.frame.planes[0].flags.writeable and picture.frame.planes[0].flags.owndata
    assert picture.metadata.picture_format == picture_format.lower()
    assert picture.notes == ()


@pytest.mark.parametrize(("picture_format", "options"), LOSSY)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossy_formats_are_read(
    tmp_path: Path, picture_format: str, options: dict[str, Any], channels: int
) -> None:
    pixels = making.street(channels=channels)
    picture = read(tmp_path, making.encoded(pixels, picture_format, **options))
    came = picture.frame.planes[0].astype(int)
    if picture_format == "WEBP" and channels == 1:
        came = came.mean(axis=2)
    assert came.shape == pixels.shape
    assert np.abs(came - pixels).mean() < 20


@pytest.mark.parametrize("picture_format", ["PNG", "BMP", "TIFF", "JPEG"])
def test_gray_stays_gray(tmp_path: Path, picture_format: str) -> None:
    gray = making.street(channels=1)
    picture = read(tmp_path, making.encoded(gray, picture_format))
    assert picture.frame.pixel_format is PixelFormat.GRAY8
    if picture_format != "JPEG":
        assert np.array_equal(picture.frame.planes[0], gray)


@pytest.mark.parametrize("picture_format", ["PNG", "BMP", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (17, 3)])
def test_the_smallest_pictures(tmp_path: Path, picture_format: str, size: tuple[int, int]) -> None:
    picture = read(tmp_path, making.encoded(making.street(*size), picture_format))
    assert (picture.frame.width, picture.frame.height) == size


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    content = making.encoded(STREET, "PNG")
    for name in ("a.jpg", "a.txt", "a", "concat:a", "http:__a.mp4"):
        assert read(tmp_path, content, name).metadata.picture_format is PictureFormat.PNG
        assert is_picture(tmp_path / name)


def test_the_frame_says_when_and_how_it_stands(tmp_path: Path) -> None:
    exif = making.exif_block(orientation=6)
    picture = read(tmp_path, making.encoded(STREET, "JPEG", exif=exif))
    assert (picture.frame.rotation_deg, picture.frame.mirrored) == (90, False)
    assert picture.frame.captured_at_s == 1714972087.123  # 2024-05-06 05:08:07.123 UTC
    assert picture.metadata.orientation == 6
    assert picture.metadata.taken is not None and picture.metadata.taken.offset == "+02:00"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_upright_is_what_pillow_calls_upright(tmp_path: Path, orientation: int, picture_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if picture_format == "WEBP" else {}
    content = making.encoded(STREET, picture_format, exif=exif, **options)
    picture = read(tmp_path, content)
    from PIL import ImageOps

    with Image.open(tmp_path / "picture.jpg") as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(upright(picture.frame.planes[0], picture.metadata.orientation), wanted)
    mirrored, rotation_deg = TURNS[picture.metadata.orientation]
    assert (picture.frame.mirrored, picture.frame.rotation_deg) == (mirrored, rotation_deg)


def test_orientation_outside_of_one_to_eight_counts_as_none(tmp_path: Path) -> None:
    picture = read(tmp_path, making.encoded(STREET, "JPEG", exif=making.exif_block(orientation=9)))
    assert picture.metadata.orientation == 1


# -- Modes --------------------------------------------------------------------------------------------------


def test_palette_one_bit_and_opaque_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(STREET)
    palette = read(tmp_path, making.encoded(image.quantize(32), "PNG"))
    assert np.array_equal(palette.frame.planes[0], np.asarray(image.quantize(32).convert("RGB")))
    one_bit = read(tmp_path, making.encoded(image.convert("1"), "PNG"))
    assert one_bit.frame.pixel_format is PixelFormat.GRAY8
    assert set(np.unique(one_bit.frame.planes[0])) == {0, 255}
    opaque = read(tmp_path, making.encoded(image.convert("RGBA"), "PNG"))
    assert np.array_equal(opaque.frame.planes[0], STREET)
    assert opaque.notes == ("dropped: an alpha plane without a transparent pixel",)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_picture_in_the_alpha_plane_is_seen(tmp_path: Path, mode: str) -> None:
    """Black everywhere, and the picture in the alpha plane: the network must see it, or nobody."""
    alpha = making.street(channels=1)
    hidden = Image.new("RGBA", (97, 71))
    hidden.putalpha(Image.fromarray(alpha))
    if mode == "P":
        palette = Image.fromarray((alpha // 2).astype(np.uint8)).convert("P")
        palette.putpalette([0] * 768)
        content = making.encoded(palette, "PNG", transparency=bytes(range(0, 256, 2)) + bytes(128))
    else:
        content = making.encoded(hidden.convert(mode), "PNG")
    picture = read(tmp_path, content)
    seen = picture.frame.planes[0]
    seen = seen if seen.ndim == 2 else seen[..., 1]
    assert np.abs(255 - seen.astype(int) - alpha).max() <= 2
    assert picture.notes == ("changed: transparent pixels were laid over white",)


def test_one_transparent_color_counts_as_transparency(tmp_path: Path) -> None:
    gray = np.zeros((8, 8), np.uint8)
    gray[2:4] = 100
    picture = read(tmp_path, making.encoded(gray, "PNG", transparency=0))
    assert picture.frame.pixel_format is PixelFormat.GRAY8
    assert np.array_equal(picture.frame.planes[0], np.where(gray == 0, 255, 100))


@pytest.mark.parametrize("color", [0, 2, 4, 6])
def test_sixteen_bits_are_cut_and_said(tmp_path: Path, color: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    samples = np.random.default_rng(1).integers(0, 65536, (5, 7, channels), np.uint16)
    if color in (4, 6):
        samples[..., -1] = 65535
    lines = np.zeros((5, 1 + 14 * channels), np.uint8)
    lines[:, 1:] = samples.astype(">u2").view(np.uint8).reshape(5, -1)
    picture = read(tmp_path, making.png(7, 5, lines.tobytes(), bits=16, color=color))
    wanted = (samples >> 8)[..., : 3 if channels > 2 else 1]
    came = picture.frame.planes[0]
    assert (came.reshape(5, 7, -1) == wanted).all()
    assert "changed: 16-bit samples were cut to 8 bits" in picture.notes


def test_twelve_bits_in_sixteen_are_refused_not_blackened(tmp_path: Path) -> None:
    samples = np.full((5, 7), 4095, np.uint16)
    assert "brightest sample" in refusal(tmp_path, making.encoded(samples, "PNG"))
    assert "brightest sample" in refusal(tmp_path, making.encoded(samples, "TIFF"))


def test_samples_that_are_no_colors_are_refused(tmp_path: Path) -> None:
    assert "mode F" in refusal(tmp_path, making.encoded(np.ones((4, 4), np.float32), "TIFF"))
    assert "mode I" in refusal(tmp_path, making.encoded(np.ones((4, 4), np.int32), "TIFF"))
    assert "mode LAB" in refusal(tmp_path, making.encoded(Image.new("LAB", (4, 4)), "TIFF"))


@pytest.mark.parametrize("picture_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(tmp_path: Path, picture_format: str) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    picture = read(tmp_path, making.encoded(image, picture_format))
    assert picture.frame.pixel_format is PixelFormat.RGB24
    assert (np.abs(picture.frame.planes[0].astype(int) - (255, 0, 0)) <= 3).all()
    assert any("CMYK became RGB without a profile" in note for note in picture.notes)
    assert picture.metadata.jpeg is None


# -- What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes)"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is a text"),
        (b"BMerely a text that begins like a bitmap, and goes on for a while.", "is a text"),
        ("Grüße aus München, ein Text".encode(), "is a text"),
        (bytes(5000), "is nothing but zeros"),
        (b"GIF89a" + bytes(40), "is a GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIF picture"),
        (b"\0\0\0\x18ftypmp42" + bytes(40), "is a video"),
        (b"\x01\x02\x03\x04" * 20, "is of an unknown kind"),
        (b"\xff\xd8\xff", "is truncated"),
        (b"\x89PNG\r\n\x1a\n", "is truncated"),
        (b"RIFF\x40\0\0\0WEBPVP8 ", "is truncated"),
        (b"II*\0\x08\0\0\0", "is truncated"),
        (b"MM\0*\xff\xff\xff\xff", "is truncated"),
        (b"MM\0+\0\x08\0\0" + b"\xff" * 8, "is truncated"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "is truncated"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path, content).startswith(message)
    if message.startswith("is a "):
        assert "wanted a JPEG, PNG, WebP, TIFF or BMP picture" in refusal(tmp_path, content)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        open_picture(tmp_path / "none.jpg")
    with pytest.raises(MediaError, match="is a folder"):
        open_picture(tmp_path)
    with pytest.raises(MediaError, match="cannot be read"):
        open_picture("http://example.com/a.jpg")
    with pytest.raises(MediaError, match="cannot be read"):
        open_picture("a\0b.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(MediaError, match="pipe or device"):
        open_picture(tmp_path / "pipe.jpg")
    with pytest.raises(MediaError, match="pipe or device"):
        open_picture("/dev/zero")
    assert not is_picture(tmp_path / "pipe.jpg")
    assert not is_picture(tmp_path)


def huge(picture_format: str, side: int) -> bytes:
    if picture_format == "PNG":
        return making.png_head(side, side) + making.png_chunk(b"IDAT", b"x\x9c") + making.png_end()
    content = bytearray(making.encoded(making.street(8, 8), picture_format))
    if picture_format == "JPEG":
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", side, side)
    elif picture_format == "BMP":
        content[18:26] = struct.pack("<ii", side, side)
    elif picture_format == "WEBP":
        content = bytearray(making.encoded(making.street(8, 8), "WEBP", lossless=True))
        content[21:25] = struct.pack("<I", side - 1 & 0x3FFF | (side - 1 & 0x3FFF) << 14)
    else:
        for tag in (256, 257):
            place = content.index(struct.pack("<HHI", tag, 4, 1)) + 8
            content[place : place + 4] = struct.pack("<I", side)
    return bytes(content)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "BMP", "TIFF"])
def test_thirty_thousand_px_are_refused_before_decoding(tmp_path: Path, picture_format: str) -> None:
    message = refusal(tmp_path, huge(picture_format, 30_000))
    assert message.startswith(
        "is a picture of 30000 x 30000 px; wanted at most 16,384 px a side and 89,478,485 px"
    )


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_a_bomb_within_the_sides_is_refused_before_decoding(tmp_path: Path, picture_format: str) -> None:
    assert refusal(tmp_path, huge(picture_format, 16_000)).startswith(
        "is a picture of 16000 x 16000 px; wanted"
    )


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "long.jpg").open("wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(MediaError, match="holds 1,073,741,825 bytes"):
        open_picture(tmp_path / "long.jpg")


@pytest.mark.parametrize(("picture_format", "options"), LOSSLESS + LOSSY)
def test_a_cut_is_refused_wherever_it_lies(
    tmp_path: Path, picture_format: str, options: dict[str, Any]
) -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    content = making.encoded(making.street(33, 25), picture_format, **options)
    whole = read(tmp_path, content).frame.planes[0]
    # A BMP pads its last line by up to three bytes, which hold nothing.
    for length in range(1, len(content) - (3 if picture_format == "BMP" else 0), max(1, len(content) // 300)):
        assert refusal(tmp_path, content[:length])
    assert refusal(tmp_path, content[: -4 if picture_format == "BMP" else -1])
    assert np.array_equal(read(tmp_path, content).frame.planes[0], whole)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_blocks": 3},
        {"subsampling": 0, "quality": 95},
        {"subsampling": 1},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_cut_jpeg_with_its_end_put_back_is_refused(
    tmp_path: Path, options: dict[str, Any], mode: str
) -> None:
    """libjpeg decodes these, fills the rest with grey and warns; Pillow does not pass the warning on."""
    content = making.encoded(Image.fromarray(making.street(33, 25)).convert(mode), "JPEG", **options)
    read(tmp_path, content)
    step = 41 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 5
    for length in range(content.index(b"\xff\xda") + 12, len(content) - 3, step):
        assert refusal(tmp_path, content[:length] + b"\xff\xd9")


@pytest.mark.parametrize(
    ("picture_format", "options"), [("PNG", {}), ("TIFF", {"compression": "tiff_adobe_deflate"})]
)
def test_a_flipped_bit_is_found_where_there_is_a_checksum(
    tmp_path: Path, picture_format: str, options: dict[str, Any]
) -> None:
    content = making.encoded(STREET, picture_format, **options)
    for place in range(200, len(content) - 400, 97):
        broken = bytearray(content)
        broken[place] ^= 1 << place % 8
        assert refusal(tmp_path, bytes(broken))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow names each damaged tag of a TIFF
@pytest.mark.parametrize(("picture_format", "options"), LOSSLESS + LOSSY)
def test_damage_gives_a_picture_or_a_media_error_and_nothing_else(
    tmp_path: Path, picture_format: str, options: dict[str, Any]
) -> None:
    if picture_format != "TIFF":
        options = options | {"exif": making.exif_block()}
    content = making.encoded(making.street(33, 25), picture_format, **options)
    random = np.random.default_rng(3)
    for _ in range(150):
        broken = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 8)):
            broken[place] = random.integers(0, 256)
        try:
            picture = read(tmp_path, bytes(broken))
        except MediaError:
            continue
        assert picture.frame.planes[0].dtype == np.uint8


def test_jpegs_that_are_not_coded_as_usual_are_refused(tmp_path: Path) -> None:
    content = bytearray(making.encoded(STREET, "JPEG"))
    place = content.index(b"\xff\xc0") + 1
    for marker, name in ((0xC9, "arithmetic-coded"), (0xC3, "lossless"), (0xC5, "hierarchical")):
        content[place] = marker
        assert refusal(tmp_path, bytes(content)).startswith(f"is a {name} JPEG; wanted")
    content[place], content[place + 3] = 0xC0, 12
    assert "12 bits a sample" in refusal(tmp_path, bytes(content))


def test_pillow_and_numba_are_loaded_when_first_needed() -> None:
    """`anonymize --help` and `doctor` stay fast."""
    code = (
        "import sys, anonymize.media.pictures; print([m for m in ('PIL', 'numba', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
