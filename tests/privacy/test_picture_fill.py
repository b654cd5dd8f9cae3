"""SAFETY 16 for pictures: how far a hidden area may differ from its fill once a lossy format has stored it.

Ringing at its edge comes from the pixels outside: what was inside is gone before anything is encoded.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anonymize.frames import CapturedFrame, ReleasedFrame
from anonymize.media.pictures import encode_picture, open_picture
from tests.media import making

Seal = Callable[[CapturedFrame], ReleasedFrame]
MCU_PX = 16  # with 4:2:0 a coded block spans 16 px: within that the outside rings into the fill
HIDDEN = (slice(41, 130), slice(53, 160))
FILL = (201, 33, 90)


@pytest.mark.parametrize("quality", [10, 50, 90])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_holds_the_fill_within_its_own_steps(
    tmp_path: Path, released: Seal, quality: int, subsampling: int
) -> None:
    """From 16 px inside the edge on, no sample differs by more than half a step of the source's mean values."""
    path = tmp_path / "source.jpg"
    path.write_bytes(
        making.encoded(making.street(240, 180), "JPEG", quality=quality, subsampling=subsampling)
    )
    picture = open_picture(path)
    picture.frame.planes[0][HIDDEN] = FILL
    encoded = encode_picture(released(picture.frame), picture.metadata)
    assert picture.metadata.jpeg is not None
    luma_step, chroma_step = (table[0] / 8 for table in picture.metadata.jpeg.tables[:2])
    bound = 2 + luma_step / 2 + 1.772 * chroma_step / 2  # 1.772: the largest factor of JFIF's YCbCr to RGB
    came = np.asarray(Image.open(io.BytesIO(encoded))).astype(int)[HIDDEN]
    inner = came[MCU_PX:-MCU_PX, MCU_PX:-MCU_PX]
    assert np.abs(inner - FILL).max() <= bound


def test_a_lossy_webp_holds_the_fill(tmp_path: Path, released: Seal) -> None:
    """VP8 at quality 90: at most 4 levels from 16 px inside the edge on."""
    path = tmp_path / "source.webp"
    path.write_bytes(making.encoded(making.street(240, 180), "WEBP", quality=60))
    picture = open_picture(path)
    picture.frame.planes[0][HIDDEN] = FILL
    came = np.asarray(
        Image.open(io.BytesIO(encode_picture(released(picture.frame), picture.metadata)))
    ).astype(int)
    inner = came[HIDDEN][MCU_PX:-MCU_PX, MCU_PX:-MCU_PX]
    assert np.abs(inner - FILL).max() <= 4


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_the_file_does_not_depend_on_what_was_hidden(
    tmp_path: Path, released: Seal, picture_format: str
) -> None:
    """Two lossless sources that differ in the hidden area alone give the same file, byte for byte."""
    written = []
    for seed in (1, 2):
        pixels = making.street(240, 180)
        pixels[HIDDEN] = np.random.default_rng(seed).integers(0, 256, pixels[HIDDEN].shape)
        path = tmp_path / f"{seed}"
        path.write_bytes(making.encoded(pixels, "PNG"))
        picture = open_picture(path)
        picture.frame.planes[0][HIDDEN] = FILL
        written.append(
            encode_picture(released(picture.frame), picture.metadata, picture_format=picture_format.lower())  # type: ignore[arg-type]
        )
    assert written[0] == written[1]
