"""`anonymize bench`: latency and throughput of the engine on this machine, and what is slower than before."""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import product
from pathlib import Path
from typing import Any, Final

from anonymize.bench.machine import cores, facts, state, warnings
from anonymize.bench.plan import SIZES, RunPlan
from anonymize.bench.priority import HIGHEST, LOWEST
from anonymize.cli import stop
from anonymize.errors import MediaError, UsageError
from anonymize.media.output import check_target, write_whole

DEFAULT_SIZES: Final = ((1280, 720), (1920, 1080))
LIMIT_SIZE: Final = (1920, 1080)
SMALLEST_PX, LARGEST_PX = 64, 8192
LONGEST_S: Final = 7 * 24 * 3600.0
ALL_FORMATS: Final = ("nv12", "yuv420p", "bgr24")


def execute(options: argparse.Namespace) -> int:
    """Print the table, write the reports; 1 if no frame came out of a run, or `compare` found a regression."""
    if options.action == "compare":
        return _compare(options)
    plans = chosen_plans(options)
    for target in (options.json, options.html):
        if target is not None:
            _check_target(target, overwrite=options.overwrite)
    return _find_limit(options, plans[0]) if options.find_limit else _measure(options, plans)


def _measure(options: argparse.Namespace, plans: list[RunPlan]) -> int:
    from anonymize.bench.page import as_page
    from anonymize.bench.report import all_dropped, make_report
    from anonymize.bench.text import as_text

    report = make_report(plans, cold=options.cold, progress=_progress(options), check=stop.check)
    print(as_text(report))
    _write(options, report)
    if options.html:
        write_whole(options.html, as_page(report).encode(), overwrite=options.overwrite)
    if lost := all_dropped(report):
        print(f"anonymize bench: in {len(lost)} runs no frame came out: see LOST above", file=sys.stderr)
    return 1 if lost else 0


def _check_target(target: Path, *, overwrite: bool) -> None:
    try:
        check_target(target, overwrite=overwrite)
    except MediaError as fault:  # 1 means here that frames were lost, or a regression
        raise UsageError(str(fault)) from None


def _write(options: argparse.Namespace, values: dict[str, Any]) -> None:
    if options.json:
        write_whole(
            options.json, json.dumps(values, ensure_ascii=False).encode(), overwrite=options.overwrite
        )


def _find_limit(options: argparse.Namespace, plan: RunPlan) -> int:
    """Raise the number of cameras until a deadline falls; the last line says how many fit."""
    from anonymize.bench.launch import launch
    from anonymize.bench.text import limit_line

    known, before = facts(), state()
    doubts = warnings(before, known)
    for words in doubts:
        print(f"warning: {words}", file=sys.stderr)
    _progress(options)("raising the number of cameras")
    values = launch(plan, check=stop.check, show=not options.quiet)
    line = limit_line(values["limit"], values["width"], values["height"], plan.fps)
    kind = "anonymize bench --find-limit"
    around = {"machine": known, "before": before, "after": state(), "warnings": doubts}
    _write(options, {"schema": 1, "kind": kind, **around, **values, "line": line})
    print(line)
    return 0 if values["limit"] else 1


def _compare(options: argparse.Namespace) -> int:
    """Say what is slower."""
    from anonymize.bench.compare import compare
    from anonymize.bench.report import read_report
    from anonymize.bench.text import comparison_text

    if not 0 <= options.margin < 1000:
        raise UsageError(f"--margin is {options.margin}; wanted percent, 0 or more")
    margin = options.margin / 100
    a, b = read_report(options.a), read_report(options.b)
    try:
        verdicts, notes = compare(a, b, margin=margin, other_machine=options.other_machine)
    except (KeyError, TypeError, AttributeError) as fault:  # a file that someone has changed by hand
        raise UsageError(
            f"{options.a} and {options.b}: a report is damaged ({type(fault).__name__})"
        ) from None
    print(comparison_text(verdicts, notes, margin))
    return 1 if any(verdict.regression for verdict in verdicts) else 0


