"""`anonymize evaluate` as a user calls it, on drawn streets, and on a few real pictures where present."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anonymize.cli import main
from anonymize.detect import packaged_manifest
from anonymize.drawing import draw_street
from anonymize.evaluate.crops import grown
from anonymize.evaluate.overlap import as_boxes

CATEGORIES = [{"id": 1, "name": "face"}, {"id": 2, "name": "plate"}]
NOWHERE = [10, 310, 60, 40]  # a plate that is labelled where none is, on the empty road: a sure miss


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two drawn streets; in the second a plate is labelled on the empty road, and faces are not labelled."""
    folder = tmp_path / "set"
    folder.mkdir()
    images, annotations = [], []
    for index, (size, labelled) in enumerate((((960, 540), ["face", "plate"]), ((640, 360), ["plate"])), 1):
        street, drawn = draw_street(*size)
        Image.fromarray(street).save(folder / f"{index}.png")
        images.append(
            {"id": index, "file_name": f"{index}.png", "width": size[0], "height": size[1], "source": f"set {index}",
             "labelled": labelled}
        )  # fmt: skip
        for item in drawn:
            x1, y1, x2, y2 = item.xyxy
            annotation = {"image_id": index, "category_id": 1 + (item.label == "plate")}
            annotation |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(item.label not in labelled)}
            annotations.append(annotation)
    annotations.append({"image_id": 2, "category_id": 2, "bbox": NOWHERE})
    values = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (folder / "annotations.json").write_text(json.dumps(values))
    return folder


def evaluate(*words: object) -> int:
    return main(["evaluate", "--threads", "1", "--quiet", *map(str, words)])


def report_of(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_report_page_and_list(dataset, tmp_path, capsys):
    page, listed = tmp_path / "page.html", tmp_path / "list.csv"
    assert evaluate(dataset, "--json", "--html", page, "--findings", listed, "--exclude-source", "set 1") == 0
    report = report_of(capsys)
    assert (report["pictures"], report["excluded_sources"], report["size"]) == (2, ["set 1"], "native")
    (model,) = report["models"]
    plates = model["classes"]["plate"]["groups"]
    assert list(plates) == ["headline", "all", "source set 1", "source set 2"]
    assert plates["headline"]["in_scope"]["detection_rate"]["of"] == 1  # of set 2 the one on the road alone
    assert plates["all"]["in_scope"]["detection_rate"]["of"] == 3
    assert model["classes"]["face"]["groups"]["all"]["pictures"] == 1  # in the other they are not labelled
    road = [row for row in csv.DictReader(io.StringIO(listed.read_text())) if row["y1"] == "310.0"]
    assert [(row["kind"], row["label"], row["picture"], row["cause"]) for row in road] == [
        ("miss", "plate", "2.png", "")
    ]
    check_page(page.read_text(), dataset)


def check_page(text: str, dataset: Path) -> None:
    """Nothing is fetched, and in the crop the labelled place is one flat colour."""
    assert not re.search(r"https?://|src=|<script|url\(", text)
    assert text.count("<svg") >= 9  # two curves and two by size a class, and the crop
    encoded = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    captions = re.findall(r"<figcaption>([^<]*)", text)
    wanted = next(index for index, words in enumerate(captions) if words.startswith("plate, 40 px, set 2"))
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[wanted])))).astype(int)
    x, y, width, height = NOWHERE
    y -= 360 - 240  # the crop is the lower left corner of the picture
    assert np.ptp(crop[y + 4 : y + height - 4, x + 4 : x + width - 4], axis=(0, 1)).max() < 12
    assert crop.shape == (240, 240, 3)


def test_causes_are_given_back(dataset, tmp_path, capsys):
    listed = tmp_path / "list.json"
    assert evaluate(dataset, "--findings", listed) == 0
    rows = json.loads(listed.read_text())
    for row in rows:
        row["cause"] = "label" if row["y1"] == 310 else ""
    listed.write_text(json.dumps(rows))
    capsys.readouterr()
    assert evaluate(dataset, "--causes", listed) == 0
    assert re.search(r"plate, miss: \d+ \(label 1", capsys.readouterr().out)


