"""Options of `anonymize store`; imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

CLASSES = ("general", "personal", "sensitive", "important")


def add_store_command(store: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = store.add_subparsers(dest="action", required=True, metavar="ACTION")
    init = actions.add_parser(
        "init", help="make a store, or renew its consent; without it nothing is recorded"
    )
    _add_init(init)
    report = actions.add_parser("report", help="the owner's page: what is held, why, until when, who saw it")
    report.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    report.add_argument("--json", type=Path, metavar="FILE", help="write the same as JSON")
    report.add_argument("--overwrite", action="store_true", help="replace reports that exist")
    copy = actions.add_parser("copy", help="write segments as films and pictures, in plain")
    delete = actions.add_parser("delete", help="delete segments and their keys for ever")
    delete.add_argument("--all", action="store_true", help="everything that is held")
    withdraw = actions.add_parser(
        "withdraw", help="take the consent back: recording ends, everything is deleted"
    )
    stop = actions.add_parser("stop", help="stop recording, keep what there is")
    start = actions.add_parser("start", help="go on recording")
    for parser in (init, report, copy, delete, withdraw, stop, start):
        parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the store")
        if parser is not report:
            parser.add_argument(
                "--key", type=Path, metavar="FILE", help="the device's key file, if not the usual one"
            )
    copy.add_argument(
        "target", type=Path, metavar="TARGET", help="folder to write to; must not be there, or be empty"
    )
    for parser in (copy, delete):
        parser.add_argument(
            "--class", dest="data_class", default="", choices=CLASSES, help="of this class alone"
        )
        parser.add_argument("--region", default="", metavar="REGION", help="of this region alone")
        parser.add_argument(
            "--from", dest="from_day", default="", metavar="DAY", help="stored on this day or later"
        )
        parser.add_argument(
            "--until", dest="until_day", default="", metavar="DAY", help="on this day or earlier"
        )
        parser.add_argument(
            "--id", action="append", default=[], metavar="DIGEST", help="one segment (may be repeated)"
        )
    for parser in (copy, delete, withdraw, stop, start):
        parser.add_argument("--json", action="store_true", help="print the whole receipt")


def _add_init(init: argparse.ArgumentParser) -> None:
    init.add_argument(
        "--purpose", metavar="WORD", help="one word of small letters, such as accident-evidence"
    )
    init.add_argument("--purpose-text", metavar="TEXT", help="the same in your words, for the page")
    init.add_argument("--contact", metavar="TEXT", help="who answers the owner")
    init.add_argument(
        "--region", metavar="REGION", help="where it is taken and stored: ISO 3166, CN or CN-SH"
    )
    until = init.add_mutually_exclusive_group()
    until.add_argument("--consent-until", metavar="DAY", help="last day of the consent, YYYY-MM-DD")
    until.add_argument(
        "--consent-days", type=int, metavar="N", help="the consent holds for N days from today"
    )
    init.add_argument(
        "--class", dest="classes", action="append", default=[], metavar="CAMERA=CLASS",
        help="class of what a camera takes; `default=...` for all others (default: personal)",
    )  # fmt: skip
    init.add_argument(
        "--retain", action="append", default=[], metavar="CLASS[@REGION]=DAYS",
        help="how long a class is kept (default: 14 days, the most without --long-retention)",
    )  # fmt: skip
    init.add_argument("--long-retention", action="store_true", default=None, help="allow more than 14 days")
    init.add_argument("--limit-gb", type=float, metavar="N", help="most bytes, in 10^9 (default: 34)")
    init.add_argument("--at-limit", choices=("delete_oldest", "stop"), help="what is done then")
