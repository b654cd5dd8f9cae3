"""`anonymize ledger`, `export` and `territory`, as an owner, a recorder's keeper and an office use them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from anonymize.cli import main
from anonymize.store.approval import Transfer
from anonymize.store.export import Authority, read_from
from anonymize.store.territory import read_policy
from tests.store.stores import frame, make_store, recording

TODAY = datetime.now(UTC).date()
LATER = (TODAY + timedelta(days=30)).isoformat()


@pytest.fixture
def store(tmp_path):
    """A closed store of three segments, one frame each, taken today."""
    folder, home = make_store(tmp_path)
    with recording(folder, home, clock=time.time) as open_store:
        for number in range(3):
            open_store.take([frame(number, value=40 + 60 * number)])
    return folder


@pytest.fixture
def ruled(tmp_path):
    """Keys of an authority and an office, a policy, a tagged sink."""
    for name in ("regions", "office"):
        assert main(["ledger", "new-key", str(tmp_path / f"{name}.key"), "--name", f"{name}.example/x"]) == 0
    (tmp_path / "munich").mkdir()
    (tmp_path / "policy.toml").write_text(
        'home = "CN"\n[sinks]\nmunich = "munich"\n[classes.personal]\nCN = "allow"\nDE = "approval"\n'
    )
    tag = [
        "territory",
        "tag",
        str(tmp_path / "munich"),
        "--sink",
        "munich",
        "--region",
        "DE",
        "--until",
        LATER,
    ]
    assert main([*tag, "--key", str(tmp_path / "regions.key")]) == 0
    return tmp_path


def words(store, ruled, *more, name="crash"):
    return [
        "export", str(store), name, "--policy", str(ruled / "policy.toml"), "--tag-key", str(ruled / "regions.key.pub"),
        "--approver-key", str(ruled / "office.key.pub"), "--sink", "munich", "--recipient", "Example Works GmbH",
        "--jurisdiction", "DE", "--purpose", "accident-analysis", "--persons", "9", "--sensitive", "0",
        "--key", str(ruled / "device.key"), *map(str, more),
    ]  # fmt: skip


def approved(ruled, request):
    approval = ruled / "approval.txt"
    approve = [
        "territory",
        "approve",
        str(request),
        "-o",
        str(approval),
        "--assessment",
        "A 17",
        "--until",
        LATER,
    ]
    assert main([*approve, "--key", str(ruled / "office.key")]) == 0
    return approval


def key_of(store):
    """The public key that the store's ledger names, in a file, as `anonymize store init` hands it out."""
    from anonymize.store.ledger import Ledger

    with Ledger.open_to_read(store / "ledger.sqlite") as ledger:
        (store.parent / "ledger.pub").write_text(ledger.key.text)
    return store.parent / "ledger.pub"


def test_from_asking_to_a_bundle_that_anybody_can_check(store, ruled, capsys):
    request = ruled / "request.json"
    assert main(words(store, ruled, "--all", "--ask", request)) == 0
    assert json.loads(request.read_text())["classes"] == {"personal": 3}
    assert list((ruled / "munich").iterdir()) == [ruled / "munich" / "region.tag"]
    assert main(words(store, ruled, "--all")) == 1
    assert "approval-missing: " in capsys.readouterr().err
    approval = approved(ruled, request)
    assert (
        "3 personal; 9 persons, 0 of them sensitive; to Example Works GmbH in DE" in capsys.readouterr().out
    )
    assert main(words(store, ruled, "--all", "--approval", approval, "--json")) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["objects"] == 3
    bundle = ruled / "munich" / "crash"
    assert len(list((bundle / "objects").iterdir())) == 3
    assert all(path.read_bytes().startswith(b"\xff\xd8") for path in (bundle / "objects").iterdir())
    keys = ["--public-key", str(key_of(store)), "--public-key", str(ruled / "office.key.pub")]
    assert main(["ledger", "verify", str(bundle), *keys]) == 0
    assert capsys.readouterr().out.startswith("ok ")
    assert main(words(store, ruled, "--all", "--approval", approval, name="again")) == 1
    assert "approval-used: " in capsys.readouterr().err
    assert main(["ledger", "rows", str(store), "--event", "export.refused"]) == 0
    assert [json.loads(line)["rule"] for line in capsys.readouterr().out.splitlines()] == [
        "approval-missing", "approval-used",
    ]  # fmt: skip
    assert main(["ledger", "rows", str(store), "--event", "segment.read"]) == 0
    assert capsys.readouterr().out == ""  # an export is not noted as the owner's read besides
    assert main(["ledger", "verify", str(store), "--public-key", str(key_of(store))]) == 0


