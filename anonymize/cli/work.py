"""One input at a time: read, hide, write. Nothing of an input that fails is left."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from anonymize.cli import options as chosen
from anonymize.cli import stop
from anonymize.cli.cameras_in_use import DEFAULT_CAMERA
from anonymize.cli.detections import DetectionsFile
from anonymize.cli.inputs import Job
from anonymize.cli.zones_in_use import ZonesInUse
from anonymize.detect import Model
from anonymize.errors import MediaError
from anonymize.frames import Dropped, Label, Reason, ReleasedFrame
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
    withheld: int = 0  # by zones; only the sum over all inputs is ever told
    outputs: list[str] = field(default_factory=list)
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

    def __init__(
        self,
        options: argparse.Namespace,
        model: Model,
        detections: DetectionsFile,
        zones: ZonesInUse | None = None,
    ) -> None:
        self._options, self._model, self._detections, self._zones = options, model, detections, zones
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
        gate = self._zones.gate() if self._zones else None
        options = self._options
        return Engine(
            self._model, settings, zones=gate, in_place=True, threads=self._threads,
            provider=options.provider, provider_fallback=options.provider_fallback,
        )  # fmt: skip

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
        engine = vars(self).get(f"{result.kind}_engine")  # made by now, unless it failed before
        if engine is not None:
            result.notes += engine.fallbacks
        result.seconds = time.monotonic() - start_s
        return result

    def _picture(self, job: Job, result: Result) -> None:
        from anonymize.media.output import check_target
        from anonymize.media.pictures import open_picture, write_picture
        from anonymize.media.sniff import PICTURE_SUFFIXES

        check_target(job.target, overwrite=self._options.overwrite)
        picture = open_picture(job.source)
        frame = picture.frame
        if self._zones:
            if self._zones.camera_start_s is not None:
                raise MediaError(f"{job.source}: is a picture; --camera-start is when a video began")
            taken = picture.metadata.taken
            if taken is None or taken.utc_s is None:
                raise MediaError(
                    f"{job.source}: does not say when it was taken with an offset from UTC; "
                    "with --zones wanted EXIF with DateTimeOriginal and OffsetTimeOriginal"
                )
            frame = replace(frame, captured_at_s=taken.utc_s, camera=self._camera_of(job))
        engine = self.picture_engine
        (outcome,) = engine.process(frame)
        if outcome == Dropped(Reason.WITHHELD, frame.camera):
            result.withheld = 1
            return
        if isinstance(outcome, Dropped):
            raise MediaError(f"{job.source}: dropped as {outcome.reason}: {engine.last_fault}")
        renamed = job.target.suffix.lower() != job.source.suffix.lower()
        wanted = PICTURE_SUFFIXES.get(job.target.suffix.lower()) if renamed else None
        write_picture(
            job.target, outcome, picture.metadata, picture_format=wanted, overwrite=self._options.overwrite
        )
        self._detections.add(outcome, str(job.source), 0)
        result.outputs.append(str(job.target))
        result.count(outcome)
        result.notes += picture.notes

    def _video(self, job: Job, result: Result, progress: Progress) -> None:
        from anonymize.media.video import open_video

        options = self._options
        result.kind = "video"
        if chosen.settings_for_video(options).styles.weak and not options.allow_weak_on_video:
            raise MediaError(
                f"{job.source}: blur and mosaic on video can be read back from many frames; "
                "wanted veil or solid, or --allow-weak-on-video"
            )
        engine, camera = self.video_engine, self._camera_of(job)
        engine.reset(camera)
        with open_video(job.source, on_error=options.on_error) as reader:
            clock = self._zones.clock_of(reader, camera) if self._zones else None
            with self._writer(job, reader) as writer:
                result.frames_total = reader.facts.frames_promised
                for captured in reader:
                    if clock is not None:
                        captured = replace(captured, captured_at_s=clock(captured), camera=camera)
                    number = reader.frames_read - 1
                    for outcome in engine.process(captured):
                        self._video_outcome(outcome, (number, captured.pts), writer, result)
                    progress(result)
                    stop.check()
                if self._zones and not result.frames:
                    raise MediaError(self._zones.nothing_kept(reader))
        result.notes += writer.notes
        result.outputs += [str(path) for path in getattr(writer, "paths", [job.target])]

    def _camera_of(self, job: Job) -> str:
        return self._zones.cameras.camera_of(job.source) if self._zones else DEFAULT_CAMERA

    def _writer(self, job: Job, reader: Any) -> Any:
        from anonymize.media.video import SplitWriter, VideoWriter

        options, gap = self._options, self._zones.gap if self._zones else None
        chosen = {
            "encoder": options.encoder, "crf": options.quality, "preset": options.preset, "audio": options.audio,
            "keep_subtitles": options.keep_subtitles, "overwrite": options.overwrite,
        }  # fmt: skip
        if gap == "split":
            return SplitWriter(job.target, reader, **chosen)
        return VideoWriter(job.target, reader, gap=gap, **chosen)

    def _video_outcome(
        self, outcome: ReleasedFrame | Dropped, place: tuple[int, int], writer: Any, result: Result
    ) -> None:
        """Write what came of the frame with this number and time, or leave it out."""
        number, pts = place
        if isinstance(outcome, ReleasedFrame):
            writer.write(outcome)
            self._add_line(outcome, number, writer, result)
            result.count(outcome)
            return
        if outcome.reason is Reason.WITHHELD and self._zones:
            result.withheld += 1
            self.video_engine.reset(outcome.camera)  # what follows a gap is another scene
            writer.withhold(pts)
            return
        if self._options.on_error == "fail":
            raise MediaError(
                f"{result.job.source}: frame {number} was dropped as {outcome.reason}: "
                f"{self.video_engine.last_fault} (--on-error skip-frame leaves such frames out)"
            )
        result.dropped[outcome.reason.value] += 1

    def _add_line(self, frame: ReleasedFrame, number: int, writer: Any, result: Result) -> None:
        """With zones frames are counted and timed as in the output: the source's numbers would tell the gaps."""
        source = str(result.job.source)
        if self._zones is None:
            self._detections.add(frame, source, number)
            return
        part, number = writer.last_place
        self._detections.add(frame, source, number, pts=writer.last_pts, part=part)
