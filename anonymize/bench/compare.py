"""What is slower in B than in A, beyond a margin and beyond chance.

The runs are cut into twenty stretches each. If B were A with every duration longer by exactly the margin, it would be
chance which stretch stands on which side; so the sides are drawn anew many times, and the gap that was found is held
against those gaps (a permutation test of stretches, one-sided). Stretches keep what lies close in time together, for
durations that follow one another are alike. Holm's correction keeps the chance of any false alarm in a whole
comparison below 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.bench.histogram import MAX_TICKS, QUANTILES, TICKS_PER_MS, bucket_of, middle_ms
from anonymize.errors import UsageError

ALPHA: Final = 0.01
STRETCHES: Final = 20
FEWEST_STRETCHES: Final = 10
ENOUGH: Final = (
    10  # a drawing is ended when so many gaps were as large as the one found (Besag and Clifford 1991)
)
DRAWN_AT_ONCE: Final = 1000
FIGURES_A_MODE: Final = 4  # that can be a regression
DRAWN: Final = 4_000  # at most, and more where many figures are judged together
DRAWN_FOR_WORDS: Final = 1_000
FEWEST_FRAMES: Final[Mapping[str, int]] = {"p50": 60, "p90": 100, "p99": 1000}
NEVER_AS_MS: Final = MAX_TICKS / TICKS_PER_MS  # above every duration
SAME_MACHINE: Final = ("cpu", "architecture", "cores", "memory_gb")

Counts = npt.NDArray[np.float64]
Statistic = Callable[[Counts], npt.NDArray[np.float64]]
Prepare = Callable[[npt.NDArray[np.int64]], Statistic]  # from the columns that sums will have


@dataclass(slots=True)
class Verdict:
    """One figure of both runs, ms.

    Attributes
    ----------
    ratio : float
        B over A.
    p_beyond : float
        Chance of such a gap if B were slower by just the margin.
    p_slower, p_faster : float
        Chance of such a gap if there were none.
    regression : bool
        Slower beyond the margin, Holm's correction included. Only figures of whole frames can be one.
    """

    run: str
    figure: str
    a: float
    b: float
    ratio: float
    p_beyond: float
    p_slower: float
    p_faster: float
    decisive: bool
    regression: bool = False

    @property
    def words(self) -> str:
        """One word of judgement."""
        if self.regression:
            return "REGRESSION"
        if self.p_slower < ALPHA:
            return "slower"
        return "faster" if self.p_faster < ALPHA else "no difference shown"


def compare(
    a: Mapping[str, Any], b: Mapping[str, Any], *, margin: float, other_machine: bool, seed: int = 0
) -> tuple[list[Verdict], list[str]]:
    """Verdicts on all figures, and notes on what could not be judged.

    Raises
    ------
    UsageError
        The reports are not of the same runs, model or machine.
    """
    check_comparable(a, b, other_machine=other_machine)
    verdicts: list[Verdict] = []
    notes: list[str] = []
    rng = np.random.default_rng(seed)
    family = FIGURES_A_MODE * sum(len(run["modes"]) for run in a["runs"])
    most = max(DRAWN, round(5 * family / ALPHA))  # so that Holm's smallest level can be told
    for run_a, run_b in zip(a["runs"], b["runs"], strict=True):
        for mode in run_a["modes"]:
            judged, said = _judge(run_a, run_b, mode, rng, margin=margin, most=most)
            verdicts += judged
            notes += said
    if not any(verdict.decisive for verdict in verdicts):
        raise UsageError("; ".join(notes[:3]) or "the reports hold no timed run; wanted at least one")
    holm([verdict for verdict in verdicts if verdict.decisive])
    return verdicts, notes + doubts(a, b)


def doubts(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Reasons other than the engine for which the reports may differ."""
    lines = [
        f"{name} warned: {words}"
        for name, report in (("A", a), ("B", b))
        for words in report.get("warnings", [])
    ]
    lines += [
        f"{name}: A {a['machine'].get(name)}, B {b['machine'].get(name)}"
        for name in ("system", "python", "versions")
        if a["machine"].get(name) != b["machine"].get(name)
    ]
    for run_a, run_b in zip(a["runs"], b["runs"], strict=True):
        for mode, values in run_a["modes"].items():
            found = [values["boxes_hidden_per_frame"], run_b["modes"][mode]["boxes_hidden_per_frame"]]
            if any(
                abs(found[0].get(label, 0) - found[1].get(label, 0)) > 0.2 for label in {*found[0], *found[1]}
            ):
                lines.append(
                    f"{run_words(run_a['key'])}: {mode}: not the same work: boxes hidden a frame {found}"
                )
    return lines


