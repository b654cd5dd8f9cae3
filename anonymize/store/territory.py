"""Where things may go: sinks with signed region tags, and a policy of class by destination. The default is to deny.

A policy is a TOML file that the vehicle's maker installs:

    home = "CN"

    [sinks]
    depot = "/srv/depot"

    [classes.personal]
    CN = "allow"
    DE = "approval"
"""

from __future__ import annotations

import enum
import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from anonymize.errors import UsageError
from anonymize.store.errors import RefusedError
from anonymize.store.events import CLASSES, FIELDS
from anonymize.store.ledger_verifier import AlteredError, VerifyKey, statement_of, statement_text
from anonymize.store.rules import Rule
from anonymize.store.signing import Signer, signed_note

TAG_NAME: Final = "region.tag"
IMPORTANT: Final = "important"
SENSITIVE: Final = "sensitive"
MOST_BYTES: Final = 1 << 20


class Verdict(enum.StrEnum):
    """What the policy says of a class at a destination."""

    ALLOW = "allow"
    DENY = "deny"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Policy:
    """Home jurisdiction, sinks by name, and the matrix class by destination.

    Parameters
    ----------
    home : str
        ISO 3166 code; a subdivision counts as its country.
    sinks : mapping of name to Path
    cells : mapping of class to mapping of jurisdiction to Verdict
    digest : str
        SHA-256, hex, of the file.
    """

    home: str
    sinks: Mapping[str, Path]
    cells: Mapping[str, Mapping[str, Verdict]]
    digest: str

    def verdict(self, data_class: str, jurisdiction: str) -> Verdict | None:
        """What the matrix says; a subdivision that it does not name follows its country. None: it says nothing."""
        if data_class == IMPORTANT:
            return Verdict.DENY
        cells = self.cells.get(data_class, {})
        return cells.get(jurisdiction, cells.get(country(jurisdiction)))


@dataclass(frozen=True, slots=True)
class Sink:
    """A place to write to whose region an authority has vouched for; made by `open_sink`."""

    name: str
    region: str
    folder: Path


def country(code: str) -> str:
    """The country of an ISO 3166 code."""
    return code.partition("-")[0]


def read_policy(path: Path) -> Policy:
    """The policy of a TOML file; sinks' folders are relative to it.

    Raises
    ------
    UsageError
        It cannot be read, or says what a policy cannot: unknown keys, classes, codes or verdicts.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES)
        table = tomllib.loads(raw.decode("utf-8"))
    except OSError as fault:
        raise UsageError(f"{path}: the policy cannot be read: {fault.strerror}") from None
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"{path}: the policy is no TOML: {fault}") from None
    if unknown := set(table) - {"home", "sinks", "classes"}:
        raise UsageError(f"{path}: unknown keys {sorted(unknown)}; wanted home, sinks, classes")
    home, sinks, classes = table.get("home"), table.get("sinks", {}), table.get("classes", {})
    if not isinstance(home, str) or not FIELDS["jurisdiction"](home):
        raise UsageError(f"{path}: home is {home!r}; wanted an ISO 3166 code such as CN or CN-SH")
    if not isinstance(sinks, dict) or not all(
        FIELDS["sink"](name) and isinstance(folder, str) for name, folder in sinks.items()
    ):
        raise UsageError(
            f"{path}: sinks came in another form; wanted names of letters, and a folder for each"
        )
    if not isinstance(classes, dict):
        raise UsageError(f"{path}: classes is no table")
    return Policy(
        home,
        {name: path.parent / folder for name, folder in sinks.items()},
        {name: _cells(path, name, cells) for name, cells in classes.items()},
        hashlib.sha256(raw).hexdigest(),
    )


def _cells(path: Path, data_class: str, cells: Any) -> dict[str, Verdict]:
    if data_class not in CLASSES or not isinstance(cells, dict):
        raise UsageError(f"{path}: classes.{data_class}: wanted a table for one of {', '.join(CLASSES)}")
    for code, word in cells.items():
        if not FIELDS["jurisdiction"](code) or word not in list(Verdict):
            raise UsageError(f"{path}: classes.{data_class}.{code} = {word!r}; wanted {' or '.join(Verdict)}")
        if data_class == IMPORTANT and word != Verdict.DENY:
            raise UsageError(f"{path}: important data is never exported; wanted deny, or no line")
    return {code: Verdict(word) for code, word in cells.items()}


def region_tag(sink: str, region: str, until: date, signer: Signer, name: str) -> str:
    """What an authority puts into a sink's folder as `region.tag`: a signed note that names the sink and its region.

    Raises
    ------
    UsageError
        The sink's name holds more than letters, or the region is no ISO 3166 code.
    """
    if not FIELDS["sink"](sink) or not FIELDS["region"](region):
        raise UsageError(f"sink {sink!r}, region {region!r}; wanted a name of letters and an ISO 3166 code")
    body = {"region": region, "sink": sink, "until": until.isoformat()}
    return signed_note(statement_text("region", body), signer, name)


def open_sink(policy: Policy, name: str, authority: Sequence[VerifyKey], today: date) -> Sink:
    """The sink of that name, if the tag in its folder is the authority's, for this sink, and in force.

    Raises
    ------
    RefusedError
        It is not.
    """
    folder = policy.sinks.get(name)
    if folder is None:
        raise RefusedError(Rule.SINK_UNKNOWN, "the policy names no such sink")
    try:
        with (folder / TAG_NAME).open("rb") as file:
            note = file.read(MOST_BYTES).decode("utf-8")
    except (OSError, ValueError):
        raise RefusedError(Rule.TAG_MISSING, f"{folder / TAG_NAME} is missing or cannot be read") from None
    try:
        said = statement_of(note, "region", authority)
    except AlteredError as fault:
        raise RefusedError(Rule.TAG_SIGNATURE, f"{folder / TAG_NAME}: {fault}") from None
    if said.get("sink") != name:
        raise RefusedError(Rule.TAG_NAME, f"{folder / TAG_NAME} is the tag of another sink")
    if not FIELDS["until"](said.get("until")) or said["until"] < today.isoformat():
        raise RefusedError(Rule.TAG_EXPIRED, f"{folder / TAG_NAME} was in force until {said.get('until')}")
    if not FIELDS["region"](said.get("region")):
        raise RefusedError(Rule.TAG_SIGNATURE, f"{folder / TAG_NAME} names no region")
    return Sink(name, said["region"], folder)


def require_region(sink: Sink, region: str) -> None:
    """Return if the sink lies in that region; a country's tag does not stand for one of its subdivisions.

    Raises
    ------
    RefusedError
        It lies elsewhere.
    """
    if not re.fullmatch(rf"{re.escape(region)}(-.*)?", sink.region):
        raise RefusedError(Rule.REGION_MISMATCH, f"the sink lies in {sink.region}; wanted {region}")
