"""One picture of an archive: hidden, written, verified and looked at again, or nothing is written.

A JPEG keeps its coded pixels outside the replaced MCUs; what cannot be rewritten so is encoded as `anonymize run` does
it, and the result says why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from anonymize.archive.engines import corrected, equipment_for
from anonymize.archive.work import FileResult, Moment, Tools
from anonymize.errors import MediaError
from anonymize.frames import Box, CapturedFrame, Dropped, Plane, ReleasedFrame
from anonymize.media import containers, jpeg_lossless
from anonymize.media.jpeg_coefficients import read_head
from anonymize.media.jpeg_lossless import LosslessJpeg, Mask, RewrittenJpeg
from anonymize.media.output import check_target, write_whole
from anonymize.media.pictures import CapturedPicture, encode_picture, read_picture, upright
from anonymize.media.sniff import PictureFormat, read_input

MOMENTS: Final = 24
INSIDE_PX: Final = 32  # from the edge of a hidden area on no MCU, of any subsampling, holds anything else
MEAN_TOLERANCE: Final = (
    8.0  # levels of a hidden area's mean beside that of its fill, for what rings in from its edge
)
LOSSY_TOLERANCE: Final = 12.0  # levels, where a picture is encoded anew with loss


@dataclass(frozen=True, slots=True)
class _Written:
    """The bytes of the file, how they came about, and by how many levels a fill may differ in them."""

    content: bytes
    rewritten: RewrittenJpeg | None
    tolerance: float
    notes: tuple[str, ...] = ()


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
    content, identity = read_input(source)
    try:
        picture = read_picture(content)
        tools.check_stop()
        equipment = equipment_for(tools, corrected(tools.settings.pictures, tools))
        (outcome,) = equipment.engine.process(picture.frame)
        if not isinstance(outcome, ReleasedFrame):
            reason = outcome.reason if isinstance(outcome, Dropped) else "unknown"
            raise MediaError(f"was dropped as {reason}: {equipment.engine.last_fault}")
        written = _write(content, picture, outcome)
        again = read_picture(written.content)
        checks = _verify(picture, outcome, written, again)
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


SECOND_LOOK: Final = "a second look, mirrored and at another scale, found nothing outside the hidden areas"


def _write(content: bytes, picture: CapturedPicture, frame: ReleasedFrame) -> _Written:
    """The hidden picture as a file: a JPEG without loss where that can be, everything else by its encoder."""
    metadata = picture.metadata
    if metadata.picture_format is not PictureFormat.JPEG:
        lossy = metadata.picture_format is PictureFormat.WEBP and not metadata.webp_lossless
        return _Written(encode_picture(frame, metadata), None, LOSSY_TOLERANCE if lossy else 0.0)
    try:
        coded = jpeg_lossless.open_lossless(containers.unpack_jpeg(content).picture)
        rewritten = jpeg_lossless.rewrite_jpeg(coded, frame, _hidden(picture.frame, frame), metadata)
    except MediaError as reason:
        note = f"encoded anew, with loss outside the hidden areas, too: it {reason}"
        return _Written(encode_picture(frame, metadata), None, LOSSY_TOLERANCE, (note,))
    notes = _order_note(coded)
    return _Written(rewritten.content, rewritten, jpeg_lossless.fill_tolerance(coded.coded), notes)


def _order_note(coded: LosslessJpeg) -> tuple[str, ...]:
    if not coded.head.progressive:
        return ()
    return ("changed: a progressive JPEG became a sequential one, its coefficients stay as they were",)


def _hidden(captured: CapturedFrame, frame: ReleasedFrame) -> Mask:
    """(H, W): every pixel that hiding has changed, and every pixel of a hidden area whether it changed or not."""
    before, after = captured.planes[0], frame.planes[0]
    changed = before != after
    mask: Mask = changed if changed.ndim == 2 else changed.any(axis=2)
    for box in frame.boxes:
        x1, y1, x2, y2 = box.hidden_xyxy
        mask[y1:y2, x1:x2] = True
    return mask


# -- Verification --------------------------------------------------------------------------------------------


def _verify(
    picture: CapturedPicture, frame: ReleasedFrame, written: _Written, again: CapturedPicture
) -> tuple[str, ...]:
    """What the decoded file was found to hold, in words; raises `MediaError` where it is not what was wanted."""
    before, wanted, after = picture.frame.planes[0], frame.planes[0], again.frame.planes[0]
    if picture.metadata.picture_format is PictureFormat.BMP:  # it has no place for an orientation
        before, wanted = (upright(p, picture.metadata.orientation) for p in (before, wanted))
    if after.shape != wanted.shape:
        raise MediaError(f"was written as {after.shape}; wanted {wanted.shape}; nothing was kept")
    _check_metadata(picture, again)
    checks = ["the written file decodes; orientation and times are the source's"]
    if written.tolerance == 0.0:
        if not np.array_equal(after, wanted):
            raise MediaError("was written with other pixels; nothing was kept")
        return (
            *checks,
            "every pixel is the hidden picture's; those outside the hidden areas are the source's",
        )
    if written.rewritten is not None:
        _check_outside(before, after, picture, written.rewritten)
        checks.append(
            "coefficients outside the replaced MCUs are the source's, and pixels beyond 1 px of them"
        )
    for box in frame.boxes:
        _check_fill(box, frame, wanted, after, written)
    return (*checks, f"hidden areas hold their fill within {written.tolerance:.1f} levels")


def _check_metadata(picture: CapturedPicture, again: CapturedPicture) -> None:
    wanted, came = picture.metadata, again.metadata
    if wanted.picture_format is PictureFormat.BMP:
        return
    for name in ("orientation", "taken", "digitized", "changed"):
        if getattr(wanted, name) != getattr(came, name):
            raise MediaError(f"was written with another {name}; nothing was kept")
    if again.notes and any(note.startswith("dropped: ") for note in again.notes):
        raise MediaError(f"was written with what must not be in it ({again.notes[0]}); nothing was kept")


def _check_outside(before: Plane, after: Plane, picture: CapturedPicture, rewritten: RewrittenJpeg) -> None:
    head = read_head(rewritten.content)
    changed = jpeg_lossless.changed_pixels(rewritten.replaced, head, beyond_px=1)
    if not np.array_equal(before[~changed], after[~changed]):
        raise MediaError("was written with other pixels outside the hidden areas; nothing was kept")


def _check_fill(box: Box, frame: ReleasedFrame, wanted: Plane, after: Plane, written: _Written) -> None:
    """The decoded hidden area beside what was put there: its mean, and each px well inside a flat fill."""
    x1, y1, x2, y2 = box.hidden_xyxy
    area = (slice(y1, y2), slice(x1, x2))
    difference = after[area].astype(np.float32) - wanted[area]
    if not difference.size:
        return
    mean = np.abs(difference.mean(axis=(0, 1))).max()
    if mean > written.tolerance + MEAN_TOLERANCE:
        raise MediaError(
            f"was written with a {box.label} that is {mean:.0f} levels from its fill; nothing was kept"
        )
    inside = slice(INSIDE_PX, -INSIDE_PX)
    is_flat = (
        wanted[area] == wanted[y1, x1]
    ).all()  # not so where another area lies over it, or the style is none
    if is_flat and difference[inside, inside].size:
        worst = np.abs(difference[inside, inside]).max()
        if worst > written.tolerance:
            raise MediaError(
                f"was written with a {box.label} that is {worst:.0f} levels from its flat fill; nothing was kept"
            )


# -- What is told ---------------------------------------------------------------------------------------------


def _result(
    picture: CapturedPicture, frame: ReleasedFrame, written: _Written, checks: tuple[str, ...]
) -> FileResult:
    labels = Counter(box.label.value for box in frame.boxes)
    bins = Counter(min(int(10 * box.confidence), 9) for box in frame.boxes)
    least_certain = sorted(frame.boxes, key=lambda box: box.confidence)[:MOMENTS]
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
