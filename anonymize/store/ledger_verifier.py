"""Checks a ledger, a receipt or an exported bundle. Stands alone: Python 3.11 and `cryptography`, nothing else.

Long for that reason: one file can be handed to whoever wants to check, and travels in every bundle.

    python ledger_verifier.py LEDGER|RECEIPT|BUNDLE [--public-key FILE] [--checkpoint FILE]

It proves that nothing was altered, removed, inserted or moved before the last checkpoint that somebody outside
holds (`--checkpoint`). Without one, whoever has the device's key can have rewritten everything.

The tree is that of RFC 6962 (leaf `H(0x00 || row)`, node `H(0x01 || left || right)`, SHA-256), the proofs are those
of RFC 9162, checkpoints have the form of C2SP tlog-checkpoint in a C2SP signed note, keys are Ed25519.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

ED25519: Final = b"\x01"  # C2SP signed-note: the type of an Ed25519 key
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
CHUNK_ROWS: Final = (
    256  # hashes of complete subtrees of so many rows are kept, so that no root reads every row
)
MOST_NOTE_CHARACTERS: Final = 1 << 20
SCHEMA: Final = {
    "ledger_meta": "CREATE TABLE ledger_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "ledger_rows": "CREATE TABLE ledger_rows (row INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "ledger_chunks": "CREATE TABLE ledger_chunks (chunk INTEGER PRIMARY KEY, hash BLOB NOT NULL)",
    "ledger_checkpoints": "CREATE TABLE ledger_checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL)",
}


class AlteredError(Exception):
    """What was read is not what was signed."""


class UnknownSignerError(AlteredError):
    """None of the keys that are known has signed it."""


# --- the tree ---------------------------------------------------------------------------------------------------------


def leaf_hash(body: bytes) -> bytes:
    """Hash of a leaf (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 6962, 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class RightEdge:
    """The complete subtrees along the right edge of a growing tree: all that its next root depends on.

    Attributes
    ----------
    size : int
        Leaves so far.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[
            bytes
        ] = []  # roots of complete subtrees, the largest first: one for each bit of `size`

    def append(self, leaf: bytes) -> bytes | None:
        """Take the next leaf's hash. Returns the hash of the chunk of 256 leaves that it completes, else None."""
        node, left, leaves, chunk = leaf, self.size, 1, None
        while left & 1:
            node = node_hash(self._peaks.pop(), node)
            left >>= 1
            leaves *= 2
            if leaves == CHUNK_ROWS:
                chunk = node
        self._peaks.append(node)
        self.size += 1
        return chunk

    def append_chunk(self, chunk: bytes) -> None:
        """Take the hash of the next 256 leaves at once; `size` is a multiple of 256."""
        node, left = chunk, self.size // CHUNK_ROWS
        while left & 1:
            node = node_hash(self._peaks.pop(), node)
            left >>= 1
        self._peaks.append(node)
        self.size += CHUNK_ROWS

    def copy(self) -> RightEdge:
        """The same edge, to grow on its own."""
        other = RightEdge()
        other.size, other._peaks = self.size, list(self._peaks)
        return other

    def root(self) -> bytes:
        """Root of the tree (RFC 6962, 2.1)."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2).

    Raises
    ------
    AlteredError
        The proof has not the length that the index and the size ask for.
    """
    if not 0 <= index < size:
        raise AlteredError(f"row {index} is not one of {size}")
    place, last, root = index, size - 1, leaf
    for hash_ in path:
        if last == 0:
            raise AlteredError("the inclusion proof is too long")
        if place & 1 or place == last:
            root = node_hash(hash_, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, hash_)
        place, last = place >> 1, last >> 1
    if last:
        raise AlteredError("the inclusion proof is too short")
    return root


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Return if the leaf is row `index` of the tree of `size` rows with this root.

    Raises
    ------
    AlteredError
        It is not, or the proof does not show it.
    """
    if root_from_inclusion(leaf, index, size, path) != root:
        raise AlteredError("the inclusion proof leads to another root")


def verify_consistency(first: int, second: int, path: Sequence[bytes], roots: tuple[bytes, bytes]) -> None:
    """Return if the tree of `second` rows begins with the tree of `first` rows (RFC 9162, 2.1.4.2).

    Parameters
    ----------
    roots : pair of bytes
        Of the smaller tree and of the larger.

    Raises
    ------
    AlteredError
        It does not, or the proof does not show it.
    """
    if not 0 <= first <= second:
        raise AlteredError(f"a tree of {first} rows does not come before one of {second}")
    if first in (0, second):
        if path or (not first and roots[0] != EMPTY_ROOT) or (first == second and roots[0] != roots[1]):
            raise AlteredError("the consistency proof of equal or empty trees leads to another root")
        return
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, roots[0])
    if not hashes:
        raise AlteredError("the consistency proof is empty")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    small = large = hashes[0]
    for hash_ in hashes[1:]:
        if last == 0:
            raise AlteredError("the consistency proof is too long")
        if place & 1 or place == last:
            small, large = node_hash(hash_, small), node_hash(hash_, large)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            large = node_hash(large, hash_)
        place, last = place >> 1, last >> 1
    if last or (small, large) != roots:
        raise AlteredError("the consistency proof leads to other roots")


# --- notes and checkpoints --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key with its name, as in the vkey form of C2SP signed-note: `NAME+ID+BASE64`; "" is any name."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that a signature line begins with."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey form."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> VerifyKey:
        """The key of a vkey line; raises `AlteredError` where it is none or its id does not fit."""
        name, _, rest = text.strip().partition("+")
        stated, _, coded = rest.partition("+")
        raw = _bytes64(coded)
        if not re.fullmatch(r"[^\s+]+", name) or raw[:1] != ED25519 or len(raw) != 33:
            raise AlteredError("a public key is no Ed25519 key in the form NAME+ID+BASE64")
        key = cls(name, raw[1:])
        if key.key_id.hex() != stated:
            raise AlteredError("a public key's id does not fit its name and bytes")
        return key

    def accepts(self, signature: bytes, message: bytes) -> bool:
        """Whether this key made the signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def note_text(note: str, keys: Iterable[VerifyKey]) -> str:
    """The signed text of a C2SP signed note, with its last newline.

    Raises
    ------
    AlteredError
        It is no note, a known key's signature is wrong, or no known key has signed it.
    """
    if len(note) > MOST_NOTE_CHARACTERS or any(c < " " and c != "\n" for c in note):
        raise AlteredError("a signed note is too long or holds control characters")
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not lines.endswith("\n"):
        raise AlteredError("a signed note has no signature")
    keys, signed = list(keys), False
    for line in lines.splitlines():
        found = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)", line)
        raw = _bytes64(found[2]) if found else b""
        if found is None or len(raw) < 5:
            raise AlteredError("a signature line has not the form of a signed note")
        for key in (VerifyKey(found[1], one.public) for one in keys if one.name in ("", found[1])):
            if key.key_id != raw[:4]:
                continue  # C2SP: signatures of unknown keys say nothing
            if not key.accepts(raw[4:], (text + "\n").encode()):
                raise AlteredError(f"the signature by {key.name} is wrong")
            signed = True
    if not signed:
        raise UnknownSignerError("a signed note is signed by none of the keys that were given")
    return text + "\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint states: the log's origin, its rows, and the root over them."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint of a note's text (C2SP tlog-checkpoint); raises `AlteredError` where it is none."""
        origin, size, root, *_ = [*text.split("\n"), "", "", ""]
        raw = _bytes64(root)
        if not origin or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or len(raw) != 32:
            raise AlteredError("a checkpoint has not the form: origin, size, root")
        return cls(origin, int(size), raw)

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def _bytes64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise AlteredError("what should be base64 is not") from None
    if base64.b64encode(raw).decode() != text:
        raise AlteredError("what should be base64 is not in its one form")
    return raw


