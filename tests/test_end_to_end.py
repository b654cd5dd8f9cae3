"""The command on real clips and pictures of ../shared/data, checked with ffprobe and exiftool where they are there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.cli import main

av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")

CLIPS = {
    "us_highway_720p.mp4": 38,
    "desert_road_mjpeg.avi": 78,
    "iphone_rotated.mov": 120,
    "android_location.mp4": 3,
    "person_signing_1.mkv": 77,
}
ORIENTED = [
    "orientation_3.jpg",
    "orientation_6.jpg",
    "grey_orientation_7.jpg",
    "phone_face_orientation6_gps.jpg",
]


def ffprobe(path: Path) -> dict[str, Any]:
    """What an outside program says of the file."""
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed (apt-get install ffmpeg)")
    words = [
        "ffprobe",
        "-v",
        "error",
        "-of",
        "json",
        "-show_streams",
        "-show_format",
        "-show_packets",
        str(path),
    ]
    return json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)


def picture_times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


def streams_of(facts: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [stream for stream in facts["streams"] if stream["codec_type"] == kind]


def packets_of(facts: dict[str, Any], stream: dict[str, Any]) -> list[tuple[str, str]]:
    packets = [packet for packet in facts["packets"] if packet["stream_index"] == stream["index"]]
    return [(packet["pts_time"], packet["size"]) for packet in packets]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_keeps_its_times_and_sound_and_loses_its_position(data_dir, tmp_path, capsys, name):
    source, target = data_dir / "video" / name, tmp_path / name
    detections = tmp_path / "boxes.jsonl"
    words = ["run", str(source), "-o", str(target), "--fast", "--json", "--detections", str(detections)]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == CLIPS[name]
    times = picture_times(target)
    assert times == picture_times(source)
    assert [json.loads(line)["pts"] for line in detections.read_text().splitlines()] == times
    before, after = ffprobe(source), ffprobe(target)
    (video,), (was,) = streams_of(after, "video"), streams_of(before, "video")[:1]
    for fact in ("width", "height", "time_base", "color_range", "color_space", "avg_frame_rate"):
        assert video.get(fact) == was.get(fact), fact
    assert float(after["format"]["duration"]) == pytest.approx(float(before["format"]["duration"]), abs=0.04)
    turns = [[item.get("rotation") for item in one.get("side_data_list", [])] for one in (video, was)]
    assert turns[0] == turns[1]
    for heard, original in zip(streams_of(after, "audio"), streams_of(before, "audio"), strict=True):
        assert heard["codec_name"] == original["codec_name"]
        assert packets_of(after, heard) == packets_of(before, original)
    assert not streams_of(after, "data")
    words = json.dumps(after["format"].get("tags", {})).lower()
    assert "location" not in words and "apple" not in words and "make" not in words


@pytest.mark.timeout(600)
def test_pictures_keep_orientation_and_time_and_lose_the_rest(data_dir, tmp_path, capsys):
    sources = [data_dir / "exif" / name for name in ORIENTED]
    assert main(["run", *map(str, sources), "-o", str(tmp_path), "--fast", "--json"]) == 0
    capsys.readouterr()
    for source in sources:
        target = tmp_path / source.name
        from PIL import Image

        with Image.open(source) as before, Image.open(target) as after:
            assert after.size == before.size
            assert after.getexif().get(0x0112) == before.getexif().get(0x0112)
            assert not after.getexif().get_ifd(0x8825)
            assert np.asarray(after).shape == np.asarray(before).shape
        if shutil.which("exiftool"):
            words = ["exiftool", "-j", "-a", "-G1", str(target)]
            facts = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)[0]
            groups = {key.split(":")[0] for key in facts}
            assert groups <= {"SourceFile", "ExifTool", "System", "File", "JFIF", "IFD0", "ExifIFD", "Composite",
                              "ICC_Profile", "ICC-header", "ICC-view", "ICC-meas"}, groups  # fmt: skip


def test_the_face_in_a_turned_phone_picture_is_hidden(data_dir, tmp_path, capsys):
    source = data_dir / "exif" / "phone_face_orientation6_gps.jpg"
    assert main(["run", str(source), "-o", str(tmp_path / "out.jpg"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects_hidden"]["face"] >= 1
