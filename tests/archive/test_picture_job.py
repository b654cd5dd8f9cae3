"""Pictures of an archive: JPEGs as they were coded outside the hidden areas, every file verified or not there."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from anonymize.archive import picture_job
from anonymize.archive.picture_job import reprocess_picture
from anonymize.archive.second_look import SecondLook
from anonymize.archive.work import AddedBox, ArchiveSettings, Corrections, Tools
from anonymize.detect import load_packaged
from anonymize.errors import MediaError, SecondLookError
from anonymize.frames import Box, Label, Origin
from anonymize.media import jpeg_coefficients, jpeg_lossless
from anonymize.media.jpeg_coefficients import JpegCoefficients
from anonymize.settings import Settings
from tests.media import making

AREA = (70, 41, 150, 111)  # its edges lie inside MCUs
MODEL = load_packaged()


def make_tools(**settings: Any) -> Tools:
    """A job's tools with one area that is always hidden."""
    return Tools(ArchiveSettings(pictures=Settings(tracking=False, hide_always=(AREA,), **settings)), MODEL)


def street_jpeg(
    path: Path, *, gray: bool = False, size: tuple[int, int] = (203, 155), **options: Any
) -> Path:
    """A picture of noise and slopes; odd sizes leave MCUs that are not whole."""
    pixels = making.street(*size, channels=1 if gray else 3)
    path.write_bytes(making.encoded(pixels, "JPEG", **{"quality": 80} | options))
    return path


def decoded(path: Path) -> npt.NDArray[np.int32]:
    """Pixels by Pillow, as stored."""
    return np.asarray(Image.open(path)).astype(np.int32)


