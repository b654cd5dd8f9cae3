"""Writing the ledger: what a row may hold, when it lasts, when it is sealed, who may write, what is refused."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from anonymize.errors import UsageError
from anonymize.store import ledger as ledger_module
from anonymize.store.errors import LedgerError, RowError
from anonymize.store.ledger import Ledger
from anonymize.store.ledger_verifier import (
    AlteredError,
    Checkpoint,
    RightEdge,
    canonical,
    leaf_hash,
    note_text,
    verify_consistency,
    verify_inclusion,
    verify_ledger,
    verify_receipt,
)
from anonymize.store.signing import new_key, private_key, public_keys, verify_key
from tests.store.ledgers import (
    KEY,
    ORIGIN,
    OTHER_KEY,
    Clock,
    bodies,
    opened,
    rewritten,
    stored,
    written,
)

KNOWN = [verify_key(KEY, ORIGIN)]
ROOT = Path(__file__).parents[2]


def test_rows_are_canonical_and_name_their_number_and_day_alone(tmp_path):
    path = written(tmp_path / "ledger", 3)
    for number, body in enumerate(bodies(path)):
        row = json.loads(body)
        assert row == {**stored(number), "row": number, "event": "segment.stored", "day": "2026-11-18"}
        assert body == canonical(row)
        assert b" " not in body
        assert list(row) == sorted(row)
    assert canonical({"b": [1, None, True], "a": "é\n"}) == '{"a":"é\\n","b":[1,null,true]}'.encode()
    for value in (1.5, float("nan"), 1 << 53, -(1 << 53), {"é": 1}, {1: 1}, b"x", {"a": [0.5]}):
        with pytest.raises(AlteredError):
            canonical(value)


# --- commits ----------------------------------------------------------------------------------------------------------


def test_rows_count_when_they_are_committed(tmp_path):
    with opened(tmp_path / "ledger") as ledger:
        assert [ledger.append("segment.stored", stored(number)) for number in range(3)] == [0, 1, 2]
        assert (ledger.size, bodies(ledger.path)) == (0, [])
        ledger.commit()
        assert (ledger.size, len(bodies(ledger.path))) == (3, 3)
        assert ledger.append("segment.stored", stored(3)) == 3
    with opened(tmp_path / "ledger") as ledger:
        assert ledger.size == 4
        assert [row["bytes"] for row in ledger.rows(1, 3)] == [1001, 1002]
        assert ledger.append("segment.stored", stored(4)) == 4


def test_the_file_is_its_owners_and_lasts_through_a_power_cut(tmp_path):
    with opened(tmp_path / "ledger") as ledger:
        assert ledger.path.stat().st_mode & 0o777 == 0o600
        ask = ledger._connection.execute
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ask("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_full_disk_keeps_the_rows_for_the_next_try(tmp_path):
    path = tmp_path / "ledger"
    with opened(path) as ledger:
        ledger.append("segment.stored", stored(0))
        ledger.commit()
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(1, 50):
            ledger.append("segment.stored", stored(number))
        root = ledger.root()
        for _ in range(2):
            with pytest.raises(LedgerError, match="full"):
                ledger.commit()
        assert (ledger.size, ledger.root()) == (1, root)
        assert len(bodies(path)) == 1
        ledger._connection.execute("PRAGMA max_page_count = 1000000")
        ledger.commit()
        assert ledger.size == 50
    assert verify_ledger(path, KNOWN).faults == []


def test_a_disk_that_complains_after_it_took_the_rows_is_believed(tmp_path, monkeypatch):
    class Complaining:
        def __init__(self, connection):
            self.inner = connection

        def execute(self, statement, *values):
            done = self.inner.execute(statement, *values)
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return done

        def __getattr__(self, name):
            return getattr(self.inner, name)

    path = tmp_path / "ledger"
    with opened(path) as ledger:
        ledger.append("segment.stored", stored(0))
        whole = ledger._connection
        ledger._connection = Complaining(whole)
        ledger.commit()
        ledger._connection = whole
        assert ledger.append("segment.stored", stored(1)) == 1
    assert verify_ledger(path, KNOWN).rows == 2


def test_a_stop_inside_a_commit_is_passed_on_and_loses_nothing(tmp_path):
    class Stopped:
        def __init__(self, connection):
            self.inner = connection

        def executemany(self, statement, values):
            raise KeyboardInterrupt

        def __getattr__(self, name):
            return getattr(self.inner, name)

    with opened(tmp_path / "ledger") as ledger:
        ledger.append("segment.stored", stored(0))
        whole = ledger._connection
        ledger._connection = Stopped(whole)
        with pytest.raises(KeyboardInterrupt):
            ledger.commit()
        ledger._connection = whole
        assert not whole.in_transaction
        ledger.commit()
        assert ledger.size == 1


def test_a_row_that_was_altered_is_not_handed_out(tmp_path):
    path = tmp_path / "ledger"
    with opened(path) as ledger:
        ledger.append("segment.stored", stored(0))
        ledger.commit()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "UPDATE ledger_rows SET body = ?", (bodies(path)[0].replace(b'"row":0', b'"row":1'),)
            )
        with pytest.raises(LedgerError, match="says that it is another"):
            list(ledger.rows(0, 1))
    with pytest.raises(LedgerError, match="closed"):
        list(ledger.rows(0, 1))


def test_the_queue_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_module, "MOST_QUEUED", 3)
    with opened(tmp_path / "ledger") as ledger:
        for number in range(3):
            ledger.append("segment.stored", stored(number))
        with pytest.raises(LedgerError, match="wait to be written"):
            ledger.append("segment.stored", stored(3))
        ledger.commit()
        assert ledger.append("segment.stored", stored(3)) == 3


def test_a_refused_row_leaves_no_hole(tmp_path):
    with opened(tmp_path / "ledger") as ledger:
        ledger.append("segment.stored", stored(0))
        with pytest.raises(RowError):
            ledger.append("segment.stored", stored(1, region="39.9,116.4"))
        assert ledger.append("segment.stored", stored(1)) == 1


@pytest.mark.parametrize("now_s", [float("nan"), -1.0, 1e12, float("inf")])
def test_a_clock_that_cannot_be_writes_no_row(tmp_path, now_s):
    clock = Clock()
    with opened(tmp_path / "ledger", clock=clock) as ledger:
        clock.now_s = now_s
        with pytest.raises(LedgerError, match="clock"):
            ledger.append("segment.stored", stored(0))
        assert ledger.size == 0


def test_threads_share_a_ledger(tmp_path):
    path = tmp_path / "ledger"
    with opened(path) as ledger:
        numbers = []

        def work():
            for number in range(50):
                numbers.append(ledger.append("segment.stored", stored(number)))
                if number % 7 == 0:
                    ledger.commit()
                    assert next(ledger.rows(0, 1))["row"] == 0

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers) == list(range(200))
    assert verify_ledger(path, KNOWN).rows == 200


KILLED = """
import os, sys, threading, time
from pathlib import Path
from tests.store.ledgers import opened, stored
ledger = opened(Path(sys.argv[1]))
number = ledger.size
print("go", flush=True)
threading.Timer(float(sys.argv[2]), os._exit, (9,)).start()
while True:
    for _ in range(7):
        ledger.append("segment.stored", stored(number)); number += 1
    ledger.commit()
    if number % 3 == 0:
        ledger.checkpoint()
    os.write(1, b"%d\\n" % ledger.size)
