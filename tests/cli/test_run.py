"""`anonymize run` as a user calls it, with the packaged network, on drawn pictures and short videos made here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import anonymize.cli.work
from anonymize.cli import main
from anonymize.drawing import draw_street
from anonymize.errors import DetectorError

REPOSITORY = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(REPOSITORY / part) for part in (".", "kernels", "models"))
STREET, DRAWN = draw_street(640, 360)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "street.png"
    path.parent.mkdir()
    Image.fromarray(STREET).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")
    path = tmp_path / "in" / "clip.mp4"
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for shift in range(6):
            picture = av.VideoFrame.from_ndarray(np.roll(STREET, 2 * shift, 1), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def run(*words: object) -> int:
    return main(["run", *map(str, words)])


def summary_of(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def hidden_share(path: Path, box: tuple[int, int, int, int]) -> float:
    """Share of a drawn object's pixels that are not the drawn ones any more."""
    x1, y1, x2, y2 = box
    out = np.asarray(Image.open(path).convert("RGB"))
    return float((out[y1:y2, x1:x2] != STREET[y1:y2, x1:x2]).any(axis=2).mean())


def overlaps_another(box: dict, boxes: list[dict]) -> bool:
    x1, y1, x2, y2 = box["hidden_xyxy"]
    others = [other["hidden_xyxy"] for other in boxes if other is not box]
    return any(x1 < o[2] and o[0] < x2 and y1 < o[3] and o[1] < y2 for o in others)


def test_a_picture_is_hidden_and_the_rest_is_untouched(street, tmp_path, capsys):
    boxes = tmp_path / "boxes.jsonl"
    assert run(street, "-o", tmp_path / "out.png", "--json", "--detections", boxes) == 0
    values = summary_of(capsys)
    assert values["done"] == 1 and values["failed"] == 0
    assert values["objects_hidden"]["face"] >= 1
    faces = [item.xyxy for item in DRAWN if item.label == "face"]
    assert max(hidden_share(tmp_path / "out.png", box) for box in faces) > 0.9
    touched = np.zeros(STREET.shape[:2], bool)
    for box in json.loads(boxes.read_text())["boxes"]:
        x1, y1, x2, y2 = box["hidden_xyxy"]
        soft = 2 + int(0.06 * min(x2 - x1, y2 - y1))
        touched[max(0, y1 - soft) : y2 + soft, max(0, x1 - soft) : x2 + soft] = True
    assert 0 < touched.mean() < 0.5
    out = np.asarray(Image.open(tmp_path / "out.png"))
    assert (out == STREET)[~touched].all()
    assert (np.asarray(Image.open(street)) == STREET).all()


def test_folders_keep_their_tree_and_other_files_are_left_out(street, tmp_path, capsys):
    below = street.parent / "a" / "b"
    below.mkdir(parents=True)
    Image.fromarray(STREET).save(below / "two.jpg", quality=95)
    (below / "notes.txt").write_text("no picture")
    (below / ".two.jpg.tmp").write_bytes(b"unfinished")
    assert run(street.parent, "-o", tmp_path / "out", "--json") == 0
    assert sorted(
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()
    ) == [
        "a/b/two.jpg",
        "street.png",
    ]
    assert [Path(name).name for name in summary_of(capsys)["left_out"]] == ["notes.txt"]


def test_one_bad_input_is_named_and_the_others_are_done(street, tmp_path, capsys):
    bad = street.parent / "bad.jpg"
    bad.write_text("this is a text")
    assert run(bad, street, "-o", tmp_path / "out", "--json") == 1
    values = summary_of(capsys)
    assert (values["done"], values["failed"]) == (1, 1)
    (error,) = [one["error"] for one in values["inputs"] if one["error"]]
    assert str(bad) in error and "wanted" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["street.png"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("empty.mp4", b""),
        ("text.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"),
        ("noise.bin", bytes(range(256)) * 9),
    ],
)
def test_what_is_no_picture_or_video_fails_with_a_message(tmp_path, capsys, name, content):
    source = tmp_path / name
    source.write_bytes(content)
    assert run(source, "-o", tmp_path / "out", "--json") == 1
    (one,) = summary_of(capsys)["inputs"]
    assert str(source) in one["error"]
    assert not any((tmp_path / "out").iterdir())