# --- rows and the file ------------------------------------------------------------------------------------------------


def canonical(value: Any) -> bytes:
    """The one form of a JSON value: RFC 8785 without floats (keys of ASCII sorted, no spaces, UTF-8).

    Raises
    ------
    AlteredError
        It holds a float, a whole number beyond 2**53, or a key that is not ASCII.
    """
    _check_plain(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _check_plain(value: Any) -> None:
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, int) and abs(value) < 1 << 53:
        return
    if isinstance(value, (list, tuple)):
        for one in value:
            _check_plain(one)
    elif isinstance(value, dict) and all(isinstance(key, str) and key.isascii() for key in value):
        for one in value.values():
            _check_plain(one)
    else:
        raise AlteredError(
            "a value has no canonical form: a float, a large number or a key that is not ASCII"
        )


def _whole(digits: str) -> int:
    number = int(digits) if len(digits) < 18 else 1 << 53
    if abs(number) >= 1 << 53:
        raise ValueError("a whole number beyond 2**53")
    return number


def _no_float(_: str) -> Any:
    raise ValueError("a float")


# These two do as `canonical` does, at a third of its time, for a row of ASCII alone (docs/ledger.md).
_READER: Final = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float, parse_int=_whole)
_WRITER: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
)


def row_of(body: bytes, index: int) -> dict[str, Any]:
    """The row of these bytes; raises `AlteredError` unless they are canonical and say that they are row `index`."""
    try:
        row = _READER.decode(body.decode())
        plain = _WRITER.encode(row).encode() if body.isascii() else canonical(row)
    except (ValueError, RecursionError):
        raise AlteredError(f"row {index} is no JSON of ours") from None
    if not isinstance(row, dict) or plain != body:
        raise AlteredError(f"row {index} is not in canonical form")
    if row.get("row") != index or isinstance(row["row"], bool):
        raise AlteredError(f"row {index} says that it is another")
    return row


