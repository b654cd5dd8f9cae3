"""What the owner has agreed to, in `settings.json` of the store: without purpose, consent and contact nothing is kept.

The file holds no key and no place. It is replaced as a whole, and what changes in it leaves a row in the ledger.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from anonymize.errors import UsageError
from anonymize.store.errors import StoreError
from anonymize.store.events import CLASSES

NAME: Final = "settings.json"

MOST_RETENTION_DAYS: Final = 14  # STORAGE.md: by default; more only by `long_retention`
LONGEST_RETENTION_DAYS: Final = 3650
GIB: Final = 1 << 30
_PURPOSE: Final = re.compile(r"[a-z](?:[a-z]|[_-](?=[a-z])){0,47}")
_REGION: Final = re.compile(r"[A-Z]{2}(?:-[A-Z]{1,3})?")
AtLimit = Literal["delete_oldest", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """What a store may keep, of what class, where and for how long.

    Parameters
    ----------
    origin : str
        Name of this store's ledger, in its checkpoints; chosen when the store is made.
    purpose : str
        One word of small letters, `-` and `_`, as it stands in the ledger: `accident-evidence`.
    purpose_text : str
        The same in the owner's words, for the page.
    contact : str
        Who answers the owner. The ledger holds its digest alone.
    consent_from, consent_until : str
        UTC days, YYYY-MM-DD; the last one is included.
    region : str
        Where the data is taken and stored: ISO 3166, `CN` or `CN-SH`.
    classes : mapping of camera to class
        general, personal, sensitive or important; `default` stands for cameras that are not named.
    retention_days : mapping of class, or `class@region`, to days
        A class that is not named: 14 days.
    long_retention : bool
        More than 14 days are wanted, and allowed.
    limit_bytes : int
        Of all stored bytes.
    at_limit : {"delete_oldest", "stop"}
    withdrawn, stopped : bool
        The owner took the consent back, or paused recording.
    key_file : str
        Where the device's key is, for the commands; relative to the store's folder. Empty where it is in no file.
    """

    origin: str = ""
    purpose: str = ""
    purpose_text: str = ""
    contact: str = ""
    consent_from: str = ""
    consent_until: str = ""
    region: str = ""
    classes: Mapping[str, str] = field(default_factory=lambda: {"default": "personal"})
    retention_days: Mapping[str, int] = field(default_factory=dict)
    long_retention: bool = False
    limit_bytes: int = 32 * GIB
    at_limit: AtLimit = "delete_oldest"
    withdrawn: bool = False
    stopped: bool = False
    key_file: str = ""

    def check(self) -> None:
        """Raise `UsageError` for values that cannot be; what is missing is no fault, nothing is recorded then."""
        if self.purpose and not _PURPOSE.fullmatch(self.purpose):
            raise UsageError(
                f"purpose is {self.purpose!r}; wanted one word of small letters, such as accident-evidence"
            )
        if self.region and not _REGION.fullmatch(self.region):
            raise UsageError(f"region is {self.region!r}; wanted ISO 3166, such as CN or CN-SH")
        for name in ("consent_from", "consent_until"):
            if getattr(self, name):
                parse_day(getattr(self, name), name)
        unknown = {*self.classes.values(), *(key.partition("@")[0] for key in self.retention_days)} - {
            *CLASSES
        }
        if unknown or "default" not in self.classes:
            raise UsageError(
                f"class {', '.join(sorted(unknown)) or 'of `default`'}; wanted {', '.join(CLASSES)}"
            )
        most = LONGEST_RETENTION_DAYS if self.long_retention else MOST_RETENTION_DAYS
        for key, days in self.retention_days.items():
            if not 1 <= days <= most:
                raise UsageError(
                    f"retention of {key} is {days} days; wanted 1 to {most} (more with long_retention)"
                )
        if self.limit_bytes < 1 or self.at_limit not in ("delete_oldest", "stop"):
            raise UsageError("limit_bytes is at least 1; at_limit is delete_oldest or stop")

    def refusal(self, day: date) -> str:
        """Why nothing may be recorded on this UTC day, one word; empty where it may."""
        if not (self.purpose and self.contact and self.region and self.consent_from and self.consent_until):
            return "not_configured"
        if self.withdrawn:
            return "consent_withdrawn"
        if self.stopped:
            return "stopped"
        if day < date.fromisoformat(self.consent_from):
            return "clock_before_consent"
        return "consent_expired" if day > date.fromisoformat(self.consent_until) else ""

    def class_of(self, camera: str) -> str:
        """Class of what a camera takes."""
        return self.classes.get(camera, self.classes["default"])

    def retain_until(self, data_class: str, taken: date) -> date:
        """The last UTC day on which a segment of this day is kept: with it, none grows older than so many days."""
        days = self.retention_days.get(
            f"{data_class}@{self.region}", self.retention_days.get(data_class, MOST_RETENTION_DAYS)
        )
        return taken + timedelta(days=days - 1)

    def digest(self) -> str:
        """Hex SHA-256 of what decides about keeping: the `policy` of ledger rows."""
        kept = {
            key: value
            for key, value in asdict(self).items()
            if key not in ("withdrawn", "stopped", "key_file")
        }
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def utc_day(now_s: float) -> date:
    """UTC day of a time, s since 1970."""
    return datetime.fromtimestamp(now_s, UTC).date()


def parse_day(text: str, where: str) -> date:
    """A day written YYYY-MM-DD."""
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{where} is {text!r}; wanted a day, YYYY-MM-DD") from None


def read_settings(folder: Path) -> StoreSettings:
    """The settings of a store.

    Raises
    ------
    StoreError
        There are none, or they are not what this version knows.
    """
    path = folder / NAME
    try:
        values: Any = json.loads(path.read_text("utf-8"))
        known = {one.name: one for one in fields(StoreSettings)}
        if not isinstance(values, dict) or set(values) - set(known):
            raise ValueError
        default = StoreSettings()
        for name, value in values.items():
            if type(value) is not type(getattr(default, name)):
                raise ValueError
        settings = replace(default, **values)
        settings.check()
    except OSError as fault:
        raise StoreError(f"{path}: {fault.strerror}; wanted a store made by `anonymize store init`") from None
    except (ValueError, TypeError, AttributeError) as fault:
        detail = f": {fault}" if isinstance(fault, UsageError) else ""
        raise StoreError(f"{path}: holds no settings of a store{detail}") from None
    return settings


def write_settings(folder: Path, settings: StoreSettings) -> None:
    """Replace the settings in one step; a power cut leaves the old or the new ones."""
    settings.check()
    text = json.dumps(asdict(settings), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    replace_file(folder / NAME, text.encode())


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, lasting: bool = True) -> None:
    """Write a small file in one step, by rename. `lasting`: it outlives a power cut."""
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        if lasting:
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if lasting:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make new names in it last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
