"""A video of the archive written anew: hidden where something was found, bit for bit the source elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anonymize.archive.work import ArchiveSettings
from anonymize.errors import MediaError
from anonymize.frames import CapturedFrame, Dropped, ReleasedFrame
from anonymize.media.nal import RULES
from anonymize.media.video import VideoWriter, open_video
from anonymize.media.video_encoders import AUTO, choose_encoder
from anonymize.media.video_group_write import GROUP_MUXERS, GroupWriter
from anonymize.media.video_groups import Group, GroupReader, GroupScan
from anonymize.media.video_proof import CheckFrame, Proof
from anonymize.media.video_write import MUXERS

HasBoxes = Callable[[int], bool]
Hide = Callable[[CapturedFrame, int], ReleasedFrame | Dropped]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteFacts:
    """What became of one video.

    Attributes
    ----------
    frames : int
    duration_s : float
        As the source's container says, or from the first frame to the end of the last.
    groups, copied_groups : int
        Closed groups of pictures, and those that are bit for bit the source's; 0 where they were not looked for.
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
    job = _Job(
        source,
        target,
        has_boxes,
        hide,
        settings,
        progress,
        check_stop,
        check_frame,
        threads,
        source.stat().st_size,
    )
    with GroupReader(source, on_error="fail", camera="front", threads=1) as reader:
        facts = reader.facts
        scan = None
        fall_back = _refusal(reader, target, settings)
        if not fall_back:
            scan = reader.scan(RULES[facts.codec], check_stop)
            fall_back = scan.fall_back
            if frames is not None and not fall_back and scan.frames != frames:
                raise MediaError(f"{source}: holds {scan.frames} frames; wanted the {frames} searched before")
        marked = [] if scan is None or fall_back else [job.is_marked(group) for group in scan.groups]
        if not fall_back and all(marked):
            fall_back = "every group holds a box"
        if scan is not None and not fall_back:
            return _rewrite_groups(job, reader, scan, marked)
    return _rewrite_whole(job, fall_back, frames, len(marked))


@dataclass(frozen=True, slots=True)
class _Job:
    """What `rewrite_video` was asked for."""

    source: Path
    target: Path
    has_boxes: HasBoxes
    hide: Hide
    settings: ArchiveSettings
    progress: Callable[[int], None]
    check_stop: Callable[[], None]
    check_frame: CheckFrame | None
    threads: int
    size: int

    def is_marked(self, group: Group) -> bool:
        """Anything is hidden in a frame of the group."""
        return any(
            self.has_boxes(number) for number in range(group.first_frame, group.first_frame + group.packets)
        )

    def hidden(self, captured: CapturedFrame, number: int) -> ReleasedFrame:
        """The frame, if it may be written; a frame that is not would be a hole in the film.

        Raises
        ------
        MediaError
            It was dropped, or is made of two fields.
        """
        if captured.interlaced:
            raise MediaError(f"{self.source}: frame {number} is interlaced; wanted progressive video")
        outcome = self.hide(captured, number)
        if isinstance(outcome, Dropped):
            raise MediaError(
                f"{self.source}: frame {number} was dropped as {outcome.reason}; wanted every frame hidden"
            )
        return outcome

    def told(self, frames: int, of: int) -> None:
        """Say how far it is, and end if it is to end."""
        self.check_stop()
        if of:
            self.progress(min(self.size, self.size * frames // of))

    def writing(self) -> dict[str, Any]:
        """Arguments of the writer."""
        chosen = self.settings
        return {
            "crf": chosen.quality, "preset": chosen.preset, "threads": self.threads,
            "audio": chosen.audio, "keep_subtitles": chosen.keep_subtitles,
        }  # fmt: skip


def _refusal(reader: GroupReader, target: Path, settings: ArchiveSettings) -> str:
    """Why no group can be copied, as far as it is known before the packets are read."""
    facts = reader.facts
    muxer = MUXERS.get(target.suffix.lower(), facts.container)
    if not settings.copy_groups:
        return "copying of groups is switched off"
    if facts.codec not in RULES:
        return f"groups of {facts.codec} are not copied"
    if settings.encoder not in (AUTO, facts.codec):
        return f"coded as {settings.encoder} by choice"
    if muxer not in GROUP_MUXERS:
        return f"groups are not copied into {muxer}"
    if facts.converted:
        return f"pixel format {facts.source_format} is converted"
    if facts.mastering:
        return "HDR light levels are written by the encoder alone"
    try:
        kept = choose_encoder(AUTO, facts, muxer) == facts.codec
    except MediaError:
        return "no encoder takes it"
    return "" if kept else f"no encoder of {facts.codec} takes it"


def _rewrite_groups(job: _Job, reader: GroupReader, scan: GroupScan, marked: list[bool]) -> RewriteFacts:
    """Marked groups encoded anew, the others copied."""
    facts = reader.facts
    proof = Proof(job.target, facts.codec, facts, check_frame=job.check_frame, check_stop=job.check_stop)
    reader.begin_groups(scan)
    with GroupWriter(job.target, reader, scan, proof, **job.writing()) as writer:
        for group, holds_boxes in zip(scan.groups, marked, strict=True):
            if holds_boxes:
                for number, captured in enumerate(writer.encode_anew(group), group.first_frame):
                    writer.write(job.hidden(captured, number))
                    job.told(number, scan.frames)
            else:
                writer.copy(group, job.check_stop)
                job.told(group.first_frame + group.packets, scan.frames)
        reader.end_groups()
    job.progress(job.size)
    return _facts_of(writer, proof, copied=writer.groups_copied, groups=len(scan.groups))


def _rewrite_whole(job: _Job, fall_back: str, frames: int | None, groups: int) -> RewriteFacts:
    """Every frame decoded, hidden and encoded."""
    with open_video(job.source) as reader:
        facts = reader.facts
        muxer = MUXERS.get(job.target.suffix.lower(), facts.container)
        codec = choose_encoder(job.settings.encoder, facts, muxer)
        proof = Proof(job.target, codec, facts, check_frame=job.check_frame, check_stop=job.check_stop)
        with VideoWriter(job.target, reader, encoder=codec, proof=proof, **job.writing()) as writer:
            for number, captured in enumerate(reader):
                writer.write(job.hidden(captured, number))
                job.told(number, frames or facts.frames_promised)
            if frames is not None and reader.frames_read != frames:
                raise MediaError(
                    f"{job.source}: {reader.frames_read} frames came; wanted the {frames} searched before"
                )
    job.progress(job.size)
    return _facts_of(writer, proof, copied=0, groups=groups, fall_back=fall_back)


def _facts_of(
    writer: VideoWriter, proof: Proof, *, copied: int, groups: int, fall_back: str = ""
) -> RewriteFacts:
    facts = writer.reader.facts
    anew = [f"every picture was encoded anew: {fall_back}"] if fall_back else []
    left_out = [note for note in writer.notes if "left out" in note]
    return RewriteFacts(
        frames=writer.frames_written,
        duration_s=facts.duration_s or float(writer.frames_written / facts.average_rate),
        groups=groups,
        copied_groups=copied,
        fall_back=fall_back,
        encoder=writer.encoder,
        removed=tuple(left_out),
        verified=proof.passed(),
        notes=tuple([note for note in writer.notes if note not in left_out] + anew),
    )
