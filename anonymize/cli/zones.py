"""`anonymize zones`: lists of restricted zones, for the person who prepares them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from anonymize.errors import AnonymizeError, UsageError


def execute(options: argparse.Namespace) -> int:
    """Print what the action says."""
    try:
        text = _ACTIONS[options.action](options)
    except ImportError as missing:
        raise AnonymizeError(
            f"needs {missing.name}, which is not installed; wanted: pip install vehicle-anonymize[zones]"
        ) from None
    except OSError as fault:
        raise AnonymizeError(f"{fault.filename}: {fault.strerror}") from None
    print(text, end="")
    return 0


def _check(options: argparse.Namespace) -> str:
    from anonymize.zones import commands

    return commands.check(options.list, datum=options.datum)


def _convert(options: argparse.Namespace) -> str:
    from anonymize.zones import commands

    _refuse_existing(options.output)
    return commands.convert(
        options.list,
        options.output,
        to_format=options.to_format,
        to_datum=options.to_datum,
        datum=options.datum,
    )


def _preview(options: argparse.Namespace) -> str:
    from anonymize.cli.cameras_in_use import stated_view
    from anonymize.cli.tracks import archive_options, usable_track
    from anonymize.zones import commands
    from anonymize.zones.views import CameraView

    _refuse_existing(options.output)
    if options.track is None:
        for name in (
            "track_columns",
            "track_date",
            "track_datum",
            "track_accuracy_m",
            "max_gap_s",
            "top_speed_mps",
            "view",
        ):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} is of no use without --track FILE")
        return commands.preview(options.list, options.output, margin_m=options.margin_m, datum=options.datum)
    view = stated_view("--view", options.view) if options.view else CameraView()
    options.unsigned_zones = True  # it is the list's own maker who looks
    archive = archive_options(options)
    track = usable_track(options, archive).track
    return commands.preview(
        options.list,
        options.output,
        margin_m=options.margin_m,
        fixes=track.fixes,
        archive=archive,
        view=replace(view, clock_uncertainty_s=options.clock_uncertainty_s + track.time_uncertainty_s),
        datum=options.datum,
    )


def _sign(options: argparse.Namespace) -> str:
    from anonymize.zones import commands

    if len(options.paths) > 2:
        raise UsageError(f"{len(options.paths)} paths were given; wanted [LIST] FOLDER")
    return commands.sign(
        options.paths[0] if len(options.paths) == 2 else None,
        options.paths[-1],
        options.key,
        public_keys=options.public_key,
        threshold=options.threshold,
        valid_days=options.valid_days,
        grace_days=options.grace_days,
    )


def _verify(options: argparse.Namespace) -> str:
    from anonymize.zones import commands

    return commands.verify(options.folder, options.root, state=options.state)


def _new_key(options: argparse.Namespace) -> str:
    from anonymize.zones.authority import new_key

    public = new_key(options.file)
    return f"private key {options.file}, public key {public}\n"


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise UsageError(f"{output} exists already; wanted a new name")


_ACTIONS = {
    "check": _check, "convert": _convert, "preview": _preview, "sign": _sign, "verify": _verify, "new-key": _new_key,
}  # fmt: skip