"""


def test_a_killed_process_loses_no_committed_row(tmp_path):
    path = tmp_path / "ledger"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "kernels", "models")),
    }
    for delay_s in (0.003, 0.011, 0.023):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(delay_s)],
            env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 9, done.stderr
        said = int(done.stdout.split()[-1]) if done.stdout.split()[-1] != "go" else 0
        found = verify_ledger(path, KNOWN, still_open=True)
        assert found.rows >= said
        assert [fault for fault in found.faults if "no checkpoint" not in fault] == []
    with opened(path) as ledger:
        ledger.append("segment.stored", stored(0))
    assert verify_ledger(path, KNOWN).faults == []


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_a_signed_note_of_origin_size_and_root(tmp_path):
    with opened(tmp_path / "ledger") as ledger:
        ledger.append("segment.stored", stored(0))
        note = ledger.checkpoint()
        assert ledger.size == 1
        assert Checkpoint.parse(note_text(note, KNOWN)) == Checkpoint(ORIGIN, 1, ledger.root())
        assert note.startswith(f"{ORIGIN}\n1\n")
        assert note.split("\n\n")[1].startswith(f"— {ORIGIN} ")
        assert ledger.checkpoint() == note  # one for each size
        assert ledger.last_checkpoint == note


def sizes(path):
    with closing(sqlite3.connect(path)) as ledger:
        return [size for (size,) in ledger.execute("SELECT size FROM ledger_checkpoints ORDER BY size")]


def test_a_checkpoint_is_made_every_thousand_rows_and_every_minute(tmp_path):
    clock = Clock()
    with opened(tmp_path / "ledger", clock=clock) as ledger:
        for number in range(999):
            ledger.append("segment.stored", stored(number))
        ledger.commit()
        assert sizes(ledger.path) == []
        ledger.append("segment.stored", stored(999))
        ledger.commit()
        assert sizes(ledger.path) == [1000]
        ledger.append("segment.stored", stored(1000))
        clock.now_s += 59.9
        ledger.commit()
        assert sizes(ledger.path) == [1000]
        clock.now_s += 0.2
        ledger.commit()
        assert sizes(ledger.path) == [1000, 1001]
        clock.now_s += 1000.0
        ledger.commit()  # nothing new to seal
        assert sizes(ledger.path) == [1000, 1001]
        clock.now_s -= 5000.0  # a clock that was set back
        ledger.append("segment.stored", stored(1001))
        ledger.commit()
        assert sizes(ledger.path) == [1000, 1001, 1002]
        ledger.append("segment.stored", stored(1002))
    assert sizes(tmp_path / "ledger") == [1000, 1001, 1002, 1003]  # closing seals


def test_without_a_signer_rows_are_kept_and_nothing_is_sealed(tmp_path):
    with opened(tmp_path / "ledger", None) as ledger:
        ledger.append("segment.stored", stored(0))
        with pytest.raises(LedgerError, match="no key"):
            ledger.checkpoint()
        with pytest.raises(LedgerError, match="no key"):
            ledger.signed("bundle", {})
    assert sizes(tmp_path / "ledger") == []
    with opened(tmp_path / "ledger") as ledger:  # whose key comes later
        assert ledger.size == 1
        ledger.checkpoint()
    assert verify_ledger(tmp_path / "ledger", KNOWN).faults == []


# --- proofs -----------------------------------------------------------------------------------------------------------


def test_proofs_across_chunks_lead_to_the_roots(tmp_path):
    rows = 700
    path = written(tmp_path / "ledger", rows)
    edge, roots = RightEdge(), []
    leaves = [leaf_hash(body) for body in bodies(path)]
    for leaf in leaves:
        roots.append(edge.root())
        edge.append(leaf)
    roots.append(edge.root())
    near = [1, 2, 3, 100, 255, 256, 257, 300, 511, 512, 513, 640, 699, 700]
    with opened(path, read_only=True) as ledger:
        assert ledger.root() == roots[-1]
        for second in near:
            for first in (one for one in near if one <= second):
                verify_inclusion(
                    leaves[first - 1],
                    first - 1,
                    second,
                    ledger.inclusion_proof(first - 1, second),
                    roots[second],
                )
                path_ = ledger.consistency_proof(first, second)
                verify_consistency(first, second, path_, (roots[first], roots[second]))
        for first, second in ((-1, 5), (6, 5), (0, 701)):
            with pytest.raises(LedgerError):
                ledger.consistency_proof(first, second)
        for index, size in ((5, 5), (0, 701), (-2, 5)):
            with pytest.raises(LedgerError):
                ledger.inclusion_proof(index, size)


def test_a_receipt_proves_its_row_and_no_other(tmp_path):
    with opened(written(tmp_path / "ledger", 2000)) as ledger:
        receipt = ledger.receipt(1234)
        assert verify_receipt(receipt, KNOWN) == next(ledger.rows(1234, 1235))
        assert len(json.dumps(receipt)) < 1400
        for change in (
            {"row": {**receipt["row"], "bytes": 7}},
            {"row": {**receipt["row"], "row": 1235}},
            {"proof": []},
        ):
            with pytest.raises(AlteredError):
                verify_receipt({**receipt, **change}, KNOWN)
        with pytest.raises(AlteredError):
            verify_receipt(receipt, [verify_key(OTHER_KEY, ORIGIN)])
        for broken in (
            {},
            [],
            None,
            {**receipt, "row": 5},
            {**receipt, "proof": None},
            {**receipt, "proof": [5]},
        ):
            with pytest.raises(AlteredError):
                verify_receipt(broken, KNOWN)
        with pytest.raises(LedgerError):
            ledger.receipt(2000)
        new = ledger.append("segment.stored", stored(5))  # a row that no checkpoint covers yet
        assert verify_receipt(ledger.receipt(new), KNOWN)["row"] == new


def test_rows_are_found_by_their_event(tmp_path):
    with opened(tmp_path / "ledger") as ledger:
        ledger.append("segment.stored", stored(0))
        ledger.append("frames.dropped", {"count": 5, "of_day": "2026-11-18", "reason": "zone"})
        ledger.append("owner.asked", {})
        assert list(ledger.find("frames.dropped")) == []
        ledger.commit()
        assert [row["row"] for row in ledger.find("frames.dropped", "owner.asked")] == [1, 2]
        ledger.append("owner.asked", {})
        assert len(list(ledger.find("owner.asked"))) == 1


# --- who may open it --------------------------------------------------------------------------------------------------


def test_one_writer_and_any_reader(tmp_path):
    path = tmp_path / "ledger"
    with opened(path) as ledger:
        ledger.append("segment.stored", stored(0))
        ledger.commit()
        with pytest.raises(LedgerError, match="another process"):
            opened(path)
        with opened(path, read_only=True) as reader:
            assert reader.size == 1
            with pytest.raises(LedgerError):
                reader.append("segment.stored", stored(1))
            with pytest.raises(LedgerError):
                reader.checkpoint()
    with pytest.raises(LedgerError):
        ledger.append("segment.stored", stored(1))
    with opened(path) as again:
        assert again.size == 1


def test_another_key_or_origin_is_refused(tmp_path):
    path = written(tmp_path / "ledger", 2)
    with pytest.raises(LedgerError, match="another key"):
        opened(path, OTHER_KEY)
    with pytest.raises(LedgerError, match="another origin"):
        opened(path, origin="other.example/ledger")
    for origin in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(LedgerError, match="origin"):
            opened(tmp_path / "new", origin=origin)
    with opened(path) as ledger:  # the refusals held no lock
        assert ledger.size == 2


def test_a_ledger_that_does_not_go_with_its_checkpoint_is_not_opened(tmp_path):
    changed = canonical({**stored(9), "row": 2, "event": "segment.stored", "day": "2026-11-18"})
    for name, rows in {
        "altered": lambda all_: [*all_[:2], (2, changed), *all_[3:]],
        "missing": lambda all_: all_[:-1],
        "hole": lambda all_: [*all_[:2], *all_[3:]],
    }.items():
        path = written(tmp_path / name, 6)
        rewritten(path, rows(list(enumerate(bodies(path)))))
        with pytest.raises(LedgerError):
            opened(path)


def test_a_ledger_whose_key_was_taken_out_is_not_opened(tmp_path):
    path = written(tmp_path / "ledger", 2)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM ledger_meta WHERE name = 'key'")
    for signer in (KEY, OTHER_KEY, None):
        with pytest.raises(LedgerError):
            opened(path, signer)


def test_what_is_no_ledger_is_refused(tmp_path):
    text = tmp_path / "text"
    text.write_text("no database, but a file that is long enough to look like one" * 30)
    foreign = tmp_path / "foreign"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(LedgerError):
        opened(text)
    with pytest.raises(LedgerError):
        opened(foreign)
    with pytest.raises(LedgerError):
        opened(tmp_path / "missing", read_only=True)
    with pytest.raises(LedgerError):
        opened(tmp_path / "no" / "folder")
    for path in (text, foreign, tmp_path / "missing"):
        with pytest.raises(LedgerError):
            Ledger.open_to_read(path)
    assert not (tmp_path / "missing").exists()


# --- keys in files ----------------------------------------------------------------------------------------------------


def test_keys_are_private_and_never_overwritten(tmp_path):
    public = new_key(tmp_path / "device.key", ORIGIN)
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600
    key = private_key(tmp_path / "device.key")
    assert public_keys([public]) == [verify_key(key, ORIGIN)]
    with pytest.raises(UsageError, match="never overwritten"):
        new_key(tmp_path / "device.key", ORIGIN)
    for name in ("", "a b", "a+b"):
        with pytest.raises(UsageError, match="name of a key"):
            new_key(tmp_path / "other.key", name)
    (tmp_path / "device.key").chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        private_key(tmp_path / "device.key")
    for path in (public, tmp_path / "missing"):
        with pytest.raises(UsageError):
            private_key(path)
    with pytest.raises(UsageError):
        public_keys([tmp_path / "missing"])
    (tmp_path / "none").write_text("no key")
    with pytest.raises(UsageError):
        public_keys([tmp_path / "none"])
