"""What a person said on a review page: read, bound to source and settings, kept, and put in force (SAFETY 20)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from anonymize.archive.journal import FileRow, Journal, Said
from anonymize.archive.plain import digest_of, from_plain
from anonymize.archive.work import AddedBox, Corrections, FalseHit
from anonymize.errors import UsageError

SCHEMA: Final = 1
MAX_BYTES: Final = 64 << 20
NOTHING: Final = Corrections()


@dataclass(frozen=True, slots=True)
class Spoken:
    """One file of a review: what a person said, and of what."""

    key: str
    said: Said


def read_review(path: Path) -> list[Spoken]:
    """The files of a review that hold at least one correction.

    Raises
    ------
    UsageError
        The file cannot be read or is no review.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path}: is larger than {MAX_BYTES:,} bytes; wanted a review's JSON")
        plain = json.loads(path.read_text("utf-8"))
        if plain["schema"] != SCHEMA:
            raise UsageError(f"{path}: has schema {plain['schema']!r}; wanted {SCHEMA}")
        spoken = [_spoken(one) for one in plain["files"]]
    except OSError as fault:
        raise UsageError(f"{path}: cannot be read: {fault.strerror}") from None
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError) as fault:
        raise UsageError(f"{path}: is no review: {type(fault).__name__}: {fault}") from None
    return [one for one in spoken if one.said.corrections != NOTHING]


def _spoken(one: dict[str, Any]) -> Spoken:
    corrections = from_plain(Corrections, {name: one[name] for name in ("added", "released")})
    boxes: list[AddedBox | FalseHit] = [*corrections.added, *corrections.released]
    for box in boxes:
        _check(box)
    return Spoken(str(one["key"]), Said(str(one["source_digest"]), str(one["settings_digest"]), corrections))


def _check(box: AddedBox | FalseHit) -> None:
    x1, y1, x2, y2 = box.xyxy
    if not all(map(math.isfinite, (*box.xyxy, box.from_s, box.until_s))) or x2 <= x1 or y2 <= y1:
        raise UsageError(f"a review's box is {box.xyxy}; wanted x1,y1,x2,y2 in px with x1 < x2 and y1 < y2")
    if box.until_s < box.from_s:
        raise UsageError(f"a review's span is {box.from_s} to {box.until_s} s; wanted it forwards")
    if box.label not in ("face", "plate"):
        raise UsageError(f"a review's label is {box.label!r}; wanted face or plate")


def apply_review(journal: Journal, review: Sequence[Spoken], *, release: bool) -> list[str]:
    """Keep a review's corrections, added to earlier ones of the same file; its keys.

    Parameters
    ----------
    release : bool
        The second confirmation: false hits may be released.

    Raises
    ------
    UsageError
        A digest does not match what the journal has, or false hits came without the confirmation. Nothing is kept.
    """
    for one in review:
        row = journal.file(one.key)
        if row is None or row.bound is None or not row.source_digest:
            raise UsageError(f"{one.key}: is in the review, and no file that this archive has done")
        if row.source_digest != one.said.source_digest:
            raise UsageError(f"{one.key}: the review is of another source (its digest does not match)")
        if row.bound.settings_digest != one.said.settings_digest:
            raise UsageError(f"{one.key}: the review is of other settings (their digest does not match)")
        if one.said.corrections.released and not release:
            raise UsageError(
                f"{one.key}: the review releases {len(one.said.corrections.released)} false hits, which shows what "
                "was hidden; look again and add --release-false-hits to confirm it"
            )
    with journal.together():
        for one in review:
            journal.say(one.key, _with_earlier(one.said, journal.said(one.key)))
    return [one.key for one in review]


def _with_earlier(said: Said, earlier: Said | None) -> Said:
    if earlier is None or earlier.source_digest != said.source_digest:
        return said
    added = dict.fromkeys((*earlier.corrections.added, *said.corrections.added))
    released = dict.fromkeys(said.corrections.released)
    if earlier.settings_digest == said.settings_digest:
        released = dict.fromkeys((*earlier.corrections.released, *said.corrections.released))
    return replace(said, corrections=Corrections(tuple(added), tuple(released)))


@dataclass(frozen=True, slots=True)
class InForce:
    """The corrections that a task is given, their digest, and the digest that its source must have."""

    corrections: Corrections = NOTHING
    digest: str = ""
    source_digest: str = ""
    note: str = ""


def in_force(
    journal: Journal, row: FileRow | None, size: int, mtime_ns: int, settings_digest: str
) -> InForce:
    """What was said of this file, as far as it still holds.

    Added boxes hold for their source under any settings; released false hits for those settings alone. A source that
    is another one voids both.
    """
    said = journal.said(row.key) if row is not None else None
    if said is None or row is None:
        return InForce()
    if row.bound is None or (row.bound.size, row.bound.mtime_ns) != (size, mtime_ns):
        return InForce(note=f"{row.key}: the source changed, so earlier corrections of it are void")
    corrections, note = said.corrections, ""
    if corrections.released and said.settings_digest != settings_digest:
        corrections = replace(corrections, released=())
        note = f"{row.key}: released false hits are hidden again, for the settings are other ones"
    if corrections == NOTHING:
        return InForce(note=note)
    return InForce(corrections, digest_of(corrections), said.source_digest, note)
