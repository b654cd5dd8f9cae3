"""`anonymize archive`: old drives planned, run, watched, reported and reviewed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anonymize.cli import stop
from anonymize.errors import UsageError

if TYPE_CHECKING:
    from anonymize.archive.receipts import ModelChoice
    from anonymize.archive.run import Outcome, Request
    from anonymize.archive.work import ArchiveSettings

AUDIO: Final = "audio is NOT anonymised and was kept where there is any (--audio drop leaves it out)"
BURNED_IN: Final = (
    "text burned into the picture (position, speed, own plate) is not looked for: "
    "hide it with --hide-always x1,y1,x2,y2"
)


def execute(options: argparse.Namespace) -> int:
    """Do what `options.action` names; the exit code."""
    return {"plan": _plan, "run": _run, "status": _status, "report": _report, "review": _review}[
        options.action
    ](options)


def request_of(options: argparse.Namespace) -> Request:
    """What the words of the command line ask for.

    Raises
    ------
    UsageError
        They do not go together; or this site requires zones, which the archive does not have.
    """
    from anonymize.archive.drives import group_drives
    from anonymize.archive.receipts import Setup
    from anonymize.archive.run import Request
    from anonymize.archive.work import ArchiveSettings
    from anonymize.cli import options as chosen
    from anonymize.detect import ARCHIVE_MODEL

    if chosen.chosen_configuration(argparse.Namespace(config=None)).zones.required:
        raise UsageError(
            "this site requires zones, and an archive run knows none; wanted `anonymize run --zones`"
        )
    # one frame with too many objects hides that frame, not the drive it stands in; the report counts it
    video = replace(chosen.settings_for_video(options), on_fault="hide")
    settings = ArchiveSettings(
        video=video, pictures=chosen.settings_for_pictures(options), encoder=options.encoder,
        quality=options.quality, preset=options.preset, audio=options.audio,
        keep_subtitles=options.keep_subtitles, copy_groups=not options.no_copy_groups,
        keep_channels=tuple(sorted(set(options.keep_channel))),
    )  # fmt: skip
    if video.styles.weak and not video.weak_on_video:
        raise UsageError(
            "blur and mosaic on video can be read back; wanted veil or solid, or --allow-weak-on-video"
        )
    if (options.network, options.model, options.precision) == (None, None, "float32"):
        options.network = ARCHIVE_MODEL
    model = chosen.chosen_model(options)
    return Request(
        inputs=options.inputs, output=options.output,
        setup=Setup(settings, _model_choice(options, model.entry.name), _at_least_one("threads", options.threads, 1)),
        model_sha256=model.entry.sha256, group=group_drives,
        workers=_at_least_one("workers", options.workers, len(os.sched_getaffinity(0))),
        retry=options.retry, exceptions=_exceptions(settings),
    )  # fmt: skip


def _model_choice(options: argparse.Namespace, name: str) -> ModelChoice:
    from anonymize.archive.receipts import ModelChoice

    if options.model is None:
        return ModelChoice(name)
    return ModelChoice(
        file=str(options.model.resolve()),
        sha256=options.model_sha256,
        manifest=str(options.manifest.resolve()),
    )


def _at_least_one(name: str, given: int | None, otherwise: int) -> int:
    if given is not None and given < 1:
        raise UsageError(f"--{name} is {given}; wanted at least 1")
    return given or otherwise


def _exceptions(settings: ArchiveSettings) -> list[str]:
    lines = [*settings.video.exceptions(), *settings.pictures.exceptions()]
    lines += [f"topic {topic} of robot logs passes as it is" for topic in settings.keep_channels]
    if settings.keep_subtitles:
        lines.append("subtitles were kept; dash-cams write positions there")
    return list(dict.fromkeys(lines))


def _plan(options: argparse.Namespace) -> int:
    from anonymize.archive.estimate import as_text, estimate

    request = request_of(options)
    values = estimate(request, sample_s=options.sample_seconds, check=stop.check)
    print(json.dumps(values, indent=2, ensure_ascii=False) if options.json else as_text(values))
    return 1 if values["unreadable"] or values["refused"] else 0


def _run(options: argparse.Namespace) -> int:
    from anonymize.archive.corrections import read_review
    from anonymize.archive.run import run_archive
    from anonymize.cli.archive_progress import make_watcher

    if options.release_false_hits and options.review is None:
        raise UsageError("--release-false-hits confirms what a review releases; wanted --review FILE with it")
    request = replace(
        request_of(options),
        review=read_review(options.review) if options.review is not None else (),
        release=options.release_false_hits, delete_source=options.delete_source,
    )  # fmt: skip
    with make_watcher(quiet=options.quiet) as watcher:
        if options.cluster is not None:
            from anonymize.archive.cluster.run import run_on_cluster

            outcome = run_on_cluster(
                request,
                watcher,
                stop.check,
                address=options.cluster,
                state=options.state,
                staging=options.staging,
            )
        else:
            outcome = run_archive(request, watcher, stop.check)
    _say(options, request, outcome)
    return 1 if outcome.failures else 0


def _say(options: argparse.Namespace, request: Request, outcome: Outcome) -> None:
    notes = [f"exception: {line}" for line in request.exceptions] + outcome.notes
    if options.audio == "keep":
        notes.append(AUDIO)
    notes.append(BURNED_IN)
    if options.json:
        values = {
            "schema": 1, "done": outcome.done, "already_done": outcome.already_done, "adopted": outcome.adopted,
            "sources_deleted": outcome.deleted, "failed": len(outcome.failures), "failures": outcome.failures,
            "notes": notes, "left_out": outcome.left_out, "settings_digest": request.settings_digest,
        }  # fmt: skip
        print(json.dumps(values, indent=2, ensure_ascii=False))
        return
    lines = [f"note: {line}" for line in notes]
    if outcome.left_out:
        some = ", ".join(outcome.left_out[:3]) + (" …" if len(outcome.left_out) > 3 else "")
        lines.append(f"note: {len(outcome.left_out)} files of other kinds left out: {some}")
    lines += [f"failed: {line}" for line in outcome.failures]
    adopted = f" ({outcome.adopted} of them found complete and verified)" if outcome.adopted else ""
    deleted = f", {outcome.deleted} sources deleted" if outcome.deleted else ""
    lines.append(
        f"{outcome.done} files done, {outcome.already_done} were done before{adopted}, "
        f"{len(outcome.failures)} failed{deleted}"
    )
    print("\n".join(lines))


def _status(options: argparse.Namespace) -> int:
    from anonymize.archive.status import as_text, status

    values = status(options.output)
    print(json.dumps(values, indent=2, ensure_ascii=False) if options.json else as_text(values))
    return 0


def _report(options: argparse.Namespace) -> int:
    from anonymize.archive.report import as_text, whole_report
    from anonymize.archive.report_page import as_page

    report = whole_report(options.output)
    if options.json is not None:
        _write(options.json, json.dumps(report, indent=2, ensure_ascii=False), overwrite=options.overwrite)
    if options.html is not None:
        _write(options.html, as_page(report), overwrite=options.overwrite)
    print(as_text(report))
    return 0


def _review(options: argparse.Namespace) -> int:
    from anonymize.archive.review import review_page

    if options.moments < 1:
        raise UsageError(f"--moments is {options.moments}; wanted at least 1")
    page, shown, left_out = review_page(options.output, options.moments, check=stop.check)
    _write(options.page, page, overwrite=options.overwrite, private=True)
    for line in left_out:
        print(f"note: {line}", file=sys.stderr)
    print(f"{options.page}: {shown} moments; it holds personal data: mode 0600, delete it after the review")
    return 0


def _write(path: Path, text: str, *, overwrite: bool, private: bool = False) -> None:
    from anonymize.media.output import new_file

    with new_file(path, overwrite=overwrite) as stream:
        if private:
            os.fchmod(stream.fileno(), 0o600)
        stream.write(text.encode())
