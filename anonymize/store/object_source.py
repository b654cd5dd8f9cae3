"""What export asks of a store: which objects there are, what each is, and its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """What is known of one object without reading it.

    Parameters
    ----------
    digest : str
        SHA-256, hex, of what `ObjectSource.read` returns: the ledger row's `content`, or its `digest` where objects
        are kept as they are handed out.
    stored_bytes : int
        What it takes in the store.
    data_class : str
        One of `events.CLASSES`.
    region : str
        Where it was taken and is kept.
    retain_until : str
        Last day, YYYY-MM-DD.
    ledger_row : int
        Number of its `segment.stored` row.
    persons, sensitive : int or None
        Persons in it, and those of them whose data is sensitive; None where nobody counted.
    """

    digest: str
    stored_bytes: int
    data_class: str
    region: str
    retain_until: str
    ledger_row: int
    persons: int | None = None
    sensitive: int | None = None


class ObjectSource(Protocol):
    """A store, as export sees it."""

    def ids(self) -> Iterable[str]:
        """The ids of all objects that are held."""

    def describe(self, object_id: str, /) -> ObjectFacts:
        """Facts of one object; raises `StoreError` or `KeyError` where there is none."""

    def read(self, object_id: str, /) -> bytes:
        """Its content, in the clear: pictures that are hidden already."""
