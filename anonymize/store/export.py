"""A bundle of objects that leaves: written whole under a temporary name, checked, noted in the ledger, then named.

BUNDLE/manifest.json   what is in it, for whom, under which approval, with a proof from the ledger for each object
BUNDLE/manifest.sig    signed note over the manifest's digest, by the ledger's key
BUNDLE/objects/DIGEST  the objects
BUNDLE/verify.py       checks all of it; take your own copy where it matters
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anonymize.errors import AnonymizeError, UsageError
from anonymize.store import ledger_verifier
from anonymize.store.approval import Permit, Transfer, authorise, is_abroad, noting_refusals
from anonymize.store.errors import LedgerError, RefusedError
from anonymize.store.events import JsonValue
from anonymize.store.ledger import Ledger
from anonymize.store.ledger_verifier import VerifyKey, canonical, set_digest, verify_bundle
from anonymize.store.object_source import ObjectFacts, ObjectSource
from anonymize.store.rules import Rule
from anonymize.store.territory import Policy, open_sink, require_region

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """By what rules, and by whose word, something may leave.

    Parameters
    ----------
    policy : Policy
    tag_keys : sequence of VerifyKey
        Whose region tags count.
    approval : str or None
        The approval's note.
    approvers : sequence of VerifyKey
        Whose approvals count.
    """

    policy: Policy
    tag_keys: Sequence[VerifyKey] = ()
    approval: str | None = None
    approvers: Sequence[VerifyKey] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A bundle that is where it was asked for."""

    path: Path
    objects: int
    manifest_digest: str
    warnings: tuple[str, ...]


def export(
    source: ObjectSource,
    ids: Sequence[str],
    transfer: Transfer,
    *,
    ledger: Ledger,
    authority: Authority,
    name: str,
) -> Exported:
    """Write the bundle `name` into the folder of `transfer.sink`. Nothing has that name before all is done.

    Parameters
    ----------
    source : ObjectSource
    ids : sequence of str
    transfer : Transfer
        Its sink's region must be the recipient's jurisdiction.
    ledger : Ledger
        With a signer.
    authority : Authority
    name : str
        Of a folder that is not there yet.

    Raises
    ------
    RefusedError
        A rule forbids it; the ledger has the refusal.
    LedgerError, UsageError, OSError
        It cannot be written. An approval that was used stays used.
    """
    if name in ("", ".", "..") or "/" in name or name.startswith("."):
        raise UsageError(f"{name!r} is no name for a bundle; wanted that of a new folder in the sink")
    if transfer.sink is None or transfer.reading:
        raise UsageError("an export needs the name of a sink to write to")
    facts = _facts(source, ids)
    with noting_refusals(ledger, facts, transfer, authority.policy):
        sink = open_sink(authority.policy, transfer.sink, authority.tag_keys, ledger.today())
        require_region(sink, transfer.jurisdiction)
    target = sink.folder / name
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already; wanted a new name")
    wanted, free = sum(one.stored_bytes for one in facts), shutil.disk_usage(sink.folder).free
    if free < wanted:  # before an approval is used up
        raise UsageError(f"{sink.folder}: {free:,} bytes are free; wanted {wanted:,}")
    with _temporary(target) as folder:
        permit = _authorised(facts, transfer, ledger, authority)
        digests = set_digest(one.digest for one in facts)
        try:
            _write_objects(folder, source, ids, facts)
            manifest_digest = _write_manifest(folder, _manifest(facts, permit, ledger, authority), ledger)
            _require_whole_bundle(folder, ledger, authority.approvers)
            ledger.append("export.made", {"bundle": manifest_digest, "set": digests})
            ledger.checkpoint()
            folder.rename(target)
        except BaseException as fault:
            _note_failure(ledger, digests, fault)
            raise
    _sync(sink.folder)
    return Exported(target, len(facts), manifest_digest, permit.warnings)


def read_from(
    source: ObjectSource, ids: Sequence[str], transfer: Transfer, *, ledger: Ledger, authority: Authority
) -> Iterator[bytes]:
    """The content of each object, for somebody who looks at it from `transfer.jurisdiction`.

    From the home country a row is written; from elsewhere it is an export, and all of export's rules are asked. The
    row is on the disk before the first object is read.

    Raises
    ------
    RefusedError, LedgerError
        Nothing was read.
    """
    if not transfer.reading:
        raise UsageError("an export came where a read was wanted")
    facts = _facts(source, ids)
    if is_abroad(facts, transfer, authority.policy):
        _authorised(facts, transfer, ledger, authority)
    else:
        row: dict[str, JsonValue] = {
            "count": len(facts), "jurisdiction": transfer.jurisdiction, "purpose": transfer.purpose,
            "recipient": transfer.recipient, "set": set_digest(one.digest for one in facts),
        }  # fmt: skip
        ledger.append("segment.read", row)
        ledger.commit()
    return (_content(source, one, known) for one, known in zip(ids, facts, strict=True))


