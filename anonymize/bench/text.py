"""The report in words and columns, for a terminal; the page takes its lines from here too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from anonymize.bench.compare import Verdict, run_words
from anonymize.bench.histogram import RELATIVE_ERROR
from anonymize.bench.report import size_words

COLUMNS: Final = ("p50", "p90", "p99", "p99_9", "max")
FEWEST: Final[Mapping[str, int]] = {
    "p50": 1,
    "p90": 10,
    "p99": 100,
    "p99_9": 1000,
    "max": 1,
}  # one frame above it
MODES: Final = {"flat": "flat out", "paced": "paced"}


def number(value: float | None, frames: int, column: str) -> str:
    """A duration with three digits; a dash where there are too few frames, "never" where the frame never came."""
    if frames < FEWEST[column]:
        return "–"
    if value is None:
        return "never"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def duration_rows(mode: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """A name and five figures for the whole and each stage."""
    rows = []
    for place, (name, values) in enumerate(
        mode["durations_ms"].items()
    ):  # the whole comes first, of all frames
        frames = mode["delivered"] if place else mode["frames"]
        rows.append((stage_words(name), [number(values[column], frames, column) for column in COLUMNS]))
    return rows


def stage_words(name: str) -> str:
    """The name of a row."""
    words = {"latency": "whole, from due", "service": "whole, from begun"}
    return words.get(name, name.removesuffix("_ms"))


def machine_lines(report: Mapping[str, Any]) -> list[str]:
    """The machine, before and after."""
    known, versions = report["machine"], report["machine"]["versions"]
    memory = f", {known['memory_gb']:g} GB" if known["memory_gb"] else ""
    virtual = ", virtual" if known["virtual"] else ""
    lines = [
        f"{known['cpu']} ({known['architecture']}), {known['cores']} cores{memory}{virtual}, {known['system']}",
        f"Python {known['python']}, " + ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    for when in ("before", "after"):
        state = report[when]
        rates = state["frequency_mhz"]
        clock = "unknown" if rates is None else f"{rates[0]}–{rates[1]} MHz"
        heat = "unknown" if state["temperature_c"] is None else f"{state['temperature_c']:g} °C"
        lines.append(
            f"{when}: governor {state['governor'] or 'unknown'}, clock {clock}, temperature {heat}, "
            f"load average {state['load_average']}"
        )
    return lines


def run_title(run: Mapping[str, Any]) -> str:
    """What was run on what."""
    return f"{run_words(run['key'])} (network {run['network']['width']} × {run['network']['height']})"


def run_lines(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A name and a sentence for each fact of a run."""
    start, memory = run["start"], run["memory"]
    lines = [
        ("network", f"{run['model']['name']} {run['model']['sha256'][:12]} on {run['provider']}"),
        (
            "start",
            start_words(start),
        ),
    ]
    lines += [("INSTEAD", words) for words in run["fallbacks"]]
    lines += [line for name, mode in run["modes"].items() for line in mode_lines(name, mode, run)]
    lines.append(("hidden", hidden_words(run)))
    peak = "unknown" if memory["peak_mb"] is None else f"{memory['peak_mb']:.0f} MB"
    lines.append(
        (
            "memory",
            f"peak {peak} since {memory['peak_since']}, {memory['benchmark_frames_mb']:.0f} MB of it frames to show",
        )
    )
    if grown := run.get("allocations"):
        words = f"{grown['growth_bytes']:+,} bytes after {grown['frames']} frames, the smallest of {grown['rounds']} "
        words += f"rounds; {grown['peak_bytes']:,} bytes more at most in between"
        cut_short = "" if grown["complete"] else " (cut short by a slow machine: says little)"
        lines.append(("allocations", words + cut_short))
    return lines


def start_words(start: Mapping[str, Any]) -> str:
    """From the process being asked for to the first hidden frame, and of what that was made."""
    parts = (
        f"interpreter {start['interpreter_ms']:.0f}, imports and engine {start['imports_and_engine_ms']:.0f}, "
        f"warm-up {start['warm_up_ms']:.0f}, first call {start['first_call_ms']:.1f} ms"
    )
    seconds = start["to_first_hidden_frame_ms"] / 1000
    lost = "" if start["first_frame_hidden"] else " (which was DROPPED)"
    spent = f"{start['processor_ms'] / 1000:.2f} s of processor time"
    return f"{seconds:.2f} s to the first hidden frame{lost} ({spent}), kernels {start['kernels']}: {parts}"


