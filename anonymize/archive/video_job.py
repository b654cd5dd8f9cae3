"""One video of the archive in two passes: `look` finds, `hide` links what was found in time and writes the file."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

from anonymize.archive.decided import Decided, corrected, fits, linked_frames
from anonymize.archive.second_look import SecondLook
from anonymize.archive.spool import SpoolHeader, SpoolReader, new_spool
from anonymize.archive.tally import Tally
from anonymize.archive.video_rewrite import RewriteFacts, rewrite_video
from anonymize.archive.work import FileResult, Tools
from anonymize.boxes import CLASS_IDS, BoxTable
from anonymize.errors import (
    DetectorBlindError,
    DetectorError,
    FrameError,
    MediaError,
    SecondLookError,
    TooManyError,
)
from anonymize.frames import Box, CapturedFrame, Dropped, Reason, ReleasedFrame
from anonymize.media.video import VideoReader, open_video
from anonymize.pipeline import Engine
from anonymize.track.seen_frame import SeenFrame


def look(source: Path, spool: Path, tools: Tools) -> None:
    """Pass 1: what is found in each frame of `source`, in `spool`.

    Raises
    ------
    MediaError
        The source cannot be read whole, is interlaced, or changed meanwhile; the spool cannot be written.
    DetectorBlindError
        The canary was not found. There is no spool then.
    """
    settings = tools.settings.video
    engine = Engine(tools.model, settings, threads=tools.threads)
    digest = sha256_of(source)
    with open_video(source) as reader:
        header = SpoolHeader(
            source_sha256=digest,
            settings_sha256=tools.settings.digest(tools.model.entry.sha256),
            time_base=reader.facts.time_base,
            width=reader.facts.width,
            height=reader.facts.height,
            thresholds={CLASS_IDS[label]: value for label, value in engine.thresholds.items()},
        )
        bytes_done = _Progress(source, reader, tools)
        with new_spool(spool, header) as out:
            for number, captured in enumerate(reader):
                tools.check_stop()
                out.add(_seen(engine, captured, number, source), captured.pts)
                bytes_done.tell(number)
            if sha256_of(source) != digest:
                raise MediaError(f"{source}: was changed while it was read; wanted one that lies still")
    tools.progress(source.stat().st_size)


def _seen(engine: Engine, captured: CapturedFrame, number: int, source: Path) -> SeenFrame:
    """What a look gives, or the reason for which the frame will be hidden as a whole."""
    time_s = float(captured.pts * captured.time_base)
    try:
        return SeenFrame.of(number, time_s, engine.look(captured))
    except DetectorBlindError:
        raise
    except TooManyError:
        return SeenFrame.unseen(number, time_s, Reason.TOO_MANY)
    except DetectorError:
        return SeenFrame.unseen(number, time_s, Reason.DETECTOR_ERROR)
    except FrameError as fault:  # interlaced
        raise MediaError(f"{source}: frame {number}: {fault}") from fault


class _Progress:
    """Bytes of the source that are done, by the share of its frames or of its time."""

    def __init__(self, source: Path, reader: VideoReader, tools: Tools) -> None:
        facts = reader.facts
        self._bytes = source.stat().st_size
        self._frames = facts.frames_promised or round((facts.duration_s or 0) * facts.average_rate)
        self._tell = tools.progress

    def tell(self, number: int) -> None:
        """Frame `number` is done."""
        if self._frames:
            self._tell(min(self._bytes, self._bytes * (number + 1) // self._frames))


def hide(
    source: Path, target: Path, spool: Path, before: Path | None, after: Path | None, tools: Tools
) -> FileResult:
    """Pass 2: `source` with everything hidden, in `target`; what pass 1 found is linked forwards and backwards in time.

    Parameters
    ----------
    source, target, spool : Path
    before, after : Path or None
        Spools of the films before and after it in the same drive.
    tools : Tools
        `corrections` add boxes and release false hits.

    Raises
    ------
    MediaError
        The spool is of another file, of other settings or not whole; see also `rewrite_video`. No target is left.
    SecondLookError
        A face or plate was found in a written picture outside all that is hidden in it.
    """
    with ExitStack() as opened:
        found = opened.enter_context(SpoolReader(spool))
        _check_belongs(found, source, tools)
        neighbours = [path and opened.enter_context(SpoolReader(path)) for path in (before, after)]
        notes = [
            f"{other.path.name} is of another kind: tracks end between the two"
            for other in neighbours
            if other and not fits(found, other)
        ]
        beside = [other if other and fits(found, other) else None for other in neighbours]
        hiding = _Hiding(source, found, (beside[0], beside[1]), tools)
        facts = rewrite_video(
            source,
            target,
            has_boxes=hiding.has_boxes,
            hide=hiding.hide,
            settings=tools.settings,
            progress=tools.progress,
            check_stop=tools.check_stop,
            check_frame=hiding.check,
            threads=tools.threads,
            frames=found.frames,
        )
        return _result(facts, hiding, notes)


def _check_belongs(found: SpoolReader, source: Path, tools: Tools) -> None:
    header = found.header
    if header.settings_sha256 != tools.settings.digest(tools.model.entry.sha256):
        raise MediaError(f"{found.path}: is of other settings or another network; wanted the look repeated")
    if header.source_sha256 != sha256_of(source):
        raise MediaError(f"{source}: is not the file that was looked at; wanted the look repeated")


class _Hiding:
    """The questions of `rewrite_video`, answered."""

    def __init__(
        self,
        source: Path,
        found: SpoolReader,
        beside: tuple[SpoolReader | None, SpoolReader | None],
        tools: Tools,
    ) -> None:
        self._source, self._settings = source, tools.settings.video
        self._engine = Engine(tools.model, self._settings, threads=tools.threads)
        self._decided = Decided(
            source,
            lambda: (corrected(linked, tools.corrections) for linked in linked_frames(found, *beside)),
        )
        self._found = found
        self._second_look = SecondLook(tools)
        self.looks = 0
        self._table = BoxTable()
        self.tally = Tally(found.frames)

    def has_boxes(self, number: int) -> bool:
        """Whether anything is hidden in a frame."""
        return bool(self._settings.hide_always) or self._decided.has_boxes(number)

    def hide(self, captured: CapturedFrame, number: int) -> ReleasedFrame | Dropped:
        """The frame with its boxes hidden."""
        linked = self._decided.take(number)
        if number <= self.tally.last_number:  # begun anew
            self.tally = Tally(self._found.frames)
        at_s = float(captured.pts * captured.time_base)
        if linked.time_s != at_s:
            raise MediaError(
                f"{self._source}: frame {number} is at {at_s} s; wanted {linked.time_s} s, where it was looked at"
            )
        boxes = linked.reason or linked.fill(self._table)
        (outcome,) = self._engine.hide(captured, boxes)
        if isinstance(outcome, ReleasedFrame):
            self.tally.count(outcome, number)
        return outcome

    def check(self, written: CapturedFrame, hidden: tuple[Box, ...]) -> None:
        """A second look at a picture of the output; a finding names the frame of its time."""
        self.looks += 1
        try:
            self._second_look.check(written, hidden)
        except SecondLookError as fault:
            at_s = fault.pts_s
            nearest = min(self._found, key=lambda seen: abs(seen.time_s - at_s))
            raise SecondLookError(
                fault.label, fault.xyxy, fault.confidence, frame=nearest.number, pts_s=at_s
            ) from None


def _result(facts: RewriteFacts, hiding: _Hiding, notes: list[str]) -> FileResult:
    tally = hiding.tally
    looked = f"a second look at {hiding.looks} written pictures found nothing outside what is hidden"
    whole = [f"{count} frames hidden as a whole: {reason}" for reason, count in tally.hidden_whole.items()]
    return FileResult(
        kind="video",
        frames=facts.frames,
        duration_s=facts.duration_s,
        boxes=dict(tally.boxes),
        objects=dict(tally.objects),
        origins=dict(tally.origins),
        confidence_histogram=tuple(tally.confidence),
        removed=facts.removed,
        certainty=tally.certainty(),
        verified=(*facts.verified, looked),
        notes=(*facts.notes, *notes, *whole),
        copied_groups=facts.copied_groups,
        groups=facts.groups,
    )


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes.

    Raises
    ------
    MediaError
        It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
