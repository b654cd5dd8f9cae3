"""A bundle, as its recipient checks it: whatever was altered after it was written is seen."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from anonymize.store.ledger_verifier import canonical, statement_text, verify_bundle
from anonymize.store.signing import signed_note
from tests.store.exports import APPROVERS, KNOWN, Scene
from tests.store.ledgers import KEY, ORIGIN, OTHER_KEY, digest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("scene"))
    made = scene.export(approval=scene.approval())
    scene.ledger.close()
    return made.path


def spoilt(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    return copy


def test_an_altered_or_missing_file_is_seen(bundle, tmp_path):
    names = [path.relative_to(bundle) for path in bundle.rglob("*") if path.is_file()]
    assert len(names) == 5
    for name in names:
        copy = spoilt(bundle, tmp_path)
        content = bytearray((copy / name).read_bytes())
        for place in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[place] ^= 1
            (copy / name).write_bytes(changed)
            assert verify_bundle(copy, KNOWN).faults, (name, place)
        (copy / name).write_bytes(content[:-1])
        assert verify_bundle(copy, KNOWN).faults, name
        (copy / name).unlink()
        assert verify_bundle(copy, KNOWN).faults, name
        shutil.rmtree(copy)


def test_strange_files_swapped_objects_and_links_are_seen(bundle, tmp_path):
    copy = spoilt(bundle, tmp_path)
    first, second = sorted((copy / "objects").iterdir())
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert verify_bundle(copy, KNOWN).faults
    first.write_bytes(one)
    second.write_bytes(two)
    assert verify_bundle(copy, KNOWN).faults == []
    (copy / "objects" / "more").write_bytes(b"x")
    assert verify_bundle(copy, KNOWN).faults
    (copy / "objects" / "more").unlink()
    moved = tmp_path / "moved"
    first.rename(moved)
    first.symlink_to(moved)
    assert verify_bundle(copy, KNOWN).faults


def resigned(bundle, tmp_path, change, signer=KEY):
    """The bundle with a changed manifest that the device's own key has signed again."""
    copy = spoilt(bundle, tmp_path)
    manifest = json.loads((copy / "manifest.json").read_bytes())
    change(manifest)
    raw = canonical(manifest)
    (copy / "manifest.json").write_bytes(raw)
    text = statement_text("bundle", {"manifest": hashlib.sha256(raw).hexdigest()})
    (copy / "manifest.sig").write_text(signed_note(text, signer, ORIGIN))
    faults = verify_bundle(copy, KNOWN).faults
    shutil.rmtree(copy)
    return faults


def test_a_manifest_is_signed_by_the_known_key(bundle, tmp_path):
    assert resigned(bundle, tmp_path, lambda manifest: None) == []
    assert resigned(bundle, tmp_path, lambda manifest: None, OTHER_KEY)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(recipient="Another"),
        lambda m: m.update(jurisdiction="FR"),
        lambda m: m.update(persons=1),
        lambda m: m.update(purpose="training"),
        lambda m: m.update(kind="handover"),
        lambda m: m.update(policy=digest(3)),
        lambda m: m.update(approval=None),
        lambda m: m["objects"].pop(),
        lambda m: m["objects"].append(m["objects"][0]),
        lambda m: m["objects"][0].update(region="DE"),
        lambda m: m["objects"][0].update({"class": "general"}),
        lambda m: m["objects"][0].update(bytes=5),
        lambda m: m["objects"][0].update(digest=digest(3)),
        lambda m: m["objects"][0]["receipt"].update(proof=[]),
        lambda m: m["objects"][0]["receipt"]["row"].update(model=digest(3)),
        lambda m: m["objects"][0].update(receipt=m["objects"][1]["receipt"]),
        lambda m: m["export"]["row"].update(persons=1),
        lambda m: m.update(export=m["objects"][0]["receipt"]),
        lambda m: m.update(checkpoint=m["checkpoint"].replace("3", "4", 1)),
        lambda m: m.pop("objects"),
        lambda m: m.update(objects=5),
    ],
)
def test_a_manifest_that_the_ledger_does_not_bear_out_is_refused(bundle, tmp_path, change):
    """Even where the device's own key signs it again."""
    assert resigned(bundle, tmp_path, change)


def test_an_approval_of_an_unknown_key_is_named(bundle):
    found = verify_bundle(bundle, KNOWN[:1])
    assert found.faults == []
    assert found.notes == ["the approval's signature was not checked: its key was not given"]
    own = verify_bundle(bundle, [])
    assert (own.faults, own.own_key) == ([], True)


def test_a_bundle_brings_its_verifier(bundle, tmp_path):
    key = tmp_path / "key.pub"
    key.write_text(KNOWN[0].text)
    office = tmp_path / "office.pub"
    office.write_text(APPROVERS[0].text)
    words = [
        sys.executable,
        "-I",
        str(bundle / "verify.py"),
        str(bundle),
        "--public-key",
        str(key),
        "--public-key",
    ]
    done = subprocess.run([*words, str(office)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok ")
    assert sorted(path.name for path in bundle.iterdir()) == [
        "manifest.json",
        "manifest.sig",
        "objects",
        "verify.py",
    ]
