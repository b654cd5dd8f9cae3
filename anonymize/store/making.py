"""A store made, or its consent renewed: what `anonymize store init` does."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from anonymize.errors import UsageError
from anonymize.store.keys import KeyFile
from anonymize.store.settings import NAME, StoreSettings, read_settings, replace_file, write_settings
from anonymize.store.signing import verify_key
from anonymize.store.store import Store

KEY_NAME: Final = "device.key"
PUBLIC_NAME: Final = "ledger.pub"
WANTED: Final = ("purpose", "contact", "region", "consent_from", "consent_until")
BESIDE: Final = (
    "the device key lies beside the data: it protects nothing against a stolen disk. Wanted: a key file on another "
    "medium, or a TPM or HSM (docs/store.md)"
)


def make_store(folder: Path, given: dict[str, Any], *, key: Path | None = None) -> list[str]:
    """Make the store of a folder, or renew the consent of one that is there. Lines that say what is so now.

    Parameters
    ----------
    folder : Path
    given : dict
        Fields of `StoreSettings` to be set.
    key : Path or None
        The device's key file; made if it is not there. None: the one it has, or `device.key` in the folder.

    Raises
    ------
    UsageError
        A value cannot be, or one of purpose, contact, region and consent is missing: nothing is made.
    """
    known = read_settings(folder) if (folder / NAME).exists() else StoreSettings(origin=_new_origin())
    settings = replace(known, **given, withdrawn=False, stopped=False)
    settings.check()
    missing = [name for name in WANTED if not getattr(settings, name)]
    if missing:
        raise UsageError(f"a store records nothing without {', '.join(missing)}; wanted all of them")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = key or key_path(folder, known) or folder / KEY_NAME
    home = KeyFile(path) if path.exists() else KeyFile.create(path)
    beside = path.resolve().is_relative_to(folder.resolve())
    kept = os.path.relpath(path, folder) if beside else str(path.resolve())
    settings = replace(settings, key_file=kept)
    if not (folder / NAME).exists():
        write_settings(folder, settings)
    replace_file(
        folder / PUBLIC_NAME, f"{verify_key(home.signer(), settings.origin).text}\n".encode(), mode=0o644
    )
    with Store.open(folder, home) as store:
        store.change(**{name: getattr(settings, name) for name in settings.__dataclass_fields__})
        contact = hashlib.sha256(settings.contact.encode()).hexdigest()
        fields = {"purpose": settings.purpose, "until": settings.consent_until, "contact": contact}
        store.vault.ledger.append("consent.given", fields)
        repaired = store.repaired.text
    lines = [
        f"{folder}: records for {settings.purpose} until {settings.consent_until}",
        *filter(None, [repaired]),
    ]
    return [*lines, f"warning: {BESIDE}"] if beside else lines


def key_path(folder: Path, settings: StoreSettings) -> Path | None:
    """Where the device's key is, as the settings say; None where they do not."""
    return folder / settings.key_file if settings.key_file else None


def key_home(folder: Path, key: Path | None = None) -> KeyFile:
    """The key file of a store, or the one that is named."""
    path = key or key_path(folder, read_settings(folder))
    if path is None:
        raise UsageError(f"{folder}: its settings name no key file; wanted --key FILE")
    return KeyFile(path)


def _new_origin() -> str:
    return f"vehicle-anonymize.local/store/{secrets.token_hex(8)}"
