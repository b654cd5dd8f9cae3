"""The options of `anonymize bench`; imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from anonymize.bench.plan import FORMATS
from anonymize.cli.network_options import add_network_options


def add_bench_command(bench: argparse.ArgumentParser) -> None:
    """Measuring, and `compare` below it."""
    bench.epilog = (
        "`anonymize bench compare A.json B.json` says what is slower in B than in A. Exit code 0: done; 1: in some "
        "run no frame came out, or it gave no figures; 2: wrong usage."
    )
    _add_what(bench.add_argument_group("what is run"))
    _add_how(bench.add_argument_group("how"))
    reports = bench.add_argument_group("reports")
    reports.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON, for `compare`")
    reports.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    reports.add_argument("--overwrite", action="store_true", help="replace reports that exist")
    reports.add_argument("--quiet", action="store_true", help="no progress")
    actions = bench.add_subparsers(dest="action", metavar="compare A.json B.json", help=argparse.SUPPRESS)
    compare = actions.add_parser(
        "compare",
        help="say what is slower in B than in A",
        epilog="Exit code 0: nothing is slower beyond the margin; 1: something is; 2: not comparable.",
    )
    compare.add_argument("a", type=Path, metavar="A.json", help="report of the state before")
    compare.add_argument("b", type=Path, metavar="B.json", help="report of the state after")
    compare.add_argument(
        "--margin",
        type=float,
        default=5.0,
        metavar="PERCENT",
        help="slower by this much is accepted (default: 5)",
    )
    compare.add_argument(
        "--other-machine", action="store_true", help="compare reports of different machines too"
    )


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="WxH",
        help="may be repeated (default: 1280x720 and 1920x1080)",
    )
    group.add_argument(
        "--format", action="append", default=[], choices=FORMATS, help="may be repeated (default: nv12)"
    )
    group.add_argument(
        "--threads",
        default="1",
        metavar="LIST",
        help="threads of the network: 1, or 1,2, or all (default: 1)",
    )
    group.add_argument(
        "--all",
        action="store_true",
        help="640x360 to 3840x2160, nv12, yuv420p and bgr24, one thread to all cores: minutes",
    )
    group.add_argument(
        "--objects", type=int, default=8, metavar="N", help="faces and plates drawn (default: 8)"
    )
    group.add_argument("--clip", type=Path, metavar="FILE", help="frames of this video, decoded beforehand")
    group.add_argument("--full", action="store_true", help="detect at the size for files, not the live one")
    add_network_options(group)


def _add_how(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--mode", choices=("both", "flat", "paced"), default="both", help="default: both")
    group.add_argument("--fps", type=float, default=30.0, metavar="N", help="rate of a camera (default: 30)")
    group.add_argument(
        "--deadline-ms",
        type=float,
        metavar="MS",
        help="from due to hidden (default: the time between two frames)",
    )
    group.add_argument(
        "--late",
        choices=("drop", "hide", "predict"),
        help="give the engine that deadline too, and this for what the network cannot look at in time",
    )
    group.add_argument(
        "--seconds", type=float, default=8.0, metavar="S", help="of each kind of run (default: 8)"
    )
    group.add_argument("--minutes", type=float, metavar="M", help="a soak: so long for the paced run")
    group.add_argument(
        "--priority",
        type=int,
        metavar="N",
        help="real-time priority of the engine in the paced run, as `chrt -f N` gives it (Linux, needs the right to)",
    )
    group.add_argument("--load", type=int, default=0, metavar="N", help="burn N cores meanwhile")
    group.add_argument(
        "--control",
        choices=("auto", "on", "off"),
        default="auto",
        help="a fixed busy loop in the same schedule (auto: where it takes no core from the engine)",
    )
    group.add_argument("--cold", action="store_true", help="also time the start without compiled kernels")
    group.add_argument(
        "--find-limit",
        action="store_true",
        help="how many cameras this machine sustains (default size: 1920x1080)",
    )
