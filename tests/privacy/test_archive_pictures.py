"""What lay under a hidden area of a JPEG is in no coefficient of the file that replaces it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anonymize.archive.picture_job import reprocess_picture
from anonymize.archive.second_look import SecondLook
from anonymize.archive.work import ArchiveSettings, Tools
from anonymize.detect import load_packaged
from anonymize.media.jpeg_coefficients import (
    JpegCoefficients,
    read_coefficients,
    read_head,
    write_coefficients,
)
from anonymize.settings import Settings
from tests.conftest import REPOSITORY
from tests.media import making
from tests.privacy.test_picture_metadata import check_with_exiftool

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


REAL = (
    "phone_face_orientation6_gps", "nikon_gps_444", "pixel_gps", "progressive_444_xmp", "cmyk_many_icc",
    "trailing_data_orientation6", "camera360_progressive", "grey_orientation_2",
    "grey_orientation_4", "grey_orientation_7",
)  # fmt: skip


def test_real_pictures_keep_nothing_that_exiftool_knows_beside_the_allow_list(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPS, maker notes, thumbnails, XMP, IPTC, second pictures and bytes behind the picture, from real cameras."""
    monkeypatch.setattr(SecondLook, "findings", lambda *_: ())  # what is found is not the question here
    tools = Tools(ArchiveSettings(pictures=Settings(tracking=False)), load_packaged())
    for name in REAL:
        result = reprocess_picture(data_dir / "exif" / f"{name}.jpg", tmp_path / f"{name}.jpg", tools)
        assert any("coefficients outside" in check for check in result.verified) == (name != "cmyk_many_icc")
    check_with_exiftool(*(tmp_path / f"{name}.jpg" for name in REAL))


KILLED = """
import os, signal, sys
from anonymize.media import jpeg_coefficients as seam

picture = open(sys.argv[1], "rb").read()
kind = type("Library", (), {
    "read_jpeg_dct": staticmethod(lambda path, *_: (open(path, "rb").read() == picture) and os.kill(os.getpid(), 9))
})
seam._library = lambda: kind
seam.read_coefficients(picture, seam.read_head(picture))
"""


def test_a_killed_process_leaves_no_raw_picture_behind(tmp_path: Path) -> None:
    """SAFETY 19: killed in the middle of libjpeg's reading, nothing lies in any temporary folder."""
    picture = tmp_path / "a.jpg"
    picture.write_bytes(making.encoded(making.street(203, 155), "JPEG"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    shared = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()
    paths = os.pathsep.join(str(REPOSITORY / part) for part in (".", "kernels", "models"))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, picture],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": paths}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    assert not list(temporary.iterdir())
    assert not (set(Path("/dev/shm").iterdir()) if shared else set()) - shared
