"""Small ledgers for tests, and a clock that goes as told."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anonymize.store.ledger import Ledger
from anonymize.store.ledger_verifier import CHUNK_ROWS, RightEdge, leaf_hash

ORIGIN = "vehicle.example/ledger/17"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
NOON_S = 1_795_000_000.0  # 2026-11-18, 10:13 UTC


class Clock:
    """UTC seconds that only move when told."""

    def __init__(self, now_s=NOON_S):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def digest(number):
    return hashlib.sha256(b"object %d" % number).hexdigest()


def stored(number=0, **changes):
    """The fields of a row about a stored segment."""
    return {
        "bytes": 1000 + number,
        "class": "personal",
        "digest": digest(number),
        "exceptions": [],
        "frames": 30,
        "model": digest(-1),
        "region": "CN",
        "retain_until": "2026-12-02",
        **changes,
    }


def opened(path, signer=KEY, clock=None, **named):
    return Ledger.open(path, signer, origin=named.pop("origin", ORIGIN), clock=clock or Clock(), **named)


def written(path, rows, *, checkpoints=()):
    """A closed ledger of so many rows, with checkpoints after these numbers of rows and at its end."""
    with opened(path) as ledger:
        for number in range(rows):
            if number in checkpoints:
                ledger.checkpoint()
            ledger.append("segment.stored", stored(number))
    return path


def bodies(path):
    with closing(sqlite3.connect(path)) as ledger:
        return [body for (body,) in ledger.execute("SELECT body FROM ledger_rows ORDER BY row")]


def rewritten(path, rows, *, last_checkpoint=None):
    """Put these (number, body) in place of all rows, as a forger would who knows the format but has no key.

    The hashes of chunks are made to fit; checkpoints of more than `last_checkpoint` rows are taken away.
    """
    edge, chunks = RightEdge(), []
    for _, body in rows:
        chunk = edge.append(leaf_hash(body))
        if chunk is not None:
            chunks.append((edge.size // CHUNK_ROWS - 1, chunk))
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("DELETE FROM ledger_rows")
        ledger.execute("DELETE FROM ledger_chunks")
        ledger.executemany("INSERT INTO ledger_rows VALUES (?, ?)", rows)
        ledger.executemany("INSERT INTO ledger_chunks VALUES (?, ?)", chunks)
        if last_checkpoint is not None:
            ledger.execute("DELETE FROM ledger_checkpoints WHERE size > ?", (last_checkpoint,))
    return path