def test_a_choice_is_a_choice(store, ruled, capsys):
    assert main(words(store, ruled)) == 2
    assert main(words(store, ruled, "--all", "--class", "personal")) == 2
    assert main(words(store, ruled, "--id", "a" * 64)) == 2
    assert main(words(store, ruled, "--class", "sensitive")) == 1
    assert "objects-none: " in capsys.readouterr().err
    assert main(words(store, ruled, "--from", "2026-13-01")) == 2


def test_an_approval_is_given_to_a_request_alone(ruled, store, capsys):
    request = ruled / "request.json"
    assert main(words(store, ruled, "--all", "--ask", request)) == 0
    asked = json.loads(request.read_text())
    approve = [
        "territory",
        "approve",
        str(request),
        "-o",
        str(ruled / "out"),
        "--key",
        str(ruled / "office.key"),
    ]
    for change in ({"persons": -1}, {"extra": 1}, {"recipient": "Works 7"}):
        request.write_text(json.dumps(asked | change))
        assert main([*approve, "--assessment", "A 17", "--until", LATER]) == 2
    request.write_text("no json")
    assert main([*approve, "--assessment", "A 17", "--until", LATER]) == 2
    request.write_text(json.dumps(asked))
    assert main([*approve, "--assessment", " ", "--until", LATER]) == 2
    assert main([*approve, "--assessment", "A 17", "--until", "soon"]) == 2
    (ruled / "office.key.pub").write_text((ruled / "regions.key.pub").read_text())
    assert main([*approve, "--assessment", "A 17", "--until", LATER]) == 2
    assert not (ruled / "out").exists()
    assert "does not name the key" in capsys.readouterr().err


def test_receipts_and_checkpoints_are_handed_out_and_checked(store, tmp_path, capsys):
    key, receipt, held, verifier = (
        key_of(store),
        tmp_path / "receipt",
        tmp_path / "held",
        tmp_path / "verify.py",
    )
    assert main(["ledger", "receipt", str(store), "1", "-o", str(receipt)]) == 0
    assert main(["ledger", "checkpoint", str(store), "-o", str(held)]) == 0
    assert main(["ledger", "verifier", str(verifier)]) == 0
    assert main(["ledger", "checkpoint", str(store), "-o", str(held)]) == 1  # nothing is replaced
    assert main(["ledger", "verify", str(receipt), "--public-key", str(key)]) == 0
    assert main(["ledger", "verify", str(store), "--public-key", str(key), "--checkpoint", str(held)]) == 0
    alone = [sys.executable, "-I", str(verifier), str(store / "ledger.sqlite"), "--public-key", str(key)]
    assert subprocess.run([*alone, "--checkpoint", str(held)], timeout=60).returncode == 0
    capsys.readouterr()
    receipt.write_text(receipt.read_text().replace('"row": 1', '"row": 2'))
    assert main(["ledger", "verify", str(receipt), "--public-key", str(key)]) == 1
    assert capsys.readouterr().out.startswith("FAULT ")
    assert main(["ledger", "verify", str(tmp_path / "missing")]) == 2
    assert main(["ledger", "receipt", str(store), "99"]) == 1
    assert main(["ledger", "rows", str(tmp_path / "missing")]) == 1


def test_a_store_is_read_from_abroad_by_the_same_rules(store, ruled):
    from anonymize.cli.export import Leaving
    from anonymize.store.errors import RefusedError
    from anonymize.store.making import key_home
    from anonymize.store.store import Store

    transfer = Transfer(
        recipient="Support", jurisdiction="DE", purpose="support", reading=True, persons=1, sensitive=0
    )
    authority = Authority(policy=read_policy(ruled / "policy.toml"))
    with Store.open(store, key_home(store, ruled / "device.key")) as opened:
        source = Leaving(opened)
        with pytest.raises(RefusedError, match="approval-missing"):
            read_from(source, list(source.ids()), transfer, ledger=opened.vault.ledger, authority=authority)
