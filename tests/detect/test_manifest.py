"""A model proves itself by a hash from elsewhere; a manifest says what is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from anonymize.detect import load_foreign, load_packaged, packaged_manifest, read_manifest
from anonymize.detect.manifest import PINNED_SHA256, load_model
from anonymize.errors import ModelError

ENTRY = """
[mine]
file = "mine.onnx"
sha256 = "ignored: the hash comes from the command line"
adapter = "centerface"
labels = ["face"]
threshold = { face = 0.3 }
licence = "MIT"
provenance = "drawn for this test"
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "manifest.toml"
    path.write_text(ENTRY)
    (tmp_path / "mine.onnx").write_bytes(b"weights")
    return path


def test_the_packaged_models_match_the_hashes_pinned_in_the_code():
    entries = read_manifest(packaged_manifest())
    assert set(entries) == set(PINNED_SHA256)
    for name, entry in entries.items():
        assert entry.sha256 == PINNED_SHA256[name]
        assert hashlib.sha256(load_packaged(name).onnx).hexdigest() == PINNED_SHA256[name]


def test_an_unknown_packaged_model_is_named():
    with pytest.raises(ModelError, match=r"'lorry'.*drive"):
        load_packaged("lorry")


def test_a_foreign_model_is_read_once_and_checked(manifest, tmp_path):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    model = load_foreign(tmp_path / "mine.onnx", sha256.upper(), manifest)
    assert model.onnx == b"weights"
    assert "weights" not in repr(model)


@pytest.mark.parametrize("content", [b"weightz", b"", b"weights "])
def test_an_altered_model_is_refused(manifest, tmp_path, content):
    sha256 = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "mine.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"mine\.onnx: the model was altered.*wanted " + sha256):
        load_foreign(tmp_path / "mine.onnx", sha256, manifest)


def test_a_missing_model_and_a_bad_hash_are_refused(manifest, tmp_path):
    entry = read_manifest(manifest)["mine"]
    with pytest.raises(ModelError, match="No such file"):
        load_model(tmp_path / "gone.onnx", entry, "0" * 64)
    with pytest.raises(ModelError, match="64 hexadecimal"):
        load_model(tmp_path / "mine.onnx", entry, "abc")
    with pytest.raises(ModelError, match="0 entries"):
        load_foreign(tmp_path / "other.onnx", "0" * 64, manifest)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('adapter = "centerface"', 'adapter = "yolo"', "adapter 'yolo'"),
        ('adapter = "centerface"\n', "", "lacks the key 'adapter'"),
        ('labels = ["face"]', 'labels = ["nose"]', "nose"),
        ('labels = ["face"]', 'labels = ["area"]', "labels"),
        ('labels = ["face"]', "labels = []", "labels"),
        ("face = 0.3", "face = 1.3", "threshold"),
        ("face = 0.3", "plate = 0.3", "threshold"),
        ("face = 0.3", 'face = "high"', "could not convert"),
        ('licence = "MIT"', "mean = [1.0, 2.0]\nlicence = 'MIT'", "not enough values"),
        ('licence = "MIT"', "std = [1.0, 0.0, 1.0]\nlicence = 'MIT'", "std of 0"),
        ('licence = "MIT"', "nms_iou = 1.5\nlicence = 'MIT'", "nms_iou"),
        ("[mine]", "[mine", "TOML"),
        (ENTRY, "mine = 3", "mine"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(manifest, old, new, message):
    manifest.write_text(ENTRY.replace(old, new))
    with pytest.raises(ModelError, match=message):
        read_manifest(manifest)


def test_a_missing_manifest_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"none\.toml"):
        read_manifest(tmp_path / "none.toml")
