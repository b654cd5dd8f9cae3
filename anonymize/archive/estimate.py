"""What a run would do, how long it would take (measured on a sample) and what space it needs; nothing is kept."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from anonymize.archive.adopt import sweep
from anonymize.archive.crew import Crew, Failed, LocalCrew, Progress
from anonymize.archive.journal import Journal
from anonymize.archive.planning import Item, bind, join_drives
from anonymize.archive.receipts import Task
from anonymize.archive.run import Request, local_archive
from anonymize.archive.survey import Survey, survey
from anonymize.archive.words import amount, remaining
from anonymize.archive.work import Kind

SCHEMA: Final = 1
WAIT_S: Final = 0.2
PICTURES: Final = 8  # of a sample
NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Rate:
    """What a sample of one kind gave, one worker: `size_ratio` is output to source, 1 where none was completed."""

    bytes_per_s: float
    size_ratio: float
    files: int
    seconds: float
    complete: bool


def estimate(request: Request, *, sample_s: float, check: Callable[[], None]) -> dict[str, Any]:
    """The plan as plain values.

    Parameters
    ----------
    request : Request
    sample_s : float
        How long the sample may take at most, s; 0: no times.
    check : callable
        Asked several times a second; what it raises ends the measurement.
    """
    archive = local_archive(request)
    items = join_drives(archive.contents.items, request.group)
    archive.contents.items = items
    with contextlib.ExitStack() as opened:
        journal = None
        if archive.state.journal.is_file():
            journal = opened.enter_context(contextlib.closing(Journal(archive.state.journal, reading=True)))
        found = survey(
            archive.contents,
            journal,
            archive.place,
            request.settings_digest,
            retry=request.retry,
            check=check,
        )
    todo = found.todo
    rates = _measure(request, todo, sample_s, check) if sample_s > 0 and todo else {}
    return _values(request, found, rates, Path(request.output))


def _values(request: Request, found: Survey, rates: Mapping[Kind, Rate], output: Path) -> dict[str, Any]:
    todo = found.todo
    sizes: Counter[Kind] = Counter()
    files = Counter(item.kind for item in todo)
    for item in todo:
        sizes[item.kind] += item.size
    known = all(kind in rates for kind in sizes)
    seconds = sum(sizes[kind] / rates[kind].bytes_per_s for kind in rates) if known else None
    if seconds is not None:
        seconds /= max(1, min(request.workers, len(todo)))
    needed = sum(size * (rates[kind].size_ratio if kind in rates else 1.0) for kind, size in sizes.items())
    near = next(place for place in (output, *output.resolve().parents) if place.is_dir())
    return {
        "schema": SCHEMA,
        "standings": dict(Counter(one.word for one in found.standings.values())),
        "todo": {kind: {"files": files[kind], "bytes": size} for kind, size in sizes.items()},
        "why": dict(Counter(one.why for one in found.standings.values() if one.word == "changed")),
        "workers": request.workers,
        "seconds": round(seconds, 1) if seconds is not None else None,
        "rates": {
            kind: {"bytes_per_s": round(rate.bytes_per_s), "files": rate.files, "seconds": round(rate.seconds, 1),
                   "complete": rate.complete, "size_ratio": round(rate.size_ratio, 3)}
            for kind, rate in rates.items()
        },
        "needed_bytes": round(needed),
        "free_bytes": shutil.disk_usage(near).free,
        "refused": [one.why for one in found.standings.values() if one.word == "refused"],
        "waiting_for_a_person": [
            {"file": key, "why": one.why} for key, one in found.standings.items()
            if one.word in ("quarantined", "set aside")
        ],
        "unreadable": found.contents.unreadable,
        "left_out": found.contents.left_out,
        "exceptions": list(request.exceptions),
        "notes": found.notes,
    }  # fmt: skip


def _measure(
    request: Request, todo: Sequence[Item], sample_s: float, check: Callable[[], None]
) -> dict[Kind, Rate]:
    """Rates of the kinds there are, by doing a few files of each in a folder that is then removed."""
    by_kind: dict[Kind, list[Item]] = {}
    for item in sorted(todo, key=lambda item: item.size):
        by_kind.setdefault(item.kind, []).append(item)
    rates: dict[Kind, Rate] = {}
    with tempfile.TemporaryDirectory(prefix="anonymize-sample-", dir=_ram()) as place:  # mode 0700
        for kind, items in by_kind.items():
            sample = _spread(items, PICTURES if kind == "picture" else 1)
            crew = LocalCrew(request.setup, 1, scratch=Path(place))
            try:
                tasks = [(item, task) for item in sample for task in _tasks(request, item, Path(place))]
                rate = _rate(crew, tasks, sample_s / len(by_kind), check)
            finally:
                for task in crew.stop():
                    sweep(Path(task.temporary))
            if rate is not None:
                rates[kind] = rate
    return rates


def _ram() -> Path | None:
    shared = Path("/dev/shm")  # noqa: S108  a folder of mode 0700 is made in it, and removed
    return shared if shared.is_dir() else None


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Some from small to middling: the largest would take the whole time of a sample."""
    half = items[: max(1, (len(items) + 1) // 2)]
    return list(half[:: max(1, len(half) // count)][:count])


def _rate(
    crew: Crew, tasks: Sequence[tuple[Item, Task]], limit_s: float, check: Callable[[], None]
) -> Rate | None:
    """One worker's rate over the sample, from its first word on; None where nothing was done.

    A video's two passes count half of its bytes each: where time was over in the first, the second counts like it.
    """
    series, done, ended = _Series(time.monotonic(), limit_s), 0.0, True
    completed: list[tuple[Item, int]] = []
    for item, task in tasks:
        weight = 0.5 if item.kind == "video" else 1.0
        ended = _follow(crew, task, check, series.adding(done, weight))
        done += weight * item.size
        if not ended:
            break
        if task.step == "file":
            completed.append((item, Path(task.target).stat().st_size))
    seconds, seen = series.span()
    if seen <= 0 or seconds <= 0:
        return None
    ratio = sum(size for _, size in completed) / max(1, sum(item.size for item, _ in completed))
    return Rate(seen / seconds, ratio or 1.0, len(completed), seconds, ended)


class _Series:
    """Bytes done over time, of a sample that may take so long from its first word on."""

    def __init__(self, begun_s: float, limit_s: float) -> None:
        self._points, self._limit_s = [(begun_s, 0.0)], limit_s

    def adding(self, before: float, weight: float) -> Callable[[int | None], bool]:
        """What takes a task's bytes (None: nothing new) and says whether time is left."""

        def add(count: int | None) -> bool:
            now_s = time.monotonic()
            if count is not None:
                self._points.append((now_s, before + weight * count))
            return len(self._points) < 2 or now_s < self._points[1][0] + self._limit_s

        return add

    def span(self) -> tuple[float, float]:
        """Seconds and bytes; from the first word where there are more: the start and compiling are no rate."""
        first, last = self._points[1 if len(self._points) > 2 else 0], self._points[-1]
        return last[0] - first[0], last[1] - first[1]


def _follow(crew: Crew, task: Task, check: Callable[[], None], add: Callable[[int | None], bool]) -> bool:
    """Whether the task came to its end in time."""
    crew.begin(task)
    while add(None):
        check()
        for event in crew.events(WAIT_S):
            if isinstance(event, Failed):
                return False
            add(min(event.done_bytes, task.bound.size) if isinstance(event, Progress) else task.bound.size)
            if not isinstance(event, Progress):
                return True
    return False


def _tasks(request: Request, item: Item, place: Path) -> list[Task]:
    suffix = Path(item.source).suffix
    alone = replace(item, before="", after="")
    bound = bind(alone, {item.key: alone}, request.settings_digest)
    spool, target = place / "spool", place / f"{abs(hash(item.key))}{suffix}"
    file = Task(
        key=item.key, step="file", kind=item.kind, source=item.source, target=str(target),
        temporary=str(place / f"unfinished{suffix}"), bound=bound, spool=str(spool),
    )  # fmt: skip
    if item.kind != "video":
        return [file]
    look = replace(file, step="look", target=str(spool), temporary=str(place / "unfinished"))
    return [look, file]


def as_text(values: Mapping[str, Any]) -> str:
    """The plan for people."""
    lines = [f"exception: {line}" for line in values["exceptions"]]
    lines += [f"note: {line}" for line in values["notes"]]
    lines += [f"failed: {line}" for line in (*values["unreadable"], *values["refused"])]
    lines += [f"waits for a person: {one['file']}: {one['why']}" for one in values["waiting_for_a_person"]]
    if values["left_out"]:
        some = ", ".join(values["left_out"][:NAMED]) + (" …" if len(values["left_out"]) > NAMED else "")
        lines.append(f"{len(values['left_out'])} files of other kinds are left out: {some}")
    lines.append(
        "files: " + (", ".join(f"{count} {word}" for word, count in values["standings"].items()) or "none")
    )
    lines += [f"to be done again: {count} files, {why}" for why, count in values["why"].items()]
    for kind, one in values["todo"].items():
        rate = values["rates"].get(kind)
        measured = f", {amount(rate['bytes_per_s'])}/s a worker measured" if rate else ", not measured"
        several = "s" if one["files"] != 1 else ""
        lines.append(f"to do: {one['files']} {kind}{several}, {amount(one['bytes'])}{measured}")
    if values["todo"]:
        took = remaining(values["seconds"]) if values["seconds"] is not None else "not known"
        lines.append(f"time: {took} with {values['workers']} workers")
        lines.append(
            f"space: about {amount(values['needed_bytes'])} needed, {amount(values['free_bytes'])} free"
        )
    return "\n".join(lines)
