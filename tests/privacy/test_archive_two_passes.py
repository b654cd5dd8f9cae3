"""Between the passes lies a spool: it holds boxes, and nothing of the pictures, their place or their file's name."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="video needs PyAV, the extra [video]")

from anonymize.archive.video_job import hide, look
from anonymize.archive.work import ArchiveSettings, Tools
from anonymize.detect import load_packaged
from anonymize.errors import HideError, MediaError
from anonymize.hide.hider import Hider
from anonymize.media.video import open_video
from anonymize.settings import Settings
from tests.media.video_samples import Clip, make_clip

SECRET = "villa-rosenweg-14"


@pytest.fixture(scope="module")
def tools() -> Tools:
    settings = Settings(hide_always=((0, 0, 32, 32),))
    return Tools(ArchiveSettings(video=settings, preset="ultrafast"), load_packaged())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / f"{SECRET}.mp4"
    return make_clip(Clip(path, times=range(8), metadata={"location": "+48.2082+016.3738/", "title": SECRET}))


def test_a_spool_holds_nothing_of_the_picture_and_no_name(film, tools, tmp_path):
    look(film, tmp_path / "spool", tools)
    content = (tmp_path / "spool").read_bytes()
    assert SECRET.encode() not in content and b"48.2082" not in content
    with open_video(film) as reader:
        for frame in reader:
            for plane in frame.planes:
                for row in np.ascontiguousarray(plane)[::7]:
                    pieces = {row[at : at + 12].tobytes() for at in range(0, len(row) - 12, 12)}
                    assert not any(piece in content for piece in pieces if len(set(piece)) > 2)


def test_a_fault_while_hiding_leaves_no_output(film, tools, tmp_path, monkeypatch):
    """The check after hiding fails at the sixth frame: it is dropped, and a film with a hole is no film."""
    look(film, tmp_path / "spool", tools)
    real, calls = Hider.check, []

    def failing(hider, planes):
        calls.append(1)
        if len(calls) == 6:
            raise HideError("the fill is not there")
        real(hider, planes)

    monkeypatch.setattr(Hider, "check", failing)
    with pytest.raises(MediaError, match="frame 5 was dropped as check_failed"):
        hide(film, tmp_path / "out.mp4", tmp_path / "spool", None, None, tools)
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_times_are_kept_as_units_not_as_dates(film, tools, tmp_path):
    """Nothing in a spool says when the drive was: the same film recorded on another day gives the same bytes."""
    spools = []
    for day in ("2021-05-04", "2024-11-30"):
        path = make_clip(
            Clip(
                tmp_path / f"{day}.mp4",
                times=range(8),
                time_base=Fraction(1, 25),
                metadata={"creation_time": f"{day}T10:00:00Z"},
            )
        )
        look(path, tmp_path / f"{day}.spool", tools)
        spools.append((tmp_path / f"{day}.spool").read_bytes())
    digests = [spool.index(b'"source_sha256"') for spool in spools]
    assert digests[0] == digests[1] and len(spools[0]) == len(spools[1])
    at = digests[0]
    without = [
        spool[:at] + spool[at + 100 : -32] for spool in spools
    ]  # the source's digest differs, and so the sum
    assert without[0] == without[1]
