"""`anonymize store`: made with its consent, shown to its owner, copied, deleted, stopped."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from anonymize.cli.store_errors import in_our_words
from anonymize.errors import UsageError
from anonymize.process_guard import forbid_core_dumps

QUESTIONS: Final = {
    "purpose": "Purpose, one word of small letters (accident-evidence): ",
    "contact": "Contact, who answers the owner: ",
    "region": "Region, ISO 3166 (CN or CN-SH): ",
    "consent_until": "Consent until, YYYY-MM-DD: ",
}


def execute(options: argparse.Namespace) -> int:
    """Print what the action says."""
    forbid_core_dumps()  # the device's key is in its memory, and pictures while they are copied
    with in_our_words():
        text = (_ACTIONS.get(options.action) or _act)(options)
    print(text)
    return 0


def _init(options: argparse.Namespace) -> str:
    from anonymize.store.making import make_store
    from anonymize.store.settings import NAME, utc_day

    today = utc_day(time.time())
    until = options.consent_until
    if options.consent_days is not None:
        until = (today + timedelta(days=options.consent_days)).isoformat()
    given: dict[str, Any] = {
        "purpose": options.purpose, "contact": options.contact, "region": options.region, "consent_until": until,
        "purpose_text": options.purpose_text, "long_retention": options.long_retention, "at_limit": options.at_limit,
        "limit_bytes": None if options.limit_gb is None else round(options.limit_gb * 1e9),
        "classes": {"default": "personal", **_pairs(options.classes)} if options.classes else None,
        "retention_days": {key: _days(days) for key, days in _pairs(options.retain).items()} or None,
    }  # fmt: skip
    if not (options.folder / NAME).exists():
        _ask(given)
    given = {name: value for name, value in given.items() if value is not None}
    return "\n".join(
        make_store(options.folder, {**given, "consent_from": today.isoformat()}, key=options.key)
    )


def _ask(given: dict[str, Any]) -> None:
    """On a terminal, ask for what a store needs and was not given."""
    for name, question in QUESTIONS.items():
        if given[name] is None and sys.stdin.isatty():
            given[name] = input(question).strip() or None


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not (name and sign and value):
            raise UsageError(f"{word!r} came; wanted NAME=VALUE")
        pairs[name] = value
    return pairs


def _days(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{text!r} came; wanted a whole number of days")
    return int(text)


def _report(options: argparse.Namespace) -> str:
    from anonymize.media.output import write_whole
    from anonymize.store.page import as_page
    from anonymize.store.report import whole_report

    report = whole_report(options.folder)
    written = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    for path, content in ((options.html, as_page), (options.json, lambda _: written)):
        if path is not None:
            write_whole(path, content(report).encode(), overwrite=options.overwrite)
    if options.html or options.json:
        return "\n".join(str(path) for path in (options.html, options.json) if path)
    return written.rstrip()


def _copy(options: argparse.Namespace) -> str:
    from anonymize.store.asking import act
    from anonymize.store.copying import check_empty, copy_out
    from anonymize.store.making import key_home

    check_empty(options.target)
    home = key_home(options.folder, options.key)
    receipt = act(options.folder, lambda: home, "copy", _choice(options))
    files = copy_out(options.folder, home, receipt.pop("objects"), options.target)
    return _told(options, receipt) + (
        "" if options.json else f"\n{len(files)} files in {options.target}, in plain"
    )


def _act(options: argparse.Namespace) -> str:
    from anonymize.store.actions import Choice
    from anonymize.store.asking import act
    from anonymize.store.making import key_home

    choice = Choice()
    if options.action == "delete":
        choice = _choice(options)
        if (choice == Choice()) != options.all:
            raise UsageError(
                "wanted either --all, or which segments: --class, --region, --from, --until, --id"
            )
    receipt = act(options.folder, lambda: key_home(options.folder, options.key), options.action, choice)
    return _told(options, receipt)


def _choice(options: argparse.Namespace) -> Any:
    from anonymize.store.actions import Choice

    return Choice(options.data_class, options.region, options.from_day, options.until_day, tuple(options.id))


def _told(options: argparse.Namespace, receipt: dict[str, Any]) -> str:
    if options.json:
        return json.dumps(receipt, indent=2, ensure_ascii=False)
    lines = [f"{receipt['action']}: {receipt['segments']} segments, {receipt['bytes']:,} bytes"]
    if "meaning" in receipt:
        lines += [receipt["meaning"]["en"], receipt["meaning"]["zh"]]
    return "\n".join([*lines, f"receipt: {options.folder / receipt['file']}"])


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], str]]] = {
    "copy": _copy,
    "init": _init,
    "report": _report,
}