def test_a_truncated_video_fails_whole(clip, tmp_path, capsys):
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert run(clip, "-o", tmp_path / "out", "--json") == 1
    assert not any((tmp_path / "out").iterdir())


def test_a_video_is_hidden_frame_by_frame(clip, tmp_path, capsys):
    detections = tmp_path / "boxes.jsonl"
    assert (
        run(clip, "-o", tmp_path / "out.mp4", "--json", "--detections", detections, "--threshold", "0.3") == 0
    )
    assert summary_of(capsys)["frames"] == 6
    lines = [json.loads(line) for line in detections.read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(6))
    assert all(
        set(line) == {"schema", "source", "frame", "pts", "time_base", "pts_s", "width", "height", "boxes"}
        for line in lines
    )
    assert all(line["boxes"] for line in lines)
    assert set(lines[0]["boxes"][0]) == {"label", "xyxy", "confidence", "origin", "hidden_xyxy"}
    import av

    with av.open(str(tmp_path / "out.mp4")) as container:
        for line, frame in zip(lines, container.decode(video=0), strict=True):
            luma = frame.to_ndarray(format="gray")
            alone = [box["hidden_xyxy"] for box in line["boxes"] if not overlaps_another(box, line["boxes"])]
            assert alone
            for x1, y1, x2, y2 in alone:  # SAFETY 16: a lossy codec keeps a flat fill within a few levels
                assert luma[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4].std() < 4


def test_a_dropped_frame_fails_the_video_or_is_left_out(clip, tmp_path, capsys, monkeypatch):
    detect = anonymize.cli.work.Engine._hide
    seen = []

    def fails_once(self, captured, camera, *due):
        seen.append(captured.pts)
        if len(seen) == 3:
            raise DetectorError("no luck")
        return detect(self, captured, camera, *due)

    monkeypatch.setattr(anonymize.cli.work.Engine, "_hide", fails_once)
    assert run(clip, "-o", tmp_path / "out.mp4", "--json") == 1
    (one,) = summary_of(capsys)["inputs"]
    assert "frame 2 was dropped as detector_error: DetectorError: no luck" in one["error"]
    assert not (tmp_path / "out.mp4").exists()
    seen.clear()
    assert run(clip, "-o", tmp_path / "out.mp4", "--json", "--on-error", "skip-frame") == 0
    values = summary_of(capsys)
    assert values["frames_dropped"] == {"detector_error": 1}
    assert values["frames"] == 5


def test_weak_styles_on_video_are_refused_unless_allowed(clip, tmp_path, capsys):
    assert run(clip, "-o", tmp_path / "out.mp4", "--style", "mosaic") == 1
    assert "--allow-weak-on-video" in capsys.readouterr().out
    assert run(clip, "-o", tmp_path / "out.mp4", "--style", "mosaic", "--allow-weak-on-video", "--json") == 0
    assert any("mosaic, a weaker style" in line for line in summary_of(capsys)["exceptions"])


def test_exceptions_stand_in_the_summary(street, tmp_path, capsys):
    """SAFETY 22."""
    options = ["--never", "0,0,640,360", "--classes", "plate", "--threshold", "plate=0.9"]
    assert run(street, "-o", tmp_path / "out.png", *options) == 0
    text = capsys.readouterr().out
    for line in (
        "(0.0, 0.0, 640.0, 360.0) are not hidden",
        "faces are not looked for",
        "threshold for plates set to 0.9",
    ):
        assert "exception: " in text and line in text


def test_static_areas_are_hidden(street, tmp_path):
    assert run(street, "-o", tmp_path / "out.png", "--hide-always", "0,300,640,360", "--style", "solid") == 0
    assert (np.asarray(Image.open(tmp_path / "out.png"))[300:] == 0).all()


def test_another_extension_gives_another_format(street, tmp_path):
    assert run(street, "-o", tmp_path / "out.jpg") == 0
    assert Image.open(tmp_path / "out.jpg").format == "JPEG"


