"""What a missing package or a disk says, in the words that the store's commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from anonymize.errors import AnonymizeError


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Turn a missing package and a fault of the disk inside this block into an `AnonymizeError`."""
    try:
        yield
    except ImportError as missing:
        raise AnonymizeError(
            f"needs {missing.name}, which is not installed; wanted: pip install vehicle-anonymize[store]"
        ) from None
    except OSError as fault:
        if isinstance(fault, AnonymizeError):
            raise
        raise AnonymizeError(f"{fault.filename}: {fault.strerror}") from None
