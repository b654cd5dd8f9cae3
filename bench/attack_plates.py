"""How much of a hidden plate an attacker reads back, who knows font, layout, style, box and tool.

    python bench/attack_plates.py [--sizes 96 192 384] [--frames 1 30 300] [--plates 240] [--json]

The attack is linear template decoding. The attacker hides, with the same tool and the same boxes, a plate without
text and one for each character at each place (252), in 10 bits so that nothing is lost to rounding: what changes is
that character's template. The hidden pictures under attack have 8 bits, camera noise and JPEG at quality 90. From
one frame or from many, the least-squares answer with the prior "one of 36" is taken and, where that helps, refined
place by place to the best joint fit; strength of the prior and refinement are chosen on other plates with known
texts. *Picked* are plates whose text fits better than 999 others, as of a list of suspects. Where an answer is nil
at all, the attacker guesses.

The four styles go through the real `Hider`, on YUV 4:2:0, the luma is attacked. Two weak blurs show that the attack
works. Seeds are fixed, the operating system's generator that a mosaic draws its noise from included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.hide import PLATE, Styles
from anonymize.hide import hider as hiding
from anonymize.hide.hider import MAX_BOXES, Hider
from bench.drawn_plates import CHARACTERS, PLACES, Stage, Texts, draw_texts, make_stage

Floats = npt.NDArray[np.float32]
Luma = npt.NDArray[Any]
Boxes = npt.NDArray[np.float64]
Hide = Callable[[Luma, Boxes], None]  # in place; called once a frame, boxes in the order of their tracks

REAL: Final = ("veil", "solid", "mosaic", "mosaic, not held", "blur")
YARDSTICKS: Final = ("fixed blur, σ 4 px", "box blur, half the box")
NOISE: Final = 1.0  # sigma of the camera's noise, levels
JPEG_QUALITY: Final = 90
TILES_A_LINE: Final = 16
LIST_LENGTH: Final = 1000
BATCH: Final = 240  # plates a canvas: a Hider takes 256 boxes
KNOWN_PLATES: Final = {
    False: (40, 40),
    True: (720, 120),
}  # of the attacker's own, by whitening: for errors, tuning
PRIORS: Final = tuple(10.0**power for power in range(-2, 8))  # tried: variance of the noise / of an answer


@dataclass(frozen=True, slots=True)
class Score:
    """What was read: counts, and the strongest trace that any one character leaves, in levels of 8 bit.

    `plates_picked` counts those whose text the attacker picks out of a list of 1,000.
    """

    characters: int
    characters_read: int
    plates: int
    plates_read: int
    plates_picked: int
    trace_levels: float

    def __add__(self, other: Score) -> Score:
        counts = [getattr(self, name) + getattr(other, name) for name in self.__slots__[:5]]
        return Score(*counts, max(self.trace_levels, other.trace_levels))


def interval(hits: int, of: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 % two-sided."""
    low = 0.0 if hits == 0 else float(betaincinv(hits, of - hits + 1, 0.025))
    high = 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 0.975))
    return low, high


@contextmanager
def seeded_system(seed: int) -> Iterator[None]:
    """Let the operating system's random bytes, which the mosaic uses, come from a seed."""
    with mock.patch.object(hiding.os, "urandom", np.random.default_rng(seed).bytes):
        yield


@contextmanager
def no_noise() -> Iterator[None]:
    """The attacker's own copy of the tool adds no noise to a mosaic."""
    with mock.patch.object(hiding, "NOISE_SIGMA", 0):
        yield


