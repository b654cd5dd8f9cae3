"""`anonymize run VIDEO --zones LIST --track DRIVE`: no frame near a zone is in any output; nothing tells where."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.cli import main
from anonymize.drawing import draw_street

av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")
pytest.importorskip("shapely", reason="zone lists need the extra [zones]")

T0_S = 1_780_000_000
LON_DEG, LAT_DEG = 11.0, 48.0
M_PER_LON_DEG = 74_625.0  # WGS 84 at 48 degrees north
DRIVE_S, SPEED_MPS, RATE = 40, 40.0, 2
WIDTH, HEIGHT = 320, 192
# A zone of 20 m at 800 m: 20 s into the drive. Margin: 2.46 x 5 m + 1 + 10 + 150 m of view.
ZONE_M, RADIUS_M = 800.0, 20.0
TOUCHED_S = (20.0 - 193.3 / SPEED_MPS, 20.0 + 193.3 / SPEED_MPS)
CLOCK = ["the clock of camera front was set against the track's by hand"]
TIME = datetime.fromtimestamp(T0_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def secret() -> np.ndarray:
    """A pattern of 8 px squares, as strong as a plate's characters."""
    squares = np.random.default_rng(11).integers(0, 2, (HEIGHT // 8, WIDTH // 8)) * 80 - 40
    return np.kron(squares, np.ones((8, 8)))


@pytest.fixture(scope="module")
def clip(tmp_path_factory, secret) -> Path:
    """40 s, two frames a second, with sound; the secret is shown while the vehicle is within reach of the zone."""
    street = draw_street(WIDTH, HEIGHT)[0].astype(float)
    path = tmp_path_factory.mktemp("drive") / "drive.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = TIME
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=8000, layout="mono")
        for number in range(DRIVE_S * RATE):
            inside = TOUCHED_S[0] - 0.5 <= number / RATE <= TOUCHED_S[1] + 0.5
            rgb = np.clip(street + (secret[..., None] if inside else 0), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
        for start in range(0, DRIVE_S * 8000, 1024):
            samples = np.sin(np.arange(start, start + 1024) / 20.0)[None].astype(np.float32) * 0.3
            piece = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            piece.sample_rate, piece.pts = 8000, start
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    return path


def write_list(path: Path, lon_deg: float = LON_DEG) -> Path:
    geometry = {
        "type": "Point",
        "coordinates": [lon_deg + ZONE_M / M_PER_LON_DEG, LAT_DEG],
        "extent": {"subType": "Circle", "radius": RADIUS_M},
    }
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def write_track(path: Path, lon_deg: float = LON_DEG, *, accuracy: bool = True, step_s: int = 1) -> Path:
    rows = ["time_s,lon_deg,lat_deg" + ",accuracy_m" * accuracy]
    for second in range(-5, DRIVE_S + 6, step_s):
        lon = lon_deg + second * SPEED_MPS / M_PER_LON_DEG
        rows.append(f"{T0_S + second},{lon:.9f},{LAT_DEG}" + ",3.0" * accuracy)
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def drive(tmp_path) -> list[str]:
    """The options of a usable list and track."""
    zones, track = write_list(tmp_path / "zones.geojson"), write_track(tmp_path / "drive.csv")
    return [
        "--zones",
        str(zones),
        "--track",
        str(track),
        "--unsigned-zones",
        "--fast",
        "--camera-offset-s",
        "0",
    ]


def run(capsys, *words: object) -> tuple[int, dict[str, Any], str]:
    code = main(["run", *map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else {}, said.err


def frames_of(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="gray").astype(float))
            for frame in container.decode(video=0)
        ]


def strength(frame: np.ndarray, street: np.ndarray, secret: np.ndarray) -> float:
    """How much of the pattern stands in a frame: 1 where it was put."""
    return abs(float(((frame - street) * secret).mean() / (secret**2).mean()))


def check_no_secret(paths: list[Path], clip: Path, secret: np.ndarray) -> None:
    street = frames_of(clip)[0][1]
    for path in paths:
        for _, frame in frames_of(path):
            if frame.std() > 1.0:  # not the black one
                assert strength(frame, street, secret) < 0.05


def sound_end(path: Path) -> tuple[int, float]:
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.size]
        return len(packets), float(max((p.pts + p.duration) * p.time_base for p in packets))


def test_the_pattern_is_seen_where_it_is(clip, secret):
    frames = frames_of(clip)
    assert max(strength(frame, frames[0][1], secret) for _, frame in frames) > 0.7


def test_cut(clip, secret, drive, tmp_path, capsys):
    target, lines = tmp_path / "out.mp4", tmp_path / "boxes.jsonl"
    code, said, err = run(capsys, clip, "-o", target, *drive, "--detections", lines)
    assert code == 0, (err, said)
    frames = frames_of(target)
    check_no_secret([target], clip, secret)
    zones = said["zones"]
    assert zones["frames_withheld"] == DRIVE_S * RATE - len(frames)
    assert zones["gap"] == "cut"
    # 3 s before and behind, 1 s of the camera's clock, a leg of 1 s; hysteresis of 20 m and 3 s
    assert 2 * 9.6 + 12 <= zones["frames_withheld"] <= 2 * (9.6 + 15)
    assert [round(time * RATE, 3) for time, _ in frames] == list(range(len(frames)))
    written = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["frame"] for line in written] == list(range(len(frames)))
    assert [round(line["pts_s"] * RATE, 3) for line in written] == list(range(len(frames)))
    packets, end_s = sound_end(target)
    assert end_s <= len(frames) / RATE + 1.0
    gone_s = zones["frames_withheld"] / RATE
    assert packets <= sound_end(clip)[0] - gone_s * 8000 / 1024


