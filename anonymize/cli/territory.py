"""`anonymize territory`: what an authority and an office do with their keys, away from the vehicle."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

from anonymize.errors import AnonymizeError, UsageError
from anonymize.process_guard import forbid_core_dumps

MOST_REQUEST_BYTES = 1 << 20


def execute(options: argparse.Namespace) -> int:
    """Print what was written."""
    forbid_core_dumps()  # a private key is in its memory
    try:
        print(_tag(options) if options.action == "tag" else _approve(options))
    except ImportError as missing:
        raise AnonymizeError(
            f"needs {missing.name}, which is not installed; wanted: pip install vehicle-anonymize[store]"
        ) from None
    return 0


def _tag(options: argparse.Namespace) -> str:
    from anonymize.media.output import write_whole
    from anonymize.store.signing import named_signer
    from anonymize.store.territory import TAG_NAME, region_tag

    signer, name = named_signer(options.key)
    note = region_tag(options.sink, options.region, _day(options.until), signer, name)
    write_whole(options.folder / TAG_NAME, note.encode(), overwrite=True)
    return f"{options.folder / TAG_NAME}: {options.sink} lies in {options.region}, until {options.until}"


def _approve(options: argparse.Namespace) -> str:
    from anonymize.media.output import write_whole
    from anonymize.store.approval import approval_note
    from anonymize.store.signing import named_signer

    signer, name = named_signer(options.key)
    facts = _request(options.request)
    if not options.assessment.strip():
        raise UsageError("an approval names the number of its assessment")
    note = approval_note(
        facts, expires=_day(options.until), assessment=options.assessment, signer=signer, name=name
    )
    write_whole(options.output, note.encode())
    counts = ", ".join(f"{count} {one}" for one, count in facts["classes"].items())
    return (
        f"{options.output}: {counts}; {facts['persons']} persons, {facts['sensitive']} of them sensitive; to "
        f"{facts['recipient']} in {facts['jurisdiction']} for {facts['purpose']}; one use, until {options.until}"
    )


def _request(path: Path) -> dict[str, Any]:
    """What `export --ask` wrote, and nothing more."""
    from anonymize.store.approval import APPROVED
    from anonymize.store.events import FIELDS

    try:
        with path.open("rb") as file:
            facts = json.loads(file.read(MOST_REQUEST_BYTES))
    except OSError as fault:
        raise UsageError(f"{path}: the request cannot be read: {fault.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: the request is no JSON") from None
    if (
        not isinstance(facts, dict)
        or set(facts) != set(APPROVED)
        or not all(FIELDS[one](facts[one]) for one in facts)
    ):
        raise UsageError(f"{path}: is no request of `anonymize export --ask`")
    return facts


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until is {text!r}; wanted a day, YYYY-MM-DD") from None
