"""Keys at rest: one for each segment, wrapped by the key of its epoch, wrapped by the device's key.

The device's key never leaves its home: a file here, a TPM, an HSM or a key service behind the same three calls.
What a deletion is worth depends on that home alone, and its receipt says so.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from anonymize.errors import UsageError
from anonymize.store.errors import StoreError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # 96 bit, NIST SP 800-38D; each key seals one text, so none is used twice
FORMAT_VERSION: Final = 1
MAGIC: Final = b"VASEG" + bytes([FORMAT_VERSION])
Deletion = Literal["key_destroyed", "logical_deletion"]


class KeyHome(Protocol):
    """Where the device's key lives.

    `name` stands in receipts and on the owner's page: what it is, without a path or a serial number.
    `deletion` says what destroying an epoch is worth: `key_destroyed` only where afterwards nothing that anybody
    holds (the old files, a copy of the flash, a backup) can unwrap that epoch's key again.
    """

    name: str
    deletion: Deletion

    def wrap(self, epoch: str, key: bytes) -> bytes:
        """The key of an epoch (32 bytes), sealed and bound to the epoch's name."""

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        """The key again; raises `StoreError` where it is another epoch's, altered or destroyed."""

    def destroy(self, epoch: str) -> None:
        """Make `unwrap` of this epoch impossible, for ever; an epoch that is not known is no error."""


class KeyFile:
    """A key home in a file of 32 random bytes, readable by its owner alone.

    It protects against who gets the store without this file. Beside the store it protects nothing against a stolen
    disk, and an epoch that was destroyed can be unwrapped by whoever finds its old wrapped key on the flash.
    """

    name = "key file"
    deletion: Deletion = "logical_deletion"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._device_key = _read_key(self.path)
        self._cipher = AESGCM(self.derive("epoch keys"))

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> KeyFile:
        """A new key; the file must not exist."""
        target = Path(path)
        try:
            descriptor = os.open(
                target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as fault:
            raise UsageError(f"{target}: no key can be made there: {fault.strerror}") from None
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return cls(target)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose (HKDF-SHA256, RFC 5869): the ledger's signing key is one of them."""
        info = f"vehicle-anonymize store: {purpose}".encode()
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._device_key)

    def signer(self) -> Ed25519PrivateKey:
        """The key that signs the ledger's checkpoints."""
        return Ed25519PrivateKey.from_private_bytes(self.derive("ledger signature"))

    def wrap(self, epoch: str, key: bytes) -> bytes:
        """See `KeyHome`."""
        return seal(self._cipher, key, epoch.encode())

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        """See `KeyHome`."""
        return unseal(self._cipher, wrapped, epoch.encode())

    def destroy(self, epoch: str) -> None:
        """Nothing that a file could do: the store removes the wrapped key."""


def _read_key(path: Path) -> bytes:
    try:
        status = path.stat()
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as fault:
        words = getattr(fault, "strerror", None) or "it is no text"
        raise StoreError(f"{path}: the device key cannot be read: {words}") from None
    if status.st_mode & 0o077:
        raise StoreError(
            f"{path}: the device key can be read by others (mode {status.st_mode & 0o777:o}); wanted 0600"
        )
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path}: holds no device key; wanted {2 * KEY_BYTES} hexadecimal digits")
    return key


@dataclass(frozen=True, slots=True)
class Place:
    """What a segment is bound to: its bytes at another place, class or region cannot be opened."""

    epoch: str
    index: int
    data_class: str
    region: str

    def associated_data(self) -> bytes:
        """One unambiguous text of it."""
        return json.dumps([FORMAT_VERSION, self.data_class, self.region, self.epoch, self.index]).encode()


def seal_segment(plain: bytes, place: Place, epoch_key: AESGCM) -> tuple[bytes, bytes]:
    """The bytes to store, and the segment's own key wrapped by the epoch's."""
    key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
    bound = place.associated_data()
    return MAGIC + seal(AESGCM(key), plain, bound), seal(epoch_key, key, bound)


def open_segment(stored: bytes, place: Place, wrapped: bytes, epoch_key: AESGCM) -> bytes:
    """What was sealed; raises `StoreError` where any of the four is another's or altered."""
    if stored[: len(MAGIC)] != MAGIC:
        raise StoreError("an object is no segment of this format version")
    bound = place.associated_data()
    return unseal(AESGCM(unseal(epoch_key, wrapped, bound)), stored[len(MAGIC) :], bound)


def seal(cipher: AESGCM, plain: bytes, bound: bytes) -> bytes:
    """A fresh random nonce, ciphertext and tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, bound)


def unseal(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    """What `seal` took.

    Raises
    ------
    StoreError
        Altered, sealed by another key, or bound to something else.
    """
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise StoreError(
            "what is sealed does not open: altered, another key, or bound to another place"
        ) from None