@dataclass(slots=True)
class Findings:
    """What a check found. `faults` is empty where all is as it was signed."""

    rows: int = 0
    covered: int = 0
    checkpoints: int = 0
    origin: str = ""
    root: bytes = EMPTY_ROOT
    own_key: bool = False
    newest_day: str = ""
    said: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Of a ledger that nobody has open nothing is made beside it.

    Without a write-ahead log nobody has it open, and it is read as it lies, from a read-only medium too. Should a
    recorder start in that very moment, a fault may be seen that is none; never the other way round.
    """
    place = path.resolve()
    how = "mode=ro" if place.with_name(f"{place.name}-wal").exists() else "mode=ro&immutable=1"
    ledger = sqlite3.connect(f"{place.as_uri()}?{how}", uri=True, isolation_level=None)
    ledger.execute("PRAGMA trusted_schema = OFF")
    return ledger


def check_schema(ledger: sqlite3.Connection) -> dict[str, str]:
    """Name and value of what the ledger says of itself; raises `AlteredError` if its tables are not ours."""
    found = dict(ledger.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    if found != SCHEMA:
        raise AlteredError("the tables are not those of a ledger")
    return dict(ledger.execute("SELECT name, value FROM ledger_meta"))


def verify_ledger(
    path: Path, keys: Sequence[VerifyKey] = (), *, held: str | None = None, still_open: bool = False
) -> Findings:
    """What is wrong with a ledger: every row, every chunk's hash and every checkpoint is looked at.

    Parameters
    ----------
    keys : sequence of VerifyKey
        Known from elsewhere. Without any the ledger's own is taken, which a forger would have replaced too.
    held : str or None
        A checkpoint that somebody outside has kept: the ledger must still begin with it.
    still_open : bool
        Rows after the last checkpoint are noted instead of being a fault.
    """
    findings = Findings()
    try:
        with closing(open_read_only(path)) as ledger:
            ledger.execute("BEGIN")  # one moment of a ledger that is being written
            meta = check_schema(ledger)
            findings.origin = meta["origin"]
            findings.own_key = not keys
            if not keys and "key" in meta:
                keys = [VerifyKey.parse(meta["key"])]
            _verify_tables(ledger, keys, findings, held)
    except (AlteredError, KeyError, TypeError, ValueError, OSError, sqlite3.Error) as fault:
        findings.faults.append(str(fault) if isinstance(fault, AlteredError) else f"no ledger: {fault}")
    if findings.rows > findings.covered and not findings.faults:
        line = f"rows {findings.covered} to {findings.rows - 1} are after the last checkpoint: nothing proves them"
        (findings.notes if still_open else findings.faults).append(line)
    findings.said = (
        f"{findings.rows} rows, {findings.covered} proven by {findings.checkpoints} checkpoints, "
        f"root {findings.root.hex()}, {findings.origin}"
    )
    return findings


def _verify_tables(
    ledger: sqlite3.Connection, keys: Sequence[VerifyKey], findings: Findings, held: str | None
) -> None:
    """Walk through the rows once; look at each checkpoint when its size is reached."""
    checkpoints = list(_checkpoints(ledger, keys, findings))
    if held is not None:
        outside = Checkpoint.parse(note_text(held, keys))
        checkpoints.append((outside, "the checkpoint held outside"))
    findings.checkpoints = len(checkpoints)
    checkpoints.sort(key=lambda one: one[0].size, reverse=True)
    chunks = ledger.execute("SELECT chunk, hash FROM ledger_chunks ORDER BY chunk")
    edge = RightEdge()
    _pass_checkpoints(edge, checkpoints, findings)
    for index, (row, body) in enumerate(ledger.execute("SELECT row, body FROM ledger_rows ORDER BY row")):
        if row != index or not isinstance(body, bytes):
            raise AlteredError(f"row {index} is missing or stands elsewhere: the next one is {row}")
        findings.newest_day = max(findings.newest_day, str(row_of(body, index).get("day", "")))
        chunk = edge.append(leaf_hash(body))
        if chunk is not None and chunks.fetchone() != (index // CHUNK_ROWS, chunk):
            raise AlteredError(f"the kept hash of the 256 rows up to {index} is not theirs")
        _pass_checkpoints(edge, checkpoints, findings)
    findings.rows, findings.root = edge.size, edge.root()
    if chunks.fetchone() is not None:
        raise AlteredError(f"there are hashes of more than {edge.size} rows: rows are missing at the end")
    if checkpoints:
        first, name = checkpoints[-1]
        raise AlteredError(
            f"{name} is over {first.size} rows, {edge.size} are there: rows are missing at the end"
        )
    if not findings.checkpoints:
        raise AlteredError("there is no checkpoint: nothing proves anything")


def _checkpoints(
    ledger: sqlite3.Connection, keys: Sequence[VerifyKey], findings: Findings
) -> Iterator[tuple[Checkpoint, str]]:
    for size, note in ledger.execute("SELECT size, note FROM ledger_checkpoints ORDER BY size"):
        checkpoint = Checkpoint.parse(note_text(note, keys))
        if checkpoint.size != size or checkpoint.origin != findings.origin:
            raise AlteredError(f"the checkpoint of {size} rows is of another size or ledger")
        yield checkpoint, f"the checkpoint of {size} rows"


def _pass_checkpoints(edge: RightEdge, waiting: list[tuple[Checkpoint, str]], findings: Findings) -> None:
    """Compare the root with each checkpoint of this size; the smallest waits at the end of the list."""
    while waiting and waiting[-1][0].size == edge.size:
        checkpoint, name = waiting.pop()
        if checkpoint.origin != findings.origin or checkpoint.root != edge.root():
            raise AlteredError(f"{name} has another root: a row before row {edge.size} was altered")
        findings.covered = edge.size


# --- receipts, statements and bundles ---------------------------------------------------------------------------------


def verify_receipt(
    receipt: Any, keys: Sequence[VerifyKey], *, checkpoint: str | None = None
) -> dict[str, Any]:
    """The row that a receipt proves.

    Parameters
    ----------
    receipt : dict
        `row`, `proof` and, unless `checkpoint` is given, `checkpoint`.

    Raises
    ------
    AlteredError
        It proves none.
    """
    try:
        row, path = receipt["row"], [_bytes64(one) for one in receipt["proof"]]
        stated = Checkpoint.parse(note_text(checkpoint or receipt["checkpoint"], keys))
        body = canonical(row)
        verify_inclusion(leaf_hash(body), row["row"], stated.size, path, stated.root)
    except (KeyError, TypeError, AttributeError):
        raise AlteredError("a receipt has not the form: row, proof, checkpoint") from None
    return row_of(body, row["row"])


def statement_text(kind: str, body: dict[str, Any]) -> str:
    """What is signed for a statement of a kind (region, approval, bundle): one kind never passes for another."""
    return f"vehicle-anonymize/{kind}/v1\n{canonical(body).decode()}\n"


def statement_of(note: str, kind: str, keys: Sequence[VerifyKey]) -> dict[str, Any]:
    """What a signed statement of this kind says; raises `AlteredError` unless one of the keys signed it."""
    text = note_text(note, keys)
    head, _, rest = text.partition("\n")
    try:
        body = json.loads(rest)
        if head != f"vehicle-anonymize/{kind}/v1" or statement_text(kind, body) != text:
            raise AlteredError(f"what was signed is no {kind} in its one form")
    except (ValueError, RecursionError):
        raise AlteredError(f"what was signed is no {kind}") from None
    if not isinstance(body, dict):
        raise AlteredError(f"what was signed is no {kind}")
    return body


def statement_digest(note: str) -> str:
    """SHA-256, hex, of what was signed: more signatures under the same text make no other statement of it."""
    return hashlib.sha256((note.rpartition("\n\n")[0] + "\n").encode()).hexdigest()


def set_digest(digests: Iterable[str]) -> str:
    """SHA-256, hex, over the sorted digests of a set of objects, one a line."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(digests)).encode()).hexdigest()


