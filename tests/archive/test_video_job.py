"""A video through both passes, with the packaged network: what comes in, goes out and is missed is hidden."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="video needs PyAV, the extra [video]")

import av

from anonymize.archive import video_job
from anonymize.archive.spool import SpoolReader, new_spool
from anonymize.archive.video_job import hide, look
from anonymize.archive.work import AddedBox, ArchiveSettings, Corrections, FalseHit, Tools
from anonymize.detect import load_packaged
from anonymize.drawing import DrawnObject, draw_street
from anonymize.errors import DetectorBlindError, MediaError, SecondLookError, TooManyError
from anonymize.frames import Label, Reason
from anonymize.media.priority import usual_priority
from anonymize.media.video import open_video
from anonymize.pipeline import Engine
from anonymize.settings import Settings
from anonymize.track.seen_frame import SeenFrame

GROUP, FRAMES, FPS = 8, 48, 5  # five frames a second: limits in time are few frames
BEGINS, DARK = 32, (40, 41)
SETTINGS = ArchiveSettings(preset="ultrafast", quality=16)


@pytest.fixture(scope="module")
def objects() -> list[DrawnObject]:
    return list(draw_street(640, 360)[1])


def make_film(path: Path, frames: int, begins: int) -> Path:
    """Nothing until frame `begins`, then a street with plates and faces; two of its frames are too dark to find any."""
    street = draw_street(640, 360)[0]
    options = {"preset": "ultrafast", "crf": "12", "g": str(GROUP), "bf": "0", "sc_threshold": "0"}
    with usual_priority(), av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, FPS)
        for number in range(frames):
            light = 0.02 if number in DARK else 1.0
            rgb = (
                np.full(street.shape, 90, np.uint8) if number < begins else (street * light).astype(np.uint8)
            )
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", FRAMES, BEGINS)


@pytest.fixture(scope="module")
def tools() -> Tools:
    return Tools(SETTINGS, load_packaged())


@pytest.fixture(scope="module")
def spool(film: Path, tools: Tools) -> Path:
    path = film.with_name("film.spool")
    look(film, path, tools)
    return path


def lumas(path: Path) -> list[np.ndarray]:
    with open_video(path) as reader:
        return [frame.planes[0].copy() for frame in reader]


def contrast(luma: np.ndarray, box: tuple[float, ...]) -> float:
    x1, y1, x2, y2 = (int(edge) for edge in box)
    return float(luma[y1:y2, x1:x2].std())


def test_what_the_network_missed_is_hidden_by_what_it_found_before_and_after(film, spool, tools, objects):
    target = film.with_name("out.mp4")
    done: list[int] = []
    result = hide(film, target, spool, None, None, dataclasses.replace(tools, progress=done.append))
    before, after = lumas(film), lumas(target)
    assert len(before) == len(after) == result.frames == FRAMES
    plates = [item.xyxy for item in objects if item.label is Label.PLATE]
    assert plates
    for number in range(BEGINS, FRAMES):
        for box in plates:
            assert contrast(after[number], box) < max(2.0, 0.2 * contrast(before[number], box))
    assert (
        result.groups == 6 and 2 <= result.copied_groups <= 4
    )  # as far back as tracks reach, groups are coded anew
    assert all((a == b).all() for a, b in zip(before[:GROUP], after[:GROUP], strict=True))
    assert result.kind == "video" and result.duration_s == pytest.approx(FRAMES / FPS)
    assert result.boxes["plate"] >= len(plates) * (FRAMES - BEGINS)
    assert result.objects["plate"] >= len(plates) and result.objects["face"] >= 1
    assert result.origins["held"] >= 2 * len(plates) and result.origins["backfilled"] > 0
    assert sum(result.confidence_histogram) == sum(result.boxes.values()) == sum(result.origins.values())
    assert 0 < len(result.certainty) <= 24 and result.verified and result.notes == ()
    assert done[-1] == film.stat().st_size and done == sorted(done)


def test_a_spool_holds_no_pixel_and_nothing_is_left_beside(film, spool):
    assert spool.stat().st_size < 120_000
    assert {path.name for path in film.parent.iterdir()} <= {"film.mp4", "film.spool", "out.mp4"}
    with SpoolReader(spool) as reader:
        assert (reader.frames, reader.header.width) == (FRAMES, 640)
        strong = [int(frame.strong.sum()) for frame in reader]
    assert max(strong[:BEGINS]) == 0 < min(strong[n] for n in range(BEGINS, FRAMES) if n not in DARK)
    assert [strong[n] for n in DARK] == [0, 0]  # the case is no empty one


def test_corrections_add_and_release(film, spool, tools, objects, tmp_path):
    box = next(item.xyxy for item in objects if item.label is Label.PLATE)
    x1, y1, x2, y2 = map(float, box)
    added = AddedBox("face", (300.0, 20.0, 340.0, 60.0), 0.0, 1.0)
    released = FalseHit("plate", (x1, y1, x2, y2), 8.8, 9.2)
    corrections = Corrections((added,), (released,))
    result = hide(
        film, tmp_path / "out.mp4", spool, None, None, dataclasses.replace(tools, corrections=corrections)
    )
    before, after = lumas(film), lumas(tmp_path / "out.mp4")
    assert result.origins["static"] == 6
    changed = [
        float(abs(a[22:58, 302:338].astype(int) - b[22:58, 302:338]).mean())
        for a, b in zip(before, after, strict=True)
    ]
    assert max(changed[:6]) < 3  # a flat grey is hidden by a flat grey
    shown = [n for n in range(BEGINS, FRAMES) if contrast(after[n], box) > 0.5 * contrast(before[n], box)]
    assert shown == [44, 45, 46]


def test_a_frame_at_which_the_look_failed_is_hidden_as_a_whole_and_said(tools, tmp_path, monkeypatch):
    film = make_film(tmp_path / "grey.mp4", 2 * GROUP, 2 * GROUP)
    settings = dataclasses.replace(SETTINGS, video=Settings(on_fault="hide"))
    tools = dataclasses.replace(tools, settings=settings)
    real, calls = Engine.look, []

    def failing(engine, captured):
        calls.append(captured.pts)
        if len(calls) == 11:
            raise TooManyError("more than 256 candidates")
        return real(engine, captured)

    monkeypatch.setattr(Engine, "look", failing)
    look(film, tmp_path / "spool", tools)
    result = hide(film, tmp_path / "out.mp4", tmp_path / "spool", None, None, tools)
    assert "1 frames hidden as a whole: too_many" in result.notes
    after = lumas(tmp_path / "out.mp4")
    assert after[10].mean() < 20 and after[9].mean() > 70 and after[11].mean() > 70


def test_a_blind_detector_leaves_no_spool(film, tools, tmp_path, monkeypatch):
    def blind(engine, captured):
        raise DetectorBlindError("the canary was not found")

    monkeypatch.setattr(Engine, "look", blind)
    with pytest.raises(DetectorBlindError):
        look(film, tmp_path / "spool", tools)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_of_another_file_other_settings_or_another_length_is_refused(film, spool, tools, tmp_path):
    other = tmp_path / "other.mp4"
    other.write_bytes(film.read_bytes() + b"\0\0\0\x08free")
    with pytest.raises(MediaError, match=r"other\.mp4: is not the file that was looked at"):
        hide(other, tmp_path / "out.mp4", spool, None, None, tools)
    changed = dataclasses.replace(tools, settings=dataclasses.replace(SETTINGS, quality=20))
    with pytest.raises(MediaError, match="other settings"):
        hide(film, tmp_path / "out.mp4", spool, None, None, changed)
    for kept in (FRAMES - 1, FRAMES + 1):
        short = tmp_path / f"{kept}.spool"
        with SpoolReader(spool) as reader, new_spool(short, reader.header) as out:
            frames = list(reader)
            step = round((frames[1].time_s - frames[0].time_s) / reader.header.time_base)
            for number, frame in enumerate((frames * 2)[:kept]):
                out.add(frame, number * step)
        with pytest.raises(MediaError, match=str(kept)):
            hide(film, tmp_path / "out.mp4", short, None, None, tools)
    assert not (tmp_path / "out.mp4").exists()


def test_a_source_that_changes_while_it_is_read_is_noticed(tools, tmp_path, monkeypatch):
    film = make_film(tmp_path / "grey.mp4", GROUP, GROUP)
    sums = iter(["a" * 64, "b" * 64])
    monkeypatch.setattr(video_job, "sha256_of", lambda path: next(sums))
    with pytest.raises(MediaError, match="was changed while it was read"):
        look(film, tmp_path / "spool", tools)
    assert list(tmp_path.iterdir()) == [film]


def test_what_a_second_look_finds_sets_the_file_aside(objects, tmp_path):
    """The first pass is made to have found nothing: every group is copied, and what they show is noticed."""
    tools = Tools(SETTINGS, load_packaged("archive"))  # `drive` takes windows of the drawn street for plates
    film = make_film(tmp_path / "street.mp4", GROUP, 0)
    look(film, tmp_path / "spool", tools)
    with SpoolReader(tmp_path / "spool") as reader, new_spool(tmp_path / "blind", reader.header) as out:
        step = round(Fraction(1, FPS) / reader.header.time_base)
        for number in range(reader.frames):
            out.add(
                dataclasses.replace(SeenFrame.unseen(0, 0.0, Reason.TOO_MANY), reason=None), number * step
            )
    with pytest.raises(SecondLookError) as caught:
        hide(film, tmp_path / "out.mp4", tmp_path / "blind", None, None, tools)
    fault = caught.value
    assert fault.pts_s == pytest.approx(fault.frame / FPS, abs=1e-3)
    x, y = (fault.xyxy[0] + fault.xyxy[2]) / 2, (fault.xyxy[1] + fault.xyxy[3]) / 2
    assert any(o.xyxy[0] < x < o.xyxy[2] and o.xyxy[1] < y < o.xyxy[3] for o in objects)
    assert not (tmp_path / "out.mp4").exists()


def test_it_stops_when_told_to(film, spool, tools, tmp_path):
    class StoppedError(Exception):
        pass

    def stop():
        raise StoppedError

    stopping = dataclasses.replace(tools, check_stop=stop)
    with pytest.raises(StoppedError):
        look(film, tmp_path / "spool", stopping)
    with pytest.raises(StoppedError):
        hide(film, tmp_path / "out.mp4", spool, None, None, stopping)
    assert list(tmp_path.iterdir()) == []