def check_comparable(a: Mapping[str, Any], b: Mapping[str, Any], *, other_machine: bool) -> None:
    """Refuse two reports that do not measure the same."""
    differences = []
    if not other_machine:
        differences += [
            f"{name}: {a['machine'].get(name)} and {b['machine'].get(name)} (--other-machine compares all the same)"
            for name in SAME_MACHINE
            if a["machine"].get(name) != b["machine"].get(name)
        ]
    keys = [[run["key"] for run in report["runs"]] for report in (a, b)]
    if keys[0] != keys[1]:
        only = [[run_words(key) for key in ours if key not in theirs] for ours, theirs in (keys, keys[::-1])]
        differences.append(f"runs: only in A: {only[0] or 'none'}; only in B: {only[1] or 'none'}")
    else:
        for run_a, run_b in zip(a["runs"], b["runs"], strict=True):
            differences += _differences(run_a, run_b)
    if differences:
        raise UsageError("not comparable: " + "; ".join(dict.fromkeys(differences)))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    pairs = {
        "model": [run["model"]["sha256"][:12] for run in (a, b)],
        "clip": [run["scene"].get("sha256") for run in (a, b)],
        "kinds of run": [sorted(run["modes"]) for run in (a, b)],
    }
    return [f"{name}: {came[0]} and {came[1]}" for name, came in pairs.items() if came[0] != came[1]]


def run_words(key: Mapping[str, Any]) -> str:
    """A run in words."""
    load = f", beside {key['load']} burnt cores" if key["load"] else ""
    load += f", late frames: {key['late']}" if key.get("late") else ""
    load += f", real-time priority {key['priority']}" if key.get("priority") else ""
    threads = f"{key['threads']} thread" + "s" * (key["threads"] > 1)
    return (
        f"{key['width']} × {key['height']} {key['pixel_format']}, {threads}, {key['source']}, "
        f"{key['detection']} size, {key['fps']:g} frames/s{load}"
    )


def _judge(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    mode: str,
    rng: np.random.Generator,
    *,
    margin: float,
    most: int,
) -> tuple[list[Verdict], list[str]]:
    """All figures of one kind of run."""
    name = f"{run_words(a['key'])}: {mode}"
    windows = [stretches(run["modes"][mode]["windows"]) for run in (a, b)]
    if min(map(len, windows)) < FEWEST_STRETCHES:
        return [], [
            f"{name}: too short to be judged; wanted {FEWEST_STRETCHES} windows or more, see --seconds"
        ]
    verdicts: list[Verdict] = []
    notes: list[str] = []
    whole = "latency" if mode == "paced" else "service"
    frames = min(run["modes"][mode]["frames"] for run in (a, b))

    def judge(figure: str, tables: list[Table], prepare: Prepare, *, decisive: bool = True) -> None:
        verdicts.append(
            _verdict((name, figure), tables, prepare, rng, margin=margin, most=most, decisive=decisive)
        )

    for figure, fewest in FEWEST_FRAMES.items():
        if frames < fewest:
            notes.append(f"{name}: {figure} is not judged: {frames} frames; wanted {fewest}")
            continue
        judge(f"{whole} {figure}", [quantile_table(side, whole) for side in windows], quantile(figure))
    judge("CPU time a frame", [cpu_table(side) for side in windows], mean)
    for stage in a["modes"][mode]["durations_ms"]:
        known = stage.endswith("_ms") and stage in b["modes"][mode]["durations_ms"]
        if known and frames >= FEWEST_FRAMES["p50"]:
            tables = [quantile_table(side, stage) for side in windows]
            judge(f"{stage.removesuffix('_ms')} p50", tables, quantile("p50"), decisive=False)
    return verdicts, notes