def verify_bundle(folder: Path, keys: Sequence[VerifyKey]) -> Findings:
    """What is wrong with an exported bundle: its signature, every object, every proof, the approval, strange files."""
    findings = Findings()
    try:
        raw = (folder / "manifest.json").read_bytes()
        manifest = json.loads(raw)
        if canonical(manifest) != raw:
            raise AlteredError("manifest.json is not in canonical form")
        findings.own_key = not keys
        if not keys:
            keys = [VerifyKey.parse(one) for one in manifest["keys"]]
        signed = statement_of((folder / "manifest.sig").read_text("utf-8"), "bundle", keys)
        if signed != {"manifest": hashlib.sha256(raw).hexdigest()}:
            raise AlteredError("manifest.json is not the one that was signed")
        _verify_contents(manifest, keys, findings)
        _verify_files(folder, manifest)
    except AlteredError as fault:
        findings.faults.append(str(fault))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError) as fault:
        findings.faults.append(f"no bundle: {type(fault).__name__} while it was read")
    return findings


def _verify_contents(manifest: dict[str, Any], keys: Sequence[VerifyKey], findings: Findings) -> None:
    """Every object has its row in the ledger, and so has the export; all of it agrees with the approval."""
    checkpoint, objects = manifest["checkpoint"], manifest["objects"]
    stated = Checkpoint.parse(note_text(checkpoint, keys))
    findings.origin, findings.rows, findings.root = stated.origin, stated.size, stated.root
    counts: dict[str, int] = {}
    for one in objects:
        row = verify_receipt(one["receipt"], keys, checkpoint=checkpoint)
        same = all(row[name] == one[name] for name in ("class", "region"))
        if (
            row["event"] != "segment.stored"
            or not same
            or one["digest"] not in (row["digest"], row.get("content"))
        ):
            raise AlteredError(f"object {one['digest']} is not what its ledger row says")
        counts[one["class"]] = counts.get(one["class"], 0) + 1
    export = verify_receipt(manifest["export"], keys, checkpoint=checkpoint)
    facts = {"classes": counts, "count": len(objects), "set": set_digest(one["digest"] for one in objects)}
    facts["bytes"] = sum(one["bytes"] for one in objects)
    named = ("jurisdiction", "kind", "persons", "policy", "purpose", "recipient", "sensitive")
    facts |= {name: manifest[name] for name in named}
    if export["event"] != "export.begun" or any(export[name] != held for name, held in facts.items()):
        raise AlteredError("the ledger's row of this export speaks of another one")
    approval = manifest["approval"]
    if export.get("approval") != (None if approval is None else statement_digest(approval)):
        raise AlteredError("the approval is not the one in the ledger's row")
    if approval is not None:
        _verify_approval(approval, keys, facts, findings)
    findings.covered = len(objects)
    findings.said = (
        f"{len(objects)} objects for {export['recipient']} in {export['jurisdiction']}, "
        f"each in the ledger {stated.origin} of {stated.size} rows"
    )


