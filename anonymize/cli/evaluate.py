"""`anonymize evaluate`: the acceptance report for a labelled set, one or more models side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anonymize.cli import options as chosen
from anonymize.cli import stop
from anonymize.detect import (
    DEFAULT_MODEL,
    Model,
    load_foreign,
    load_packaged,
    packaged_manifest,
    read_manifest,
)
from anonymize.errors import UsageError
from anonymize.evaluate.crops import Crop, crop_misses
from anonymize.evaluate.dataset import LabelledPicture, read_dataset
from anonymize.evaluate.findings import Finding, read_causes, write_findings
from anonymize.evaluate.look import Looker, full_size, live_size, look_at
from anonymize.evaluate.page import as_page
from anonymize.evaluate.report import evaluate_model, sign_hits, whole_report
from anonymize.evaluate.text import as_text
from anonymize.evaluate.track_text import tracks_text
from anonymize.media.output import check_target, write_whole
from anonymize.settings import Settings


@dataclass(frozen=True, slots=True)
class Measured:
    """What all models gave."""

    values: list[dict[str, Any]]
    findings: list[Finding]
    crops: dict[str, list[Crop]]


def execute(options: argparse.Namespace) -> int:
    """Print the report, and write the page and the list where they are asked for."""
    _check(options)
    models = chosen_models(options)
    pictures = read_dataset(options.dataset)
    unknown = set(options.exclude_source) - {picture.source for picture in pictures}
    if unknown:
        raise UsageError(f"--exclude-source {', '.join(sorted(unknown))}: the set has no such source")
    if options.tracks:
        report, measured = _tracks(options, models, pictures)
    else:
        report, measured = _pictures(options, models, pictures)
    if options.html:
        page = as_page(report, measured.findings, measured.crops)
        write_whole(options.html, page.encode(), overwrite=options.overwrite)
    if options.findings:
        rows = write_findings(measured.findings, options.findings.suffix)
        write_whole(options.findings, rows, overwrite=options.overwrite)
    as_words = tracks_text if options.tracks else as_text
    print(json.dumps(report, indent=1, ensure_ascii=False) if options.json else as_words(report))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be carried out before minutes of work are spent on it."""
    for name in ("stills", "frames", "worst"):
        if getattr(options, name) < (0 if name == "worst" else 1):
            raise UsageError(f"--{name} is {getattr(options, name)}; wanted at least 1")
    if options.tracks and (options.signs or options.causes or options.findings):
        raise UsageError("--signs, --causes and --findings belong to pictures; wanted them without --tracks")
    for target in (options.html, options.findings):
        if target is not None:
            check_target(target, overwrite=options.overwrite)


def chosen_models(options: argparse.Namespace) -> list[Model]:
    """The models of `--model`, each packaged or a file with its hash and manifest; the default one without any."""
    packaged = read_manifest(packaged_manifest())
    files = [name for name in options.model if name not in packaged]
    hashes, manifests = list(options.model_sha256), list(options.manifest)
    if len(manifests) == 1:
        manifests *= max(1, len(files))
    if len(hashes) != len(files) or (files and len(manifests) != len(files)) or (manifests and not files):
        raise UsageError(
            f"{len(files)} model files, {len(hashes)} --model-sha256 and {len(manifests)} --manifest came; wanted one "
            f"of each a file (installed models, by name: {', '.join(packaged)})"
        )
    foreign = iter(zip(hashes, manifests, strict=True) if files else ())
    models = []
    for name in options.model or [DEFAULT_MODEL]:
        if name in packaged:
            models.append(load_packaged(name))
        else:
            sha256, manifest = next(foreign)
            models.append(load_foreign(Path(name), sha256, manifest))
    if options.thorough:
        models = [_thorough(model) for model in models]
    return _told_apart(models)


def _thorough(model: Model) -> Model:
    """The model as it is judged by several looks: with their thresholds, and a name that says so."""
    entry = model.entry
    if not entry.threshold_thorough:
        raise UsageError(f"--thorough: model {entry.name!r} has no thresholds for several looks")
    judged = replace(entry, name=f"{entry.name}, thorough", threshold=entry.threshold_thorough)
    return replace(model, entry=judged)


def _settings(options: argparse.Namespace, *, tracking: bool) -> Settings:
    settings = live_size(tracking=tracking) if options.fast else full_size(tracking=tracking)
    return replace(settings, thorough=options.thorough)


def _told_apart(models: Sequence[Model]) -> list[Model]:
    """Models of one name get the beginning of their hash beside it."""
    names = [model.entry.name for model in models]
    return [
        replace(model, entry=replace(model.entry, name=f"{model.entry.name} {model.entry.sha256[:8]}"))
        if names.count(model.entry.name) > 1
        else model
        for model in models
    ]


def _pictures(
    options: argparse.Namespace, models: Sequence[Model], pictures: Sequence[LabelledPicture]
) -> tuple[dict[str, Any], Measured]:
    causes: list[dict[str, Any]] = read_causes(options.causes) if options.causes else []
    signs = read_dataset(options.signs) if options.signs else []
    threads = chosen.chosen_threads(options)
    measured = Measured([], [], {})
    for model in models:
        entry = model.entry
        looker = Looker(model, _settings(options, tracking=False), threads=threads)
        looks = look_at(looker, pictures, _progress(options, entry.name))
        evaluation = evaluate_model(entry, pictures, looks, excluded=options.exclude_source, causes=causes)
        if signs:
            on_signs = look_at(looker, signs, _progress(options, f"{entry.name}, signs"))
            evaluation.values["signs"] = sign_hits(entry, signs, on_signs)
        measured.values.append(evaluation.values)
        measured.findings.extend(evaluation.findings)
        if options.html:
            by_name = {picture.name: picture for picture in pictures}
            looks_by_name = {picture.name: look for picture, look in zip(pictures, looks, strict=True)}
            measured.crops[entry.name] = crop_misses(
                model, evaluation.findings, by_name, looks_by_name, count=options.worst
            )
    return whole_report(pictures, measured.values, **_stated(options)), measured


def _tracks(
    options: argparse.Namespace, models: Sequence[Model], pictures: Sequence[LabelledPicture]
) -> tuple[dict[str, Any], Measured]:
    from anonymize.evaluate.tracks import choose_stills, follow_stills

    stills = choose_stills(pictures, options.stills, seed=options.seed)
    measured = Measured([], [], {})
    for model in models:
        settings = _settings(options, tracking=True)
        values = follow_stills(
            model, settings, stills, frames=options.frames, seed=options.seed,
            threads=chosen.chosen_threads(options), progress=_progress(options, model.entry.name),
        )  # fmt: skip
        measured.values.append(values)
    stated: Mapping[str, Any] = {
        **_stated(options),
        "frames": options.frames,
        "frames_per_s": 30,
        "seed": options.seed,
    }
    return whole_report(stills, measured.values, **stated), measured


def _stated(options: argparse.Namespace) -> dict[str, Any]:
    """What was chosen, for the head of the report."""
    return {
        "size": "live" if options.fast else "native",
        "excluded_sources": sorted(set(options.exclude_source)),
    }


def _progress(options: argparse.Namespace, words: str) -> Callable[[int, int], None]:
    """A line that counts on a terminal; elsewhere nothing. Ctrl-C is taken between two pictures."""
    shown = sys.stderr.isatty() and not options.quiet

    def tell(done: int, of: int) -> None:
        stop.check()
        if shown:
            print(f"\r{words}: {done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)

    return tell
