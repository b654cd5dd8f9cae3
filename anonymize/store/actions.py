"""What the owner can do: copy, delete, withdraw, stop, start. Each leaves a row in the ledger and a receipt.

Where the recorder has the store open, the command leaves a request in the folder and the recorder carries it out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import AnonymizeError, UsageError
from anonymize.store.errors import StoreError
from anonymize.store.events import CLASSES
from anonymize.store.index import Entry
from anonymize.store.ledger_verifier import set_digest
from anonymize.store.settings import parse_day, replace_file
from anonymize.store.vault import FAULTS

if TYPE_CHECKING:
    from anonymize.store.store import Store

SCHEMA: Final = 1
REQUESTS: Final = "requests"
RECEIPTS: Final = "receipts"
MOST_NAMED: Final = 1000  # digests that a receipt lists; the digest of the set stands for all
MEANING: Final = {
    "key_destroyed": {
        "en": "The key was destroyed in its home. Nobody can open the deleted data again, wherever copies of it lie.",
        "zh": "密钥已在其存放处销毁。无论副本存放在何处，任何人都无法再打开已删除的数据。",
    },
    "logical_deletion": {
        "en": "Logical deletion: files and wrapped keys were removed. With a key file, old contents may stay on the "
        "flash for a time, and whoever holds both the device key and these remains could open them.",
        "zh": "逻辑删除：文件和已封装的密钥均已移除。使用密钥文件时，旧内容可能在闪存中残留一段时间，"
        "同时持有设备密钥和残留数据的人仍可能将其打开。",
    },
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which segments: all that fit every part that is given.

    Parameters
    ----------
    data_class, region : str
        Empty: any.
    from_day, until_day : str
        UTC days on which they were stored, both included.
    digests : tuple of str
        Names of single segments.
    """

    data_class: str = ""
    region: str = ""
    from_day: str = ""
    until_day: str = ""
    digests: tuple[str, ...] = ()

    def of(self, store: Store) -> Iterable[Entry]:
        """The segments of an open store, oldest first."""
        parts, values = [], []
        for column, sign, value in (
            ("class", "=", self.data_class),
            ("region", "=", self.region),
            ("epoch", ">=", self.from_day),
            ("epoch", "<=", self.until_day),
        ):
            if value:
                parts.append(f"{column} {sign} ?")
                values.append(value)
        wanted = set(self.digests)
        chosen = store.vault.index.entries(" AND ".join(parts), values)
        return (entry for entry in chosen if not wanted or entry.digest in wanted)

    def check(self) -> None:
        """Raise `UsageError` for what cannot be meant."""
        if self.data_class and self.data_class not in CLASSES:
            raise UsageError(f"class is {self.data_class!r}; wanted one of {', '.join(CLASSES)}")
        for day in filter(None, (self.from_day, self.until_day)):
            parse_day(day, "day")


def _delete(store: Store, choice: Choice) -> dict[str, Any]:
    receipt = _deleted(store, choice, "delete", "owner")
    if not receipt["segments"]:
        raise StoreError("nothing that is held fits this choice; nothing was deleted")
    return receipt


def _deleted(store: Store, choice: Choice, action: str, cause: str) -> dict[str, Any]:
    facts = _Facts()
    first = store.vault.ledger.size
    store.vault.delete(facts.count(choice.of(store)), cause)
    method = store.vault.home.deletion
    return _receipt(store, action, first, facts, cause=cause, method=method, meaning=MEANING[method])


def _copy(store: Store, choice: Choice) -> dict[str, Any]:
    facts = _Facts()
    entries = list(facts.count(choice.of(store)))
    if not entries:
        raise StoreError("nothing that is held fits this choice; nothing was copied")
    row = store.note_read(entries, recipient="owner", purpose="owner-copy")
    return _receipt(store, "copy", row, facts) | {"objects": [entry.digest for entry in entries]}