def make_hide(style: str, bits: int) -> Hide:
    """A style as a function of luma and boxes; ours remember their tracks from call to call."""
    if style in YARDSTICKS:
        return _blur_fixed if style == YARDSTICKS[0] else _blur_half
    layout = LAYOUTS[PixelFormat.YUV420P if bits == 8 else PixelFormat.YUV420P10LE]
    name, held = style.removesuffix(", not held"), not style.endswith(", not held")
    hider = Hider(Styles(name, name))  # type: ignore[arg-type]

    def hide(luma: Luma, boxes: Boxes) -> None:
        chroma = [np.full((luma.shape[0] // 2, luma.shape[1] // 2), 1 << (bits - 1), luma.dtype)] * 2
        count = len(boxes)
        tracks = np.arange(count) if held else np.full(count, -1)
        hider.hide((luma, chroma[0], chroma[1].copy()), layout, boxes, np.full(count, PLATE), tracks, count)

    return hide


def _regions(luma: Luma, boxes: Boxes) -> Iterator[Luma]:
    """The boxes grown 1.3 times, as the tools of our field grow them."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * 0.65
    corners = np.concatenate([np.floor(middle - half), np.ceil(middle + half)], axis=1).astype(int)
    for x1, y1, x2, y2 in corners.tolist():
        yield luma[y1:y2, x1:x2]


def _blur_fixed(luma: Luma, boxes: Boxes) -> None:
    for region in _regions(luma, boxes):
        region[:] = cv2.GaussianBlur(region, (0, 0), 4.0)


def _blur_half(luma: Luma, boxes: Boxes) -> None:
    for region in _regions(luma, boxes):
        region[:] = cv2.blur(region, (max(1, region.shape[1] // 2), max(1, region.shape[0] // 2)))


def lay(tiles: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Tiles side by side on one canvas, in lines of 16; what is left of the last line is black."""
    count, rows, columns = tiles.shape
    lines = -(-count // TILES_A_LINE)
    canvas = np.zeros((lines * rows, TILES_A_LINE * columns), tiles.dtype)
    for index, tile in enumerate(tiles):
        y, x = divmod(index, TILES_A_LINE)
        canvas[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns] = tile
    return canvas


def cut(canvas: npt.NDArray[Any], count: int, stage: Stage) -> npt.NDArray[Any]:
    """The first `count` tiles of a canvas, (count, rows, columns): a copy."""
    rows, columns = stage.blank.shape
    grid = canvas.reshape(-1, rows, TILES_A_LINE, columns).swapaxes(1, 2)
    return grid.reshape(-1, rows, columns)[:count]


def spread(box: Boxes, count: int, stage: Stage) -> Boxes:
    """The box of one tile, for each of `count` tiles of a canvas."""
    rows, columns = stage.blank.shape
    y, x = np.divmod(np.arange(count), TILES_A_LINE)
    return box + np.stack([x * columns, y * rows] * 2, axis=1)


def pool(tiles: npt.NDArray[Any], side: int) -> Floats:
    """Means of side x side px, a row for each tile."""
    count, rows, columns = tiles.shape
    tiles = tiles[:, : rows // side * side, : columns // side * side]
    total = np.zeros((count, rows // side, columns // side), np.uint32)  # 16 bits times 64 px at most
    for index in range(side * side):
        total += tiles[
            :, index // side :: side, index % side :: side
        ]  # a third of the time of a mean over axes
    return (total.astype(np.float32) / (side * side)).reshape(count, -1)


class Templates:
    """The attacker's copy of the tool: what each character leaves in the hidden picture, frame by frame."""

    def __init__(self, style: str, stage: Stage) -> None:
        tiles = np.empty((PLACES * len(CHARACTERS) + 1, *stage.blank.shape), np.float32)
        tiles[:] = stage.blank
        tiles[1:] -= (tiles[0].max() - 25.0) * stage.ink.reshape(-1, *stage.blank.shape)
        assert len(tiles) <= MAX_BOXES
        self._canvas = lay((tiles * 4 + 0.5).astype(np.uint16))
        self._hide, self._stage, self._count = make_hide(style, 10), stage, len(tiles)

    def next_frame(self, box: Boxes, side: int) -> tuple[Floats, Floats]:
        """Templates (252, px), the mean of each place's 36 taken off, and the mean picture (px,)."""
        canvas = self._canvas.copy()
        with no_noise():
            self._hide(canvas, spread(box, self._count, self._stage))
        seen = pool(cut(canvas, self._count, self._stage), side) / 4
        change = (seen[1:] - seen[0]).reshape(PLACES, len(CHARACTERS), -1)
        means = change.mean(axis=1, keepdims=True)
        return (change - means).reshape(-1, change.shape[2]), seen[0] + means.sum(axis=(0, 1))


class Evidence:
    """What many frames say together: normal equations of the least-squares answer, float64.

    The first `known` plates are the attacker's own. The mean of what the templates leave unexplained in them is
    taken off (a tool may round down); with `whiten`, errors are weighted by their covariance there too.
    """

    def __init__(self, texts: Texts, known: int, *, whiten: bool) -> None:
        answers, plates = PLACES * len(CHARACTERS), len(texts)
        self.gram = np.zeros((answers, answers))
        self.match = np.zeros((answers, plates))
        self.trace_levels = 0.0
        self._truth = np.zeros((known, answers), np.float32)
        for place in range(PLACES):
            self._truth[np.arange(known), place * len(CHARACTERS) + texts[:known, place]] = 1
        self._whiten = whiten

    def add(self, templates: Floats, mean: Floats, seen: Floats) -> None:
        """Take in one frame: `seen` (plates, px)."""
        self.trace_levels = max(self.trace_levels, float(np.abs(templates).max()))
        change = seen - mean
        unexplained = change[: len(self._truth)] - self._truth @ templates
        change -= unexplained.mean(axis=0)
        if self._whiten and self.trace_levels > 0:
            templates, change = self._weigh(templates, change, unexplained - unexplained.mean(axis=0))
        self.gram += templates @ templates.T
        self.match += templates @ change.T

    @staticmethod
    def _weigh(templates: Floats, change: Floats, errors: Floats) -> tuple[Floats, Floats]:
        """Both in the templates' own space, scaled so that errors there are white (a fifth of them taken as such)."""
        strengths, basis = np.linalg.eigh((templates @ templates.T).astype(np.float64))
        kept = strengths > strengths[-1] * 1e-8
        space = templates.T @ (basis[:, kept] / np.sqrt(strengths[kept])).astype(np.float32)
        errors = errors @ space
        spread = errors.T @ errors / len(errors)
        spread = 0.8 * spread + 0.2 * np.eye(len(spread)) * np.trace(spread) / len(spread)
        scale = np.linalg.cholesky(np.linalg.inv(spread)).astype(np.float32)
        return templates @ space @ scale, change @ space @ scale

    def read(self, prior: float, *, refine: bool, rng: np.random.Generator) -> Texts:
        """The texts that fit best, (plates, 7)."""
        answers = len(self.gram)
        likely = np.linalg.solve(self.gram + prior * np.eye(answers), self.match)
        likely += rng.uniform(0, 1e-9, likely.shape)  # where all are alike: a guess
        texts: Texts = likely.T.reshape(-1, PLACES, len(CHARACTERS)).argmax(axis=2)
        return self._refine(texts) if refine else texts

    def pick(self, texts: Texts, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Whether each plate's own text fits better than 999 other ones, (plates,)."""
        others = draw_texts(LIST_LENGTH - 1, rng)
        fit = self._misfit(others)[:, None] - 2 * self._matches(others)
        own = self._misfit(texts) - 2 * self._matches(texts).diagonal()
        fit, own = (
            part + rng.uniform(0, 1e-9, part.shape) for part in (fit, own)
        )  # where all are alike: a guess
        picked: npt.NDArray[np.bool_] = own < fit.min(axis=0)
        return picked

    def _misfit(self, texts: Texts) -> npt.NDArray[np.float64]:
        """The square of what each text alone would leave."""
        rows = texts + np.arange(PLACES) * len(CHARACTERS)
        return self.gram[rows[:, :, None], rows[:, None, :]].sum(axis=(1, 2))

    def _matches(self, texts: Texts) -> npt.NDArray[np.float64]:
        """How each text agrees with what each plate leaves, (texts, plates)."""
        return self.match[texts + np.arange(PLACES) * len(CHARACTERS)].sum(axis=1)

    def _refine(self, texts: Texts) -> Texts:
        """Change one place after the other to what fits best with the rest, eight times round."""
        width = len(CHARACTERS)
        own = np.diag(self.gram)
        for _ in range(8):
            for place in range(PLACES):
                others = [p * width + texts[:, p] for p in range(PLACES) if p != place]
                here = slice(place * width, (place + 1) * width)
                fit = 2 * self.match[here] - own[here, None]
                for other in others:
                    fit = fit - 2 * self.gram[here][:, other]
                texts[:, place] = fit.argmax(axis=0)
        return texts


def judge(evidence: Evidence, texts: Texts, tuning: slice, seed: int) -> Score:
    """Tune on plates whose texts the attacker knows; count what is read of those behind them."""
    best, chosen = -1, None
    for prior in PRIORS:
        for refine in (False, True):
            if refine and evidence.trace_levels == 0:
                continue
            found = evidence.read(prior, refine=refine, rng=np.random.default_rng(seed))
            hits = int((found[tuning] == texts[tuning]).sum())
            if hits > best:
                best, chosen = hits, found[tuning.stop :]
    assert chosen is not None
    right = chosen == texts[tuning.stop :]
    picked = evidence.pick(texts, np.random.default_rng(seed + 1_000_000))[tuning.stop :]
    counts = (right.size, right.sum(), len(right), right.all(axis=1).sum(), picked.sum())
    return Score(*map(int, counts), evidence.trace_levels)


def compress(luma: Luma) -> Luma:
    """The same after JPEG."""
    _, coded = cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)


class Film:
    """Hidden frames of plates, up to 240 a canvas, with noise and JPEG as a recorder leaves them."""

    def __init__(self, style: str, stage: Stage, texts: Texts) -> None:
        self._stage = stage
        parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        self._parts = [(len(part), lay(stage.draw(part)), make_hide(style, 8)) for part in parts]

    def next_frame(self, box: Boxes, side: int, rng: np.random.Generator) -> Floats:
        """What is to be seen of each plate, (plates, px)."""
        seen = []
        for count, canvas, hide in self._parts:
            noise = rng.standard_normal(canvas.shape, np.float32) * NOISE
            luma = np.clip(canvas + noise + 0.5, 0, 255).astype(np.uint8)
            hide(luma, spread(box, count, self._stage))
            seen.append(pool(cut(compress(luma), count, self._stage), side))
        return np.concatenate(seen)


def attack(
    style: str, stage: Stage, frames: Sequence[int], jitter: float, *, plates: int, seed: int
) -> dict[int, Score]:
    """Attack `plates` plates under one sequence of boxes; what was read after each number of frames.

    `jitter` is how far each edge of a box may be off, in heights of the plate, drawn evenly for each frame.
    """
    rng = np.random.default_rng(seed)
    whiten = max(frames) == 1
    known, tuning = KNOWN_PLATES[whiten]
    texts = draw_texts(known + tuning + plates, rng)
    side = max(1, stage.width_px // 96) * 2
    film, templates = Film(style, stage, texts), Templates(style, stage)
    evidence, scores = Evidence(texts, known, whiten=whiten), {}
    with seeded_system(seed):
        for number in range(1, max(frames) + 1):
            box = np.array(stage.box) + rng.uniform(-1, 1, 4) * jitter * stage.height_px
            seen = film.next_frame(box, side, rng)
            evidence.add(*templates.next_frame(box, side), seen)
            if number in frames:
                scores[number] = judge(evidence, texts, slice(known, known + tuning), seed)
    return scores


def count_outputs(style: str, stage: Stage, *, plates: int = 40, frames: int = 30, seed: int = 5) -> int:
    """How many different films come out of `plates` different texts in the same scene (boxes off by 0.25)."""
    rng = np.random.default_rng(seed)
    tiles = stage.draw(draw_texts(plates, rng))
    boxes = np.array(stage.box) + rng.uniform(-0.25, 0.25, (frames, 4)) * stage.height_px
    noise = rng.standard_normal((frames, *stage.blank.shape)) * NOISE
    films = set()
    for tile in tiles:
        hide, film = make_hide(style, 8), b""
        with seeded_system(seed):
            for box, grain in zip(boxes, noise, strict=True):
                luma = np.clip(tile + grain + 0.5, 0, 255).astype(np.uint8)
                hide(luma, box[None])
                film += luma.tobytes()
        films.add(film)
    return len(films)


def say(label: str, score: Score, started: float) -> None:
    """One line of the table."""
    characters = interval(score.characters_read, score.characters)
    whole = interval(score.plates_read, score.plates)
    print(
        f"{label:48}{100 * score.characters_read / score.characters:6.1f} "
        f"[{100 * characters[0]:4.1f}, {100 * characters[1]:5.1f}]"
        f"{100 * score.plates_read / score.plates:8.1f} [{100 * whole[0]:4.1f}, {100 * whole[1]:5.1f}]"
        f"{100 * score.plates_picked / score.plates:8.1f}{score.plates:6d}{score.trace_levels:9.2f}"
        f"{time.perf_counter() - started:8.0f} s",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[96, 192, 384], help="widths for one frame, px"
    )
    parser.add_argument(
        "--frames", type=int, nargs="*", default=[1, 30, 300], help="of a film, plates of 96 px"
    )
    parser.add_argument(
        "--jitters", type=float, nargs="*", default=[0.0, 0.10, 0.25], help="in plate heights"
    )
    parser.add_argument("--plates", type=int, default=240, help="a cell; of a film, over --sequences")
    parser.add_argument("--sequences", type=int, default=3, help="of boxes, in a film")
    parser.add_argument("--styles", nargs="*", default=[*REAL, *YARDSTICKS])
    parser.add_argument("--json", type=Path, help="write the scores to this file too")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{'':48}{'characters %':>14}{'':8}{'plates %':>10}{'':9}{'picked %':>12}{'n':>6}{'trace':>9}")

    def keep(style: str, width_px: int, frames: int, jitter: float, score: Score) -> None:
        say(f"{style}, {width_px} px, {frames} frames, ±{jitter:.2f} h", score, started)
        rows.append(
            {"style": style, "width_px": width_px, "frames": frames, "jitter_h": jitter, **asdict(score)}
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")

    for width_px in arguments.sizes:
        stage = make_stage(width_px)
        for style in (name for name in arguments.styles if "not held" not in name):
            started = time.perf_counter()
            keep(
                style, width_px, 1, 0.0, attack(style, stage, [1], 0.0, plates=arguments.plates, seed=1000)[1]
            )
    stage = make_stage(96)
    for style in arguments.styles:
        print(f"{style}: {count_outputs(style, stage)} different films from 40 texts, 30 frames, ±0.25 h")
    for jitter in arguments.jitters if arguments.frames else ():
        for style in (name for name in arguments.styles if name not in YARDSTICKS):
            started, total = time.perf_counter(), dict.fromkeys(arguments.frames, Score(0, 0, 0, 0, 0, 0.0))
            for sequence in range(arguments.sequences):
                plates = arguments.plates // arguments.sequences
                found = attack(style, stage, arguments.frames, jitter, plates=plates, seed=2000 + sequence)
                total = {number: total[number] + found[number] for number in total}
            for number, score in total.items():
                keep(style, 96, number, jitter, score)


if __name__ == "__main__":
    main()