def mcu_area(step: int, size: tuple[int, int]) -> tuple[slice, slice]:
    """The MCUs of `step` px that AREA touches, and 1 px around them."""
    x1, y1, x2, y2 = (
        AREA[0] // step * step,
        AREA[1] // step * step,
        -(-AREA[2] // step) * step,
        -(-AREA[3] // step) * step,
    )
    return slice(max(y1 - 1, 0), min(y2 + 1, size[1])), slice(max(x1 - 1, 0), min(x2 + 1, size[0]))


CODINGS = {
    "grey": ({"gray": True}, 8),
    "4:4:4": ({"subsampling": 0}, 8),
    "4:2:2": ({"subsampling": 1}, 16),
    "4:2:0": ({"subsampling": 2}, 16),
    "4:2:0 restarts": ({"subsampling": 2, "restart_marker_rows": 1}, 16),
    "4:2:0 even size": ({"subsampling": 2, "size": (208, 160)}, 16),
    "4:2:0 low quality": ({"subsampling": 2, "quality": 15}, 16),
    "progressive": ({"subsampling": 2, "progressive": True}, 16),
}


@pytest.mark.parametrize("name", CODINGS)
def test_pixels_outside_the_replaced_mcus_stay_and_the_area_holds_one_colour(
    tmp_path: Path, name: str
) -> None:
    options, step = CODINGS[name]
    source = street_jpeg(tmp_path / "a.jpg", **options)
    result = reprocess_picture(source, tmp_path / "b.jpg", make_tools())
    before, after = decoded(source), decoded(tmp_path / "b.jpg")
    outside = np.ones(before.shape[:2], bool)
    outside[mcu_area(step, options.get("size", (203, 155)))] = False
    assert np.array_equal(before[outside], after[outside])
    core = after[AREA[1] + 16 : AREA[3] - 16, AREA[0] + 16 : AREA[2] - 16]
    assert np.ptp(core.reshape(core.shape[0] * core.shape[1], -1), axis=0).max() <= 2
    assert result.boxes == {"area": 1}
    assert any("coefficients outside" in check for check in result.verified)
    assert any("progressive" in note for note in result.notes) == (name == "progressive")


@pytest.mark.parametrize("name", ["grey", "4:4:4", "4:2:2", "4:2:0", "progressive"])
def test_jpegtran_finds_the_same_coefficients_where_nothing_is_hidden(tmp_path: Path, name: str) -> None:
    """An independent program: both files brought to one form by jpegtran are equal, byte for byte."""
    if shutil.which("jpegtran") is None:
        pytest.skip(
            "jpegtran is not installed (Debian: libjpeg-turbo-progs): coefficients are compared by ours alone"
        )
    source = street_jpeg(tmp_path / "a.jpg", **CODINGS[name][0])
    nothing = Tools(ArchiveSettings(pictures=Settings(tracking=False)), MODEL)
    result = reprocess_picture(source, tmp_path / "b.jpg", nothing)
    assert result.boxes == {}
    forms = [
        subprocess.run(
            ["jpegtran", "-copy", "none", "-optimize", path], capture_output=True, check=True
        ).stdout
        for path in (source, tmp_path / "b.jpg")
    ]
    assert forms[0] == forms[1]


def test_subsamplings_that_pillow_cannot_write_stay_too(tmp_path: Path) -> None:
    if shutil.which("cjpeg") is None:
        pytest.skip("cjpeg is not installed (Debian: libjpeg-turbo-progs): 4:1:1 and 4:4:0 are not tested")
    for sample, across, down in (("4x1", 32, 8), ("1x2", 8, 16)):
        Image.fromarray(making.street(203, 155)).save(tmp_path / "a.ppm")
        source = tmp_path / f"{sample}.jpg"
        source.write_bytes(
            subprocess.run(
                ["cjpeg", "-sample", sample, tmp_path / "a.ppm"], capture_output=True, check=True
            ).stdout
        )
        result = reprocess_picture(source, tmp_path / f"out-{sample}.jpg", make_tools())
        assert not result.notes
        before, after = decoded(source), decoded(tmp_path / f"out-{sample}.jpg")
        outside = np.ones(before.shape[:2], bool)
        outside[AREA[1] // down * down - 1 : -(-AREA[3] // down) * down + 1,
                AREA[0] // across * across - 1 : -(-AREA[2] // across) * across + 1] = False  # fmt: skip
        assert np.array_equal(before[outside], after[outside])


def test_orientation_and_times_stay_and_nothing_else_does(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        content = making.encoded(
            making.street(203, 155),
            "JPEG",
            exif=making.exif_block(orientation=orientation),
            comment=b"SECRET",
        )
        content = making.with_jpeg_segment(content, 0xE1, b"http://ns.adobe.com/xap/1.0/\0SECRET")
        source = tmp_path / f"{orientation}.jpg"
        source.write_bytes(content + b"SECRET film behind the picture")
        target = tmp_path / f"out-{orientation}.jpg"
        result = reprocess_picture(source, target, make_tools())
        written = target.read_bytes()
        assert not any(word in written for word in (b"SECRET", b"Anna", b"SN-4711", b"Maker", b"adobe"))
        exif = Image.open(target).getexif()
        assert exif.get(0x0112, 1) == orientation
        assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:07"
        assert not exif.get_ifd(0x8825)
        assert {"GPS position", "maker note", "XMP", "comment"} <= set(result.removed)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_other_formats_keep_every_pixel_outside(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    source.write_bytes(making.encoded(making.street(203, 155), suffix, **options))
    result = reprocess_picture(source, target, make_tools())
    differs = (decoded(source) != decoded(target)).any(axis=2)
    differs[AREA[1] : AREA[3], AREA[0] : AREA[2]] = False
    assert not differs.any()
    assert any("every pixel" in check for check in result.verified)


def test_what_cannot_be_rewritten_is_encoded_and_said_or_refused(tmp_path: Path) -> None:
    inks = Image.fromarray(making.street(203, 155)).convert("CMYK")
    (tmp_path / "a.jpg").write_bytes(making.encoded(inks, "JPEG"))
    result = reprocess_picture(tmp_path / "a.jpg", tmp_path / "b.jpg", make_tools())
    assert any("encoded anew" in note and "4 components" in note for note in result.notes)
    kept = making.encoded(making.street(203, 155), "JPEG", keep_rgb=True)
    (tmp_path / "rgb.jpg").write_bytes(kept)
    result = reprocess_picture(tmp_path / "rgb.jpg", tmp_path / "rgb-out.jpg", make_tools())
    assert any("encoded anew" in note and "RGB" in note for note in result.notes)
    content = street_jpeg(tmp_path / "c.jpg").read_bytes()
    (tmp_path / "c.jpg").write_bytes(content.replace(b"\xff\xc0", b"\xff\xc9", 1))
    with pytest.raises(MediaError, match="arithmetic"):
        reprocess_picture(tmp_path / "c.jpg", tmp_path / "d.jpg", make_tools())
    assert not (tmp_path / "d.jpg").exists()


def test_a_truncated_picture_a_target_that_exists_and_the_source_itself_are_refused(tmp_path: Path) -> None:
    source = street_jpeg(tmp_path / "a.jpg")
    half = tmp_path / "half.jpg"
    half.write_bytes(source.read_bytes()[:3000] + b"\xff\xd9")
    for came, target in ((half, tmp_path / "b.jpg"), (source, source), (source, half)):
        before = target.read_bytes() if target.exists() else None
        with pytest.raises(MediaError):
            reprocess_picture(came, target, make_tools())
        assert (target.read_bytes() if target.exists() else None) == before


def test_a_finding_of_the_second_look_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Box(Label.FACE, (3.0, 4.0, 33.0, 44.0), 0.61, Origin.DETECTED, (0, 0, 0, 0))
    monkeypatch.setattr(SecondLook, "findings", lambda *_: (found,))
    source = street_jpeg(tmp_path / "a.jpg")
    with pytest.raises(SecondLookError, match=r"face of 30x40 px at \(3, 4\)") as fault:
        reprocess_picture(source, tmp_path / "b.jpg", make_tools())
    assert (fault.value.label, fault.value.xyxy, fault.value.confidence) == ("face", found.xyxy, 0.61)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("fault", ["not hidden", "other block", "other table", "metadata"])
def test_what_was_written_wrong_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A writer that keeps the source's blocks, damages one, changes a table or lets a segment pass."""
    write, packed = jpeg_coefficients.write_coefficients, jpeg_lossless._with_metadata
    source = street_jpeg(tmp_path / "a.jpg", subsampling=2)
    coded = jpeg_lossless.open_lossless(source.read_bytes()).coded

    def writes_wrong(wanted: JpegCoefficients, head: Any) -> bytes:
        planes, tables = [p.copy() for p in wanted.planes], list(wanted.tables)
        if fault == "not hidden":
            planes = list(coded.planes)
        elif fault == "other block":
            planes[1][0, 0, 0] += 1
        elif fault == "other table":
            tables[0] = tables[0] + np.uint16(1)
        return write(JpegCoefficients(tuple(planes), tuple(tables)), head)

    monkeypatch.setattr(jpeg_lossless, "write_coefficients", writes_wrong)
    if fault == "metadata":
        monkeypatch.setattr(
            jpeg_lossless, "_with_metadata", lambda *a: making.with_jpeg_segment(packed(*a), 0xFE, b"comment")
        )
    tools = make_tools()
    if fault == "metadata":
        with pytest.raises(MediaError, match="comment"):
            reprocess_picture(source, tmp_path / "b.jpg", tools)
    else:
        result = reprocess_picture(source, tmp_path / "b.jpg", tools)  # encoded anew instead, and said
        assert any("nothing was kept" in note and "encoded anew" in note for note in result.notes)
    assert (tmp_path / "b.jpg").exists() == (fault != "metadata")


def test_no_plain_temporary_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """jpeglib's own classes put the raw file into the temporary folder, where a crash leaves it."""
    opened: list[str] = []
    import os

    keep = os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: (opened.append(str(path)), keep(path, *a, **k))[1])
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    source = street_jpeg(tmp_path / "a.jpg")
    reprocess_picture(source, tmp_path / "b.jpg", make_tools())
    assert set(opened) <= {str(source), str(tmp_path / ".b.jpg.tmp"), str(tmp_path)}


def test_an_added_box_is_hidden_and_grown(tmp_path: Path) -> None:
    source = street_jpeg(tmp_path / "a.jpg", subsampling=0)
    plain = Tools(
        ArchiveSettings(pictures=Settings(tracking=False)), MODEL,
        corrections=Corrections(added=(AddedBox("face", (80.0, 40.0, 120.0, 80.0), 0.0, 0.0),)),
    )  # fmt: skip
    reprocess_picture(source, tmp_path / "b.jpg", plain)
    core = decoded(tmp_path / "b.jpg")[
        40:80, 80:120
    ]  # of the grown box, 34 to 86 and 74 to 126: MCUs wholly inside
    assert np.ptp(core.reshape(-1, 3), axis=0).max() <= 2


def test_a_16_bit_orientation_of_a_motorola_exif_stays(tmp_path: Path) -> None:
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    source = tmp_path / "a.jpg"
    source.write_bytes(making.with_jpeg_segment(street_jpeg(source).read_bytes(), 0xE1, block))
    reprocess_picture(source, tmp_path / "b.jpg", make_tools())
    assert Image.open(tmp_path / "b.jpg").getexif()[0x0112] == 6


def test_the_cache_of_engines_follows_the_settings(tmp_path: Path) -> None:
    source = street_jpeg(tmp_path / "a.jpg")
    first = reprocess_picture(source, tmp_path / "b.jpg", make_tools())
    other = replace(make_tools(), settings=ArchiveSettings(pictures=Settings(tracking=False)))
    second = reprocess_picture(source, tmp_path / "c.jpg", other)
    assert (first.boxes, second.boxes) == ({"area": 1}, {})
    assert picture_job.equipment_for(other, other.settings.pictures) is picture_job.equipment_for(
        replace(other), other.settings.pictures
    )