def test_sigterm_leaves_no_partial_file(clip, tmp_path):
    environment = {**os.environ, "PYTHONPATH": PATHS}
    words = [sys.executable, "-m", "anonymize", "run", str(clip), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    deadline_s = time.monotonic() + 60
    while not list(tmp_path.glob("out/.*.tmp")) and time.monotonic() < deadline_s and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "nothing unfinished is left" in said
    assert not any((tmp_path / "out").iterdir())


def test_an_output_that_exists_is_kept_unless_told_otherwise(street, tmp_path, capsys):
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    assert run(street, "-o", target) == 1
    assert "exists already" in capsys.readouterr().out
    assert target.read_bytes() == b"mine"
    assert run(street, "-o", target, "--overwrite") == 0
    assert target.read_bytes() != b"mine"
    assert run(street, "-o", street, "--overwrite") == 1
    assert (np.asarray(Image.open(street)) == STREET).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.png", "-o", "out.png"], "nowhere.png: no such file"),
        (["{in}", "-o", "{in}/street.png/x"], "lies in the input folder"),
        (["{in}", "-o", "{in}"], "lies in the input folder"),
        (["{street}", "-o", "out.png", "--threshold", "high"], "--threshold is 'high'"),
        (["{street}", "-o", "out.png", "--threshold", "1.5"], "1.5"),
        (["{street}", "-o", "out.png", "--classes", "lorry"], "--classes is 'lorry'"),
        (["{street}", "-o", "out.png", "--never", "1,2,3"], "--never is '1,2,3'"),
        (["{street}", "-o", "out.png", "--hide-always", "5,5,1,1"], "x1 < x2"),
        (["{street}", "-o", "out.png", "--threads", "0"], "--threads is 0"),
        (["{street}", "-o", "out.png", "--model", "m.onnx"], "belong together"),
        (["{street}", "{street2}", "-o", "out"], "would both become"),
    ],
)
def test_wrong_usage_ends_with_2(street, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other" / "street.png"
    other.parent.mkdir()
    other.write_bytes(street.read_bytes())
    places = {"in": street.parent, "street": street, "street2": other}
    assert run(*[word.format(**places) for word in words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_an_altered_model_stops_the_run(street, tmp_path, capsys):
    model, manifest = tmp_path / "m.onnx", tmp_path / "m.toml"
    model.write_bytes(b"weights")
    manifest.write_text(
        '[m]\nfile = "m.onnx"\nsha256 = ""\nadapter = "centerface"\nlabels = ["face"]\n'
        'threshold = { face = 0.5 }\nlicence = "MIT"\nprovenance = "here"\n'
    )
    options = ["--model", model, "--manifest", manifest, "--model-sha256", "0" * 64]
    assert run(street, "-o", tmp_path / "out.png", *options) == 1
    assert "was altered" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()


def test_ctrl_c_leaves_no_partial_file(clip, tmp_path, capsys, monkeypatch):
    hide = anonymize.cli.work.Engine._hide
    seen = []

    def interrupted(self, captured, camera, *due):
        seen.append(captured.pts)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return hide(self, captured, camera, *due)

    monkeypatch.setattr(anonymize.cli.work.Engine, "_hide", interrupted)
    assert run(clip, "-o", tmp_path / "out", "--detections", tmp_path / "boxes.jsonl") == 130
    assert not any((tmp_path / "out").iterdir())
    assert not (tmp_path / "boxes.jsonl").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_bug_is_named_without_values(street, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("secret value 42")

    monkeypatch.setattr(anonymize.cli.work.Worker, "_picture", fail)
    assert run(street, "-o", tmp_path / "out.png") == 1
    err = capsys.readouterr().err
    assert "internal error at test_run.py" in err and "ZeroDivisionError" in err
    assert "42" not in err


def test_models_and_doctor_and_sample(tmp_path, capsys):
    assert main(["models", "--json"]) == 0
    (drive,) = [model for model in json.loads(capsys.readouterr().out) if model["name"] == "drive"]
    assert drive["intact"] is True and len(drive["sha256"]) == 64
    assert main(["models"]) == 0
    assert "checked" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["faults"] == [] and values["execution_providers"][0] == "cpu"
    assert main(["doctor"]) == 0
    assert "kernel cache" in capsys.readouterr().out
    assert main(["sample", str(tmp_path / "s.png")]) == 0
    assert np.asarray(Image.open(tmp_path / "s.png")).shape == (720, 1280, 3)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["nonsense"], []])
def test_help_and_unknown_commands(words, capsys):
    assert main(words) == (0 if "--help" in words else 2)
