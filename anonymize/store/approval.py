"""What must be true before anything leaves: policy, approval, yearly counters; and the row that is written first."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from anonymize.errors import UsageError
from anonymize.store.errors import LedgerError, RefusedError
from anonymize.store.events import FIELDS, JsonValue
from anonymize.store.ledger import Ledger
from anonymize.store.ledger_verifier import (
    AlteredError,
    VerifyKey,
    set_digest,
    statement_digest,
    statement_of,
    statement_text,
    verify_ledger,
)
from anonymize.store.object_source import ObjectFacts
from anonymize.store.rules import Rule
from anonymize.store.signing import Signer, signed_note
from anonymize.store.territory import IMPORTANT, SENSITIVE, Policy, Verdict, country

# STORAGE.md "Territory and export": from so many persons since 1 January on, a recipient gets no more.
MOST_PERSONS: Final = 1_000_000
MOST_SENSITIVE: Final = 10_000
WARN_PERCENT: Final = 80
# What a request asks for and an approval says, besides its assessment, its last day and its serial number.
APPROVED: Final = ("classes", "jurisdiction", "kind", "persons", "purpose", "recipient", "sensitive", "set")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Who gets it, where, and what for.

    Parameters
    ----------
    recipient : str
        A name of letters, spaces, dots and hyphens.
    jurisdiction : str
        ISO 3166 code of where the recipient will hold or read it.
    purpose : str
        One word of small letters, hyphens and underscores.
    reading : bool
        The objects stay where they are and are looked at from there.
    persons, sensitive : int or None
        At most so many persons are in the set; wanted where objects were not counted.
    sink : str or None
        Name of the sink that a bundle is written to.

    Raises
    ------
    UsageError
        A value is in another form.
    """

    recipient: str
    jurisdiction: str
    purpose: str
    reading: bool = False
    persons: int | None = None
    sensitive: int | None = None
    sink: str | None = None

    def __post_init__(self) -> None:
        for name in ("recipient", "jurisdiction", "purpose", "persons", "sensitive", "sink"):
            value = getattr(self, name)
            if not FIELDS[name](value) and not (value is None and name in ("persons", "sensitive", "sink")):
                raise UsageError(f"{name} is {value!r}, which is not in the form that docs/export.md names")


@dataclass(frozen=True, slots=True)
class Permit:
    """What `authorise` has written into the ledger: the one thing with which objects may leave, once."""

    row: int
    approval: str | None
    warnings: tuple[str, ...]


def facts_of_set(facts: Sequence[ObjectFacts], transfer: Transfer, policy: Policy) -> dict[str, Any]:
    """What an approval must say of this set, and the ledger's row will.

    Raises
    ------
    RefusedError
        There is no object, one twice, or nobody says how many persons are in them.
    """
    if not facts:
        raise RefusedError(Rule.OBJECTS_NONE, "no object was chosen")
    if len({one.ledger_row for one in facts}) != len(facts):
        raise RefusedError(Rule.OBJECTS_TWICE, "an object was chosen twice")
    persons = _total("persons", [one.persons for one in facts], transfer.persons)
    sensitive = _total("sensitive", [one.sensitive for one in facts], transfer.sensitive)
    if not sensitive and any(one.data_class == SENSITIVE for one in facts):
        raise RefusedError(
            Rule.PERSONS_UNKNOWN, "sensitive data, and none of its persons were counted or stated"
        )
    return {
        "classes": dict(sorted(Counter(one.data_class for one in facts).items())),
        "jurisdiction": transfer.jurisdiction,
        "kind": _kind(facts, transfer, policy),
        "persons": max(persons, sensitive),
        "purpose": transfer.purpose,
        "recipient": transfer.recipient,
        "sensitive": sensitive,
        "set": set_digest(one.digest for one in facts),
    }


def is_abroad(facts: Sequence[ObjectFacts], transfer: Transfer, policy: Policy) -> bool:
    """Whether anything would leave the country where it was taken, or the home country."""
    places = {policy.home, *(one.region for one in facts)}
    return any(country(one) != country(transfer.jurisdiction) for one in places)


def _kind(facts: Sequence[ObjectFacts], transfer: Transfer, policy: Policy) -> str:
    if not is_abroad(facts, transfer, policy):
        return "handover"
    return "read" if transfer.reading else "export"


def _total(name: str, counted: Sequence[int | None], stated: int | None) -> int:
    """The larger of what was counted and what was stated."""
    if stated is None and None in counted:
        raise RefusedError(
            Rule.PERSONS_UNKNOWN, f"nobody counted `{name}` in these objects; state them at most"
        )
    return max(sum(one or 0 for one in counted), stated or 0)


