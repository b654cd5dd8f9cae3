"""What lay under a hidden area of a JPEG is in no coefficient of the file that replaces it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anonymize.archive.picture_job import reprocess_picture
from anonymize.archive.work import ArchiveSettings, Tools
from anonymize.detect import load_packaged
from anonymize.media.jpeg_coefficients import (
    JpegCoefficients,
    read_coefficients,
    read_head,
    write_coefficients,
)
from anonymize.settings import Settings
from tests.media import making

AREAS = (
    (49.0, 33.0, 163.0, 131.0),
    (120.0, 90.0, 203.0, 155.0),
)  # overlapping, the second to the picture's corner


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("style", ["mcus inside", "padding beyond the corner"])
def test_other_blocks_under_the_hidden_area_give_the_same_file(
    tmp_path: Path, subsampling: int, style: str
) -> None:
    """Every block that lies wholly inside the union, every component, every coefficient: randomised."""
    plain = making.encoded(making.street(203, 155), "JPEG", quality=85, subsampling=subsampling)
    head = read_head(plain)
    coded = read_coefficients(plain, head)
    planes = tuple(plane.copy() for plane in coded.planes)
    random = np.random.default_rng(3)
    for index, plane in enumerate(planes):
        across, down = (8 * head.across // head.factors(index)[0], 8 * head.down // head.factors(index)[1])
        step_y, step_x = 8 * head.down, 8 * head.across
        for row in range(plane.shape[0]):
            for column in range(plane.shape[1]):
                # the block's MCU and 1 px around it (chroma upsampling) lie in one area
                x1, y1 = column * across // step_x * step_x - 1, row * down // step_y * step_y - 1
                x2, y2 = min(x1 + step_x + 2, 203), min(y1 + step_y + 2, 155)
                inside = any(x1 >= a[0] and y1 >= a[1] and x2 <= a[2] and y2 <= a[3] for a in AREAS)
                corner = x2 == 203 or y2 == 155
                if inside and (style == "mcus inside" or corner):
                    plane[row, column] = random.integers(-40, 40, 64)
    changed = sum(int((a != b).sum()) for a, b in zip(planes, coded.planes, strict=True))
    assert changed > (5_000 if style == "mcus inside" else 500)
    tools = Tools(ArchiveSettings(pictures=Settings(tracking=False, hide_always=AREAS)), load_packaged())
    outputs = []
    for name, content in (
        ("a", plain),
        ("b", write_coefficients(JpegCoefficients(planes, coded.tables), head)),
    ):
        source, target = tmp_path / f"{name}.jpg", tmp_path / f"{name}-out.jpg"
        source.write_bytes(content)
        result = reprocess_picture(source, target, tools)
        assert any("coefficients outside" in check for check in result.verified)
        outputs.append(target.read_bytes())
    assert outputs[0] == outputs[1]
