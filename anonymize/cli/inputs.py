"""Which files a run reads, and what each becomes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anonymize.archive.state import STATE_FOLDER, is_unfinished
from anonymize.errors import UsageError

PICTURES: Final = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp"})
VIDEOS: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".3gp", ".mpg", ".mpeg"}
)


@dataclass(frozen=True, slots=True)
class Job:
    """One file and where its hidden copy goes."""

    source: Path
    target: Path

    @property
    def looks_like_picture(self) -> bool:
        """By its name alone."""
        return self.source.suffix.lower() in PICTURES

    @property
    def looks_like_video(self) -> bool:
        """By its name alone."""
        return self.source.suffix.lower() in VIDEOS


@dataclass(slots=True)
class Plan:
    """All jobs of a run; `unreadable` are folders that could not be listed, `left_out` files of other kinds."""

    jobs: list[Job] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def plan_run(inputs: Iterable[Path], output: Path) -> Plan:
    """Jobs for all inputs, folders walked recursively and their tree kept under `output`.

    A single file goes to `output` itself if that has a file's name; otherwise `output` is a folder.

    Raises
    ------
    UsageError
        An input does not exist, the output lies in an input folder, or two inputs would become one file.
    """
    inputs = list(inputs)
    for path in inputs:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: no such file or folder")
    plan = Plan()
    single = len(inputs) == 1 and not inputs[0].is_dir() and bool(output.suffix) and not output.is_dir()
    for path in inputs:
        if path.is_dir():
            _refuse_inside(output, path)
            _walk(path, output, plan)
        else:
            plan.jobs.append(Job(path, output if single else output / path.name))
    _refuse_twins(plan.jobs)
    return plan


def _refuse_inside(output: Path, folder: Path) -> None:
    inside, outside = output.resolve(), folder.resolve()
    if inside == outside or outside in inside.parents:
        raise UsageError(f"output {output} lies in the input folder {folder}; wanted another place")


def _walk(folder: Path, output: Path, plan: Plan) -> None:
    def remember(fault: OSError) -> None:
        plan.unreadable.append(f"{fault.filename}: the folder cannot be read: {fault.strerror}")

    for place, folders, names in os.walk(folder, onerror=remember):
        folders[:] = sorted(name for name in folders if name != STATE_FOLDER)
        for name in sorted(names):
            source = Path(place, name)
            if is_unfinished(name):
                continue  # of another run
            if source.suffix.lower() in PICTURES | VIDEOS:
                plan.jobs.append(Job(source, output / source.relative_to(folder)))
            else:
                plan.left_out.append(source)


def _refuse_twins(jobs: list[Job]) -> None:
    seen: dict[Path, Path] = {}
    for job in jobs:
        first = seen.setdefault(job.target, job.source)
        if first != job.source:
            raise UsageError(f"{first} and {job.source} would both become {job.target}; run them apart")
