"""One picture of an archive: hidden, written, verified and looked at again, or nothing is written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from anonymize.archive.engines import corrected, equipment_for
from anonymize.archive.picture_bytes import WrittenPicture, verify, write_hidden
from anonymize.archive.work import FileResult, Moment, Tools
from anonymize.errors import MediaError
from anonymize.frames import Dropped, Origin, ReleasedFrame
from anonymize.media.output import check_target, write_whole
from anonymize.media.pictures import CapturedPicture, read_picture
from anonymize.media.sniff import read_input

MOMENTS: Final = 24
SECOND_LOOK: Final = "a second look, mirrored and at another scale, found nothing outside the hidden areas"


def reprocess_picture(source: Path, target: Path, tools: Tools) -> FileResult:
    """Hide one picture file; `target` is there, complete and verified, when this returns.

    Parameters
    ----------
    source, target : Path
    tools : Tools

    Raises
    ------
    MediaError
        The source cannot be read whole, its picture was dropped, or what was written is not what was wanted.
    SecondLookError
        The second look found what is not hidden.
    """
    check_target(target)
    try:
        content, identity = read_input(source)
        picture = read_picture(content)
        tools.check_stop()
        equipment = equipment_for(tools, corrected(tools.settings.pictures, tools))
        (outcome,) = equipment.engine.process(picture.frame)
        if not isinstance(outcome, ReleasedFrame):
            reason = outcome.reason if isinstance(outcome, Dropped) else "unknown"
            raise MediaError(f"was dropped as {reason}: {equipment.engine.last_fault}")
        written = write_hidden(content, picture, outcome)
        again = read_picture(written.content)
        checks = verify(picture, outcome, written, again)
        equipment.second_look.check(again.frame, outcome.boxes)
    except MediaError as fault:
        raise MediaError(f"{source}: {fault}") from fault.__cause__
    tools.check_stop()
    write_whole(target, written.content, source=identity)
    if target.read_bytes() != written.content:
        target.unlink()
        raise MediaError(f"{target}: what was read back is not what was written; it was removed")
    tools.progress(len(content))
    return _result(picture, outcome, written, (*checks, SECOND_LOOK))


def _result(
    picture: CapturedPicture, frame: ReleasedFrame, written: WrittenPicture, checks: tuple[str, ...]
) -> FileResult:
    labels = Counter(box.label.value for box in frame.boxes)
    bins = Counter(min(int(10 * box.confidence), 9) for box in frame.boxes)
    found = [box for box in frame.boxes if box.origin is not Origin.STATIC]
    least_certain = sorted(found, key=lambda box: box.confidence)[:MOMENTS]
    removed = [note.removeprefix("dropped: ") for note in picture.notes if note.startswith("dropped: ")]
    notes = [note for note in picture.notes if not note.startswith("dropped: ")]
    return FileResult(
        kind="picture",
        frames=1,
        boxes=dict(labels),
        objects=dict(labels),
        origins=dict(Counter(box.origin.value for box in frame.boxes)),
        confidence_histogram=tuple(bins[place] for place in range(10)),
        removed=tuple(name for note in removed for name in note.split("; ")),
        certainty=tuple(
            Moment(0.0, 0, b.label.value, b.xyxy, b.confidence, b.origin.value) for b in least_certain
        ),
        verified=checks,
        notes=(*notes, *written.notes),
    )
