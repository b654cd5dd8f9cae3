"""Full, read-only and broken disks: the engine goes on, frames are dropped and counted, the store says so."""

from __future__ import annotations

import errno
import os
import time

import pytest

from anonymize.store import objects as objects_module
from anonymize.store import repair as repairs
from anonymize.store import writing
from anonymize.store.errors import LedgerError, StoreError
from anonymize.store.store import Store
from tests.store.stores import frame, make_store, put, recording


@pytest.fixture(autouse=True)
def _commits_at_once(monkeypatch):
    monkeypatch.setattr(writing, "COMMIT_EVERY_S", 0.05)


def wait_for(condition, within_s: float = 30.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("call", "number", "reason"),
    [
        ("write", errno.ENOSPC, "disk_full"),
        ("fsync", errno.EIO, "disk_error"),
        ("rename", errno.EROFS, "read_only"),
        ("open", errno.EACCES, "read_only"),
    ],
)
def test_a_disk_that_takes_nothing(tmp_path, monkeypatch, call, number, reason):
    folder, home = make_store(tmp_path)
    real, broken = getattr(os, call), [False]

    def failing(*arguments, **more):
        if broken[0] and (call != "open" or ".tmp" in str(arguments[0])):
            raise OSError(number, os.strerror(number))
        return real(*arguments, **more)

    monkeypatch.setattr(objects_module.os, call, failing)
    with recording(folder, home) as store:
        store.take([frame(0)])
        wait_for(lambda: store.status()["stored"]["frames"] == 1)
        broken[0] = True
        store.take([frame(1), frame(2)])
        wait_for(lambda: store.status()["dropped"].get(reason) == 2)
        assert store.status()["fault"]["reason"] == reason
        assert not store.status()["recording"]
        broken[0] = False
        store.take([frame(3)])
        wait_for(lambda: store.status()["stored"]["frames"] == 2)
        wait_for(lambda: store.status()["fault"] is None)  # it goes on by itself
    with Store.open(folder, home) as store:
        assert store.repaired.text == ""
        assert len(list(store.ids())) == 2


def test_a_full_disk_in_truth(tmp_path):
    """A file system of 1 MB, where this process may mount one."""
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small file system: the injected faults stand for it")
    store = None
    try:
        folder, home = make_store(disk)
        with recording(folder, home) as store:
            for number in range(300):
                store.take([frame(number, size=(320, 240), value=number % 200)])
                if number % 30 == 0:
                    time.sleep(0.02)
            wait_for(lambda: store.status()["fault"] is not None)
            assert store.status()["fault"]["reason"] in ("disk_full", "ledger_failed")
    except (LedgerError, StoreError):
        assert store is not None  # the last rows found no place when it was closed: the next start mends that
    else:
        status = store.status()
        assert status["stored"]["frames"] + sum(status["dropped"].values()) == 300
    finally:
        assert not list(disk.rglob("*.tmp"))
        subprocess.run(["umount", disk], check=True)


def test_rows_that_found_no_place_are_written_later_or_their_objects_go(tmp_path, monkeypatch):
    folder, home = make_store(tmp_path)
    store = Store.open(folder, home)
    write = store.vault.ledger._write_queue

    def full() -> None:
        raise LedgerError("database or disk is full")

    monkeypatch.setattr(store.vault.ledger, "_write_queue", full)
    put(store, 2)
    assert isinstance(store.vault.rows_wait, LedgerError)
    with pytest.raises(LedgerError):
        put(store, 1)  # nothing more before those rows are there
    assert len(list((folder / "objects").rglob("*"))) == 3  # a folder and two objects
    monkeypatch.setattr(store.vault.ledger, "_write_queue", write)
    put(store, 1)
    assert store.vault.rows_wait is None
    monkeypatch.setattr(store.vault.ledger, "_write_queue", full)
    put(store, 3)
    os.close(store._lock)  # the process dies here
    os.close(store.vault.ledger._lock_file)
    store.vault.index.close()
    with Store.open(folder, home) as again:
        assert again.repaired.without_row == 3
        assert again.repaired.missing == 0
        assert len(list(again.ids())) == 3
        (row,) = again.vault.ledger.find("store.repaired")
        assert (row["reason"], row["count"]) == ("object_without_row", 3)


def test_an_encoder_that_fails_costs_its_group_alone(tmp_path):
    folder, home = make_store(tmp_path)
    from anonymize.media.segments import Coding

    with recording(folder, home, Coding()) as store:
        store.take([frame(number) for number in range(5)])
        store.take(
            [frame(5 + number, size=(63, 47)) for number in range(2)]
        )  # x264 takes no odd sides in 4:2:0
        store.take([frame(7 + number) for number in range(5)])
    assert store.status()["stored"]["frames"] == 10
    assert store.status()["dropped"] == {"encode_failed": 2}


def test_a_lost_object_is_reported(tmp_path):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        digests = put(store, 3)
    next((folder / "objects").rglob(digests[1])).unlink()
    with Store.open(folder, home) as store:
        assert store.repaired.missing == 1
        assert "1 missing" in store.repaired.text
        (row,) = store.vault.ledger.find("segment.missing")
        assert row["digest"] == digests[1]
        assert sorted(store.ids()) == sorted([digests[0], digests[2]])
    with Store.open(folder, home) as store:
        assert store.repaired.missing == 0  # said once


def test_an_old_index_beside_a_newer_ledger_is_reported(tmp_path):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        put(store, 2)
    old = (folder / "index.sqlite").read_bytes()
    with Store.open(folder, home) as store:
        put(store, 3)
    (folder / "index.sqlite").write_bytes(old)
    with Store.open(folder, home) as store:
        assert (store.repaired.without_row, store.repaired.missing) == (
            3,
            3,
        )  # without their keys they are noise


def test_half_written_files_are_swept(tmp_path):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        put(store, 1)
    day = next(path for path in (folder / "objects").iterdir())
    (day / ("0" * 64 + ".tmp")).write_bytes(b"half")
    (day / ("f" * 64)).write_bytes(b"nobody's")
    (folder / ".settings.json.tmp").write_bytes(b"half")
    with Store.open(folder, home) as store:
        assert (store.repaired.half_written, store.repaired.without_row) == (1, 1)
        assert len(list(store.ids())) == 1
    assert len(list(day.iterdir())) == 1
    assert not (folder / ".settings.json.tmp").exists()


def test_a_start_looks_at_the_newest_rows_alone(tmp_path, monkeypatch):
    folder, home = make_store(tmp_path)
    store = Store.open(folder, home)
    for _ in range(20):
        put(store, 3)
    os.close(store._lock)  # the process dies here
    os.close(store.vault.ledger._lock_file)
    store.vault.index.close()
    looked_at = []
    real = repairs._new_rows
    monkeypatch.setattr(
        repairs, "_new_rows", lambda vault: looked_at.append(vault.index.checked_rows()) or real(vault)
    )
    with Store.open(folder, home) as again:
        assert again.repaired.text == ""
        assert len(list(again.ids())) == 60
    assert looked_at == [57]  # of 60: the last batch's alone
