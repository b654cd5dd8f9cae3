"""Pictures and log messages of an archive: processor time beside a plain decode and encode, by part, in one run.

    python bench/archive_pictures.py [FILE.jpg ...] [--rounds N]
    python bench/archive_pictures.py --second-look N --dataset ../shared/data/train

Without a file: a drawn 1280 x 720 street. The plain way is Pillow's decode and encode with the source's tables.
`--second-look` counts, on N pictures of a labelled set, the files that a second look would set aside, by margin.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

import numpy as np
from PIL import Image

from anonymize.archive.engines import equipment_for
from anonymize.archive.log_job import reprocess_log
from anonymize.archive.picture_bytes import verify, write_hidden
from anonymize.archive.picture_job import reprocess_picture
from anonymize.archive.second_look import PICTURE_MARGIN, SAMPLE_MARGIN, SecondLook
from anonymize.archive.work import ArchiveSettings, Tools
from anonymize.detect import Detector, load_packaged
from anonymize.frames import CapturedFrame
from anonymize.media.pictures import open_picture, read_picture
from anonymize.settings import FULL_SIZE_PX, Settings
from bench.jpeg_scan import drawn  # the same drawn street

AREAS = ((100.0, 80.0, 220.0, 230.0), (700.0, 400.0, 820.0, 460.0))
MARGINS = (0.0, 0.05, PICTURE_MARGIN, 0.15, SAMPLE_MARGIN)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--second-look", type=int, metavar="N")
    parser.add_argument("--dataset", type=Path, default=Path("../shared/data/train"))
    options = parser.parse_args()
    if options.second_look:
        count_set_aside(options.dataset, options.second_look)
        return
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or [drawn_street(Path(folder))]
        for file in files:
            measure_picture(file, Path(folder), options.rounds)
        measure_messages(files[0], Path(folder), options.rounds)


def drawn_street(folder: Path) -> Path:
    """A drawn 720p JPEG, 4:2:0, quality 85."""
    image = Image.open(io.BytesIO(drawn())).crop((0, 0, 1280, 720))
    path = folder / "drawn.jpg"
    image.save(path, quality=85, subsampling=2)
    return path


# -- Time ----------------------------------------------------------------------------------------------------


@contextmanager
def without_network(blank: dict[str, float]) -> Iterator[None]:
    """Count the processor time of the network's runs apart."""
    detect = Detector.detect

    def counted(self: Detector, *words: Any, **named: Any) -> Any:
        begun_s = time.process_time()
        try:
            return detect(self, *words, **named)
        finally:
            blank["s"] += time.process_time() - begun_s

    Detector.detect = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Detector.detect = detect  # type: ignore[method-assign]


def median_ms(work: Callable[[], Any], rounds: int) -> float:
    """Median processor time of some rounds after two that are not counted, ms."""
    times = []
    for _ in range(rounds + 2):
        begun_s = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - begun_s))
    return statistics.median(times[2:])


def plain(content: bytes) -> bytes:
    """Decode and encode with the source's tables and subsampling, by Pillow."""
    image = Image.open(io.BytesIO(content))
    image.load()
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality="keep")
    return stream.getvalue()


def measure_picture(file: Path, folder: Path, rounds: int) -> None:
    """The whole job beside the plain way, in turns, and the job's parts."""
    content, target = file.read_bytes(), folder / "out.jpg"
    settings = Settings(tracking=False, hide_always=AREAS, min_long_side_px=FULL_SIZE_PX)
    # the second look can find something in any picture: the time is wanted, not the finding
    SecondLook.check = lambda self, frame, hidden, *_: self.findings(frame, hidden) and None  # type: ignore[method-assign]
    tools = Tools(ArchiveSettings(pictures=settings), load_packaged())

    def job() -> None:
        target.unlink(missing_ok=True)
        reprocess_picture(file, target, tools)

    whole, besides, plain_times = [], [], []
    network = {"s": 0.0}
    with without_network(network):
        for _ in range(rounds + 2):
            plain_times.append(median_ms(lambda: plain(content), 1))
            network["s"], begun_s = 0.0, time.process_time()
            job()
            spent_s = time.process_time() - begun_s
            whole.append(1e3 * spent_s)
            besides.append(1e3 * (spent_s - network["s"]))
    whole_ms, besides_ms, plain_ms = (statistics.median(times[2:]) for times in (whole, besides, plain_times))
    picture = read_picture(content)
    print(
        f"{file.name}, {picture.frame.width} x {picture.frame.height}, {len(content):,} bytes, processor time: "
        f"plain decode + encode {plain_ms:.1f} ms ({1e3 / plain_ms:.0f}/s); "
        f"job {whole_ms:.1f} ms ({1e3 / whole_ms:.1f}/s), "
        f"besides the networks {besides_ms:.1f} ms ({1e3 / besides_ms:.0f}/s), {besides_ms / plain_ms:.2f} times plain"
    )
    (frame,) = equipment_for(tools, settings).engine.process(picture.frame)
    frame = frame.copy()
    written = write_hidden(content, picture, frame)
    again = read_picture(written.content)
    parts = {
        "read (checked and decoded)": lambda: read_picture(content),
        "rewrite, coefficients read again": lambda: write_hidden(content, picture, frame),
        "read what was written": lambda: read_picture(written.content),
        "compare": lambda: verify(picture, frame, written, again),
    }
    print("  " + ", ".join(f"{name} {median_ms(work, rounds):.1f} ms" for name, work in parts.items()))


