"""What the owner is told, as values: what is held, why, until when, who saw it, what was dropped, and what to do.

`docs/store-report.schema.json` describes it. Read beside a running recorder; nothing is opened and nothing changed.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from anonymize.store.actions import MEANING
from anonymize.store.index import NAME as INDEX_NAME
from anonymize.store.index import Index
from anonymize.store.ledger import Ledger
from anonymize.store.making import PUBLIC_NAME
from anonymize.store.settings import MOST_RETENTION_DAYS, StoreSettings, read_settings, utc_day
from anonymize.store.store import LEDGER_NAME

SCHEMA: Final = 1
MOST_SEEN: Final = 500  # newest reads and exports on the page; the ledger has all
SEEN: Final = ("segment.read", "export.made", "export.begun", "export.refused", "export.failed")
LEFT: Final = ("consent.given", "consent.withdrawn", "consent.expired")


def whole_report(folder: Path, *, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The report of a store.

    Raises
    ------
    StoreError, LedgerError
        There is none, or it cannot be relied on.
    """
    settings = read_settings(folder)
    today = utc_day(clock())
    with (
        contextlib.closing(Index(folder / INDEX_NAME, read_only=True)) as index,
        contextlib.closing(
            Ledger.open(folder / LEDGER_NAME, None, origin=settings.origin, clock=clock, read_only=True)
        ) as ledger,
    ):
        held_bytes, segments = index.totals()
        refused = settings.refusal(today)
        return {
            "schema": SCHEMA,
            "made_on": today.isoformat(),
            "store": settings.origin,
            "allowed_to_record": not refused,
            "not_recording_because": refused or None,
            "purpose": settings.purpose,
            "purpose_text": settings.purpose_text,
            "contact": settings.contact,
            "consent": {
                "from": settings.consent_from, "until": settings.consent_until, "withdrawn": settings.withdrawn,
                "history": [_consent(row) for row in ledger.find(*LEFT)],
            },
            "place": {"region": settings.region, "folder": str(folder)},
            "key": _key(settings),
            "held": [_held(one, settings, folder) for one in index.held()],
            "total": {"segments": segments, "bytes": held_bytes},
            "limit": {"bytes": settings.limit_bytes, "at_limit": settings.at_limit},
            "seen_by": _seen(ledger),
            "dropped": _dropped(index),
            "deleted": _deleted(ledger),
            "missing": sum(1 for _ in ledger.find("segment.missing")),
            "commands": commands(folder),
            "ledger": {
                "rows": ledger.size, "checkpoint": ledger.last_checkpoint,
                "public_key": ledger.key.text if ledger.key else None,
            },
        }  # fmt: skip


def commands(folder: Path) -> dict[str, str]:
    """The commands for all that is held."""
    place = shlex.quote(str(folder))
    return {
        "copy": f"anonymize store copy {place} COPY",
        "delete": f"anonymize store delete {place} --all",
        "withdraw": f"anonymize store withdraw {place}",
        "stop": f"anonymize store stop {place}",
        "start": f"anonymize store start {place}",
        "verify": f"anonymize ledger verify {shlex.quote(str(folder / LEDGER_NAME))} "
        f"--public-key {shlex.quote(str(folder / PUBLIC_NAME))}",
    }


def _key(settings: StoreSettings) -> dict[str, Any]:
    """What a deletion is worth: the commands know key files alone, other homes say it in their receipts."""
    beside = bool(settings.key_file) and not Path(settings.key_file).is_absolute()
    if not settings.key_file:
        return {"home": "other", "beside_the_data": False, "deletion": None, "meaning": None}
    return {
        "home": "key file",
        "beside_the_data": beside,
        "deletion": "logical_deletion",
        "meaning": MEANING["logical_deletion"],
    }


def _held(one: dict[str, Any], settings: StoreSettings, folder: Path) -> dict[str, Any]:
    days = settings.retention_days
    named, place = one["class"], shlex.quote(str(folder))
    choice = f"--class {named} --region {one['region']}"
    return {
        **one,
        "retention_days": days.get(f"{named}@{one['region']}", days.get(named, MOST_RETENTION_DAYS)),
        "commands": {
            "copy": f"anonymize store copy {place} COPY {choice}",
            "delete": f"anonymize store delete {place} {choice}",
        },
    }


def _consent(row: dict[str, Any]) -> dict[str, Any]:
    what = row["event"].removeprefix("consent.")
    return {"day": row["day"], "what": what, "until": row.get("until"), "row": row["row"]}


def _seen(ledger: Ledger) -> list[dict[str, Any]]:
    newest = deque(ledger.find(*SEEN), maxlen=MOST_SEEN)
    return [
        {
            "day": row["day"], "what": row["event"], "recipient": row.get("recipient"), "purpose": row.get("purpose"),
            "jurisdiction": row.get("jurisdiction"), "segments": row.get("count"), "row": row["row"],
        }
        for row in reversed(newest)
    ]  # fmt: skip


def _dropped(index: Index) -> list[dict[str, Any]]:
    """Counts by day; the gate's fine reasons are in the ledger alone."""
    return [
        {"day": day, "reason": reason, "frames": frames}
        for day, reason, fine, frames in index.drops()
        if not fine
    ]


def _deleted(ledger: Ledger) -> list[dict[str, Any]]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for row in ledger.find("segment.deleted"):
        counts[row["day"], row["cause"], row["method"]] += 1
    return [
        {"day": day, "cause": cause, "method": method, "segments": count}
        for (day, cause, method), count in sorted(counts.items())
    ]