def mode_lines(name: str, mode: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rate, misses and losses of one kind of run."""
    cpu = mode["cpu_ms_per_frame"]
    words = f"{mode['frames_per_s']:.1f} frames/s hidden over {mode['seconds']:.1f} s"
    words += "" if cpu is None else f", {cpu:.1f} ms of processor time a frame"
    if name == "paced":
        words += f" ({mode['cores']:.2f} cores)"
    words += "" if mode["watts"] is None else f", {mode['watts']:.1f} W"
    if mode["stolen_s"]:
        words += f"; the host took {mode['stolen_s']:.2f} s away"
    lines = [(MODES[name], words)]
    if mode["misses"] is not None:
        lines.append(("deadline", miss_words(mode, run["key"]["deadline_ms"])))
    kinds = {
        "dropped": "dropped",
        "hidden_whole": "hidden as a whole",
        "predicted_only": "hidden by prediction alone",
    }
    for kind, words in kinds.items():
        if mode.get(kind):
            counts = ", ".join(f"{count} as {reason}" for reason, count in sorted(mode[kind].items()))
            lines.append(("LOST" if kind == "dropped" else "note", f"{MODES[name]}: {words}: {counts}"))
    if mode["dropped"] and run.get("last_fault"):
        lines.append(("fault", run["last_fault"]))
    return lines


def miss_words(mode: Mapping[str, Any], deadline_ms: float) -> str:
    """Misses, beside the control loop."""
    words = f"{mode['misses']} of {mode['frames']} frames missed {deadline_ms:.1f} ms"
    if (counted := mode.get("misses_counted_by_engine")) is not None:
        words += f" ({counted} outcomes after it by the engine's own count)"
    control = mode["control"]
    if control is None:
        return words + "; no control loop ran: it would have taken a core from the engine"
    words += (
        f", {control['misses_while_on_time']} of them while the control loop ({control['work_ms']:.1f} ms of "
        f"work in the same schedule) was on time; it was late {control['late']} times"
    )
    p50, p99 = (control["durations_ms"][name] for name in ("p50", "p99"))
    if p50 is None or p99 is None:
        return words
    return f"{words}, its p50 {p50:.1f} and p99 {p99:.1f} ms ({p99 / p50:.2f} times)"


def hidden_words(run: Mapping[str, Any]) -> str:
    """How many boxes were hidden, beside what was drawn."""
    modes = list(run["modes"].values())
    if not modes:
        return "nothing was timed"
    found = modes[0]["boxes_hidden_per_frame"]
    words = ", ".join(f"{count:.2f} {label}s" for label, count in found.items()) or "no box"
    objects = run["scene"]["objects"]
    if objects is None:
        return f"{words} a frame; how many the clip shows is not known"
    drawn = ", ".join(f"{count} {label}s" for label, count in objects.items())
    return f"{words} a frame; drawn were {drawn}"


def as_text(report: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = machine_lines(report) + [f"warning: {words}" for words in report["warnings"]]
    if cold := report.get("cold_start"):
        lines.append(f"start without compiled kernels: {start_words(cold)}")
    for run in report["runs"]:
        lines += ["", run_title(run)]
        for name, mode in run["modes"].items():
            lines.append(
                f"  {MODES[name] + ', ms':22}" + "".join(f"{c.replace('_', '.'):>9}" for c in COLUMNS)
            )
            lines += [
                f"    {words:20}" + "".join(f"{figure:>9}" for figure in figures)
                for words, figures in duration_rows(mode)
            ]
        lines += [f"  {name:12} {words}" for name, words in run_lines(run)]
    lines += [
        "",
        f"Quantiles hold to {RELATIVE_ERROR:.1%}; a frame that was lost counts as one that never came.",
    ]
    return "\n".join(lines)


def limit_line(found: Mapping[str, Any] | None, width: int, height: int, asked_fps: float) -> str:
    """What this machine sustains, in one line."""
    size = size_words(width, height)
    if found is None:
        return f"this machine sustains no camera of {size}, not even at 1 frame/s"
    watts = "" if found["watts"] is None else f", {found['watts']:.1f} W"
    end = f"p99 {found['latency_ms']['p99']:.1f} ms{watts}"
    cameras = f"{found['cameras']} camera" + "s" * (found["cameras"] > 1)
    if found["fps"] == asked_fps:
        return f"this machine sustains {cameras} of {size} at {asked_fps:g} frames/s, {end}"
    return (
        f"this machine does not sustain one camera of {size} at {asked_fps:g} frames/s; it sustains one at "
        f"{found['fps']:g} frames/s, {end}"
    )


def comparison_text(verdicts: Sequence[Verdict], notes: Sequence[str], margin: float) -> str:
    """Every figure of two reports side by side."""
    lines: list[str] = []
    run = ""
    for verdict in verdicts:
        if verdict.run != run:
            run = verdict.run
            lines += ["", run, f"  {'':22}{'A':>10}{'B':>10}{'B / A':>8}"]
        name = verdict.figure if verdict.decisive else f"  {verdict.figure}"
        lines.append(
            f"  {name:22}{verdict.a:10.3f}{verdict.b:10.3f}{verdict.ratio:8.3f}  {verdict.words}"
            + (f" (p {verdict.p_beyond:.1g})" if verdict.regression else "")
        )
    lines += ["", *(f"note: {note}" for note in notes)]
    bad = sum(verdict.regression for verdict in verdicts)
    lines.append(
        f"{bad} of {sum(v.decisive for v in verdicts)} figures are slower by more than {margin:.0%} beyond chance"
        if bad
        else f"no figure is slower by more than {margin:.0%} beyond chance"
    )
    return "\n".join(lines).lstrip("\n")
