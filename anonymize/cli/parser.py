"""All options of all commands; imports nothing heavy, so that `--help` comes at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from anonymize.cli.archive_options import add_archive_command
from anonymize.cli.bench_options import add_bench_command
from anonymize.cli.ledger_options import add_export_command, add_ledger_command, add_territory_command
from anonymize.cli.network_options import add_network_options
from anonymize.cli.store_options import add_store_command
from anonymize.cli.zone_options import add_zone_options, add_zones_command

STYLES = ("veil", "solid", "blur", "mosaic")


def make_parser() -> argparse.ArgumentParser:
    """The parser of `anonymize`; the chosen subcommand is in `command`."""
    parser = argparse.ArgumentParser(
        prog="anonymize",
        description="Hide every face and licence plate in pictures and videos from car cameras.",
        epilog="Exit code 0: all inputs done; 1: some input failed (each named, none written); 2: wrong usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="pictures, videos and folders: hide what must be hidden"))
    _add_evaluate(
        commands.add_parser("evaluate", help="the acceptance report for a labelled set (COCO JSON)")
    )
    add_archive_command(
        commands.add_parser("archive", help="old drives: plan, run, status, report, review"),
        _add_hiding, _add_detection, _add_video,
    )  # fmt: skip
    add_bench_command(
        commands.add_parser("bench", help="latency and throughput on this machine; compare two reports")
    )
    add_zones_command(
        commands.add_parser("zones", help="lists of restricted zones: check, convert, sign, verify, map")
    )
    add_store_command(
        commands.add_parser(
            "store", help="what a vehicle keeps: make it, show it to its owner, copy, delete, stop"
        )
    )
    add_ledger_command(
        commands.add_parser("ledger", help="the store's ledger: verify it, take proofs out of it")
    )
    add_export_command(
        commands.add_parser("export", help="a bundle from a store, where policy and approval allow")
    )
    add_territory_command(
        commands.add_parser("territory", help="for the authority: say where a sink lies, approve an export")
    )
    models = commands.add_parser("models", help="what models are installed: hash, licence, measured recall")
    doctor = commands.add_parser("doctor", help="what this machine offers, and what should be changed on it")
    for parser_of in (models, doctor):
        parser_of.add_argument("--json", action="store_true", help="print JSON")
    sample = commands.add_parser("sample", help="draw a street with faces and plates to try the command on")
    sample.add_argument("file", type=Path, metavar="FILE", help="picture to write (PNG)")
    sample.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="picture, video or folder")
    run.add_argument("-o", "--output", type=Path, required=True, metavar="OUTPUT", help="file or folder")
    run.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    run.add_argument(
        "--config", type=Path, metavar="FILE", help="what a site settles for all its runs (TOML)"
    )
    run.add_argument(
        "--on-error",
        choices=("fail", "skip-frame"),
        default="fail",
        help="what a video frame that cannot be read or hidden does: fail the input, or be left out and counted",
    )
    _add_hiding(run.add_argument_group("hiding"))
    _add_detection(run.add_argument_group("detection"))
    _add_video(run.add_argument_group("video"))
    add_zone_options(run.add_argument_group("restricted zones"))
    reports = run.add_argument_group("reports")
    reports.add_argument("--detections", type=Path, metavar="FILE", help="write one JSON line a frame")
    reports.add_argument("--json", action="store_true", help="print the summary as JSON")
    reports.add_argument("--quiet", action="store_true", help="no progress; the summary and errors only")


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "dataset", type=Path, metavar="DATASET", help="COCO file, or folder of annotations.json"
    )
    evaluate.add_argument(
        "--signs", type=Path, metavar="FILE", help="COCO file of signs: what is found on them is wrong"
    )
    evaluate.add_argument(
        "--exclude-source",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this source out of the headline, for its scenes were trained on too (may be repeated)",
    )
    models = evaluate.add_argument_group("models (each option may be repeated: one column each)")
    models.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="packaged model by name, or an ONNX file",
    )
    models.add_argument(
        "--model-sha256", action="append", default=[], metavar="HASH", help="one for each file"
    )
    models.add_argument(
        "--manifest",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="one for each file, or one for all",
    )
    models.add_argument(
        "--fast", action="store_true", help="detect at the live engine's size, not at full size"
    )
    models.add_argument(
        "--thorough", action="store_true", help="look four times at each picture, as `run --thorough` does"
    )
    models.add_argument(
        "--threads", type=int, metavar="N", help="threads of the network (default: all cores)"
    )
    tracks = evaluate.add_argument_group("tracks")
    tracks.add_argument(
        "--tracks",
        action="store_true",
        help="measure tracks instead of pictures: a virtual camera moves over stills of the set",
    )
    tracks.add_argument("--stills", type=int, default=24, metavar="N", help="how many stills (default: 24)")
    tracks.add_argument(
        "--frames", type=int, default=90, metavar="N", help="frames a still, 30 a second (default: 90)"
    )
    tracks.add_argument("--seed", type=int, default=0, metavar="N", help="of stills and motions (default: 0)")
    _add_evaluation_reports(evaluate.add_argument_group("reports"))


def _add_evaluation_reports(reports: argparse._ArgumentGroup) -> None:
    reports.add_argument("--json", action="store_true", help="print the report as JSON")
    reports.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    reports.add_argument(
        "--findings",
        type=Path,
        metavar="FILE",
        help="write every miss and false hit in scope (.csv or .json)",
    )
    reports.add_argument(
        "--causes", type=Path, metavar="FILE", help="that list with its column `cause` filled in"
    )
    reports.add_argument(
        "--worst", type=int, default=24, metavar="N", help="misses shown on the page (default: 24)"
    )
    reports.add_argument("--overwrite", action="store_true", help="replace reports that exist")
    reports.add_argument("--quiet", action="store_true", help="no progress")


def _add_hiding(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--style", choices=STYLES, default="veil", help="style of hiding (default: veil)")
    group.add_argument("--plate-style", choices=STYLES, help="style for plates alone")
    group.add_argument("--face-style", choices=STYLES, help="style for faces alone")
    group.add_argument(
        "--allow-weak-on-video",
        action="store_true",
        help="allow blur and mosaic on video, from which plates have been read back",
    )
    group.add_argument(
        "--hide-always",
        action="append",
        default=[],
        metavar="X1,Y1,X2,Y2",
        help="area hidden in every frame, px of the stored picture (may be repeated)",
    )
    group.add_argument(
        "--never",
        action="append",
        default=[],
        metavar="X1,Y1,X2,Y2",
        help="boxes centred in this area are not hidden; named as an exception in every report",
    )


def _add_detection(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--classes", default="face,plate", metavar="LIST", help="face, plate or both (default)"
    )
    group.add_argument(
        "--threshold",
        metavar="T",
        help="from which confidence to hide: 0.4, or face=0.3,plate=0.5 (default: the model's)",
    )
    group.add_argument(
        "--cautious",
        action="store_true",
        help="hide from lower confidence: more is found, and more is hidden that is nothing",
    )
    add_network_options(group)
    group.add_argument(
        "--network",
        metavar="NAME",
        help="an installed network, as `anonymize models` lists them (default: drive)",
    )
    group.add_argument(
        "--thorough",
        action="store_true",
        help="look four times at each frame, at other sizes and mirrored: more is found, at about five times the time",
    )
    group.add_argument("--threads", type=int, metavar="N", help="threads of the network (default: all cores)")
    group.add_argument(
        "--fast",
        action="store_true",
        help="detect at the live engine's size (a 16 px plate keeps 8 px) instead of the full size",
    )


def _add_video(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--audio", choices=("keep", "drop"), default="keep", help="audio is NOT anonymised (default: keep)"
    )
    group.add_argument(
        "--keep-subtitles", action="store_true", help="keep subtitles, which may hold positions"
    )
    group.add_argument(
        "--encoder",
        choices=("auto", "h264", "hevc", "av1", "vp9", "mjpeg"),
        default="auto",
        help="video codec of the output (default: the source's)",
    )
    group.add_argument(
        "--quality", type=int, metavar="CRF", help="in the encoder's own scale, less is better"
    )
    group.add_argument("--preset", metavar="WORD", help="speed in the encoder's own words")