def _withdraw(store: Store, _: Choice) -> dict[str, Any]:
    """The consent is taken back: recording ends, and all that was kept under it is deleted, keys and all."""
    first = store.vault.ledger.size
    if not store.settings.withdrawn:
        store.change(withdrawn=True)
        purpose = store.settings.purpose
        store.vault.ledger.append("consent.withdrawn", {"purpose": purpose} if purpose else {})
    receipt = _deleted(store, Choice(), "withdraw", "withdrawn")
    store.vault.destroy_empty_epochs(today_too=True)
    store.vault.index.empty_log()
    return _renewed(store, receipt, first)


def _stop(store: Store, _: Choice) -> dict[str, Any]:
    first = store.vault.ledger.size
    store.change(stopped=True)
    store.vault.ledger.append("owner.asked", {})
    return _receipt(store, "stop", first, _Facts())


def _start(store: Store, _: Choice) -> dict[str, Any]:
    first = store.vault.ledger.size
    store.change(stopped=False)
    store.vault.ledger.append("owner.asked", {})
    return _receipt(store, "start", first, _Facts())


ACTIONS: Final[Mapping[str, Callable[[Store, Choice], dict[str, Any]]]] = {
    "copy": _copy, "delete": _delete, "start": _start, "stop": _stop, "withdraw": _withdraw,
}  # fmt: skip


class _Facts:
    """What an action was about, counted while it is done."""

    def __init__(self) -> None:
        self.segments = self.bytes = 0
        self.classes: Counter[str] = Counter()
        self.digests: list[str] = []

    def count(self, entries: Iterable[Entry]) -> Iterable[Entry]:
        for entry in entries:
            self.segments += 1
            self.bytes += entry.stored_bytes
            self.classes[entry.place.data_class] += 1
            self.digests.append(entry.digest)
            yield entry


def _receipt(store: Store, action: str, first: int, facts: _Facts, **more: Any) -> dict[str, Any]:
    """The receipt of rows from `first` on; it is itself what `anonymize ledger verify` takes for its last row."""
    receipt = {
        "action": action, "day": store.vault.today().isoformat(), "segments": facts.segments, "bytes": facts.bytes,
        "classes": dict(facts.classes), "set": set_digest(facts.digests), "digests": facts.digests[:MOST_NAMED], **more,
    }  # fmt: skip
    return _renewed(store, receipt, first)


def _renewed(store: Store, receipt: dict[str, Any], first: int) -> dict[str, Any]:
    """The receipt with the proof of the newest row."""
    ledger = store.vault.ledger
    ledger.checkpoint()
    last = ledger.size - 1
    key = ledger.key
    proof = ledger.receipt(last)
    return (
        receipt
        | {"rows": [min(first, last), last], "key": key.text if key else None}
        | proof
        | {"schema": SCHEMA}
    )


def carry_out(store: Store, action: str, choice: Choice) -> dict[str, Any]:
    """Do it in an open store and keep the receipt in its folder."""
    choice.check()
    with store.turn:
        receipt = ACTIONS[action](store, choice)
        folder = store.folder / RECEIPTS
        folder.mkdir(mode=0o700, exist_ok=True)
        name = f"{receipt['day']}-{action}-{receipt['rows'][1]}.json"
        receipt["file"] = f"{RECEIPTS}/{name}"
        replace_file(folder / name, json.dumps(receipt, indent=2, ensure_ascii=False).encode() + b"\n")
        return receipt


def answer_requests(store: Store) -> None:
    """Carry out what commands have asked for since the last time; called between two segments."""
    folder = store.folder / REQUESTS
    with suppress(FileNotFoundError):
        for question in sorted(folder.glob("*.ask.json")):
            _answer(store, question)


def _answer(store: Store, question: Path) -> None:
    try:
        asked = json.loads(question.read_text("utf-8"))
        choice = Choice(**(asked["choice"] | {"digests": tuple(asked["choice"]["digests"])}))
        said = carry_out(store, asked["action"], choice)
    except FileNotFoundError:  # who asked has gone
        return
    except (AnonymizeError, KeyError, TypeError, ValueError, *FAULTS) as fault:
        said = {"fault": str(fault) if isinstance(fault, AnonymizeError) else type(fault).__name__}
    answer = question.with_name(question.name.replace(".ask.", ".answer."))
    replace_file(answer, json.dumps(said).encode(), lasting=False)
    question.unlink(missing_ok=True)
