"""A video of the archive written anew: hidden where something was found, bit for bit the source elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anonymize.archive.work import ArchiveSettings
from anonymize.errors import MediaError
from anonymize.frames import Box, CapturedFrame, Dropped, ReleasedFrame
from anonymize.media.video import VideoReader, VideoWriter, open_video

HasBoxes = Callable[[int], bool]
Hide = Callable[[CapturedFrame, int], ReleasedFrame | Dropped]
CheckFrame = Callable[[CapturedFrame, tuple[Box, ...]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteFacts:
    """What became of one video.

    Attributes
    ----------
    frames : int
    duration_s : float
        As the source's container says, or from the first frame to the end of the last.
    groups, copied_groups : int
        Closed groups of pictures, and those that are bit for bit the source's.
    encoded_anew : mapping of reason to int
        Groups that were decoded, hidden and encoded, by reason; `boxes` is the usual one.
    fall_back : str
        Why the whole file was encoded anew; empty where groups could be copied.
    encoder : str
        Codec of what was encoded.
    removed : tuple of str
        Streams and metadata left out, named.
    verified : tuple of str
        The checks that the written file has passed, in words.
    notes : tuple of str
    """

    frames: int
    duration_s: float
    groups: int = 0
    copied_groups: int = 0
    encoded_anew: Mapping[str, int] = field(default_factory=dict)
    fall_back: str = ""
    encoder: str = ""
    removed: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def rewrite_video(
    source: Path,
    target: Path,
    *,
    has_boxes: HasBoxes,
    hide: Hide,
    settings: ArchiveSettings,
    progress: Callable[[int], None],
    check_stop: Callable[[], None],
    check_frame: CheckFrame | None = None,
    threads: int = 1,
    frames: int | None = None,
) -> RewriteFacts:
    """What became of `source`, hidden in `target`, which is complete and verified then.

    Parameters
    ----------
    source, target : Path
        `target` must not exist; its extension chooses the container.
    has_boxes : callable
        Whether anything is hidden in the frame of this number: presentation order as `VideoReader` hands frames out,
        from 0. Asked in rising order.
    hide : callable
        The frame, hidden; called in rising order, for the frames of groups that are encoded anew.
    settings : ArchiveSettings
    progress : callable
        Told the bytes of the source that are done.
    check_stop : callable
        Raises to end; nothing is left then.
    check_frame : callable or None
        Given decoded frames of the output, a sample, with the boxes hidden in them; raises where it sees a fault.
    threads : int
        Of the encoder.
    frames : int or None
        How many frames were searched before: another number is an error.

    Raises
    ------
    MediaError
        The source cannot be read whole, a frame was dropped, or the target cannot be written; nothing is left.
    VerificationError
        The written file is not what was meant; nothing is left.
    """
    size = source.stat().st_size
    with open_video(source) as reader, _writer(target, reader, settings, threads) as writer:
        total = frames or reader.facts.frames_promised
        for number, captured in enumerate(reader):
            check_stop()
            writer.write(_released(hide(captured, number), number, source))
            if total:
                progress(min(size, size * (number + 1) // total))
        if frames is not None and reader.frames_read != frames:
            raise MediaError(
                f"{source}: {reader.frames_read} frames came; wanted the {frames} searched before"
            )
    progress(size)
    return RewriteFacts(
        frames=writer.frames_written,
        duration_s=reader.facts.duration_s or 0.0,
        groups=1,
        encoded_anew={"boxes": 1},
        encoder=writer.encoder,
        removed=tuple(note for note in writer.notes if "left out" in note),
        notes=tuple(note for note in writer.notes if "left out" not in note),
    )


def _writer(target: Path, reader: VideoReader, settings: ArchiveSettings, threads: int) -> VideoWriter:
    return VideoWriter(
        target, reader,
        encoder=settings.encoder, crf=settings.quality, preset=settings.preset, threads=threads,
        audio=settings.audio, keep_subtitles=settings.keep_subtitles,
    )  # fmt: skip


def _released(outcome: ReleasedFrame | Dropped, number: int, source: Path) -> ReleasedFrame:
    """The frame, if it may be written; a frame that is not would be a hole in the film.

    Raises
    ------
    MediaError
        It was dropped.
    """
    if isinstance(outcome, Dropped):
        raise MediaError(
            f"{source}: frame {number} was dropped as {outcome.reason}; wanted every frame hidden"
        )
    return outcome