def chosen_plans(options: argparse.Namespace) -> list[RunPlan]:
    """A plan for each configuration that was asked for."""
    _check(options)
    fps = options.fps
    if options.minutes is not None and options.mode == "flat":
        raise UsageError("--minutes is the length of the paced run; --mode flat leaves that out")
    paced_s = options.seconds if options.minutes is None else options.minutes * 60
    common = RunPlan(
        clip=str(options.clip) if options.clip else None,
        objects=options.objects,
        model=_model(options),
        precision=options.precision,
        provider=options.provider,
        provider_fallback=options.provider_fallback,
        full=options.full,
        fps=fps,
        deadline_ms=1000 / fps if options.deadline_ms is None else options.deadline_ms,
        late=options.late,
        flat_s=0.0 if options.mode == "paced" else options.seconds,
        paced_s=0.0 if options.mode == "flat" else paced_s,
        load=options.load,
        control=options.control,
        priority=options.priority,
    )
    if options.find_limit:
        return [_limit_plan(options, common)]
    threads = _threads("all" if options.all else options.threads)
    if options.clip:
        return [common.with_(threads=count) for count in threads]
    sizes = SIZES if options.all else [_size(words) for words in options.size] or DEFAULT_SIZES
    formats = ALL_FORMATS if options.all else options.format or ["nv12"]
    chosen = product(dict.fromkeys(sizes), dict.fromkeys(formats), threads)
    return [
        common.with_(width=width, height=height, pixel_format=pixel_format, threads=count)
        for (width, height), pixel_format, count in chosen
    ]


def _limit_plan(options: argparse.Namespace, common: RunPlan) -> RunPlan:
    one_each = {"--size": options.size, "--format": options.format, "--threads": _threads(options.threads)}
    for name, values in one_each.items():
        if len(values) > 1:
            raise UsageError(f"{name} names {len(values)}; wanted one with --find-limit")
    for name in ("all", "load", "minutes", "html", "cold", "late"):
        if getattr(options, name):
            raise UsageError(f"--{name} does not go with --find-limit")
    width, height = _size(options.size[0]) if options.size else LIMIT_SIZE
    return common.with_(
        task="limit",
        width=width,
        height=height,
        pixel_format=options.format[0] if options.format else "nv12",
        threads=_threads(options.threads)[0],
    )


def _check(options: argparse.Namespace) -> None:
    """Refuse what cannot be carried out before anything is started."""
    if options.clip and (options.size or options.format or options.all):
        raise UsageError(
            "--clip brings its own size and format; wanted it without --size, --format and --all"
        )
    if options.clip and not options.clip.is_file():
        raise UsageError(f"--clip {options.clip}: there is no such file")
    if options.all and (options.size or options.format or options.threads != "1"):
        raise UsageError("--all names every size, format and thread count; wanted it without them")
    if options.priority is not None and options.mode == "flat":
        raise UsageError(
            "--priority is for paced runs: flat out, the kernel would stop such a process each second"
        )
    ranges = (
        ("--priority", options.priority, LOWEST, HIGHEST),
        ("--fps", options.fps, 0.1, 1000.0),
        ("--deadline-ms", options.deadline_ms, 0.1, 60_000.0),
        ("--seconds", options.seconds, 0.5, LONGEST_S),
        ("--minutes", options.minutes, 0.01, LONGEST_S / 60),
        ("--load", options.load, 0, 4 * cores()),
        ("--objects", options.objects, 0, 64),
    )
    for name, value, low, high in ranges:
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            raise UsageError(f"{name} is {value:g}; wanted {low:g} to {high:g}")


def _size(words: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in words.lower().replace("×", "x").split("x"))
    except ValueError:
        raise UsageError(f"--size is {words!r}; wanted width and height in px such as 1280x720") from None
    if min(width, height) < SMALLEST_PX or max(width, height) > LARGEST_PX:
        raise UsageError(f"--size is {words!r}; wanted {SMALLEST_PX} to {LARGEST_PX} px a side")
    return width, height


def _threads(words: str) -> list[int]:
    most = cores()
    if words == "all":
        return [*(count for count in (1, 2, 4, 8, 16, 32, 64) if count < most), most]
    try:
        counts = [int(word) for word in words.split(",")]
    except ValueError:
        raise UsageError(f"--threads is {words!r}; wanted numbers such as 1,2, or all") from None
    if min(counts) < 1 or max(counts) > 4 * most:
        raise UsageError(f"--threads is {words!r}; wanted 1 to {4 * most} (this machine has {most} cores)")
    return list(dict.fromkeys(counts))


def _model(options: argparse.Namespace) -> tuple[str, str, str] | None:
    given = (options.model, options.model_sha256, options.manifest)
    if given == (None, None, None):
        return None
    if options.precision != "float32":
        raise UsageError("--precision is for the packaged network; wanted it without --model")
    if None in given:
        raise UsageError(
            "--model, --model-sha256 and --manifest belong together: the hash must not lie beside the file"
        )
    for file in (options.model, options.manifest):
        if not Path(file).is_file():
            raise UsageError(f"{file}: there is no such file")
    return str(options.model), options.model_sha256, str(options.manifest)


def _progress(options: argparse.Namespace) -> Any:
    """Lines on standard error, unless `--quiet`."""

    def tell(words: str) -> None:
        stop.check()
        if not options.quiet:
            print(words, file=sys.stderr, flush=True)

    return tell
