"""The options of `anonymize archive`; imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

AddOptions = Callable[[argparse._ArgumentGroup], None]


def add_archive_command(
    archive: argparse.ArgumentParser, hiding: AddOptions, detection: AddOptions, video: AddOptions
) -> None:
    """The five commands; `hiding`, `detection` and `video` add the options that `anonymize run` has too."""
    actions = archive.add_subparsers(dest="action", required=True, metavar="ACTION")
    plan = actions.add_parser("plan", help="what a run would do, how long it takes and what space it needs")
    run = actions.add_parser("run", help="hide what must be hidden, file by file; goes on where it was ended")
    for parser in (plan, run):
        parser.add_argument("inputs", nargs="+", metavar="INPUT", help="picture, video, robot log or folder")
        parser.add_argument("-o", "--output", required=True, metavar="OUTPUT", help="folder")
        parser.add_argument(
            "--workers", type=int, metavar="N", help="processes, one file each (default: one a core)"
        )
        parser.add_argument("--retry", action="store_true", help="try files again that were set aside")
        hiding(parser.add_argument_group("hiding"))
        detection(parser.add_argument_group("detection"))
        videos = parser.add_argument_group("video")
        video(videos)
        videos.add_argument(
            "--no-copy-groups", action="store_true",
            help="re-encode every group of pictures, those without a box too",
        )  # fmt: skip
        parser.add_argument_group("robot logs").add_argument(
            "--keep-channel", action="append", default=[], metavar="TOPIC",
            help="keep this topic though its schema is not on the allow-list (may be repeated)",
        )  # fmt: skip
    _add_plan(plan)
    _add_run(run)
    _add_reading(actions)


def _add_plan(plan: argparse.ArgumentParser) -> None:
    plan.add_argument(
        "--sample-seconds", type=float, default=60.0, metavar="S",
        help="measure on a sample for so long at most; 0: do not measure (default: 60)",
    )  # fmt: skip
    plan.add_argument("--json", action="store_true", help="print JSON")


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--delete-source", action="store_true",
        help="delete each source when its output is verified and entered in the journal",
    )  # fmt: skip
    review = run.add_argument_group("review")
    review.add_argument("--review", type=Path, metavar="FILE", help="corrections saved on a review page")
    review.add_argument(
        "--release-false-hits", action="store_true",
        help="confirm that the false hits in the review are shown from now on",
    )  # fmt: skip
    cluster = run.add_argument_group("cluster (extra [cluster])")
    cluster.add_argument("--cluster", metavar="ADDRESS", help="of a Ray cluster (HOST:PORT, or `local`)")
    cluster.add_argument(
        "--state", type=Path, metavar="FOLDER",
        help="where the journal is, if OUTPUT is an object store (default: in OUTPUT)",
    )  # fmt: skip
    cluster.add_argument(
        "--staging", type=Path, metavar="FOLDER",
        help="where workers put copies of remote files, removed after each (default: RAM)",
    )  # fmt: skip
    run.add_argument("--json", action="store_true", help="print the summary as JSON")
    run.add_argument("--quiet", action="store_true", help="no progress; the summary and errors only")


def _add_reading(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    status = actions.add_parser("status", help="how far a run is, from another terminal")
    report = actions.add_parser("report", help="what was done to every file, as one page and as JSON")
    review = actions.add_parser("review", help="a page of the least certain moments, for a person to judge")
    for parser in (status, report, review):
        parser.add_argument(
            "output", type=Path, metavar="OUTPUT", help="output of a run, or its state folder"
        )
    status.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    report.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    review.add_argument("-o", "--page", type=Path, required=True, metavar="FILE", help="page to write (HTML)")
    review.add_argument(
        "--moments", type=int, default=100, metavar="N", help="pictures on the page at most (default: 100)"
    )
    for parser in (report, review):
        parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