def _verify_approval(
    approval: str, keys: Sequence[VerifyKey], facts: dict[str, Any], findings: Findings
) -> None:
    """The approval speaks of this set; its signature is looked at where its key was given."""
    try:
        said = statement_of(approval, "approval", keys)
    except UnknownSignerError:
        findings.notes.append("the approval's signature was not checked: its key was not given")
        said = json.loads(approval.split("\n")[1])
    for name in ("classes", "jurisdiction", "kind", "persons", "purpose", "recipient", "sensitive", "set"):
        if said[name] != facts[name]:
            raise AlteredError(f"the approval is for another {name}")


def _verify_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Every object is there, whole, and nothing else is."""
    wanted = {f"objects/{one['digest']}": one["digest"] for one in manifest["objects"]}
    wanted |= {"verify.py": manifest["verifier"]}
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    if found != {*wanted, "manifest.json", "manifest.sig"}:
        raise AlteredError("files are missing in the bundle, or are there that are not listed")
    for name, digest in wanted.items():
        path = folder / name
        with path.open("rb") as file:
            if path.is_symlink() or hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise AlteredError(f"{name} was altered")


# --- the command ------------------------------------------------------------------------------------------------------


def read_key(path: Path) -> VerifyKey:
    """The public key of a file: one line `NAME+ID+BASE64`, or PEM, which fits any name."""
    raw = path.read_bytes()
    if not raw.startswith(b"-----"):
        return VerifyKey.parse(raw.decode("ascii", errors="replace"))
    try:
        key = load_pem_public_key(raw)
    except UnsupportedAlgorithm:
        raise AlteredError(f"{path.name} is a key of another kind") from None
    if not isinstance(key, Ed25519PublicKey):
        raise AlteredError(f"{path.name} is no Ed25519 key")
    return VerifyKey("", key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def verify(
    path: Path, keys: Sequence[VerifyKey], *, held: str | None = None, still_open: bool = False
) -> Findings:
    """What is wrong with a ledger, a receipt or a bundle, told by its content."""
    if not path.is_dir():
        with path.open("rb") as file:
            if file.read(16) == b"SQLite format 3\0":
                return verify_ledger(path, keys, held=held, still_open=still_open)
    findings = Findings()
    try:
        if held is not None:
            raise AlteredError(
                "a checkpoint held outside is compared with a ledger, not with a receipt or a bundle"
            )
        if path.is_dir():
            return verify_bundle(path, keys)
        if not keys:
            raise AlteredError("a receipt needs a public key")
        receipt = json.loads(path.read_bytes())
        row = verify_receipt(receipt, keys)
        findings.rows = findings.covered = 1
        findings.said = f"row {json.dumps(row, sort_keys=True)}"
    except (AlteredError, ValueError, RecursionError) as fault:
        findings.faults.append(str(fault) if isinstance(fault, AlteredError) else "no receipt: no JSON")
    return findings


def told(findings: Findings) -> str:
    """The findings in words."""
    lines = [f"FAULT  {line}" for line in findings.faults] + [f"note   {line}" for line in findings.notes]
    if findings.own_key:
        lines.append(
            "note   no public key was given: a forger would have put a key of its own in place of this one"
        )
    if not findings.faults:
        lines.append(f"ok     {findings.said}")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: as it was signed; 1: it is not; 2: wrong usage."""
    parser = argparse.ArgumentParser(description="Check a ledger, a receipt or an exported bundle.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--public-key", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="one that somebody outside has kept")
    parser.add_argument(
        "--still-open", action="store_true", help="rows after the last checkpoint are no fault"
    )
    options = parser.parse_args(arguments)
    try:
        keys = [read_key(path) for path in options.public_key]
        held = None if options.checkpoint is None else options.checkpoint.read_text("utf-8")
        findings = verify(options.path, keys, held=held, still_open=options.still_open)
    except (OSError, ValueError, AlteredError) as fault:
        print(f"cannot be read: {fault}", file=sys.stderr)
        return 2
    print(told(findings), end="")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
