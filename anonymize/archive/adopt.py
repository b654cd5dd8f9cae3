"""What a killed run left: outputs that are complete are taken by their receipts, everything unfinished is removed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from anonymize.archive.journal import Journal
from anonymize.archive.place import Place
from anonymize.archive.plain import from_text
from anonymize.archive.receipts import Receipt
from anonymize.archive.source_watch import digest_file
from anonymize.archive.state import StateFolder, is_unfinished

PROOF: Final = "its receipt, written before the rename, holds the digest of these bytes"


def recover(journal: Journal, state: StateFolder, place: Place) -> int:
    """Settle every file that was in flight when a run ended without saying so; how many outputs were taken."""
    adopted = 0
    for row in list(journal.files("doing")):
        receipt = proven(state.receipt(row.key), Path(place.address(row.key)))
        if row.temporary:
            sweep(Path(row.temporary))
        if receipt is not None and receipt.key == row.key:
            journal.done(receipt, proof=PROOF)
            adopted += 1
        else:
            place.discard_unsettled(row.key, row.output_digest)
            journal.wait_again(row.key)
    for receipt_file in state.receipts.iterdir():  # settled, or of a row that was committed before the end
        receipt_file.unlink()
    for spool in state.spools.iterdir():
        if is_unfinished(spool.name):
            spool.unlink()
    return adopted


def proven(receipt_file: Path, target: Path) -> Receipt | None:
    """The receipt, if the file at `target` is the one that it was written for: its bytes have the digest said there."""
    try:
        receipt = from_text(Receipt, receipt_file.read_text("utf-8"))
        lies = target.lstat()
        if target.is_symlink() or lies.st_size != receipt.output_size:
            return None
        return receipt if digest_file(target) == receipt.output_digest else None
    except (OSError, ValueError):
        return None


def sweep(temporary: Path) -> None:
    """Remove an unfinished output and what a job put beside it: all names that hold the temporary one."""
    temporary.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for beside in temporary.parent.iterdir():
            if temporary.stem in beside.name and not beside.is_dir():
                beside.unlink(missing_ok=True)
