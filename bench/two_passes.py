"""What the second pass of an archive gives, rule by rule, and what it costs.

    python bench/two_passes.py --stills 66       # objects hidden in every frame, on clips of training stills
    python bench/two_passes.py --memory          # 200,000 frames through spool and linker: memory and time

The limits in `anonymize/track/` were chosen by the first one, on `../shared/data/train`, never on the test pictures.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from anonymize.archive.decided import linked_frames
from anonymize.archive.spool import SpoolHeader, SpoolReader, new_spool
from anonymize.boxes import CLASS_IDS, BoxTable
from anonymize.detect import load_packaged
from anonymize.evaluate.dataset import read_dataset
from anonymize.evaluate.look import full_size
from anonymize.evaluate.overlap import Boxes, as_boxes
from anonymize.evaluate.track_modes import strong_finds
from anonymize.evaluate.tracks import FollowedStill, choose_stills, clip_of, compare, longest_run
from anonymize.frames import CapturedFrame, ReleasedFrame
from anonymize.pipeline import Engine
from anonymize.track import Tracker, motion_fit, object_track, persistent, two_sided
from anonymize.track.seen_frame import SeenFrame

MODULES = (motion_fit, object_track, persistent, two_sided)
VARIANTS: dict[str, dict[str, float]] = {
    "two-sided": {},
    "without weak finds that go on": {"PERSIST_SCORE": 9.0},
    "weak finds from 0.65 on": {"PERSIST_SCORE": 0.65},
    "without sizes of neighbours": {"STEADY_S": 0.0},
    "neither": {"PERSIST_SCORE": 9.0, "STEADY_S": 0.0},
    "weak finds followed back 1.5 s": {"BEFORE_S": 1.5},
    "2 s unseen": {"UNSEEN_S": 2.0},
}


@contextmanager
def limits(chosen: dict[str, float]) -> Iterator[None]:
    """The limits of the linking, as chosen."""
    before = [
        (module, name, getattr(module, name))
        for module in MODULES
        for name in chosen
        if hasattr(module, name)
    ]
    for module, name, _ in before:
        setattr(module, name, chosen[name])
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def measure_stills(path: Path, count: int, seed: int, frames: int, sources: list[str]) -> None:
    engine = Engine(load_packaged(), full_size(tracking=True))
    pictures = [picture for picture in read_dataset(path) if not sources or picture.source in sources]
    followed: list[FollowedStill] = []
    modes = ("without", "live", *VARIANTS)
    for row, picture in enumerate(choose_stills(pictures, count, seed=seed)):
        clip, captured, _ = clip_of(picture, row, frames=frames, seed=seed)
        areas = _areas(engine, captured)
        followed.append(compare(picture, row, clip, areas, known=engine.thresholds, modes=modes))
    print(
        f"{'':32}{'class':8}{'objects':>8}{'every frame':>13}{'half':>7}{'recall':>8}{'run p95':>9}{'% of rest':>11}"
    )
    for mode in modes:
        rest = 100 * float(np.mean([still.hidden_rest[mode] for still in followed]))
        for label in ("face", "plate"):
            objects = [
                o for still in followed for o in still.objects if o.label == label and o.in_scope.any()
            ]
            if objects:
                print(f"{mode:32}{label:8}{_words(objects, mode)}{rest:11.2f}")


def _words(objects: list, mode: str) -> str:
    whole = np.mean([o.hidden[mode, "hidden"][o.in_scope].all() for o in objects])
    half = np.mean([o.hidden[mode, "half_hidden"][o.in_scope].all() for o in objects])
    hits = sum((o.in_scope & o.hidden[mode, "hidden"]).sum() for o in objects)
    recall = hits / sum(o.in_scope.sum() for o in objects)
    runs = [longest_run(o.in_scope & ~o.hidden[mode, "hidden"]) for o in objects]
    run = np.percentile(runs, 95, method="higher")
    return f"{len(objects):8}{whole:13.3f}{half:7.3f}{recall:8.3f}{run:9.0f}"


def _areas(engine: Engine, captured: list[CapturedFrame]) -> Iterator[dict[str, Boxes] | None]:
    engine.reset()
    seen = [
        SeenFrame.of(n, float(frame.pts * frame.time_base), engine.look(frame))
        for n, frame in enumerate(captured)
    ]
    size = (captured[0].width, captured[0].height)
    thresholds = {CLASS_IDS[label]: value for label, value in engine.thresholds.items()}
    linked = {}
    for name, chosen in VARIANTS.items():
        with limits(chosen):
            linked[name] = list(two_sided.link(persistent.count_persistent(seen, size, thresholds), size))
    tracker, table = Tracker(thresholds=thresholds), BoxTable()
    for number, frame in enumerate(captured):
        live = tracker.step(
            seen[number].fill(table), seen[number].time_s, shift=seen[number].shift_px, size=size
        )
        areas = {"live": _hidden(engine, frame, live)}
        areas["without"] = _hidden(engine, frame, strong_finds(seen[number]))
        for name, film in linked.items():
            areas[name] = _hidden(engine, frame, film[number].fill(BoxTable()))
        yield areas


def _hidden(engine: Engine, frame: CapturedFrame, boxes: BoxTable) -> Boxes:
    (outcome,) = engine.hide(frame, boxes)
    assert isinstance(outcome, ReleasedFrame), engine.last_fault
    return as_boxes([box.hidden_xyxy for box in outcome.boxes])


def measure_memory(frames: int) -> None:
    """Objects come and go for ever, some weak, some missed; as many as on a busy street."""
    header = SpoolHeader(
        source_sha256="0" * 64, settings_sha256="0" * 64, time_base=Fraction(1, 30), width=1920, height=1080,
        thresholds={0: 0.4, 1: 0.57},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.spool")
        with new_spool(path, header) as out:
            report = Report("spool written", frames)
            for number, seen in enumerate(_made_up(frames)):
                out.add(seen, number)
                report.at(number)
        print(f"spool: {path.stat().st_size / 1e6:.1f} MB")
        with SpoolReader(path) as reader:
            report, boxes, begin_s = Report("linked", frames), 0, time.process_time()
            for number, linked in enumerate(linked_frames(reader, None, None)):
                boxes += len(linked.boxes)
                report.at(number)
        each_ms = 1e3 * (time.process_time() - begin_s) / frames
        print(f"{boxes / frames:.1f} boxes a frame; linking takes {each_ms:.2f} ms of processor time a frame")


class Report:
    """A line each fifth of the way: resident memory."""

    def __init__(self, what: str, frames: int) -> None:
        self._what, self._frames = what, frames

    def at(self, number: int) -> None:
        if (number + 1) % (self._frames // 5) == 0:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
            print(f"{self._what}: {number + 1:7} frames  {resident:6.1f} MB resident", flush=True)


def _made_up(frames: int) -> Iterator[SeenFrame]:
    random = np.random.default_rng(0)
    lanes = np.arange(6)
    for number in range(frames):
        x = (number * (3 + lanes)) % 2400 - 200
        there = (x < 1920) & (random.random(6) < 0.85)
        boxes = np.stack([x, 100 + 150 * lanes, x + 60, 120 + 150 * lanes], axis=1)[there].astype(np.float32)
        scores = random.uniform(0.3, 1.0, len(boxes)).astype(np.float32)
        classes = (lanes[there] % 2).astype(np.int32)
        yield SeenFrame(
            number, number / 30, boxes, classes, scores, scores > 0.5, (float(random.normal()), 0.0)
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", type=Path, default=Path("../shared/data/train/annotations.json"))
    parser.add_argument("--stills", type=int, default=66)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--frames", type=int, default=90)
    parser.add_argument("--sources", nargs="*", default=[])
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--long", type=int, default=200_000)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.long)
    else:
        measure_stills(options.set, options.stills, options.seed, options.frames, options.sources)


if __name__ == "__main__":
    main()
