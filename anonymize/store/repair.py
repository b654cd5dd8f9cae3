"""What a start finds and mends after a cut, and what it can only report."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from anonymize.store.index import Entry
from anonymize.store.vault import Vault

REASONS: Final = {  # the word in the ledger
    "half_written": "half_written",
    "without_row": "object_without_row",
    "deletions_completed": "deletion_completed",
}


@dataclass(slots=True)
class Repair:
    """What was done, counts of objects.

    Attributes
    ----------
    half_written : int
        Temporary files that were removed.
    without_row : int
        Objects without a committed ledger row that were deleted: nobody was told that they are stored.
    deletions_completed : int
        Deletions that had begun.
    missing : int
        Ledger rows without object or tombstone: lost, or taken away. Reported, nothing can be mended.
    """

    half_written: int = 0
    without_row: int = 0
    deletions_completed: int = 0
    missing: int = 0

    @property
    def text(self) -> str:
        """One line for people; empty where nothing was found."""
        found = [
            f"{getattr(self, one.name)} {one.name.replace('_', ' ')}"
            for one in fields(self)
            if getattr(self, one.name)
        ]
        return "repaired at start: " + ", ".join(found) if found else ""


def repair(vault: Vault) -> Repair:
    """Bring objects, index and ledger to one state again and say what was found, here and in the ledger."""
    done = Repair()
    stored, ended = _new_rows(vault)
    _drop_unsettled(vault, stored)
    ended |= _finish_deletions(vault, frozenset(ended), done)
    lost = _compare_objects(vault, done)
    for digest in stored.keys() - ended - {entry.digest for entry in lost}:
        if not vault.index.holds(digest):
            _report_missing(vault, digest, stored[digest])
            done.missing += 1
    for entry in lost:
        if entry.digest not in ended:
            _report_missing(vault, entry.digest, entry.row)
            done.missing += 1
    for name, reason in REASONS.items():
        if count := getattr(done, name):
            vault.ledger.append("store.repaired", {"count": count, "reason": reason})
    vault.ledger.commit()
    vault.index.begin()
    vault.index.remove(lost)
    vault.index.rows_are_checked(vault.ledger.size)
    vault.index.commit()
    vault.destroy_empty_epochs()
    vault.index.empty_log()  # destroyed keys stood in it, where a deletion was cut off before its end
    return done


def _new_rows(vault: Vault) -> tuple[dict[str, int], set[str]]:
    """Digests of the ledger's rows that were not compared yet: stored (with the row), and deleted or missing."""
    stored: dict[str, int] = {}
    ended: set[str] = set()
    for row in vault.ledger.rows(vault.index.checked_rows(), vault.ledger.size):
        if row["event"] == "segment.stored":
            stored[row["digest"]] = row["row"]
        elif row["event"] in ("segment.deleted", "segment.missing"):
            ended.add(row["digest"])
    return stored, ended


def _drop_unsettled(vault: Vault, stored: dict[str, int]) -> None:
    """Entries whose row was committed learn it; the others go, and with them their objects as ones without a row."""
    unsettled = vault.index.unsettled()
    vault.index.begin()
    vault.index.settle({entry.digest: stored[entry.digest] for entry in unsettled if entry.digest in stored})
    vault.index.remove([entry for entry in unsettled if entry.digest not in stored])
    vault.index.commit()


def _finish_deletions(vault: Vault, ended: frozenset[str], done: Repair) -> set[str]:
    """End the deletions that had begun; the digests of what is gone by it."""
    going = vault.index.going()
    if going:
        vault.bury(going, with_tombstone=ended)
        done.deletions_completed = len(going)
    return {entry.digest for entry, _ in going}


def _compare_objects(vault: Vault, done: Repair) -> list[Entry]:
    """Remove files that the index does not know; entries whose file is not there."""
    lost: list[Entry] = []
    for epoch in sorted({*vault.objects.epochs(), *vault.index.epochs_held()}):
        entries = {entry.digest: entry for entry in vault.index.entries("epoch = ?", (epoch,))}
        unknown = []
        for name, is_object in vault.objects.names(epoch):
            if entries.pop(name, None) is None:
                unknown.append((name, is_object))
        for name, is_object in unknown:
            vault.objects.remove(epoch, name)
            done.without_row += is_object
            done.half_written += not is_object
        if unknown:
            vault.objects.sync(epoch)
        lost += entries.values()
    return lost


def _report_missing(vault: Vault, digest: str, row: int | None) -> None:
    vault.ledger.append("segment.missing", {"digest": digest} | ({} if row is None else {"segment_row": row}))