def test_black(clip, secret, drive, tmp_path, capsys):
    target = tmp_path / "out.mp4"
    code, said, _ = run(capsys, clip, "-o", target, *drive, "--gap", "black")
    assert code == 0
    check_no_secret([target], clip, secret)
    frames = frames_of(target)
    flat = [index for index, (_, frame) in enumerate(frames) if frame.std() == 0]
    assert len(flat) == 1
    assert len(frames) == DRIVE_S * RATE - said["zones"]["frames_withheld"] + 1
    assert round(frames[-1][0] * RATE) == DRIVE_S * RATE - 1
    black_s, next_s = frames[flat[0]][0], frames[flat[0] + 1][0]
    assert (next_s - black_s) * RATE == said["zones"]["frames_withheld"]
    with av.open(str(target)) as container:
        # the duration that MP4 gives a packet is the time to the next one; 1024 samples are in it
        starts_s = [
            float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size
        ]
    assert all(start + 1024 / 8000 <= black_s or start >= next_s for start in starts_s)
    assert min(starts_s) < 1
    assert max(starts_s) > next_s + 2


def test_split(clip, secret, drive, tmp_path, capsys):
    code, said, _ = run(capsys, clip, "-o", tmp_path / "out.mp4", *drive, "--gap", "split")
    assert code == 0
    parts = [tmp_path / "out.001.mp4", tmp_path / "out.002.mp4"]
    assert said["inputs"][0]["outputs"] == [str(part) for part in parts]
    assert sorted(path for path in tmp_path.iterdir() if path.suffix == ".mp4") == parts
    check_no_secret(parts, clip, secret)
    kept = sum(len(frames_of(part)) for part in parts)
    assert kept == DRIVE_S * RATE - said["zones"]["frames_withheld"]


@pytest.mark.parametrize("gap", ["cut", "black", "split"])
def test_zones_and_track_moved_together_change_no_byte(clip, tmp_path, capsys, gap):
    """SAFETY 26."""
    written = []
    for name, lon_deg in (("a", LON_DEG), ("b", LON_DEG + 1.0)):
        folder, secrets = tmp_path / name, tmp_path / f"{name}-in"
        secrets.mkdir()
        zones = write_list(secrets / "zones.geojson", lon_deg)
        track = write_track(secrets / "drive.csv", lon_deg)
        code, said, err = run(
            capsys, clip, "-o", folder / "out.mp4", "--zones", zones, "--track", track, "--unsigned-zones",
            "--fast", "--camera-offset-s", "0", "--gap", gap, "--detections", folder / "boxes.jsonl", "--quiet",
        )  # fmt: skip
        assert code == 0
        assert said["zones"]["frames_withheld"] > 20
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        told = json.dumps(said).replace(str(folder), "")
        told = told.replace(json.dumps(said["seconds"]), "").replace(
            json.dumps(said["inputs"][0]["seconds"]), ""
        )
        written.append((files, told, err))
    assert written[0] == written[1]
    assert len(written[0][0]) == (3 if gap == "split" else 2)