def stretches(windows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Windows in order, put together to about twenty stretches of equal length."""
    count = min(STRETCHES, len(windows))
    edges = [round(place * len(windows) / count) for place in range(count + 1)] if count else []
    return [list(windows[low:high]) for low, high in pairwise(edges)]


@dataclass(frozen=True, slots=True)
class Table:
    """A row for each stretch; `values` are what the columns count, and `slower` what they would be by a factor."""

    rows: list[dict[int, float]]
    slower: Callable[[dict[int, float], float], dict[int, float]]


def quantile_table(side: Sequence[Sequence[Mapping[str, Any]]], name: str) -> Table:
    """Counts by bucket; "never" is counted above them all."""
    rows = []
    for stretch in side:
        row: dict[int, float] = {}
        for window in stretch:
            numbers = window["counts"].get(name, [])
            for bucket, count in zip(numbers[::2], numbers[1::2], strict=True):
                row[bucket] = row.get(bucket, 0) + count
            if never := window["never"].get(name):
                top = bucket_of(NEVER_AS_MS)
                row[top] = row.get(top, 0) + never
        rows.append(row)
    return Table(rows, _longer)


def _longer(row: dict[int, float], factor: float) -> dict[int, float]:
    moved: dict[int, float] = {}
    for bucket, count in row.items():
        target = bucket_of(min(middle_ms(bucket) * factor, NEVER_AS_MS))
        moved[target] = moved.get(target, 0) + count
    return moved


CPU, FRAMES = 0, 1


def cpu_table(side: Sequence[Sequence[Mapping[str, Any]]]) -> Table:
    """Processor time and frames."""
    rows = [
        {CPU: sum(w["cpu_ms"] for w in stretch), FRAMES: float(sum(w["begun"] for w in stretch))}
        for stretch in side
    ]
    return Table(rows, lambda row, factor: {CPU: row[CPU] * factor, FRAMES: row[FRAMES]})


def quantile(figure: str) -> Prepare:
    """The logarithm of a quantile of summed rows."""

    def prepared(buckets: npt.NDArray[np.int64]) -> Statistic:
        logs = np.log([middle_ms(int(bucket)) for bucket in buckets])

        def statistic(sums: Counts) -> npt.NDArray[np.float64]:
            below = np.cumsum(sums, axis=1)
            rank = np.maximum(1, np.ceil(QUANTILES[figure] * below[:, -1:]))
            place: npt.NDArray[np.intp] = (below < rank).sum(axis=1)
            return np.asarray(logs[np.minimum(place, len(logs) - 1)], np.float64)

        return statistic

    return prepared


def mean(_: npt.NDArray[np.int64]) -> Statistic:
    """The logarithm of processor time over frames."""

    def statistic(sums: Counts) -> npt.NDArray[np.float64]:
        return np.asarray(
            np.log(np.maximum(sums[:, CPU], 1e-9) / np.maximum(sums[:, FRAMES], 1e-9)), np.float64
        )

    return statistic


def _verdict(
    words: tuple[str, str],
    tables: Sequence[Table],
    prepare: Prepare,
    rng: np.random.Generator,
    *,
    margin: float,
    most: int,
    decisive: bool,
) -> Verdict:
    a, b = tables
    slowed = [a.slower(row, 1 + margin) for row in a.rows]
    log_a, log_b, p_slower = permute(a.rows, b.rows, prepare, rng, most=DRAWN_FOR_WORDS)
    _, _, p_faster = permute(b.rows, a.rows, prepare, rng, most=DRAWN_FOR_WORDS)
    _, _, p_beyond = permute(slowed, b.rows, prepare, rng, most=most if decisive else DRAWN_FOR_WORDS)
    value_a, value_b = math.exp(log_a), math.exp(log_b)
    run, figure = words
    return Verdict(run, figure, value_a, value_b, value_b / value_a, p_beyond, p_slower, p_faster, decisive)


def permute(
    a: Sequence[Mapping[int, float]],
    b: Sequence[Mapping[int, float]],
    prepare: Prepare,
    rng: np.random.Generator,
    *,
    most: int,
) -> tuple[float, float, float]:
    """The statistic of both sides, and the chance that drawn sides lie as far apart as B lies above A."""
    columns = np.array(sorted({column for row in (*a, *b) for column in row}), np.int64)
    places = {int(column): place for place, column in enumerate(columns)}
    counts: Counts = np.zeros((len(a) + len(b), len(columns)))
    for number, row in enumerate((*a, *b)):
        for column, count in row.items():
            counts[number, places[column]] = count
    statistic, total = prepare(columns), counts.sum(axis=0)
    side_b = np.zeros((1, len(counts)))
    side_b[0, len(a) :] = 1
    sums = side_b @ counts
    log_a, log_b = float(statistic(total - sums)[0]), float(statistic(sums)[0])
    drawn = as_far = 0
    while drawn < most and as_far < ENOUGH:
        sides = rng.permuted(np.repeat(side_b, DRAWN_AT_ONCE, axis=0), axis=1)
        sums = sides @ counts
        gaps = statistic(sums) - statistic(total - sums)
        as_far += int((gaps >= log_b - log_a - 1e-12).sum())
        drawn += DRAWN_AT_ONCE
    return log_a, log_b, (as_far + 1) / (drawn + 1)


def holm(verdicts: Sequence[Verdict]) -> None:
    """Mark as regressions what stays below `ALPHA` for the whole family (Holm 1979)."""
    ordered = sorted(verdicts, key=lambda verdict: verdict.p_beyond)
    for done, verdict in enumerate(ordered):
        if verdict.p_beyond * (len(ordered) - done) >= ALPHA:
            return
        verdict.regression = True
