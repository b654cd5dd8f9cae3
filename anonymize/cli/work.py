"""One input at a time: read, hide, write. Nothing of an input that fails is left."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from anonymize.cli import options as chosen
from anonymize.cli import stop
from anonymize.cli.detections import DetectionsFile
from anonymize.cli.inputs import Job
from anonymize.detect import Model
from anonymize.errors import MediaError
from anonymize.frames import Dropped, Label, ReleasedFrame
from anonymize.pipeline import Engine


@dataclass(slots=True)
class Result:
    """What became of one input."""

    job: Job
    kind: str = "picture"
    frames: int = 0
    frames_total: int = 0
    boxes: Counter[Label] = field(default_factory=Counter)
    objects: Counter[Label] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""
    _tracks: set[tuple[Label, int]] = field(default_factory=set)

    def count(self, frame: ReleasedFrame) -> None:
        """Add the boxes of one frame; an object is a track, or a box where there are no tracks."""
        self.frames += 1
        for box in frame.boxes:
            self.boxes[box.label] += 1
            if box.track < 0:
                self.objects[box.label] += 1
            elif (box.label, box.track) not in self._tracks:
                self._tracks.add((box.label, box.track))
                self.objects[box.label] += 1


Progress = Callable[[Result], None]


class Worker:
    """Hides inputs one after another with one model; engines are made when the first input needs them."""

    def __init__(self, options: argparse.Namespace, model: Model, detections: DetectionsFile) -> None:
        self._options, self._model, self._detections = options, model, detections
        self._threads = chosen.chosen_threads(options)

    @cached_property
    def picture_engine(self) -> Engine:
        """For single pictures."""
        return self._engine(chosen.settings_for_pictures(self._options))

    @cached_property
    def video_engine(self) -> Engine:
        """For video."""
        return self._engine(chosen.settings_for_video(self._options))

    def _engine(self, settings: Any) -> Engine:
        return Engine(self._model, settings, in_place=True, threads=self._threads)

    def do(self, job: Job, progress: Progress) -> Result:
        """Hide one input; what goes wrong stands in `error`.

        KeyboardInterrupt and bugs go on to the caller, after everything unfinished was removed.
        """
        from anonymize.media.sniff import is_picture

        stop.check()
        result = Result(job)
        start_s = time.monotonic()
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            with self._detections.all_or_nothing():
                if job.looks_like_video or not (is_picture(job.source) or job.looks_like_picture):
                    self._video(job, result, progress)
                else:
                    self._picture(job, result)
        except MediaError as fault:
            result.error = str(fault)
        except OSError as fault:
            result.error = f"{job.source}: {fault.strerror or type(fault).__name__}"
        result.seconds = time.monotonic() - start_s
        return result

    def _picture(self, job: Job, result: Result) -> None:
        from anonymize.media.output import check_target
        from anonymize.media.pictures import open_picture, write_picture
        from anonymize.media.sniff import PICTURE_SUFFIXES

        check_target(job.target, overwrite=self._options.overwrite)
        picture = open_picture(job.source)
        engine = self.picture_engine
        (outcome,) = engine.process(picture.frame)
        if isinstance(outcome, Dropped):
            raise MediaError(f"{job.source}: dropped as {outcome.reason}: {engine.last_fault}")
        renamed = job.target.suffix.lower() != job.source.suffix.lower()
        wanted = PICTURE_SUFFIXES.get(job.target.suffix.lower()) if renamed else None
        write_picture(
            job.target, outcome, picture.metadata, picture_format=wanted, overwrite=self._options.overwrite
        )
        self._detections.add(outcome, str(job.source), 0)
        result.count(outcome)
        result.notes += picture.notes

    def _video(self, job: Job, result: Result, progress: Progress) -> None:
        from anonymize.media.video import VideoWriter, open_video

        options, engine = self._options, self.video_engine
        result.kind = "video"
        styles = engine.settings.styles
        if styles.weak and not options.allow_weak_on_video:
            raise MediaError(
                f"{job.source}: blur and mosaic on video can be read back from many frames; "
                "wanted veil or solid, or --allow-weak-on-video"
            )
        engine.reset()
        with (
            open_video(job.source, on_error=options.on_error) as reader,
            VideoWriter(
                job.target, reader, encoder=options.encoder, crf=options.quality, preset=options.preset,
                audio=options.audio, keep_subtitles=options.keep_subtitles, overwrite=options.overwrite,
            ) as writer,
        ):  # fmt: skip
            result.frames_total = reader.facts.frames_promised
            for captured in reader:
                number = reader.frames_read - 1
                for outcome in engine.process(captured):
                    self._video_outcome(outcome, number, writer, result)
                progress(result)
                stop.check()
        result.notes += writer.notes

    def _video_outcome(
        self, outcome: ReleasedFrame | Dropped, number: int, writer: Any, result: Result
    ) -> None:
        if isinstance(outcome, ReleasedFrame):
            writer.write(outcome)
            self._detections.add(outcome, str(result.job.source), number)
            result.count(outcome)
            return
        if self._options.on_error == "fail":
            raise MediaError(
                f"{result.job.source}: frame {number} was dropped as {outcome.reason}: "
                f"{self.video_engine.last_fault} (--on-error skip-frame leaves such frames out)"
            )
        result.dropped[outcome.reason.value] += 1
