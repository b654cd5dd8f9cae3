"""Options of `anonymize ledger`, `export` and `territory`; imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from anonymize.cli.store_options import CLASSES


def add_ledger_command(ledger: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = ledger.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="check a ledger, a receipt or an exported bundle")
    verify.add_argument(
        "path", type=Path, metavar="PATH", help="ledger file, receipt, or folder of a store or bundle"
    )
    verify.add_argument(
        "--public-key",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="known from elsewhere (may be repeated)",
    )
    verify.add_argument("--checkpoint", type=Path, metavar="FILE", help="one that somebody outside has kept")
    verify.add_argument(
        "--still-open",
        action="store_true",
        help="it is being written: rows after the last checkpoint are no fault",
    )
    checkpoint = actions.add_parser("checkpoint", help="the last checkpoint, for somebody outside to keep")
    rows = actions.add_parser("rows", help="rows as JSON lines")
    rows.add_argument("--event", metavar="EVENT", help="of this event alone, such as export.begun")
    receipt = actions.add_parser("receipt", help="what proves one row to who has the public key")
    for parser in (checkpoint, rows, receipt):
        parser.add_argument("ledger", type=Path, metavar="LEDGER", help="ledger file, or folder of a store")
    receipt.add_argument("row", type=int, metavar="ROW", help="number of the row")
    for parser in (checkpoint, receipt):
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="new file (default: standard output)"
        )
    verifier = actions.add_parser("verifier", help="write the verifier that stands alone, to hand out")
    verifier.add_argument("file", type=Path, metavar="FILE", help="new file")
    new_key = actions.add_parser("new-key", help="make a key: FILE (private, 0600) and FILE.pub")
    new_key.add_argument("file", type=Path, metavar="FILE")
    new_key.add_argument("--name", required=True, metavar="NAME", help="such as office.example/approvals")


def add_export_command(export: argparse.ArgumentParser) -> None:
    """One action: the bundle, or with --ask the request for its approval."""
    export.add_argument("folder", type=Path, metavar="STORE", help="folder of the store")
    export.add_argument("name", metavar="NAME", help="of the bundle: a new folder in the sink")
    export.add_argument(
        "--key", type=Path, metavar="FILE", help="the device's key file, if not the usual one"
    )
    rules = export.add_argument_group("rules")
    rules.add_argument(
        "--policy", type=Path, required=True, metavar="FILE", help="policy of the vehicle (TOML)"
    )
    rules.add_argument(
        "--tag-key",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="public key of who signs region tags",
    )
    rules.add_argument("--approval", type=Path, metavar="FILE", help="a signed approval, good for one use")
    rules.add_argument(
        "--approver-key",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="public key of who approves",
    )
    to = export.add_argument_group("to whom")
    to.add_argument(
        "--sink", required=True, metavar="NAME", help="where it is written, by its name in the policy"
    )
    to.add_argument("--recipient", required=True, metavar="NAME", help="letters, spaces, dots and hyphens")
    to.add_argument("--jurisdiction", required=True, metavar="CODE", help="where it will be held: ISO 3166")
    to.add_argument("--purpose", required=True, metavar="WORD", help="one word of small letters")
    to.add_argument("--persons", type=int, metavar="N", help="at most so many persons are in it")
    to.add_argument("--sensitive", type=int, metavar="N", help="at most so many of them with sensitive data")
    _add_choice(export.add_argument_group("what"))
    export.add_argument(
        "--ask",
        type=Path,
        metavar="FILE",
        help="export nothing; write what an approval must say, for who approves",
    )
    export.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_choice(what: argparse._ArgumentGroup) -> None:
    what.add_argument("--all", action="store_true", help="everything that is held")
    what.add_argument("--class", dest="data_class", default="", choices=CLASSES, help="of this class alone")
    what.add_argument("--region", default="", metavar="REGION", help="of this region alone")
    what.add_argument(
        "--from", dest="from_day", default="", metavar="DAY", help="stored on this day or later"
    )
    what.add_argument("--until", dest="until_day", default="", metavar="DAY", help="on this day or earlier")
    what.add_argument(
        "--id", action="append", default=[], metavar="DIGEST", help="one segment (may be repeated)"
    )


def add_territory_command(territory: argparse.ArgumentParser) -> None:
    """What the authority and the office do, not the vehicle."""
    actions = territory.add_subparsers(dest="action", required=True, metavar="ACTION")
    tag = actions.add_parser("tag", help="say where a sink lies: writes region.tag into its folder")
    tag.add_argument("folder", type=Path, metavar="FOLDER", help="the sink")
    tag.add_argument("--sink", required=True, metavar="NAME", help="its name in the policy")
    tag.add_argument("--region", required=True, metavar="CODE", help="ISO 3166, such as CN or CN-SH")
    approve = actions.add_parser("approve", help="approve a request that `export --ask` has written")
    approve.add_argument("request", type=Path, metavar="REQUEST")
    approve.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="new file")
    approve.add_argument(
        "--assessment", required=True, metavar="NUMBER", help="of the assessment that allows it"
    )
    for parser in (tag, approve):
        parser.add_argument(
            "--key", type=Path, required=True, metavar="FILE", help="private key; FILE.pub names it"
        )
        parser.add_argument("--until", required=True, metavar="DAY", help="last day, YYYY-MM-DD")
