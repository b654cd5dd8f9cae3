"""Ed25519 keys in files, and what signs with them."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from anonymize.errors import UsageError
from anonymize.store.ledger_verifier import AlteredError, VerifyKey, read_key


class Signer(Protocol):
    """What signs: an `Ed25519PrivateKey`, or a TPM or HSM behind the same two methods."""

    def sign(self, data: bytes, /) -> bytes:
        """The signature, 64 bytes."""

    def public_key(self) -> Ed25519PublicKey:
        """The public key."""


def verify_key(signer: Signer, name: str) -> VerifyKey:
    """The public key of a signer under a name."""
    return VerifyKey(name, signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def signed_note(text: str, signer: Signer, name: str) -> str:
    """A C2SP signed note of `text`, which ends with a newline."""
    key = verify_key(signer, name)
    signature = key.key_id + signer.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n"


def new_key(private_path: Path, name: str) -> Path:
    """Make a key: the private part (PEM, mode 0600) and beside it `.pub`, one line NAME+ID+BASE64. Returns the latter.

    Raises
    ------
    UsageError
        A file is there already, or the name holds spaces or plus signs.
    """
    if not re.fullmatch(r"[!-*,-~]{1,200}", name):
        raise UsageError(
            "the name of a key is empty or holds spaces or a plus sign; wanted such as city.example/export"
        )
    key = Ed25519PrivateKey.generate()
    public_path = private_path.with_name(f"{private_path.name}.pub")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write_new(private_path, pem, 0o600)
    _write_new(public_path, f"{verify_key(key, name).text}\n".encode(), 0o644)
    return public_path


def private_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file without a passphrase.

    Raises
    ------
    UsageError
        It cannot be read, others can read it too, or it is no Ed25519 key.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            key = load_pem_private_key(file.read(1 << 16), None)
    except OSError as fault:
        raise UsageError(f"{path}: the private key cannot be read: {fault.strerror}") from None
    except (ValueError, TypeError):
        raise UsageError(f"{path}: is no private key in PEM form without a passphrase") from None
    if mode & 0o077:
        raise UsageError(f"{path}: others may read this private key; wanted mode 0600")
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: is no Ed25519 key")
    return key


def named_signer(path: Path) -> tuple[Ed25519PrivateKey, str]:
    """The private key of a file and its name, which stands in the `.pub` beside it.

    Raises
    ------
    UsageError
        One of them cannot be read, or they do not belong together.
    """
    key, public_path = private_key(path), path.with_name(f"{path.name}.pub")
    known = public_keys([public_path])[0]
    if verify_key(key, known.name) != known or not known.name:
        raise UsageError(f"{public_path}: does not name the key in {path}")
    return key, known.name


def public_keys(paths: Iterable[Path]) -> list[VerifyKey]:
    """The public keys of these files, `NAME+ID+BASE64` or PEM.

    Raises
    ------
    UsageError
        One cannot be read or is no Ed25519 key.
    """
    keys = []
    for path in paths:
        try:
            keys.append(read_key(path))
        except OSError as fault:
            raise UsageError(f"{path}: the public key cannot be read: {fault.strerror}") from None
        except (AlteredError, ValueError) as fault:
            raise UsageError(f"{path}: {fault}") from None
    return keys


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise UsageError(f"{path}: is there already; a key is never overwritten") from None
    except OSError as fault:
        raise UsageError(f"{path}: cannot be written: {fault.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