@pytest.mark.parametrize(
    ("track", "advice"),
    [({"accuracy": False}, "--track-accuracy-m"), ({"step_s": 4}, "--max-gap-s 4")],
)
def test_without_a_usable_track_nothing_is_written(clip, drive, tmp_path, capsys, track, advice):
    drive[3] = str(write_track(tmp_path / "poor.csv", **track))
    code, _, err = run(capsys, clip, "-o", tmp_path / "out.mp4", *drive)
    assert code == 1
    assert advice in err
    for told in ("11.0", "48.0", str(T0_S)[:7]):
        assert told not in err
    assert not (tmp_path / "out.mp4").exists()


def test_each_loosening_is_named(clip, drive, tmp_path, capsys):
    drive[3] = str(write_track(tmp_path / "poor.csv", accuracy=False, step_s=4))
    loose = ["--track-accuracy-m", "8", "--max-gap-s", "4", "--top-speed-mps", "45", "--camera-offset-s", "0"]
    loose += ["--camera-offset-uncertainty-s", "0.2"]
    code, said, _ = run(capsys, clip, "-o", tmp_path / "out.mp4", *drive, *loose)
    assert code == 0
    told = "\n".join(said["exceptions"])
    for words in (
        "good to 8 m",
        "up to 4 s are bridged at up to 45 m/s",
        "no checked signature",
        "by hand",
        "0.2 s",
    ):
        assert words in told
    assert all(f"exception: {line}" in said["warnings"] for line in said["exceptions"])
    assert not any("no restricted zones" in line for line in said["warnings"])


def test_a_video_that_says_no_time_needs_its_start(clip, drive, tmp_path, capsys):
    silent = tmp_path / "silent.mp4"
    with av.open(str(clip)) as source, av.open(str(silent), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    code, said, _ = run(capsys, silent, "-o", tmp_path / "out.mp4", *drive)
    assert code == 1
    assert "--camera-start" in said["inputs"][0]["error"]
    code, said, _ = run(capsys, silent, "-o", tmp_path / "out.mp4", *drive[:6], "--camera-start", TIME)
    assert code == 0
    assert "when the video was taken was stated by hand" in said["exceptions"]
    elsewhere = ["--camera-start", "2001-01-01T00:00:00+01:00"]
    code, said, _ = run(capsys, silent, "-o", tmp_path / "other.mp4", *drive[:6], *elsewhere)
    assert code == 1
    assert "none of its frames may be kept" in said["inputs"][0]["error"]
    assert not (tmp_path / "other.mp4").exists()


def test_a_creation_time_that_nobody_vouches_for_is_refused(clip, drive, tmp_path, capsys):
    """Many cameras write local time as UTC: on a track of a whole day it would be read as another place."""
    code, said, _ = run(capsys, clip, "-o", tmp_path / "out.mp4", *drive[:6])
    assert code == 1
    assert "--camera-offset-s" in said["inputs"][0]["error"]
    assert "local time" in said["inputs"][0]["error"]
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--zones-required"], "zones are required"),
        (["--track", "drive.csv"], "--track is of no use without --zones"),
        (["--gap", "black"], "--gap is of no use"),
        (["--zones", "LIST"], "wanted --track"),
        (["--zones", "LIST", "--track", "DRIVE"], "--unsigned-zones"),
        (
            ["--zones", "LIST", "--track", "DRIVE", "--unsigned-zones", "--camera-start", "2026-05-04T10:00"],
            "its zone",
        ),
        (["--zones", "FOLDER", "--track", "DRIVE"], "--zones-root"),
    ],
)
def test_what_does_not_go_together_is_refused(clip, tmp_path, capsys, words, reason):
    named = {
        "LIST": write_list(tmp_path / "zones.geojson"),
        "DRIVE": write_track(tmp_path / "drive.csv"),
        "FOLDER": tmp_path,
    }
    code, _, err = run(capsys, clip, "-o", tmp_path / "out.mp4", *(named.get(word, word) for word in words))
    assert code == 2
    assert reason in err
    assert not (tmp_path / "out.mp4").exists()


