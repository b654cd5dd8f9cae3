"""Which files are one drive: recognised by names and times that agree, and by nothing less."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from anonymize.archive.drives import group_drives
from anonymize.errors import MediaError
from anonymize.media.film_facts import FilmFacts


def facts(
    duration_s: float = 60.0, *, created: str = "", modified_s: float = 0.0, width: int = 1920
) -> FilmFacts:
    return FilmFacts("h264", width, 1080, Fraction(1, 90000), duration_s, created, modified_s)


def grouped(films: dict[str, FilmFacts]) -> list[list[str]]:
    """Names of each drive, whatever order the files come in."""
    paths = [Path("drives", name) for name in sorted(films, key=hash)]

    def read(path: Path) -> FilmFacts:
        return films[str(path.relative_to("drives"))]

    return [[str(path.relative_to("drives")) for path in drive] for drive in group_drives(paths, read)]


@pytest.mark.parametrize(
    "names",
    [
        ["20240131_235910.MP4", "20240201_000010.MP4", "20240201_000110.MP4"],
        ["2024_0131_235910_001F.MP4", "2024_0201_000010_002F.MP4"],
        ["2024-01-31_23-59-10_front.mp4", "2024-02-01_00-00-10_front.mp4"],
        ["FILE240131.mp4"],  # no time: alone
        ["20240131235910_000123A.MP4", "20240201000010_000124A.MP4"],
    ],
)
def test_names_with_times_that_meet_are_one_drive(names):
    assert grouped({name: facts() for name in names}) == [names]


def test_front_and_rear_camera_are_two_drives():
    names = ["20240131_100000F.MP4", "20240131_100000R.MP4", "20240131_100100F.MP4", "20240131_100100R.MP4"]
    assert grouped({name: facts() for name in names}) == [names[::2], names[1::2]]


@pytest.mark.parametrize("later", ["20240131_100103.MP4", "20240131_100057.MP4", "20240131_120000.MP4"])
def test_a_pause_ends_a_drive(later):
    names = ["20240131_100000.MP4", later]
    assert grouped({name: facts() for name in names}) == [names[:1], names[1:]]


def test_another_size_ends_a_drive():
    films = {"20240131_100000.MP4": facts(), "20240131_100100.MP4": facts(width=1280)}
    assert len(grouped(films)) == 2


def test_running_numbers_need_times_that_agree():
    times = ["2024-01-31T10:00:00.000000Z", "2024-01-31T10:01:00.000000Z", "2024-01-31T10:05:00.000000Z"]
    films = {f"MOVI{n:04}.mov": facts(created=time) for n, time in zip((9, 10, 11), times, strict=True)}
    assert grouped(films) == [["MOVI0009.mov", "MOVI0010.mov"], ["MOVI0011.mov"]]
    written = {f"MOVI{n:04}.avi": facts(modified_s=1000.0 + 60 * n) for n in (1, 2, 3, 5)}
    assert grouped(written) == [["MOVI0001.avi", "MOVI0002.avi", "MOVI0003.avi"], ["MOVI0005.avi"]]
    copied = {f"MOVI{n:04}.avi": facts(modified_s=1e9) for n in (1, 2)}
    assert len(grouped(copied)) == 2
    no_clock = {f"A{n}.mp4": facts(created="1904-01-01T00:00:00Z", modified_s=60.0 * n) for n in (1, 2)}
    assert len(grouped(no_clock)) == 1


def test_chapters_of_a_film_go_by_gopros_names():
    made = ["2024-01-31T10:00:00Z", "2024-01-31T10:01:00Z", "2024-01-31T10:02:00Z"]
    names = ["GX010042.MP4", "GX020042.MP4", "GX010043.MP4"]
    films = {name: facts(created=time) for name, time in zip(names, made, strict=True)}
    assert grouped(films) == [["GX010042.MP4", "GX020042.MP4"], ["GX010043.MP4"]]


def test_folders_are_apart_and_what_cannot_be_read_stands_alone():
    def read(path: Path) -> FilmFacts:
        if path.name == "20240131_100100.MP4":
            raise MediaError("is cut off")
        return facts()

    names = [
        "a/20240131_100000.MP4",
        "a/20240131_100100.MP4",
        "a/20240131_100200.MP4",
        "b/20240131_100300.MP4",
    ]
    assert group_drives(map(Path, names), read) == [[Path(name)] for name in names]


def test_a_name_that_is_no_date_is_a_number():
    films = {f"20249931_{n:06}.mp4": facts(modified_s=60.0 * n) for n in (1, 2)}
    assert len(grouped(films)) == 1


def test_real_files(tmp_path):
    pytest.importorskip("av", reason="video needs PyAV, the extra [video]")
    from tests.media.video_samples import Clip, make_clip

    for name in ("20240131_100000.mp4", "20240131_100001.mp4", "20240131_100009.mp4"):
        make_clip(Clip(tmp_path / name, times=range(25)))
    (tmp_path / "20240131_100010.mp4").write_bytes(os.urandom(99))
    drives = group_drives(sorted(tmp_path.iterdir()))
    assert [[path.name[-6:-4] for path in drive] for drive in drives] == [["00", "01"], ["09"], ["10"]]
