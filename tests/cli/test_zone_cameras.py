"""Cameras and their views, the site's configuration, a video's own track, and the map of a drive."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from anonymize.cli import main
from anonymize.drawing import draw_street
from tests.cli.test_zones import (
    DRIVE_S,
    HEIGHT,
    RATE,
    T0_S,
    TIME,
    WIDTH,
    frames_of,
    run,
    write_list,
    write_track,
)

av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")
pytest.importorskip("shapely", reason="zone lists need the extra [zones]")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """40 s, two frames a second, past the zone of `test_zones`."""
    path = tmp_path_factory.mktemp("drive") / "drive_F.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = TIME
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        picture = draw_street(WIDTH, HEIGHT)[0]
        for _ in range(DRIVE_S * RATE):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def drive(tmp_path) -> list[str]:
    zones, track = write_list(tmp_path / "zones.geojson"), write_track(tmp_path / "drive.csv")
    return ["--zones", str(zones), "--track", str(track), "--unsigned-zones", "--fast", "--quiet",
            "--camera-offset-s", "0"]  # fmt: skip


def withheld(capsys: Any, clip: Path, target: Path, *words: object) -> tuple[int, list[str]]:
    code, said, err = run(capsys, clip, "-o", target, "--overwrite", *words)
    assert code == 0, (said, err)
    return said["zones"]["frames_withheld"], said["exceptions"]


def test_a_camera_sees_what_is_said_of_it(clip, drive, tmp_path, capsys):
    target = tmp_path / "out.mp4"
    front, told = withheld(capsys, clip, target, *drive)
    assert not any("taken to see" in line for line in told)
    rear, told = withheld(capsys, clip, target, *drive, "--camera", "rear")
    assert "camera rear is taken to see 50 m" in told
    # 100 m less to both sides at 40 m/s: 2.5 s each, to the step of a leg
    assert 2 * (5.0 - 1.1) * RATE / 2 <= front - rear <= 2 * (5.0 + 1.1) * RATE / 2
    named = ["--camera", "back.left=*_F.mp4", "--camera-view", "back.left=50"]
    assert withheld(capsys, clip, target, *drive, *named)[0] == rear
    other = ["--camera", "rear=*_R.mp4", "--camera-view", "rear=1"]
    assert withheld(capsys, clip, target, *drive, *other)[0] == front


def test_a_wedge_needs_a_heading_and_is_a_circle_without(clip, drive, tmp_path, capsys):
    """Behind the car a camera of 20 degrees and 150 m sees the zone only once it was passed."""
    target, view = tmp_path / "out.mp4", ["--camera", "aft", "--camera-view", "aft=180,20,150"]
    circle, told = withheld(capsys, clip, target, *drive, *view)
    assert "camera aft is taken to see 150 m, 20 degrees wide, 180 degrees off the nose" in told
    assert circle == withheld(capsys, clip, target, *drive)[0]
    track = Path(drive[3])
    head, *rows = track.read_text().splitlines()
    track.write_text("\n".join([f"{head},heading_deg", *(f"{row},90" for row in rows)]) + "\n")
    wedge = withheld(capsys, clip, target, *drive, *view)[0]
    assert circle - wedge >= 2 * RATE


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--camera", "a b"], "wanted NAME"),
        (["--camera", "rear="], "wanted NAME"),
        (["--camera", "rear", "--camera", "left"], "for the same files"),
        (["--camera", "rear=*.mp4", "--camera", "left=*_F*"], "cameras left and rear fit"),
        (["--camera-view", "rear=50"], "took no input"),
        (["--camera-view", "front=x"], "wanted NAME=METRES"),
        (["--camera-view", "front=1,2"], "wanted NAME=METRES"),
        (["--camera-view", "front=-1"], "view_m"),
        (["--camera-view", "front=nan"], "view_m"),
        (["--camera-view", "front=0,400,10"], "field_of_view_deg"),
        (["--camera-offset-uncertainty-s", "nan"], "clock_uncertainty_s"),
        ([*(w for k in range(17) for w in ("--camera", f"c{k}=x{k}"))], "16"),
    ],
)  # fmt: skip
def test_cameras_that_cannot_be_are_refused(clip, drive, tmp_path, capsys, words, reason):
    code, _, err = run(capsys, clip, "-o", tmp_path / "out.mp4", *drive, *words)
    assert code == 2
    assert reason in err
    assert not (tmp_path / "out.mp4").exists()


def test_where_zones_are_required_no_list_means_no_output(clip, drive, tmp_path, capsys, monkeypatch):
    site = tmp_path / "site.toml"
    site.write_text("[zones]\nrequired = true\n")
    target = tmp_path / "out.mp4"
    for words in (["--config", site], []):
        code, _, err = run(capsys, clip, "-o", target, "--quiet", *words)
        assert code == 2
        assert "zones are required" in err
        assert not target.exists()
        monkeypatch.setenv("ANONYMIZE_CONFIG", str(site))
    (tmp_path / "lax.toml").write_text("[zones]\nrequired = false\n")
    code, _, err = run(capsys, clip, "-o", target, "--quiet", "--config", tmp_path / "lax.toml")
    assert code == 2
    assert "zones are required" in err
    for text, reason in (("[zones]\nrequird = true\n", "requird"), ("[zones", "no TOML")):
        site.write_text(text)
        code, _, err = run(capsys, clip, "-o", target, "--quiet")
        assert code == 2
        assert reason in err
    site.unlink()
    code, _, err = run(capsys, clip, "-o", target, "--quiet")
    assert code == 2
    assert "cannot be read" in err
    assert not target.exists()


def test_a_configuration_says_what_the_options_would(clip, drive, tmp_path, capsys):
    site, target = tmp_path / "site.toml", tmp_path / "out.mp4"
    site.write_text(
        '[zones]\nlist = "zones.geojson"\ngap = "black"\n[cameras.rear]\nfiles = "*_F.mp4"\nview_m = 50\n'
        "clock_offset_s = 0\nclock_uncertainty_s = 0.5\n"
    )
    words = ["--config", site, "--track", drive[3], "--fast", "--quiet"]
    code, _, err = run(capsys, clip, "-o", target, *words)
    assert code == 2
    assert "--unsigned-zones" in err  # what loosens is said by hand, each time
    by_file, told = withheld(capsys, clip, target, *words, "--unsigned-zones")
    assert any(frame.std() == 0 for _, frame in frames_of(target))
    for line in ("rear is taken to see 50 m", "rear was set against", "rear is taken as right to 0.5 s"):
        assert any(line in one for one in told)
    by_hand = ["--camera", "rear", "--camera-offset-uncertainty-s", "0.5"]
    assert withheld(capsys, clip, target, *drive, *by_hand)[0] == by_file
    site.write_text("[cameras.front]\nyaw_deg = 0\n")
    code, _, err = run(capsys, clip, "-o", target, *drive, "--config", site)
    assert code == 2
    assert "all of yaw_deg, field_of_view_deg and range_m" in err


def test_a_track_that_ends_in_the_middle_keeps_nothing_behind_it(clip, drive, tmp_path, capsys):
    """Behind its last fix the vehicle may be anywhere; with `black` the frames tell their times."""
    track, far = Path(drive[3]), far_list(tmp_path / "far", lat_deg=49.0)
    track.write_text("\n".join(track.read_text().splitlines()[:26]) + "\n")  # from -5 to 19 s
    target = tmp_path / "out.mp4"
    withheld(capsys, clip, target, *drive[:1], far, *drive[2:], "--gap", "black")
    kept_s = [time for time, frame in frames_of(target) if frame.std() > 1.0]
    assert kept_s == [k / RATE for k in range(int((19 - 3 - 1) * RATE) + 1)]
    for gap in ("cut", "split"):
        folder = tmp_path / gap
        withheld(capsys, clip, folder / "out.mp4", *drive[:1], far, *drive[2:], "--gap", gap)
        (one,) = folder.iterdir()
        assert len(frames_of(one)) == len(kept_s)


def test_two_videos_of_one_track_go_each_by_its_own_time(clip, drive, tmp_path, capsys):
    """The second was taken when the first had ended: the track does not reach so far."""
    folder, later = tmp_path / "in", tmp_path / "in" / "later.mp4"
    folder.mkdir()
    (folder / "first.mp4").write_bytes(clip.read_bytes())
    with av.open(str(clip)) as source, av.open(str(later), "w") as target:
        target.metadata["creation_time"] = TIME.replace("2026", "2027")
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    code, said, _ = run(capsys, folder, "-o", tmp_path / "out", *drive)
    assert code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first.mp4"]
    assert "none of its frames may be kept" in said["inputs"][1]["error"]
    code, _, err = run(capsys, folder, "-o", tmp_path / "out2", *drive[:6], "--camera-start", TIME)
    assert code == 2
    assert "one video" in err


def test_a_picture_goes_by_its_own_time_alone(drive, tmp_path, capsys):
    """Else its whole seconds would count as right to a tenth."""
    pil = pytest.importorskip("PIL.Image")
    pil.fromarray(draw_street(WIDTH, HEIGHT)[0]).save(tmp_path / "a.jpg")
    code, said, _ = run(
        capsys, tmp_path / "a.jpg", "-o", tmp_path / "b.jpg", *drive[:6], "--camera-start", TIME
    )
    assert code == 1
    assert "is a picture" in said["inputs"][0]["error"]
    assert not (tmp_path / "b.jpg").exists()


def test_the_datum_of_a_track_is_said_or_it_is_wgs84(clip, tmp_path, capsys):
    """A drive past a zone in Beijing, its track as a map service there exports it: 500 m off."""
    from anonymize.zones.datum import wgs84_to_gcj02

    words = ["--unsigned-zones", "--fast", "--quiet", "--camera-offset-s", "0"]
    zones = far_list(tmp_path / "zones", 116.4, 39.9)
    target, rows = tmp_path / "out.mp4", []
    for second in range(-5, DRIVE_S + 6):
        lon, lat = wgs84_to_gcj02(116.4 + (second - 20) * 40.0 / 85_390.0, 39.9)
        rows.append(f"{T0_S + second},{float(lon)!r},{float(lat)!r},3.0")
    track = tmp_path / "track.csv"
    track.write_text("time_s,lon_deg,lat_deg,accuracy_m\n" + "\n".join(rows) + "\n")
    here = ["--zones", zones, "--track", track]
    wrong, _ = withheld(capsys, clip, target, *here, *words)
    right, _ = withheld(capsys, clip, target, *here, *words, "--track-datum", "gcj02")
    known, _ = withheld(capsys, clip, target, "--zones", write_list(tmp_path / "z"), *words,
                        "--track", write_track(tmp_path / "known.csv"))  # fmt: skip
    assert abs(right - known) <= 1
    assert wrong != right
    abroad = ["--zones", zones, "--track", write_track(tmp_path / "abroad.csv"), "--track-datum", "bd09"]
    code, _, err = run(capsys, clip, "-o", tmp_path / "no.mp4", *abroad, *words)
    assert code == 1
    assert "outside the area where bd09 is defined" in err
    assert not (tmp_path / "no.mp4").exists()


@pytest.fixture
def telemetry(data_dir) -> Path:
    return data_dir / "video" / "action_camera_telemetry.mp4"


def far_list(path: Path, lon_deg: float = 11.0, lat_deg: float = 48.0) -> Path:
    path.write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"radius_m": 20}, '
        f'"geometry": {{"type": "Point", "coordinates": [{lon_deg}, {lat_deg}]}}}}]}}'
    )
    return path


def test_a_video_is_its_own_track_and_clock(telemetry, tmp_path, capsys):
    """Its creation time is local time, eight hours off; its telemetry tells UTC."""
    target = tmp_path / "out.mp4"
    words = ["--unsigned-zones", "--fast", "--quiet", "--track", telemetry, "--gap", "black"]
    code, said, err = run(capsys, telemetry, "-o", target, "--zones", far_list(tmp_path / "far"), *words)
    assert code == 0, (said, err)
    # positions from 1.04 s of the film to 10.9 s; 3 s and the second that its times are uncertain off both ends
    kept_s = [time for time, frame in frames_of(target) if frame.std() > 1.0]
    assert kept_s[0] == pytest.approx(5.04, abs=0.1)
    assert kept_s[-1] == pytest.approx(6.9, abs=0.1)
    assert said["exceptions"] == ["the zone list carries no checked signature"]
    near = far_list(tmp_path / "near", -117.3273, 33.1268)
    code, said, _ = run(capsys, telemetry, "-o", tmp_path / "none.mp4", "--zones", near, *words)
    assert code == 1
    assert "none of its frames may be kept" in said["inputs"][0]["error"]
    assert not (tmp_path / "none.mp4").exists()


def test_the_track_of_a_video_is_no_clock_of_another(telemetry, clip, tmp_path, capsys):
    zones = far_list(tmp_path / "far")
    words = ["--zones", zones, "--unsigned-zones", "--fast", "--quiet", "--track", telemetry]
    code, said, _ = run(capsys, clip, "-o", tmp_path / "out.mp4", *words)
    assert code == 1
    assert "--camera-start" in said["inputs"][0]["error"]
    code, _, err = run(capsys, clip, "-o", tmp_path / "out.mp4", *words[:-1], clip)
    assert code == 1
    assert "0 telemetry tracks" in err
    code, _, err = run(capsys, clip, "-o", tmp_path / "out.mp4", *words, "--track-date", "2019-11-18")
    assert code == 2
    assert "of no use with the track of a video" in err
    assert not (tmp_path / "out.mp4").exists()


def test_the_map_of_a_drive(drive, telemetry, tmp_path, capsys):
    zones, track = drive[1], drive[3]
    page = tmp_path / "map.html"
    assert main(["zones", "preview", zones, str(page), "--track", track]) == 0
    kept, of = map(int, re.search(r"(\d+) of (\d+) positions kept", capsys.readouterr().out).groups())
    assert of == DRIVE_S + 11
    assert 10 < kept < 30
    assert page.read_text().count('class="kept"') == 2
    assert page.stat().st_mode & 0o777 == 0o600
    for view, more in (("50", True), ("0,360,300", False)):
        other = tmp_path / f"{view}.html"
        assert main(["zones", "preview", zones, str(other), "--track", track, "--view", view]) == 0
        now = int(re.search(r"(\d+) of", capsys.readouterr().out.partition("drive")[2])[1])
        assert (now > kept) is more
        assert now != kept
    assert main(["zones", "preview", zones, str(tmp_path / "v.html"), "--track", str(telemetry)]) == 0
    assert main(["zones", "preview", zones, str(tmp_path / "a.html"), "--view", "50"]) == 2
    assert "--view is of no use" in capsys.readouterr().err
    poor = write_track(tmp_path / "poor.csv", accuracy=False)
    assert main(["zones", "preview", zones, str(tmp_path / "b.html"), "--track", str(poor)]) == 1
    assert "--track-accuracy-m" in capsys.readouterr().err
    words = ["--track", str(poor), "--track-accuracy-m", "8"]
    assert main(["zones", "preview", zones, str(tmp_path / "b.html"), *words]) == 0
