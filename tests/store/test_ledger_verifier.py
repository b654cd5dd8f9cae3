"""The verifier, as somebody outside runs it: every change at every position of a small ledger is seen."""

from __future__ import annotations

import ast
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from anonymize.store import ledger_verifier
from anonymize.store.ledger import signed_note
from anonymize.store.ledger_verifier import (
    AlteredError,
    Checkpoint,
    RightEdge,
    UnknownSignerError,
    VerifyKey,
    canonical,
    leaf_hash,
    row_of,
    statement_of,
    statement_text,
    verify_ledger,
)
from anonymize.store.signing import verify_key
from tests.store.ledgers import KEY, ORIGIN, OTHER_KEY, bodies, opened, rewritten, stored, written

ROWS = 11
KNOWN = [verify_key(KEY, ORIGIN)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A ledger of eleven rows with checkpoints of 4, 8 and 11 rows."""
    return written(tmp_path_factory.mktemp("whole") / "ledger", ROWS, checkpoints=(4, 8))


def forged(body, **changes):
    """A row as a forger would write it: in canonical form."""
    return canonical({**json.loads(body), **changes})


def renumbered(rows):
    """These bodies as rows 0, 1, ...: what a forger does after taking one out."""
    return [(number, forged(body, row=number)) for number, body in enumerate(rows)]


def found_after(whole, tmp_path, rows, **named):
    path = tmp_path / "forged"
    shutil.copy(whole, path)
    return verify_ledger(rewritten(path, rows, **named), KNOWN)


def test_an_untouched_ledger_is_found_whole(whole):
    found = verify_ledger(whole, KNOWN)
    assert found.faults == found.notes == []
    assert (found.rows, found.covered, found.checkpoints, found.origin) == (ROWS, ROWS, 3, ORIGIN)
    assert not found.own_key
    assert verify_ledger(whole).own_key


@pytest.mark.parametrize("place", range(ROWS))
def test_an_altered_row_is_seen(whole, tmp_path, place):
    all_ = bodies(whole)
    for change in ({"bytes": 7}, {"region": "DE"}, {"exceptions": ["late=predict"]}, {"day": "2026-11-19"}):
        rows = [*all_[:place], forged(all_[place], **change), *all_[place + 1 :]]
        assert found_after(whole, tmp_path, list(enumerate(rows))).faults


@pytest.mark.parametrize("place", range(ROWS))
def test_a_removed_row_is_seen(whole, tmp_path, place):
    all_ = bodies(whole)
    left = all_[:place] + all_[place + 1 :]
    assert found_after(whole, tmp_path, renumbered(left)).faults
    with_hole = [(number, body) for number, body in enumerate(all_) if number != place]
    assert found_after(whole, tmp_path, with_hole).faults
    assert found_after(whole, tmp_path, list(enumerate(left))).faults


@pytest.mark.parametrize("place", range(ROWS))
def test_an_inserted_row_is_seen(whole, tmp_path, place):
    all_ = bodies(whole)
    more = [*all_[:place], forged(all_[place], bytes=7), *all_[place:]]
    assert found_after(whole, tmp_path, renumbered(more)).faults
    assert found_after(
        whole, tmp_path, renumbered([*all_, all_[place]])
    ).faults  # at the end: nothing covers it


@pytest.mark.parametrize("place", range(ROWS))
def test_swapped_rows_are_seen(whole, tmp_path, place):
    for other in range(place + 1, ROWS):
        rows = bodies(whole)
        rows[place], rows[other] = rows[other], rows[place]
        assert found_after(whole, tmp_path, renumbered(rows)).faults
        assert found_after(whole, tmp_path, list(enumerate(rows))).faults


@pytest.mark.parametrize("left", range(ROWS))
def test_truncation_is_seen_and_with_later_checkpoints_gone_by_who_holds_one(whole, tmp_path, left):
    rows = list(enumerate(bodies(whole)))[:left]
    assert found_after(whole, tmp_path, rows).faults
    found = found_after(whole, tmp_path, rows, last_checkpoint=left)
    # Cut back to an older checkpoint: the file alone cannot show it. This is the limit that the docs state.
    assert (found.faults == []) == (left in (4, 8))
    with opened(whole, read_only=True) as ledger:
        held = ledger.last_checkpoint
    assert verify_ledger(tmp_path / "forged", KNOWN, held=held).faults


def test_a_held_checkpoint_sees_a_ledger_rewritten_with_the_devices_own_key(whole, tmp_path):
    with opened(whole, read_only=True) as ledger:
        held = ledger.last_checkpoint
    with opened(tmp_path / "second") as ledger:
        for number in range(ROWS + 5):
            ledger.append("segment.stored", stored(number + (number == 3)))
    assert verify_ledger(tmp_path / "second", KNOWN).faults == []  # a thief of the key with no witness
    assert "another root" in verify_ledger(tmp_path / "second", KNOWN, held=held).faults[0]
    assert verify_ledger(whole, KNOWN, held=held).faults == []


def test_a_held_checkpoint_must_be_this_ledgers(whole):
    with opened(whole, read_only=True) as ledger:
        root = ledger.root()
    for note in (
        signed_note(Checkpoint(ORIGIN, ROWS, root).text, OTHER_KEY, ORIGIN),
        signed_note(Checkpoint("other.example", ROWS, root).text, KEY, ORIGIN),
        signed_note(Checkpoint(ORIGIN, ROWS, bytes(32)).text, KEY, ORIGIN),
        signed_note(Checkpoint(ORIGIN, ROWS + 1, root).text, KEY, ORIGIN),
        "no note",
    ):
        assert verify_ledger(whole, KNOWN, held=note).faults


@pytest.mark.parametrize("place", [0, 100, 255, 256, 300, 511, 512, 599])
def test_a_change_beside_the_border_of_a_chunk_is_seen(tmp_path, place):
    path = written(tmp_path / "ledger", 600, checkpoints=(256,))
    assert verify_ledger(path, KNOWN).faults == []
    all_ = bodies(path)
    changed = [*all_[:place], forged(all_[place], bytes=7), *all_[place + 1 :]]
    with closing(sqlite3.connect(path)) as ledger, ledger:  # the row alone: kept hashes as they were
        ledger.execute("UPDATE ledger_rows SET body = ? WHERE row = ?", (changed[place], place))
    assert verify_ledger(path, KNOWN).faults
    assert verify_ledger(rewritten(path, list(enumerate(changed))), KNOWN).faults


def altered_table(whole, tmp_path, *statements):
    path = tmp_path / "forged"
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as ledger, ledger:
        for statement, *values in statements:
            ledger.execute(statement, *values)
    return verify_ledger(path, KNOWN)


OTHER_NOTE = signed_note(Checkpoint(ORIGIN, 8, bytes(32)).text, OTHER_KEY, ORIGIN)


@pytest.mark.parametrize(
    "statements",
    [
        [("DELETE FROM ledger_checkpoints",)],
        [("DELETE FROM ledger_checkpoints WHERE size = 11",)],
        [("UPDATE ledger_checkpoints SET size = 9 WHERE size = 8",)],
        [("UPDATE ledger_checkpoints SET note = ? WHERE size = 8", (OTHER_NOTE,))],
        [("UPDATE ledger_checkpoints SET note = replace(note, '8', '7') WHERE size = 8",)],
        [("UPDATE ledger_meta SET value = 'other.example' WHERE name = 'origin'",)],
        [("DELETE FROM ledger_meta",)],
        [("INSERT INTO ledger_chunks VALUES (0, x'00')",)],
        [("UPDATE ledger_rows SET body = CAST(body AS TEXT) WHERE row = 3",)],
        [("CREATE TABLE more (x)",)],
        [("CREATE TRIGGER t AFTER INSERT ON ledger_rows BEGIN DELETE FROM ledger_rows WHERE row = 1; END",)],
        [("ALTER TABLE ledger_rows RENAME TO rows_", ), ("CREATE VIEW ledger_rows AS SELECT * FROM rows_",)],
        [("DROP TABLE ledger_chunks",)],
    ],
)  # fmt: skip
def test_changed_tables_are_seen(whole, tmp_path, statements):
    assert altered_table(whole, tmp_path, *statements).faults


def test_the_ledgers_own_key_is_looked_at_when_no_other_is_given(whole, tmp_path):
    path = tmp_path / "forged"
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(
            "UPDATE ledger_meta SET value = ? WHERE name = 'key'", (verify_key(OTHER_KEY, ORIGIN).text,)
        )
    assert verify_ledger(path).faults
    assert verify_ledger(whole, [verify_key(OTHER_KEY, ORIGIN)]).faults


def test_every_flipped_byte_of_the_rows_is_seen(tmp_path):
    path = written(tmp_path / "ledger", 3)
    content = path.read_bytes()
    wanted = bodies(path)[1]
    start = content.index(wanted)
    for place in range(0, len(wanted), 7):
        spoilt = bytearray(content)
        spoilt[start + place] ^= 1
        path.write_bytes(spoilt)
        assert verify_ledger(path, KNOWN).faults


def test_no_damage_to_the_file_is_passed_over_or_raises(whole, tmp_path):
    """Bytes anywhere in the file: it is found out, or no row and no checkpoint has changed by it."""
    content, path = whole.read_bytes(), tmp_path / "damaged"
    rows, random = bodies(whole), np.random.default_rng(5)
    with closing(sqlite3.connect(whole)) as ledger:
        notes = list(ledger.execute("SELECT size, note FROM ledger_checkpoints"))
    found_out = 0
    for _ in range(300):
        spoilt = bytearray(content)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            spoilt[place] ^= int(random.integers(1, 256))
        path.write_bytes(spoilt)
        found = verify_ledger(path, KNOWN)
        found_out += bool(found.faults)
        if not found.faults:
            with closing(sqlite3.connect(path)) as ledger:
                assert list(ledger.execute("SELECT size, note FROM ledger_checkpoints")) == notes
            assert bodies(path) == rows
    assert found_out > 30  # of a file that is mostly empty pages


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_checkpoints SET note = x'00' WHERE size = 8",
        "UPDATE ledger_meta SET value = x'00'",
        "UPDATE ledger_meta SET value = x'00' WHERE name = 'key'",
        "UPDATE ledger_chunks SET hash = 'text'",
    ],
)
def test_values_of_another_type_are_faults_and_no_crash(whole, tmp_path, statement):
    path = tmp_path / "forged"
    shutil.copy(whole, path)
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("INSERT INTO ledger_chunks VALUES (0, x'00')")
        ledger.execute(statement)
    assert verify_ledger(path).faults


def test_rows_after_the_last_checkpoint_are_named(tmp_path):
    path = tmp_path / "ledger"
    with opened(path) as ledger:
        ledger.append("segment.stored", stored(0))
        ledger.checkpoint()
        for number in range(1, 4):
            ledger.append("segment.stored", stored(number))
        ledger.commit()
        strict, lenient = verify_ledger(path, KNOWN), verify_ledger(path, KNOWN, still_open=True)
        assert (
            strict.faults
            == lenient.notes
            == ["rows 1 to 3 are after the last checkpoint: nothing proves them"]
        )
        assert (lenient.faults, lenient.rows, lenient.covered) == ([], 4, 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1.0,"row":0}',
        b'{"row":0,"a":1}',
        b'{"a": 1,"row":0}',
        b'{"a":1,"a":1,"row":0}',
        b'{"a":NaN,"row":0}',
        b'{"a":9007199254740992,"row":0}',
        b'{"row":false}',
        b'{"row":1}',
        b"{}",
        b"[0]",
        b"\xff",
        b'{"\\u0061":1,"row":0}',
        b"[" * 100_000,
        '{"row":0,"é":1}'.encode(),
    ],
)
def test_a_row_in_another_form_is_refused(body):
    with pytest.raises(AlteredError):
        row_of(body, 0)


def test_the_fast_form_is_the_canonical_one():
    for row in ({"row": 0, "a": "é"}, {"row": 0, "z": [1, {"b": None, "a": True}], "a": '\x7f\n"\\'}):
        assert row_of(canonical(row), 0) == row


def test_a_statement_of_one_kind_is_none_of_another():
    note = signed_note(statement_text("region", {"sink": "a"}), KEY, ORIGIN)
    assert statement_of(note, "region", KNOWN) == {"sink": "a"}
    for kind in ("approval", "bundle"):
        with pytest.raises(AlteredError):
            statement_of(note, kind, KNOWN)
    with pytest.raises(UnknownSignerError):
        statement_of(note, "region", [verify_key(OTHER_KEY, ORIGIN)])
    for text in (
        "vehicle-anonymize/region/v1\n[1]\n",
        "vehicle-anonymize/region/v1\n{}",
        'vehicle-anonymize/region/v1\n{"b": 1}\n',
        Checkpoint(ORIGIN, 1, bytes(32)).text,
    ):
        with pytest.raises(AlteredError):
            statement_of(signed_note(text, KEY, ORIGIN), "region", KNOWN)


# --- one file that stands alone ---------------------------------------------------------------------------------------


def alone(folder, *words):
    """Run a copy of the file in a folder of its own, with nothing of ours on the path."""
    copy = folder / "verifier.py"
    shutil.copy(ledger_verifier.__file__, copy)
    return subprocess.run(
        [sys.executable, "-I", str(copy), *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_verifier_imports_nothing_but_cryptography():
    names = set()
    for node in ast.walk(ast.parse(Path(ledger_verifier.__file__).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            names.add(node.module.split(".")[0])
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_verifier_runs_alone(whole, tmp_path):
    key, held = tmp_path / "key.pub", tmp_path / "held"
    key.write_text(KNOWN[0].text + "\n")
    with opened(whole, read_only=True) as ledger:
        held.write_text(ledger.last_checkpoint)
    done = alone(tmp_path, whole, "--public-key", key, "--checkpoint", held)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok     11 rows, 11 proven by 4 checkpoints")
    assert "no public key" in alone(tmp_path, whole).stdout
    path = tmp_path / "forged"
    shutil.copy(whole, path)
    rewritten(path, renumbered(bodies(whole)[1:]))
    done = alone(tmp_path, path, "--public-key", key)
    assert done.returncode == 1
    assert done.stdout.startswith("FAULT  ")
    assert "ok" not in done.stdout
    assert alone(tmp_path, tmp_path / "missing").returncode == 2
    assert alone(tmp_path).returncode == 2


def test_a_pem_key_serves_too(whole, tmp_path):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = tmp_path / "key.pem"
    pem.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert alone(tmp_path, whole, "--public-key", pem).returncode == 0
    pem.write_bytes(OTHER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert alone(tmp_path, whole, "--public-key", pem).returncode == 1


def test_a_receipt_is_checked_alone(whole, tmp_path):
    key, receipt = tmp_path / "key.pub", tmp_path / "receipt.json"
    key.write_text(KNOWN[0].text)
    with opened(whole, read_only=True) as ledger:
        text = json.dumps(ledger.receipt(5))
    receipt.write_text(text)
    done = alone(tmp_path, receipt, "--public-key", key)
    assert done.returncode == 0
    assert '"row": 5' in done.stdout
    held = tmp_path / "held"
    held.write_text(json.loads(text)["checkpoint"])
    assert (
        alone(tmp_path, receipt, "--public-key", key, "--checkpoint", held).returncode == 1
    )  # it would not be used
    assert alone(tmp_path, receipt).returncode == 1  # a receipt without a key proves nothing
    receipt.write_text(text.replace("1005", "1006"))
    assert alone(tmp_path, receipt, "--public-key", key).returncode == 1
    receipt.write_text("no json")
    assert alone(tmp_path, receipt, "--public-key", key).returncode == 1


def test_looking_at_a_closed_ledger_leaves_nothing_beside_it(tmp_path):
    """So a read-only medium will do, and files of another user never lie in the recorder's way."""
    path = written(tmp_path / "ledger", 3)
    before = sorted(tmp_path.iterdir())
    assert verify_ledger(path, KNOWN).faults == []
    with opened(path, read_only=True) as ledger:
        assert ledger.size == 3
    assert sorted(tmp_path.iterdir()) == before


def test_rows_that_are_only_in_the_write_ahead_log_are_seen(tmp_path):
    path = tmp_path / "ledger"
    with opened(path) as ledger:
        for number in range(5):
            ledger.append("segment.stored", stored(number))
        ledger.checkpoint()
        assert path.with_name("ledger-wal").stat().st_size > 0
        assert verify_ledger(path, KNOWN).rows == 5


def test_an_edge_of_many_leaves_stays_small():
    edge = RightEdge()
    for number in range(100_000):
        edge.append(leaf_hash(b"%d" % number))
    assert len(edge._peaks) == (100_000).bit_count()


def test_a_key_of_any_name_has_no_vkey_form():
    with pytest.raises(AlteredError):
        VerifyKey.parse(VerifyKey("", KNOWN[0].public).text)