def approval_note(
    facts: Mapping[str, Any], *, expires: date, assessment: str, signer: Signer, name: str
) -> str:
    """An approval for this set, these counts, this recipient and purpose, for one use: a signed note.

    Parameters
    ----------
    facts : mapping
        From `facts_of_set`.
    expires : date
        Last day on which it may be used.
    assessment : str
        Number of the assessment that allows it.
    """
    body = {
        **facts,
        "assessment": assessment,
        "expires": expires.isoformat(),
        "serial": secrets.token_hex(16),
    }
    return signed_note(statement_text("approval", body), signer, name)


def authorise(
    facts: Sequence[ObjectFacts],
    transfer: Transfer,
    *,
    policy: Policy,
    ledger: Ledger,
    approval: str | None = None,
    approvers: Sequence[VerifyKey] = (),
) -> Permit:
    """Ask every rule, then write the row that says what leaves, and only then return.

    Looking for an earlier use of the approval and writing down this one are one step: no other thread or process
    can add rows meanwhile.

    Raises
    ------
    RefusedError
        A rule forbids it; the refusal is in the ledger.
    LedgerError
        The ledger cannot be written: nothing may leave.
    """
    with ledger.exclusive(), noting_refusals(ledger, facts, transfer, policy):
        said, today = facts_of_set(facts, transfer, policy), ledger.today()
        _require_whole(ledger, today)
        for one in facts:
            _require_row(ledger, one, today)
        needs = _require_policy(policy, said)
        digest = _require_approval(approval, approvers, said, today, ledger) if approval or needs else None
        warnings = _require_counters(ledger, said, today)
        row: dict[str, JsonValue] = {
            **said,
            "bytes": sum(one.stored_bytes for one in facts),
            "count": len(facts),
            "policy": policy.digest,
        }
        row |= {"approval": digest} if digest else {}
        row |= {"sink": transfer.sink} if transfer.sink else {}
        for rule, _ in warnings:
            ledger.append(
                "export.warned",
                {name: said[name] for name in ("persons", "recipient", "sensitive")} | {"rule": rule},
            )
        number = ledger.append("export.begun", row)
        try:
            ledger.checkpoint()
        except (
            LedgerError
        ):  # both rows wait for the next commit: the approval counts as used, and nothing left
            ledger.append("export.failed", {"reason": "ledger", "set": said["set"]})
            raise
        return Permit(number, digest, tuple(message for _, message in warnings))


@contextlib.contextmanager
def noting_refusals(
    ledger: Ledger, facts: Sequence[ObjectFacts], transfer: Transfer, policy: Policy
) -> Iterator[None]:
    """A refusal inside this block has its row in the ledger before it is raised."""
    try:
        yield
    except RefusedError as fault:
        row: dict[str, JsonValue] = {
            "count": len(facts), "jurisdiction": transfer.jurisdiction, "kind": _kind(facts, transfer, policy),
            "recipient": transfer.recipient, "rule": fault.rule, "set": set_digest(one.digest for one in facts),
        }  # fmt: skip
        ledger.append("export.refused", row)
        ledger.commit()
        raise


def _require_whole(ledger: Ledger, today: date) -> None:
    """Counters and used approvals are read from the ledger: it must be whole, and not from the future."""
    ledger.checkpoint()
    key = ledger.key
    found = verify_ledger(ledger.path, [] if key is None else [key])
    if found.faults or found.root != ledger.root():
        raise RefusedError(
            Rule.LEDGER_ALTERED, "; ".join(found.faults) or "it is not the one that was opened"
        )
    if found.newest_day > today.isoformat():
        raise RefusedError(
            Rule.CLOCK_BEHIND, f"today is {today}, and the ledger has rows of {found.newest_day}"
        )


def _require_row(ledger: Ledger, one: ObjectFacts, today: date) -> None:
    """The object has its row in the ledger, and is what that row says."""
    row = next(ledger.rows(one.ledger_row, one.ledger_row + 1), None)
    said = {
        "event": "segment.stored",
        "class": one.data_class,
        "region": one.region,
        "retain_until": one.retain_until,
    }
    if row is None or any(row.get(name) != value for name, value in said.items()):
        raise RefusedError(
            Rule.OBJECT_UNKNOWN, f"{one.digest}: row {one.ledger_row} of the ledger is not about it"
        )
    if one.digest not in (row["digest"], row.get("content")):
        raise RefusedError(Rule.OBJECT_UNKNOWN, f"{one.digest}: row {one.ledger_row} has another digest")
    for name, counted in (("persons", one.persons), ("sensitive", one.sensitive)):
        if name in row and (counted is None or counted < row[name]):
            raise RefusedError(Rule.OBJECT_UNKNOWN, f"{one.digest}: fewer `{name}` than its row says")
    if one.retain_until < today.isoformat():
        raise RefusedError(Rule.OBJECT_EXPIRED, f"{one.digest}: was to be kept until {one.retain_until}")


