"""Hidden pictures are written as their source was coded, by `ReleasedFrame` alone, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from anonymize.errors import MediaError
from anonymize.frames import CapturedFrame, FrameMemory, ReleasedFrame, _seal_anonymized
from anonymize.media.metadata import ExifTime, JpegCoding, PictureMetadata
from anonymize.media.pictures import CapturedPicture, encode_picture, open_picture, upright, write_picture
from anonymize.media.sniff import PictureFormat
from tests.media import making
from tests.media.test_pictures import LOSSLESS

STREET = making.street()
TIME = ExifTime("2024:05:06 07:08:07", "123", "+02:00")
Seal = Callable[[CapturedFrame], ReleasedFrame]


def captured(pixels: Any, pixel_format: str = "rgb24") -> CapturedFrame:
    return CapturedFrame((pixels,), pixel_format, pts=0, time_base=Fraction(1))  # type: ignore[arg-type]


def opened(tmp_path: Path, content: bytes) -> CapturedPicture:
    path = tmp_path / "source"
    path.write_bytes(content)
    return open_picture(path)


@pytest.mark.parametrize(("picture_format", "options"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_stay_bit_for_bit(
    tmp_path: Path, released: Seal, picture_format: str, options: dict[str, Any], channels: int
) -> None:
    source = opened(tmp_path, making.encoded(making.street(channels=channels), picture_format, **options))
    write_picture(tmp_path / "out", released(source.frame), source.metadata)
    again = open_picture(tmp_path / "out")
    assert np.array_equal(again.frame.planes[0], source.frame.planes[0])
    assert again.metadata.picture_format == source.metadata.picture_format
    assert again.metadata.tiff_compression == source.metadata.tiff_compression
    assert again.notes == ()


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("quality", [1, 35, 100])
def test_a_jpeg_keeps_tables_subsampling_and_order(
    tmp_path: Path, released: Seal, subsampling: str, progressive: bool, quality: int
) -> None:
    content = making.encoded(
        STREET, "JPEG", subsampling=subsampling, progressive=progressive, quality=quality
    )
    source = opened(tmp_path, content)
    encoded = encode_picture(released(source.frame), source.metadata)
    again = opened(tmp_path, encoded)
    assert source.metadata.jpeg is not None
    assert again.metadata.jpeg == source.metadata.jpeg
    assert (again.metadata.jpeg.subsampling, again.metadata.jpeg.progressive) == (
        ["4:4:4", "4:2:2", "4:2:0"].index(subsampling),
        progressive,
    )
    change = again.frame.planes[0].astype(int) - source.frame.planes[0]
    assert np.abs(change).mean() < 3


@pytest.mark.parametrize("tables", [(0, 0, 0), (0, 1, 1), (0, 1, 2)])
def test_each_component_keeps_its_table(tmp_path: Path, released: Seal, tables: tuple[int, ...]) -> None:
    coding = JpegCoding(tuple(tuple(range(3 + index, 67 + index)) for index in tables), 0)
    metadata = PictureMetadata(PictureFormat.JPEG, jpeg=coding)
    again = opened(tmp_path, encode_picture(released(captured(STREET)), metadata))
    assert again.metadata.jpeg == coding


def test_a_gray_jpeg_keeps_its_table(tmp_path: Path, released: Seal) -> None:
    source = opened(tmp_path, making.encoded(making.street(channels=1), "JPEG", quality=40))
    again = opened(tmp_path, encode_picture(released(source.frame), source.metadata))
    assert again.metadata.jpeg == source.metadata.jpeg
    assert again.frame.pixel_format == "gray8"


def test_a_lossy_webp_stays_lossy_and_a_lossless_one_lossless(tmp_path: Path, released: Seal) -> None:
    for lossless in (False, True):
        source = opened(tmp_path, making.encoded(STREET, "WEBP", lossless=lossless))
        encoded = encode_picture(released(source.frame), source.metadata)
        assert (b"VP8L" in encoded[:32]) == lossless


@pytest.mark.parametrize("wanted", list(PictureFormat))
@pytest.mark.parametrize("pixel_format", ["rgb24", "bgr24", "gray8"])
def test_every_frame_goes_into_every_format(
    tmp_path: Path, released: Seal, wanted: PictureFormat, pixel_format: str
) -> None:
    pixels = making.street(channels=1 if pixel_format == "gray8" else 3)
    padded = np.zeros((71, 120, *pixels.shape[2:]), np.uint8)
    padded[:, :97] = pixels[..., ::-1] if pixel_format == "bgr24" else pixels
    frame = captured(padded[:, :97], pixel_format)
    metadata = PictureMetadata(PictureFormat.PNG, webp_lossless=True)
    write_picture(tmp_path / "out", released(frame), metadata, picture_format=wanted)
    with Image.open(tmp_path / "out") as image:
        came = np.asarray(image.convert("L" if pixel_format == "gray8" else "RGB")).astype(int)
    assert np.abs(came - pixels).mean() < (4 if wanted is PictureFormat.JPEG else 1e-9)


def test_a_bmp_has_no_orientation_and_is_turned(tmp_path: Path, released: Seal) -> None:
    metadata = PictureMetadata(PictureFormat.JPEG, orientation=6)
    write_picture(tmp_path / "out", released(captured(STREET)), metadata, picture_format=PictureFormat.BMP)
    assert np.array_equal(open_picture(tmp_path / "out").frame.planes[0], upright(STREET, 6))


@pytest.mark.parametrize(
    ("wanted", "compression"),
    [
        (PictureFormat.JPEG, None),
        (PictureFormat.PNG, None),
        (PictureFormat.WEBP, None),
        (PictureFormat.TIFF, "raw"),
        (PictureFormat.TIFF, "tiff_lzw"),
        (PictureFormat.TIFF, "tiff_adobe_deflate"),
        (PictureFormat.TIFF, None),
    ],
)
def test_times_orientation_and_resolution_come_back(
    tmp_path: Path, released: Seal, wanted: PictureFormat, compression: str | None
) -> None:
    metadata = PictureMetadata(
        wanted, 6, TIME, ExifTime("2024:05:06 07:08:08"), replace(TIME, subseconds="9"), dpi=(72.0, 96.0),
        tiff_compression=compression,
    )  # fmt: skip
    again = opened(tmp_path, encode_picture(released(captured(STREET)), metadata)).metadata
    assert (again.taken, again.digitized, again.changed) == (
        metadata.taken,
        metadata.digitized,
        metadata.changed,
    )
    assert again.orientation == (1 if wanted is PictureFormat.TIFF else 6), "a TIFF is read upright"
    if wanted is not PictureFormat.WEBP:
        assert again.dpi == pytest.approx((72.0, 96.0), abs=0.02)


# -- Only what was released ---------------------------------------------------------------------------------


def test_nothing_but_a_released_frame_is_written(tmp_path: Path, released: Seal) -> None:
    class Forged(ReleasedFrame):
        __slots__ = ()

    raw = captured(STREET)
    hidden = _seal_anonymized(raw, raw.planes, FrameMemory())
    forged = Forged.__new__(Forged)
    for frame in (raw, hidden, forged, STREET, STREET.tobytes(), Image.fromarray(STREET), None):
        with pytest.raises(TypeError, match="wanted a ReleasedFrame"):
            write_picture(tmp_path / "out.png", cast(Any, frame), PictureMetadata(PictureFormat.PNG))
        with pytest.raises(TypeError, match="wanted a ReleasedFrame"):
            encode_picture(cast(Any, frame), PictureMetadata(PictureFormat.PNG))
    assert list(tmp_path.iterdir()) == []


def test_a_frame_whose_memory_was_taken_back_is_not_written(tmp_path: Path) -> None:
    from anonymize.errors import FrameExpiredError
    from anonymize.frames import _seal_released

    raw, memory = captured(STREET), FrameMemory()
    frame = _seal_released(_seal_anonymized(raw, raw.planes, memory))
    memory.revoke()
    with pytest.raises(FrameExpiredError):
        write_picture(tmp_path / "out.png", frame, PictureMetadata(PictureFormat.PNG))
    assert list(tmp_path.iterdir()) == []


# -- Whole or not at all ------------------------------------------------------------------------------------


def test_the_source_is_never_replaced(tmp_path: Path, released: Seal) -> None:
    content = making.encoded(STREET, "PNG")
    source = opened(tmp_path, content)
    (tmp_path / "link").symlink_to(tmp_path / "source")
    for name in ("source", "link"):
        with pytest.raises(MediaError, match="source itself"):
            write_picture(tmp_path / name, released(source.frame), source.metadata, overwrite=True)
    assert (tmp_path / "source").read_bytes() == content


def test_an_existing_picture_is_refused_unless_asked(tmp_path: Path, released: Seal) -> None:
    source = opened(tmp_path, making.encoded(STREET, "PNG"))
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(MediaError, match="exists already"):
        write_picture(tmp_path / "out", released(source.frame), source.metadata)
    assert (tmp_path / "out").read_bytes() == b"old"
    write_picture(tmp_path / "out", released(source.frame), source.metadata, overwrite=True)
    assert np.array_equal(open_picture(tmp_path / "out").frame.planes[0], STREET)


def test_a_fault_of_the_encoder_leaves_nothing(
    tmp_path: Path, released: Seal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Image.Image, stream: io.BytesIO, **_: Any) -> None:
        stream.write(b"half")
        raise OSError("encoder error -2")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(MediaError, match="cannot be written as png: encoder error -2"):
        write_picture(tmp_path / "out", released(captured(STREET)), PictureMetadata(PictureFormat.PNG))
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_hold_is_said(tmp_path: Path, released: Seal) -> None:
    wide = captured(np.zeros((1, 16_384, 3), np.uint8))
    with pytest.raises(MediaError, match="cannot be written as webp"):
        write_picture(tmp_path / "out", released(wide), PictureMetadata(PictureFormat.WEBP))
    planes = (np.zeros((4, 4), np.uint8), np.zeros((2, 2, 2), np.uint8))
    nv12 = CapturedFrame(planes, "nv12", pts=0, time_base=Fraction(1))  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="nv12 came; wanted rgb24, bgr24 or gray8"):
        write_picture(tmp_path / "out", released(nv12), PictureMetadata(PictureFormat.PNG))
    assert list(tmp_path.iterdir()) == []
