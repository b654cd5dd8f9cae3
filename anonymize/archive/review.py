"""What a person should judge: the least certain moments of an archive, shown from the written output alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from anonymize.archive.journal import FileRow, Journal
from anonymize.archive.review_page import as_page
from anonymize.archive.source_watch import digest_file
from anonymize.archive.status import state_of
from anonymize.archive.work import Moment
from anonymize.errors import MediaError
from anonymize.media.stills import Still, picture_still, video_still


@dataclass(frozen=True, slots=True)
class Shown:
    """One moment on the page; without a still where there is no written picture to show."""

    row: FileRow
    moment: Moment
    still: Still | None


def review_page(
    output: Path, count: int, *, check: Callable[[], None] = lambda: None
) -> tuple[str, int, list[str]]:
    """The page, how many moments it shows, and what could not be shown.

    Parameters
    ----------
    output : Path
    count : int
        Moments at most: those in quarantine first, then the least certain.
    check : callable
        Asked before each picture; what it raises ends the work.
    """
    left_out: list[str] = []
    with contextlib.closing(Journal(state_of(output).journal, reading=True)) as journal:
        chosen = nsmallest(
            count, _candidates(journal), key=lambda one: (one[0].state == "done", one[1].confidence)
        )
    shown = []
    sound: dict[str, str] = {}
    for row, moment in chosen:
        check()
        still = None
        if row.state == "done":
            try:
                still = _still(output, row, moment, sound)
            except MediaError as fault:
                left_out.append(str(fault))
                continue
        shown.append(Shown(row, moment, still))
    return as_page(str(output), [(one.row, one.moment, one.still) for one in shown]), len(shown), left_out


def _candidates(journal: Journal) -> Iterator[tuple[FileRow, Moment]]:
    for row in journal.files("done", "quarantined"):
        if row.result is not None:
            for moment in row.result.certainty:
                yield row, moment


def _still(output: Path, row: FileRow, moment: Moment, sound: dict[str, str]) -> Still | None:
    """From the written file, which must be the journal's; None for the pictures of robot logs."""
    path = output / row.key
    if row.key not in sound:
        try:
            sound[row.key] = digest_file(path)
        except OSError as fault:
            raise MediaError(f"{path}: cannot be read: {fault.strerror}") from None
    if sound[row.key] != row.output_digest:
        raise MediaError(f"{path}: is not what was written; it is not shown")
    if row.kind == "log":
        return None
    return picture_still(path) if row.kind == "picture" else video_still(path, moment.pts_s)
