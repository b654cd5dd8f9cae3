"""From the words of `anonymize run` to settings, a model and styles; what is wrong is said in the option's words."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import Final

from anonymize.configuration import Configuration, read_configuration
from anonymize.detect import DEFAULT_MODEL, INT8_MODEL, Model, load_foreign, load_packaged
from anonymize.errors import UsageError
from anonymize.frames import Label
from anonymize.hide import Style, Styles
from anonymize.settings import FULL_SIZE_PX, Area, Settings

CONFIG_VARIABLE: Final = "ANONYMIZE_CONFIG"
LIVE_SIZE_PX: Final = 640  # `--fast`: the input size rule of live use


def settings_for_pictures(options: argparse.Namespace) -> Settings:
    """Single pictures: no tracks, detection at full size unless `--fast`."""
    return _settings(options, tracking=False)


def settings_for_video(options: argparse.Namespace) -> Settings:
    """Video: boxes are held and predicted from frame to frame."""
    return _settings(options, tracking=True)


def _settings(options: argparse.Namespace, *, tracking: bool) -> Settings:
    return Settings(
        styles=Styles(
            face=options.face_style or options.style,
            plate=options.plate_style or options.style,
            area=Style.SOLID if options.style == Style.SOLID else Style.VEIL,
        ),
        thresholds=_thresholds(options.threshold),
        cautious=options.cautious,
        thorough=options.thorough,
        classes=_classes(options.classes),
        hide_always=tuple(_area("--hide-always", words) for words in options.hide_always),
        never=tuple(_area("--never", words) for words in options.never),
        min_long_side_px=LIVE_SIZE_PX if options.fast else FULL_SIZE_PX,
        tracking=tracking,
        weak_on_video=options.allow_weak_on_video,
    )


def _classes(words: str) -> frozenset[Label]:
    try:
        return frozenset(Label(word.strip()) for word in words.split(","))
    except ValueError:
        raise UsageError(f"--classes is {words!r}; wanted face, plate or face,plate") from None


def _thresholds(words: str | None) -> dict[Label, float] | None:
    if words is None:
        return None
    try:
        if "=" not in words:
            return dict.fromkeys((Label.FACE, Label.PLATE), float(words))
        pairs = (word.split("=") for word in words.split(","))
        return {Label(name.strip()): float(value) for name, value in pairs}
    except ValueError:
        raise UsageError(f"--threshold is {words!r}; wanted 0.4 or face=0.3,plate=0.5") from None


def _area(option: str, words: str) -> Area:
    try:
        x1, y1, x2, y2 = (float(word) for word in words.split(","))
    except ValueError:
        raise UsageError(f"{option} is {words!r}; wanted x1,y1,x2,y2 in px") from None
    return x1, y1, x2, y2


def chosen_model(options: argparse.Namespace) -> Model:
    """The packaged model, or the one that `--model`, `--model-sha256` and `--manifest` give together."""
    given = (options.model, options.model_sha256, options.manifest)
    if options.network is not None and (given != (None, None, None) or options.precision != "float32"):
        raise UsageError("--network names an installed network; wanted it without --model and --precision")
    if given == (None, None, None):
        usual = DEFAULT_MODEL if options.precision == "float32" else INT8_MODEL
        return load_packaged(options.network or usual)
    if options.precision != "float32":
        raise UsageError("--precision is for the packaged network; wanted it without --model")
    if None in given:
        raise UsageError(
            "--model, --model-sha256 and --manifest belong together: the hash must not lie beside the file"
        )
    return load_foreign(options.model, options.model_sha256, options.manifest)


def chosen_configuration(options: argparse.Namespace) -> Configuration:
    """That of `--config`, else of the file that the environment names, else none.

    Where the environment's file requires zones, no other file takes that back.
    """
    of_site = os.environ.get(CONFIG_VARIABLE)
    site = read_configuration(of_site) if of_site else Configuration()
    if options.config is None:
        return site
    chosen = read_configuration(options.config)
    required = chosen.zones.required or site.zones.required
    return replace(chosen, zones=replace(chosen.zones, required=required))


def chosen_threads(options: argparse.Namespace) -> int:
    """Threads of the network's run; by default all cores that this process may use."""
    if options.threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if options.threads < 1:
        raise UsageError(f"--threads is {options.threads}; wanted at least 1")
    return int(options.threads)