def test_a_refused_list_lets_nothing_through(clip, drive, tmp_path, capsys):
    Path(drive[1]).write_text('{"type": "FeatureCollection", "features": []}')
    code, _, err = run(capsys, clip, "-o", tmp_path / "out.mp4", *drive)
    assert code == 1
    assert "zone" in err
    assert not (tmp_path / "out.mp4").exists()


def test_a_signed_list(clip, drive, tmp_path, capsys):
    pytest.importorskip("tuf")
    key, folder = tmp_path / "alice", tmp_path / "signed"
    for words in (
        ["new-key", key],
        ["sign", drive[1], folder, "--key", key, "--public-key", f"{key}.pub"],
        ["verify", folder, "--root", folder / "metadata" / "1.root.json"],
    ):
        assert main(["zones", *map(str, words)]) == 0
    capsys.readouterr()
    signed = [
        "--zones",
        folder,
        "--zones-root",
        folder / "metadata" / "1.root.json",
        "--track",
        drive[3],
        "--fast",
        "--camera-offset-s",
        "0",
    ]
    state = ["--zones-state", tmp_path / "state"]
    code, said, _ = run(capsys, clip, "-o", tmp_path / "out.mp4", *signed, *state)
    assert code == 0
    assert (said["zones"]["signed"], said["zones"]["version"], said["exceptions"]) == (True, 1, CLOCK)
    assert said["zones"]["frames_withheld"] > 20
    (content,) = (folder / "zones").iterdir()
    content.write_bytes(content.read_bytes().replace(b"Point", b"point"))
    code, _, err = run(capsys, clip, "-o", tmp_path / "other.mp4", *signed, *state)
    assert code == 1
    assert "altered" in err
    assert not (tmp_path / "other.mp4").exists()


def test_pictures_go_by_their_exif_time(drive, tmp_path, capsys):
    pil = pytest.importorskip("PIL.Image")
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    picture = pil.fromarray(draw_street(WIDTH, HEIGHT)[0])
    for name, seconds, offset in (("early", 3, "+00:00"), ("inside", 20, "+00:00"), ("late", 38, None)):
        exif = pil.Exif()
        moment = datetime.fromtimestamp(T0_S + seconds, UTC).strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(0x8769).update({0x9003: moment} | ({0x9011: offset} if offset else {}))
        picture.save(photos / f"{name}.jpg", exif=exif)
    code, said, err = run(capsys, photos, "-o", out, *drive)
    assert code == 1
    assert [path.name for path in out.iterdir()] == ["early.jpg"]
    assert said["zones"]["frames_withheld"] == 1
    assert (said["done"], said["failed"]) == (2, 1)
    assert "OffsetTimeOriginal" in json.dumps(said["inputs"])
    assert "inside" not in json.dumps(said["inputs"]) + err


def test_lists_are_checked_converted_and_drawn(tmp_path, capsys):
    zones, other, page = (
        write_list(tmp_path / "zones.geojson"),
        tmp_path / "other.json",
        tmp_path / "map.html",
    )
    assert main(["zones", "check", str(zones)]) == 0
    assert "1 on 1 sites" in capsys.readouterr().out
    convert = ["zones", "convert", str(zones), str(other), "--to-format", "ed318"]
    assert main(convert) == 0
    assert other.stat().st_mode & 0o777 == 0o600
    assert main(["zones", "check", str(other)]) == 0
    assert "ed318" in capsys.readouterr().out
    assert main(["zones", "preview", str(other), str(page), "--margin-m", "50"]) == 0
    assert page.stat().st_mode & 0o777 == 0o600
    assert main(convert) == 2  # nothing is overwritten
    assert main(["zones", "check", str(page)]) == 1
    assert main(["zones", "sign", str(tmp_path / "signed")]) == 2