def test_models_side_by_side_and_signs(dataset, tmp_path, capsys):
    """A packaged model by name and the same file as a foreign one; a drawn plate is declared to be a sign."""
    manifest = packaged_manifest()
    model = tmp_path / "drive.onnx"
    shutil.copy(manifest.with_name("drive.onnx"), model)
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    foreign = ("--model", "drive", "--model", model, "--model-sha256", sha256, "--manifest", manifest)
    signs = dataset / "signs.json"
    values = json.loads((dataset / "annotations.json").read_text())
    for image in values["images"]:
        image["labelled"] = ["sign"]
    values |= {"categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "sign"}]}
    values["annotations"] = [item for item in values["annotations"] if item["category_id"] == 2]
    signs.write_text(json.dumps(values))
    assert evaluate(dataset, *foreign, "--signs", signs, "--json", "--fast") == 0
    report = report_of(capsys)
    ours, theirs = report["models"]
    assert (
        ours["name"] == theirs["name"] and ours["classes"] == theirs["classes"] and report["size"] == "live"
    )
    assert ours["signs"]["plate_found_on"]["of"] == 7 and ours["signs"]["plate_found_on"]["hits"] >= 2
    assert ours["signs"]["face_found_on"]["hits"] == 0


def test_tracks(dataset, tmp_path, capsys):
    page = tmp_path / "tracks.html"
    assert (
        evaluate(dataset, "--tracks", "--stills", 1, "--frames", 5, "--json", "--html", page, "--fast") == 0
    )
    report = report_of(capsys)
    (model,) = report["models"]
    assert (report["pictures"], report["frames"], model["clips"], model["dropped_frames"]) == (1, 5, 1, 0)
    for values in model["tracks"].values():
        assert len(values["with_tracking"]["hidden"]["recall_by_frame"]) in (0, 5)
    assert "recall by frame" in page.read_text()
    assert evaluate(dataset, "--tracks", "--stills", 1, "--frames", 2, "--fast") == 0
    assert "every frame" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "no.onnx"], "1 model files, 0 --model-sha256"),
        (["--exclude-source", "set 9"], "no such source"),
        (["--tracks", "--findings", "list.csv"], "without --tracks"),
        (["--tracks", "--stills", "0"], "--stills is 0"),
        (["--causes", "none.csv"], "--causes none.csv"),
        (["--threads", "0"], "--threads is 0"),
    ],
)
def test_wrong_usage(dataset, capsys, words, message):
    assert evaluate(dataset, *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "is no COCO"),
        ('{"images": [], "categories": [], "annotations": [{"image_id": 1}]}', "is no COCO"),
    ],
)
def test_a_broken_set_is_refused(tmp_path, capsys, text, message):
    (tmp_path / "annotations.json").write_text(text)
    assert evaluate(tmp_path) == 2
    assert message in capsys.readouterr().err


def test_a_picture_of_another_size_or_none_fails(dataset, capsys):
    Image.new("RGB", (320, 200)).save(dataset / "2.png")
    assert evaluate(dataset) == 1
    assert "320 x 200 px; wanted 640 x 360" in capsys.readouterr().err
    (dataset / "2.png").unlink()
    assert evaluate(dataset) == 1


def test_a_report_that_exists_is_kept(dataset, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert evaluate(dataset, "--html", page) == 1
    assert page.read_text() == "mine" and "--overwrite" in capsys.readouterr().err


def test_growth_is_the_engines():
    assert grown(as_boxes([[10, 10, 30, 20]])).tolist() == [[7, 8.5, 33, 21.5]]


def test_real_pictures(data_dir, tmp_path, capsys):
    """Six pictures of the test split: rates are rates, bounds lie on their side, boxes to ignore are not asked for."""
    values = json.loads((data_dir / "test" / "annotations.json").read_text())
    chosen = [image for image in values["images"] if image["source"] in ("openimages", "azure_mit")][:6]
    numbers = {image["id"] for image in chosen}
    asked = [item for item in values["annotations"] if item["image_id"] in numbers]
    for image in chosen:
        image["file_name"] = str(data_dir / "test" / image["file_name"])
    file = tmp_path / "six.json"
    file.write_text(json.dumps({**values, "images": chosen, "annotations": asked}))
    assert evaluate(file, "--json", "--fast") == 0
    for label, of_class in report_of(capsys)["models"][0]["classes"].items():
        category = 1 if label == "face" else 2
        wanted = sum(item["category_id"] == category and not item["iscrowd"] for item in asked)
        assert of_class["groups"]["all"]["all_sizes"]["detection_rate"]["of"] == wanted
        for rate in (
            of_class["groups"]["all"]["in_scope"][name] for name in ("detection_rate", "false_rate")
        ):
            assert rate["value"] is None or 0 <= rate["value"] <= 1
