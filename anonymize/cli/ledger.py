"""`anonymize ledger`: checked, and proofs taken out of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from anonymize.cli.store_errors import in_our_words
from anonymize.errors import AnonymizeError, UsageError

DONE, FAILED = 0, 1
LEDGER_NAME: Final = "ledger.sqlite"  # in the folder of a store


def execute(options: argparse.Namespace) -> int:
    """Print what the action says; 1 where what was checked is not as it was signed."""
    with in_our_words():
        return _ACTIONS[options.action](options)


def _verify(options: argparse.Namespace) -> int:
    from anonymize.store.ledger_verifier import told, verify
    from anonymize.store.signing import public_keys

    path = options.path
    if (path / LEDGER_NAME).exists():
        path = path / LEDGER_NAME
    if not path.exists():
        raise UsageError(f"{path}: is not there; wanted a ledger, a receipt or a bundle")
    held = None if options.checkpoint is None else options.checkpoint.read_text("utf-8", errors="replace")
    keys = public_keys(options.public_key)
    findings = verify(path, keys, held=held, still_open=options.still_open)
    print(told(findings), end="")
    return FAILED if findings.faults else DONE


def _checkpoint(options: argparse.Namespace) -> int:
    with _opened(options.ledger) as ledger:
        if ledger.last_checkpoint is None:
            raise AnonymizeError(f"{options.ledger}: has no checkpoint yet")
        return _out(options.output, ledger.last_checkpoint)


def _rows(options: argparse.Namespace) -> int:
    with _opened(options.ledger) as ledger:
        for row in ledger.find(options.event) if options.event else ledger.rows(0, ledger.size):
            print(json.dumps(row, sort_keys=True))
    return DONE


def _receipt(options: argparse.Namespace) -> int:
    with _opened(options.ledger) as ledger:
        return _out(options.output, json.dumps(ledger.receipt(options.row), indent=1, sort_keys=True) + "\n")


def _verifier(options: argparse.Namespace) -> int:
    from anonymize.store import ledger_verifier

    return _out(options.file, Path(ledger_verifier.__file__).read_text("utf-8"))


def _new_key(options: argparse.Namespace) -> int:
    from anonymize.store.signing import new_key

    public = new_key(options.file, options.name)
    print(f"private key {options.file}, public key {public}")
    return DONE


def _opened(path: Path) -> Any:
    """The ledger of a file or of a store's folder, to be read."""
    from anonymize.store.ledger import Ledger

    return Ledger.open_to_read(path / LEDGER_NAME if path.is_dir() else path)


def _out(path: Path | None, text: str) -> int:
    """Write a new file, whole or not at all; without a path print it."""
    from anonymize.media.output import write_whole

    if path is None:
        print(text, end="")
    else:
        write_whole(path, text.encode())
        print(path)
    return DONE


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "checkpoint": _checkpoint, "new-key": _new_key, "receipt": _receipt, "rows": _rows, "verifier": _verifier,
    "verify": _verify,
}  # fmt: skip
