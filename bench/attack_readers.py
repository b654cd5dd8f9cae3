"""How many plates two text readers still read after hiding: drawn plates, and labelled ones of a dataset.

    python bench/attack_readers.py [DATASET] [--drawn 60] [--labelled 60] [--json FILE]

Readers, each used where it is installed: Tesseract (the program, one line, letters and digits) and RapidOCR
(`rapidocr-onnxruntime`, its recogniser alone). Both get the box with a fifth of its height around it, enlarged to
96 px high. A drawn plate is read *whole* where all seven characters are right. Of a labelled plate nobody wrote down
the text: there, *text* counts plates of which a reader reads four characters or more, and *same* those of which it
reads what it read of the untouched plate.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.hide import PLATE, Styles
from anonymize.hide.hider import Hider
from bench.attack_plates import interval
from bench.drawn_plates import CHARACTERS, draw_texts, make_stage

Rgb = npt.NDArray[np.uint8]
Box = npt.NDArray[np.float32]
Read = Callable[[Rgb], str]

STYLES: Final = ("untouched", "veil", "solid", "mosaic", "blur")
SCOPE_PX: Final = 32.0
MIN_TEXT: Final = 4  # characters from which on something counts as text
LAYOUT: Final = LAYOUTS[PixelFormat.RGB24]


def only_characters(text: str) -> str:
    """Letters and digits alone, in capitals."""
    return re.sub(r"[^0-9A-Z]", "", text.upper())


def load_readers() -> dict[str, Read]:
    """The readers that are installed."""
    readers: dict[str, Read] = {}
    if shutil.which("tesseract"):
        words = ["tesseract", "-", "-", "--psm", "7", "-c", f"tessedit_char_whitelist={CHARACTERS}"]

        def read_tesseract(crop: Rgb) -> str:
            coded = cv2.imencode(".png", crop)[1].tobytes()
            done = subprocess.run(
                words, input=coded, capture_output=True, check=True, env={"OMP_THREAD_LIMIT": "1"}
            )
            return only_characters(done.stdout.decode(errors="replace"))

        readers["Tesseract"] = read_tesseract
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError:
        return readers
    engine = RapidOCR(intra_op_num_threads=1)

    def read_rapidocr(crop: Rgb) -> str:
        found, _ = engine(crop[:, :, ::-1], use_det=False, use_cls=False, use_rec=True)
        return only_characters("".join(row[0] for row in found or []))

    readers["RapidOCR"] = read_rapidocr
    return readers


def drawn_plates(count: int) -> Iterator[tuple[Rgb, Box, str]]:
    """Plates of 192 px and their texts."""
    stage = make_stage(192)
    texts = draw_texts(count, np.random.default_rng(11))
    for tile, text in zip(stage.draw(texts), texts, strict=True):
        rgb = np.repeat((tile + 0.5).astype(np.uint8)[:, :, None], 3, axis=2)
        yield rgb, np.array(stage.box, np.float32), "".join(CHARACTERS[index] for index in text)


def labelled_plates(dataset: Path, count: int) -> Iterator[tuple[Rgb, Box, str]]:
    """One labelled plate of 32 px or more a picture, evenly spread; the text is not known."""
    notes = json.loads((dataset / "annotations.json").read_text("utf-8"))
    plate_id = next(row["id"] for row in notes["categories"] if row["name"] == "plate")
    names = {image["id"]: image["file_name"] for image in notes["images"]}
    rows = [r for r in notes["annotations"] if r["category_id"] == plate_id and not r["iscrowd"]]
    first = {r["image_id"]: r["bbox"] for r in reversed(rows) if min(r["bbox"][2:]) >= SCOPE_PX}
    chosen = sorted(first)
    for index in np.unique(np.linspace(0, len(chosen) - 1, min(count, len(chosen))).astype(int)):
        x, y, width, height = first[chosen[index]]
        picture = cv2.imread(str(dataset / names[chosen[index]]))
        yield (
            np.ascontiguousarray(picture[:, :, ::-1]),
            np.array([x, y, x + width, y + height], np.float32),
            "",
        )


def hide(rgb: Rgb, box: Box, style: str) -> Rgb:
    """A copy with the plate hidden."""
    hidden = rgb.copy()
    if style != "untouched":
        hider = Hider(Styles(style, style))  # type: ignore[arg-type]
        hider.hide((hidden,), LAYOUT, box[None], np.array([PLATE]), np.array([-1]), 1)
        hider.check((hidden,))
    return hidden


def crop(rgb: Rgb, box: Box) -> Rgb:
    """The box with a fifth of its height around it, 96 px high."""
    edge = 0.2 * (box[3] - box[1])
    x1, y1 = np.clip(box[:2] - edge, 0, None).astype(int)
    x2, y2 = np.ceil(box[2:] + edge).astype(int)
    part = rgb[y1:y2, x1:x2]
    width = max(32, round(part.shape[1] * 96 / part.shape[0]))
    return np.ascontiguousarray(cv2.resize(part, (width, 96), interpolation=cv2.INTER_CUBIC))


def measure(
    plates: Iterator[tuple[Rgb, Box, str]], readers: dict[str, Read]
) -> dict[tuple[str, str], list[int]]:
    """Counts by reader and style: plates, text, whole (drawn) or same as untouched (labelled)."""
    counts = {(reader, style): [0, 0, 0] for reader in readers for style in STYLES}
    for rgb, box, text in plates:
        wanted = {}
        for style in STYLES:
            picture = crop(hide(rgb, box, style), box)
            for name, read in readers.items():
                found = read(picture)
                if style == "untouched":
                    wanted[name] = text or found
                row = counts[name, style]
                row[0] += 1
                row[1] += len(found) >= MIN_TEXT
                row[2] += len(found) >= MIN_TEXT and found == wanted[name]
    return counts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--drawn", type=int, default=60)
    parser.add_argument("--labelled", type=int, default=60)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    readers = load_readers()
    if not readers:
        raise SystemExit("neither tesseract nor rapidocr-onnxruntime is installed; wanted one of them")
    sets = {"drawn": drawn_plates(arguments.drawn)}
    if arguments.dataset:
        sets["labelled"] = labelled_plates(arguments.dataset, arguments.labelled)
    lines: list[dict[str, Any]] = []
    for kind, plates in sets.items():
        for (name, style), (count, text, whole) in measure(plates, readers).items():
            low, high = interval(whole, count)
            print(
                f"{kind:10}{name:11}{style:11}{count:4d}  text {100 * text / count:5.1f}  "
                f"{'whole' if kind == 'drawn' else 'same'} {100 * whole / count:5.1f} "
                f"[{100 * low:4.1f}, {100 * high:5.1f}]",
                flush=True,
            )
            keys = {"plates": kind, "reader": name, "style": style, "count": count}
            lines.append({**keys, "text": text, "whole" if kind == "drawn" else "same": whole})
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
