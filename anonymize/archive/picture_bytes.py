"""A hidden picture as the bytes of a file, and the proof that they hold what was wanted, by decoding them again.

A JPEG keeps its coded pixels outside the replaced MCUs; what cannot be rewritten so is encoded as `anonymize run` does
it, and the notes say why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from anonymize.errors import MediaError
from anonymize.frames import Box, CapturedFrame, Plane, ReleasedFrame
from anonymize.media import containers, jpeg_lossless
from anonymize.media.jpeg_coefficients import read_head
from anonymize.media.jpeg_lossless import LosslessJpeg, Mask, RewrittenJpeg
from anonymize.media.pictures import CapturedPicture, encode_picture, upright
from anonymize.media.sniff import PictureFormat

MEAN_TOLERANCE: Final = (
    8.0  # levels of a hidden area's mean beside that of its fill, for what rings in from its edge
)
LOSSY_TOLERANCE: Final = 12.0  # levels, where a picture is encoded anew with loss


@dataclass(frozen=True, slots=True)
class WrittenPicture:
    """The bytes of the file, how they came about, and how far a flat fill may differ in them.

    Attributes
    ----------
    tolerance : float
        Levels; 0 where nothing may differ.
    inside_px : int
        So far from the edge of a hidden area no MCU holds anything else.
    """

    content: bytes
    rewritten: RewrittenJpeg | None
    tolerance: float
    inside_px: int = 16
    notes: tuple[str, ...] = ()


def write_hidden(content: bytes, picture: CapturedPicture, frame: ReleasedFrame) -> WrittenPicture:
    """The hidden picture as a file: a JPEG without loss where that can be, everything else by its encoder.

    Parameters
    ----------
    content : bytes
        The source's file.
    picture : CapturedPicture
        As it was read from it, still raw.
    frame : ReleasedFrame
        The same, hidden.
    """
    metadata = picture.metadata
    if metadata.picture_format is not PictureFormat.JPEG:
        lossy = metadata.picture_format is PictureFormat.WEBP and not metadata.webp_lossless
        return WrittenPicture(encode_picture(frame, metadata), None, LOSSY_TOLERANCE if lossy else 0.0)
    try:
        coded = jpeg_lossless.open_lossless(containers.unpack_jpeg(content).picture)
        rewritten = jpeg_lossless.rewrite_jpeg(coded, frame, _hidden(picture.frame, frame), metadata)
    except MediaError as reason:
        note = f"encoded anew, with loss outside the hidden areas, too: it {reason}"
        return WrittenPicture(encode_picture(frame, metadata), None, LOSSY_TOLERANCE, notes=(note,))
    tolerance = jpeg_lossless.fill_tolerance(coded.coded)
    inside_px = 8 * max(coded.head.across, coded.head.down)
    return WrittenPicture(rewritten.content, rewritten, tolerance, inside_px, _order_note(coded))


def _order_note(coded: LosslessJpeg) -> tuple[str, ...]:
    if not coded.head.progressive:
        return ()
    return ("changed: a progressive JPEG became a sequential one, its coefficients stay as they were",)


def _hidden(captured: CapturedFrame, frame: ReleasedFrame) -> Mask:
    """(H, W): every pixel that hiding has changed, and every pixel of a hidden area whether it changed or not."""
    before, after = captured.planes[0], frame.planes[0]
    if frame.hidden_whole:
        return np.ones(before.shape[:2], bool)
    changed = before != after
    # by channel: any() over an axis of three takes eight times as long (24 ms for 720p)
    mask: Mask = changed if changed.ndim == 2 else changed[..., 0] | changed[..., 1] | changed[..., 2]
    for box in frame.boxes:
        x1, y1, x2, y2 = box.hidden_xyxy
        mask[y1:y2, x1:x2] = True
    return mask


# -- Verification --------------------------------------------------------------------------------------------


def verify(
    picture: CapturedPicture, frame: ReleasedFrame, written: WrittenPicture, again: CapturedPicture
) -> tuple[str, ...]:
    """What the decoded file was found to hold, in words.

    Raises
    ------
    MediaError
        It is not what was wanted.
    """
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
    expected = before.copy()
    expected[changed] = after[changed]
    if not np.array_equal(expected, after):
        raise MediaError("was written with other pixels outside the hidden areas; nothing was kept")


def _check_fill(box: Box, frame: ReleasedFrame, wanted: Plane, after: Plane, written: WrittenPicture) -> None:
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
    inside = slice(written.inside_px, -written.inside_px)
    is_flat = (
        wanted[area] == wanted[y1, x1]
    ).all()  # not so where another area lies over it, or the style is none
    if is_flat and difference[inside, inside].size:
        worst = np.abs(difference[inside, inside]).max()
        if worst > written.tolerance:
            raise MediaError(
                f"was written with a {box.label} that is {worst:.0f} levels from its flat fill; nothing was kept"
            )