def measure_messages(file: Path, folder: Path, rounds: int) -> None:
    """A message of a log: a JPEG in a CompressedImage, and the same pixels raw."""
    from tests.archive import making_logs as made

    content = file.read_bytes()
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    made.making.street = lambda *_, **__: pixels
    made.HEIGHT, made.WIDTH = pixels.shape[:2]
    tools = Tools(
        ArchiveSettings(video=Settings(hide_always=AREAS, min_long_side_px=FULL_SIZE_PX)), load_packaged()
    )
    count = 2 * rounds
    topics = {
        "JPEG": made.Topic("/c", made.ros_schema(2, "sensor_msgs/msg/CompressedImage"), "cdr",
                           [made.ros_compressed(2, content)] * count),
        "rgb8": made.Topic("/r", made.ros_schema(2, "sensor_msgs/msg/Image"), "cdr",
                           [made.ros_image(2, "rgb8")] * count),
    }  # fmt: skip
    for name, topic in topics.items():
        short = made.write_mcap(
            folder / f"{name}-1.mcap", [replace(topic, messages=topic.messages[:2])], compression="lz4"
        )
        long = made.write_mcap(folder / f"{name}.mcap", [topic], compression="lz4")
        spent = {}
        for log in (short, short, long):
            network = {"s": 0.0}
            with without_network(network):
                begun_s = time.process_time()
                reprocess_log(log, folder / "out.mcap", tools)
                spent[log] = (time.process_time() - begun_s, network["s"])
            (folder / "out.mcap").unlink()
        whole_ms, network_ms = (1e3 * (spent[long][i] - spent[short][i]) / (count - 2) for i in (0, 1))
        print(
            f"a message of {name} in MCAP (lz4): {whole_ms:.1f} ms of processor time, besides the networks "
            f"{whole_ms - network_ms:.1f} ms; read twice, written and read again"
        )


# -- The second look -----------------------------------------------------------------------------------------


def count_set_aside(dataset: Path, count: int) -> None:
    """Files that a second look sets aside, by margin, and how many of them for a marked object."""
    labels = json.loads((dataset / "annotations.json").read_text())
    marked: dict[int, list[list[float]]] = {}
    for one in labels["annotations"]:
        if not one.get("iscrowd"):
            marked.setdefault(one["image_id"], []).append(one["bbox"])
    pictures = labels["images"]
    random.Random(11).shuffle(pictures)
    settings = Settings(tracking=False, min_long_side_px=FULL_SIZE_PX)
    tools = Tools(ArchiveSettings(pictures=settings), load_packaged())
    engine, look = equipment_for(tools, settings).engine, SecondLook(tools, settings, margin=0.0)
    usual = tools.model.entry.threshold
    aside: dict[float, list[int]] = {margin: [0, 0] for margin in MARGINS}
    for picture in pictures[:count]:
        (hidden,) = engine.process(open_picture(dataset / picture["file_name"]).frame)
        frame = CapturedFrame(hidden.planes, hidden.pixel_format, pts=0, time_base=Fraction(1))
        findings = look.findings(frame, hidden.boxes)
        for margin, numbers in aside.items():
            sure = [box for box in findings if box.confidence >= usual[box.label] + margin]
            numbers[0] += bool(sure)
            numbers[1] += any(
                _meets(box.xyxy, other) for box in sure for other in marked.get(picture["id"], ())
            )
    for margin, (files, misses) in aside.items():
        print(
            f"margin {margin:.2f}: {files} of {count} files set aside, {misses} of them for a marked object"
        )


def _meets(xyxy: tuple[float, ...], xywh: list[float]) -> bool:
    """Whether more than 0.3 of the smaller box lies in the other."""
    x, y, width, height = xywh
    across = max(0.0, min(xyxy[2], x + width) - max(xyxy[0], x))
    down = max(0.0, min(xyxy[3], y + height) - max(xyxy[1], y))
    return across * down > 0.3 * min((xyxy[2] - xyxy[0]) * (xyxy[3] - xyxy[1]), width * height)


if __name__ == "__main__":
    main()
