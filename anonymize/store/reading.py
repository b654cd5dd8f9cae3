"""Segments opened again: for the store itself, and beside a running recorder for who has the device's key."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from anonymize.store.errors import StoreError
from anonymize.store.index import Entry, Index
from anonymize.store.keys import KeyHome, open_segment
from anonymize.store.objects import Objects


class Reader:
    """Opens segments. Whoever reads has written the row that says so before.

    Parameters
    ----------
    objects, index, home
        Of the store; an index opened read-only will do.
    """

    def __init__(self, objects: Objects, index: Index, home: KeyHome) -> None:
        self._objects, self._index, self._home = objects, index, home
        self._epoch, self._key = "", AESGCM(bytes(32))

    def open(self, digest: str) -> tuple[Entry, bytes]:
        """A segment and its plain bytes.

        Raises
        ------
        StoreError
            There is none, or it does not open.
        """
        found = self._index.find(digest)
        if found is None:
            raise StoreError(f"object {digest[:16]}…: is not held")
        entry, wrapped = found
        stored = self._objects.read(entry.place.epoch, digest)
        return entry, open_segment(stored, entry.place, wrapped, self._key_of(entry.place.epoch))

    def forget(self) -> None:
        """Keep no key in memory: its epoch may be destroyed."""
        self._epoch, self._key = "", AESGCM(bytes(32))

    def _key_of(self, epoch: str) -> AESGCM:
        if epoch != self._epoch:
            known = self._index.epoch(epoch)
            if known is None:
                raise StoreError(f"the key of {epoch} was destroyed; nothing of that day opens any more")
            self._key, self._epoch = AESGCM(self._home.unwrap(epoch, known[0])), epoch
        return self._key
