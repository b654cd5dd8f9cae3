"""What goes when, what a deletion leaves, and what it is worth."""

from __future__ import annotations

import json
import shutil

import pytest

from anonymize.errors import UsageError
from anonymize.store.actions import Choice, carry_out
from anonymize.store.errors import StoreError
from anonymize.store.ledger_verifier import VerifyKey, verify_ledger, verify_receipt
from anonymize.store.store import Store
from tests.store.stores import DAY_S, Clock, HomeInMemory, frame, make_settings, make_store, put, recording


def tombstones(store: Store) -> list[dict]:
    return list(store.vault.ledger.find("segment.deleted"))


def test_each_class_goes_in_its_time(tmp_path):
    folder, home = make_store(tmp_path, retention_days={"general": 2, "sensitive@CN": 1, "sensitive": 9})
    clock = Clock()
    with Store.open(folder, home, clock=clock) as store:
        for data_class in ("general", "personal", "sensitive"):
            put(store, 2, data_class=data_class)
    left = {}
    for day in range(1, 16):
        clock.now_s += DAY_S
        with Store.open(folder, home, clock=clock) as store:
            for held in store.vault.index.held():
                left[held["class"]] = day
    assert left == {"general": 1, "personal": 13}  # none is 14 days old: sensitive has gone on the first day
    with Store.open(folder, home, clock=clock) as store:
        assert [row["cause"] for row in tombstones(store)] == ["retention"] * 6
        assert [row["epoch"] for row in store.vault.ledger.find("epoch.destroyed")] == ["2027-01-15"]
        assert store.vault.index.epoch("2027-01-15") is None
    assert not list((folder / "objects").iterdir())
    assert not verify_ledger(folder / "ledger.sqlite").faults


def test_retention_goes_on_while_recording_and_no_clock_brings_a_day_back(tmp_path):
    folder, home = make_store(tmp_path, retention_days={"personal": 1})
    clock = Clock()
    with recording(folder, home, clock=clock) as store:
        store.take([frame()])
        store.tick(now=True)
        store._writer.close(10.0)
        assert len(list(store.ids())) == 1
        clock.now_s += DAY_S
        store.tick(now=True)
        assert not list(store.ids())
        put(store, 1)
        clock.now_s -= 5 * DAY_S
        assert store.vault.today().isoformat() == "2027-01-16"


def test_more_than_fourteen_days_must_be_asked_for():
    with pytest.raises(UsageError, match="wanted 1 to 14"):
        make_settings(retention_days={"personal": 15}).check()
    make_settings(retention_days={"personal": 15}, long_retention=True).check()


def test_a_full_store_deletes_the_oldest_and_says_so(tmp_path):
    folder, home = make_store(tmp_path, limit_bytes=20_000)
    with Store.open(folder, home) as store:
        first = put(store, 10, size=1500)
        second = put(store, 5, size=1500)
        store._keep_limit()
        held = list(store.ids())
        assert held == [*first, *second][-len(held) :]
        assert store.vault.index.totals()[0] <= 20_000
        assert {row["cause"] for row in tombstones(store)} == {"size_limit"}
        assert {row["digest"] for row in tombstones(store)} == {*first, *second} - {*held}
        assert len(list(store.vault.ledger.find("store.over_limit"))) == 1


def test_a_full_store_may_stop_instead(tmp_path):
    folder, home = make_store(tmp_path, limit_bytes=100, at_limit="stop")
    with recording(folder, home) as store:
        store.take([frame()])
        store._writer.close(10.0)
        store.take([frame(1)])
        assert store.status()["not_recording_because"] == "store_full"
        assert len(list(store.ids())) == 1
        (row,) = store.vault.ledger.find("recording.ended")
        assert row["reason"] == "store_full"
    assert store.status()["dropped"] == {"store_full": 1}


def test_after_a_deletion_copies_of_the_objects_do_not_open(tmp_path):
    """Crypto-shredding: whoever copied the files, and even this store's own index of today, cannot open them."""
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        digest, other = put(store, 2)
        entry, wrapped = store.vault.index.find(digest)
        stolen = store.vault.objects.read(entry.place.epoch, digest)
        store.vault.delete([entry], "owner")
        assert store.vault.reader.open(other)
        folder_bytes = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert wrapped not in folder_bytes  # overwritten in the index and its log
        path = store.vault.objects.path(entry.place.epoch, digest)
        path.write_bytes(stolen)
        with pytest.raises(StoreError, match="is not held"):
            store.read(digest)


def test_a_home_that_destroys_keys_makes_even_old_copies_worthless(tmp_path):
    folder, key = make_store(tmp_path)
    home = HomeInMemory(key)
    clock = Clock()
    with Store.open(folder, home, clock=clock) as store:
        (digest,) = put(store, 1)
        assert store.vault.reader.open(digest)
    shutil.copytree(folder, tmp_path / "stolen")
    with Store.open(folder, home, clock=clock) as store:
        receipt = carry_out(store, "withdraw", Choice())
        assert receipt["method"] == "key_destroyed"
        assert "Nobody can open" in receipt["meaning"]["en"]
        assert tombstones(store)[0]["method"] == "key_destroyed"
    assert home.secrets == {}
    with Store.open(tmp_path / "stolen", home, clock=clock) as store, pytest.raises(KeyError):
        store.vault.reader.open(digest)


def test_a_key_file_is_called_a_logical_deletion(tmp_path):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        put(store, 3)
        receipt = carry_out(store, "delete", Choice(data_class="personal"))
    assert receipt["method"] == "logical_deletion"
    assert receipt["segments"] == 3
    assert "may stay on the flash" in receipt["meaning"]["en"].replace("flash for", "flash for")
    kept = json.loads((folder / receipt["file"]).read_text())
    row = verify_receipt(kept, [VerifyKey.parse(receipt["key"])])
    assert (row["event"], row["cause"]) == ("segment.deleted", "owner")


def test_choices(tmp_path):
    folder, home = make_store(tmp_path)
    clock = Clock()
    with Store.open(folder, home, clock=clock) as store:
        first = put(store, 2)
        second = put(store, 1, data_class="general")
        clock.now_s += DAY_S
        third = put(store, 2)
        of = {
            Choice(data_class="general"): second,
            Choice(region="DE"): [],
            Choice(from_day="2027-01-16"): third,
            Choice(until_day="2027-01-15", data_class="personal"): first,
            Choice(digests=(first[1], third[0])): [first[1], third[0]],
        }
        for choice, wanted in of.items():
            assert [entry.digest for entry in choice.of(store)] == wanted
        with pytest.raises(StoreError, match="nothing was deleted"):
            carry_out(store, "delete", Choice(region="DE"))
        with pytest.raises(UsageError, match="class is 'secret'"):
            carry_out(store, "delete", Choice(data_class="secret"))
