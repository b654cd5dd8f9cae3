"""Which files are one drive: dash-cams cut it into files of one to three minutes, and objects cross the cuts.

Two files follow one another where they lie in one folder, are alike (codec, size, time base), their names differ in
nothing but digits, and one of these holds:

- both names hold a date and a time, and the later one begins when the earlier one ends (within `NAME_TOLERANCE_S`);
- no name holds a time, their last number goes up by one (or, GoPro's names, the chapter), and the files' creation
  times say the same; where a file has none, the times at which they were last written do (a copy that does not keep
  these breaks the drive).

What is not recognised is a drive of one file: its tracks end at its ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from anonymize.errors import MediaError
from anonymize.media.film_facts import FilmFacts, read_film_facts

NAME_TOLERANCE_S: Final = 2.0  # names hold whole seconds; cameras lose or repeat up to one at a cut
CREATED_TOLERANCE_S: Final = 2.0
WRITTEN_TOLERANCE_S: Final = 3.0  # FAT keeps even seconds, and the last block is written late
_LONGEST_PART_S: Final = 3600.0  # names farther apart are not opened
_TIME: Final = re.compile(
    r"(?<!\d)(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[-_ T.]{0,3}([0-2]\d)[-_.h]?([0-5]\d)[-_.m]?([0-5]\d)"
)
_GOPRO: Final = re.compile(r"(G[HXLP])(\d\d)(\d{4})", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Name:
    """A file's name taken apart: what must be equal, what is counted, and when it says that the film begins."""

    path: Path
    shape: tuple[str, ...]
    begins_s: float | None
    number: int

    def may_lead_to(self, other: _Name) -> bool:
        """Whether the names alone allow it."""
        if self.shape != other.shape:
            return False
        if self.begins_s is not None and other.begins_s is not None:
            return 0 < other.begins_s - self.begins_s <= _LONGEST_PART_S
        return other.number == self.number + 1


def group_drives(
    paths: Iterable[Path], read: Callable[[Path], FilmFacts] = read_film_facts
) -> list[list[Path]]:
    """The files in groups of one drive each, in the order of the drive; files that stand alone are groups too.

    Parameters
    ----------
    paths : iterable of Path
    read : callable
        Facts of a file; one at which it raises `MediaError` stands alone.
    """
    names = sorted(map(_take_apart, paths), key=_order)
    known: dict[Path, FilmFacts | None] = {}

    def facts(path: Path) -> FilmFacts | None:
        if path not in known:
            try:
                known[path] = read(path)
            except MediaError:
                known[path] = None
        return known[path]

    drives: list[list[Path]] = []
    before: _Name | None = None
    for name in names:
        if before is not None and before.may_lead_to(name) and _goes_on(before, name, facts):
            drives[-1].append(name.path)
        else:
            drives.append([name.path])
        if before is not None:
            known.pop(before.path, None)
        before = name
    return drives


def _order(name: _Name) -> tuple[tuple[str, ...], float, int, str]:
    return name.shape, name.begins_s or 0.0, name.number, name.path.name


def _take_apart(path: Path) -> _Name:
    stem, folder = path.stem, str(path.parent)
    time = _TIME.search(stem)
    begins_s = _time_of(time) if time else None
    if time is not None and begins_s is not None:
        around = _DIGITS.sub("#", stem[: time.start()] + "@" + stem[time.end() :])
        return _Name(path, (folder, around, path.suffix), begins_s, 0)
    gopro = _GOPRO.fullmatch(stem)
    if gopro:  # chapter first, then the number of the film
        return _Name(path, (folder, gopro[1], gopro[3], path.suffix), None, int(gopro[2]))
    numbers = list(_DIGITS.finditer(stem))
    if not numbers:
        return _Name(path, (folder, stem, path.suffix), None, 0)
    last = numbers[-1]
    around = stem[: last.start()] + "#" + stem[last.end() :]
    return _Name(path, (folder, around, path.suffix), None, int(last[0]))


def _time_of(match: re.Match[str]) -> float | None:
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _goes_on(before: _Name, after: _Name, facts: Callable[[Path], FilmFacts | None]) -> bool:
    """Whether the earlier file ends when the later one begins, and both are of one kind."""
    a, b = facts(before.path), facts(after.path)
    if a is None or b is None or a.kind != b.kind:
        return False
    if before.begins_s is not None and after.begins_s is not None:
        return abs(after.begins_s - before.begins_s - a.duration_s) <= NAME_TOLERANCE_S
    created_a, created_b = _created_s(a), _created_s(b)
    if created_a is not None and created_b is not None:
        return abs(created_b - created_a - a.duration_s) <= CREATED_TOLERANCE_S
    return abs(b.modified_s - b.duration_s - a.modified_s) <= WRITTEN_TOLERANCE_S


def _created_s(facts: FilmFacts) -> float | None:
    """When the film says it was made; None where it does not (some cameras write 1904 or 1970)."""
    try:
        made = datetime.fromisoformat(facts.created)
    except ValueError:
        return None
    return made.replace(tzinfo=made.tzinfo or UTC).timestamp() if made.year >= 2000 else None