def _require_policy(policy: Policy, said: Mapping[str, Any]) -> bool:
    """Whether an approval is needed; every class must be allowed there."""
    if IMPORTANT in said["classes"]:
        raise RefusedError(Rule.IMPORTANT_NEVER, "important data is never exported")
    verdicts = {one: policy.verdict(one, said["jurisdiction"]) for one in said["classes"]}
    for one, verdict in verdicts.items():
        if verdict is None:
            raise RefusedError(
                Rule.POLICY_DEFAULT, f"the policy has no line for {one} to {said['jurisdiction']}"
            )
        if verdict == Verdict.DENY:
            raise RefusedError(Rule.POLICY_DENY, f"the policy denies {one} to {said['jurisdiction']}")
    return Verdict.APPROVAL in verdicts.values()


def _require_approval(
    note: str | None, approvers: Sequence[VerifyKey], said: Mapping[str, Any], today: date, ledger: Ledger
) -> str:
    """Digest of the approval, if it is signed, in force, for exactly this, and was never used."""
    if note is None:
        raise RefusedError(Rule.APPROVAL_MISSING, "the policy asks for an approval, and none came")
    try:
        body = statement_of(note, "approval", approvers)
    except AlteredError as fault:
        raise RefusedError(Rule.APPROVAL_SIGNATURE, str(fault)) from None
    if not FIELDS["until"](body.get("expires")) or body["expires"] < today.isoformat():
        raise RefusedError(Rule.APPROVAL_EXPIRED, f"the approval was good until {body.get('expires')}")
    for rule, names in (
        (Rule.APPROVAL_KIND, ("kind",)),
        (Rule.APPROVAL_SET, ("set",)),
        (Rule.APPROVAL_CLASSES, ("classes",)),
        (Rule.APPROVAL_COUNTS, ("persons", "sensitive")),
        (Rule.APPROVAL_RECIPIENT, ("recipient",)),
        (Rule.APPROVAL_JURISDICTION, ("jurisdiction",)),
        (Rule.APPROVAL_PURPOSE, ("purpose",)),
    ):
        if any(body.get(name) != said[name] for name in names):
            raise RefusedError(rule, f"the approval is for another {' or other '.join(names)}")
    if not isinstance(body.get("assessment"), str) or not body["assessment"]:
        raise RefusedError(Rule.APPROVAL_SIGNATURE, "the approval names no assessment")
    digest = statement_digest(note)
    if any(row.get("approval") == digest for row in ledger.find("export.begun")):
        raise RefusedError(Rule.APPROVAL_USED, "the approval was used before; it is good for one use")
    return digest


def _require_counters(ledger: Ledger, said: Mapping[str, Any], today: date) -> list[tuple[Rule, str]]:
    """Warnings, if the recipient stays below the yearly limits; what does not leave the country is not counted."""
    if said["kind"] == "handover":
        return []
    warnings = []
    before = yearly_counts(ledger, said["recipient"], today.year)
    for rule, name, most in (
        (Rule.YEAR_PERSONS, "persons", MOST_PERSONS),
        (Rule.YEAR_SENSITIVE, "sensitive", MOST_SENSITIVE),
    ):
        after = before[name] + said[name]
        if after >= most:
            raise RefusedError(
                rule, f"{after:,} {name} since 1 January would be {most:,} or more for this recipient"
            )
        if after * 100 >= most * WARN_PERCENT:
            warnings.append(
                (rule, f"{rule}: {after:,} of {most:,} {name} since 1 January for this recipient")
            )
    return warnings


def yearly_counts(ledger: Ledger, recipient: str, year: int) -> dict[str, int]:
    """Persons, and those of sensitive data, that went to a recipient abroad in a UTC year; its reads are among them."""
    total = {"persons": 0, "sensitive": 0}
    for row in ledger.find("export.begun"):
        counts = row["kind"] != "handover" and row["day"].startswith(f"{year:04d}-")
        if counts and _same_recipient(row["recipient"]) == _same_recipient(recipient):
            total = {name: total[name] + row[name] for name in total}
    return total


def _same_recipient(name: str) -> str:
    """What two spellings of a recipient have in common: its letters."""
    return re.sub(r"[^a-z]", "", name.casefold())