def _authorised(
    facts: Sequence[ObjectFacts], transfer: Transfer, ledger: Ledger, authority: Authority
) -> Permit:
    return authorise(
        facts,
        transfer,
        policy=authority.policy,
        ledger=ledger,
        approval=authority.approval,
        approvers=authority.approvers,
    )


def _facts(source: ObjectSource, ids: Sequence[str]) -> list[ObjectFacts]:
    try:
        return [source.describe(one) for one in ids]
    except KeyError:
        raise RefusedError(Rule.OBJECT_UNKNOWN, "an object was chosen that is not held") from None


def _content(source: ObjectSource, object_id: str, facts: ObjectFacts) -> bytes:
    content = source.read(object_id)
    if hashlib.sha256(content).hexdigest() != facts.digest:
        raise RefusedError(Rule.OBJECT_ALTERED, f"{facts.digest}: its content has another digest")
    return content


def _write_objects(
    folder: Path, source: ObjectSource, ids: Sequence[str], facts: Sequence[ObjectFacts]
) -> None:
    (folder / "objects").mkdir(mode=0o700)
    for object_id, known in {one.digest: (name, one) for name, one in zip(ids, facts, strict=True)}.values():
        _write(folder / "objects" / known.digest, _content(source, object_id, known))
    _write(folder / "verify.py", Path(ledger_verifier.__file__).read_bytes())
    _sync(folder / "objects")


def _manifest(
    facts: Sequence[ObjectFacts], permit: Permit, ledger: Ledger, authority: Authority
) -> dict[str, Any]:
    """What the bundle says of itself; every row it speaks of is proven under one checkpoint."""
    with ledger.exclusive():
        exported = ledger.receipt(permit.row)
        receipts = [ledger.receipt(one.ledger_row) for one in facts]
    row = exported["row"]
    stated = (
        "classes",
        "jurisdiction",
        "kind",
        "persons",
        "policy",
        "purpose",
        "recipient",
        "sensitive",
        "set",
    )
    return {
        **{name: row[name] for name in stated},
        "approval": authority.approval if permit.approval else None,
        "checkpoint": exported["checkpoint"],
        "export": {"proof": exported["proof"], "row": row},
        "keys": [one.text for one in (ledger.key, *authority.approvers) if one is not None and one.name],
        "objects": [_entry(one, receipt) for one, receipt in zip(facts, receipts, strict=True)],
        "schema": SCHEMA,
        "verifier": hashlib.sha256(Path(ledger_verifier.__file__).read_bytes()).hexdigest(),
    }


def _entry(facts: ObjectFacts, receipt: dict[str, Any]) -> dict[str, Any]:
    """One object: its row says model, policy, zone list and exceptions."""
    return {
        "bytes": facts.stored_bytes, "class": facts.data_class, "digest": facts.digest, "region": facts.region,
        "retain_until": facts.retain_until, "receipt": {"proof": receipt["proof"], "row": receipt["row"]},
    }  # fmt: skip


def _write_manifest(folder: Path, manifest: dict[str, Any], ledger: Ledger) -> str:
    raw = canonical(manifest)
    digest = hashlib.sha256(raw).hexdigest()
    _write(folder / "manifest.json", raw)
    _write(folder / "manifest.sig", ledger.signed("bundle", {"manifest": digest}).encode())
    _sync(folder)
    return digest


def _require_whole_bundle(folder: Path, ledger: Ledger, approvers: Sequence[VerifyKey]) -> None:
    """What lies on the disk passes the check that the recipient will make."""
    key = ledger.key
    found = verify_bundle(folder, [*([] if key is None else [key]), *approvers])
    if found.faults:
        raise RefusedError(Rule.BUNDLE_ALTERED, f"the bundle does not verify: {found.faults[0]}")


def _note_failure(ledger: Ledger, digests: str, fault: BaseException) -> None:
    """The row of a bundle that did not come about; where the ledger does not take it, the first fault counts."""
    kinds = {RefusedError: "refused", LedgerError: "ledger", AnonymizeError: "store", OSError: "disk"}
    reason = next((word for kind, word in kinds.items() if isinstance(fault, kind)), "stopped")
    with contextlib.suppress(LedgerError):
        ledger.append("export.failed", {"reason": reason, "set": digests})
        ledger.commit()


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A folder beside the target, locked, of this user alone; gone at the end unless it was renamed."""
    folder = target.with_name(f".{target.name}.tmp")
    for _ in range(2):
        try:
            folder.mkdir(mode=0o700)
            break
        except FileExistsError:
            _remove_left_over(folder)
    else:
        raise UsageError(f"{target}: is being written by another run")
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_left_over(folder: Path) -> None:
    """What a killed run left; raises `UsageError` where another one is at work."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise UsageError(f"{folder}: lies in the way; remove it") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except BlockingIOError:
        raise UsageError(f"{folder}: another run is writing it") from None
    finally:
        os.close(lock)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
