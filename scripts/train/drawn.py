"""Plates and signs drawn from nothing: many countries' layouts, and what must not be taken for one."""

from __future__ import annotations

import string

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

HEIGHT_PX = 96  # of a drawn plate before it is scaled to its place
# (background, characters), BGR, with the share of plates that look so
SCHEMES: tuple[tuple[Colour, Colour, float], ...] = (
    ((245, 245, 245), (20, 20, 20), 0.42),
    ((60, 200, 245), (15, 15, 15), 0.16),  # yellow
    ((150, 70, 20), (245, 245, 245), 0.13),  # blue, white characters
    ((150, 200, 120), (15, 15, 15), 0.08),  # green, dark characters
    ((70, 130, 40), (245, 245, 245), 0.05),
    ((30, 30, 30), (235, 235, 235), 0.06),
    ((40, 40, 170), (240, 240, 240), 0.03),
    ((245, 245, 245), (150, 50, 20), 0.04),
    ((245, 245, 245), (40, 90, 30), 0.03),
)
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_PLAIN)


def write(
    pixels: Pixels, text: str, area: tuple[int, int, int, int], colour: Colour, rng: np.random.Generator
) -> None:
    """Draw the text so that it fills the area (x0, y0, x1, y1)."""
    font = FONTS[int(rng.integers(len(FONTS)))]
    x0, y0, x1, y1 = area
    coarse = rng.random() < 0.15  # characters of a few large dots
    scale, thickness = (0.35, 1) if coarse else (2.0, int(rng.integers(3, 9)))
    (width, height), base = cv2.getTextSize(text, font, scale, thickness)
    patch = np.zeros((height + base + thickness, width + thickness), np.uint8)
    cv2.putText(
        patch, text, (thickness // 2, height + thickness // 2), font, scale, 255, thickness, cv2.LINE_AA
    )
    rows = np.flatnonzero(patch.any(axis=1))
    columns = np.flatnonzero(patch.any(axis=0))
    if len(rows) == 0 or x1 - x0 < 2 or y1 - y0 < 2:
        return
    patch = patch[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    patch = cv2.resize(
        patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST if coarse else cv2.INTER_AREA
    )
    alpha = patch[..., None].astype(np.float32) / 255
    region = pixels[y0:y1, x0:x1]
    region[:] = (region * (1 - alpha) + np.array(colour, np.float32) * alpha).astype(np.uint8)


def characters(rng: np.random.Generator, count: int) -> str:
    """Return random capitals and digits, now and then with a gap or a dash."""
    letters = list(string.ascii_uppercase + string.digits * 2)
    text = "".join(rng.choice(letters) for _ in range(count))
    if count > 3 and rng.random() < 0.6:
        cut = int(rng.integers(2, count - 1))
        text = text[:cut] + str(rng.choice([" ", "-", " ", "."])) + text[cut:]
    return text


def vary(colour: Colour, rng: np.random.Generator, spread: int = 18) -> Colour:
    """Return a colour near the given one."""
    b, g, r = np.clip(np.array(colour) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return int(b), int(g), int(r)


def american(rng: np.random.Generator) -> Pixels:
    """Return a drawn plate of 2 : 1, BGR: a name above, a motto or web address below, often on a picture."""
    width = 2 * HEIGHT_PX
    pixels = scenery(width, rng) if rng.random() < 0.6 else np.full((HEIGHT_PX, width, 3), 240, np.uint8)
    dark = float(pixels[25:75].mean()) < 110
    ink = vary((240, 240, 240), rng) if dark else vary((int(rng.integers(90)),) * 3, rng, 60)
    words = vary((40, 40, 170), rng, 40) if rng.random() < 0.3 else ink
    if rng.random() < 0.9:
        half = int(width * rng.uniform(0.15, 0.38))
        write(pixels, spoken(rng).upper(), (width // 2 - half, 4, width // 2 + half, 22), words, rng)
    if rng.random() < 0.7:
        half = int(width * rng.uniform(0.15, 0.42))
        write(pixels, spoken(rng), (width // 2 - half, 78, width // 2 + half, 92), words, rng)
    left, right = int(width * rng.uniform(0.03, 0.12)), int(width * rng.uniform(0.88, 0.97))
    text = characters(rng, int(rng.integers(5, 8)))
    if rng.random() < 0.35:  # an emblem between the halves
        middle = (left + right) // 2
        cv2.circle(
            pixels, (middle, 50), int(rng.integers(8, 15)), vary((90, 90, 90), rng, 90), -1, cv2.LINE_AA
        )
        write(pixels, text[:3], (left, 28, middle - 16, 74), ink, rng)
        write(pixels, text[3:] or "7", (middle + 16, 28, right, 74), ink, rng)
    else:
        write(pixels, text, (left, int(rng.integers(24, 32)), right, int(rng.integers(68, 78))), ink, rng)
    for x in (6, width - 26):  # stickers of the year
        if rng.random() < 0.3:
            cv2.rectangle(pixels, (x, 4), (x + 20, 18), vary((60, 90, 190), rng, 60), -1)
    if rng.random() < 0.6:
        cv2.rectangle(
            pixels, (0, 0), (width - 1, HEIGHT_PX - 1), vary((60, 60, 60), rng, 60), int(rng.integers(1, 6))
        )
    return pixels


def scenery(width: int, rng: np.random.Generator) -> Pixels:
    """Return a pale or coloured picture such as plates are printed on: a sky, hills, a blot of colour."""
    low, high = rng.integers(90, 256, (2, 3))
    ramp = np.linspace(0, 1, HEIGHT_PX)[:, None, None] ** rng.uniform(0.5, 2)
    pixels = np.broadcast_to(low + (high - low) * ramp, (HEIGHT_PX, width, 3)).astype(np.uint8).copy()
    for _ in range(int(rng.integers(0, 4))):
        colour = vary(tuple(int(v) for v in rng.integers(60, 256, 3)), rng, 30)  # type: ignore[arg-type]
        x, y = int(rng.integers(width)), int(rng.integers(20, HEIGHT_PX + 20))
        axes = (int(rng.integers(15, width // 2)), int(rng.integers(8, 45)))
        cv2.ellipse(pixels, (x, y), axes, float(rng.uniform(-20, 20)), 0, 360, colour, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 4))
    return np.asarray(soft, np.uint8)


def plate(rng: np.random.Generator) -> Pixels:
    """Return a drawn plate, HEIGHT_PX high (two-line plates are squarer), BGR."""
    if rng.random() < 0.3:
        return american(rng)
    shares = np.array([s[2] for s in SCHEMES])
    ground, ink, _ = SCHEMES[int(rng.choice(len(SCHEMES), p=shares / shares.sum()))]
    two_lines = rng.random() < 0.22
    aspect = rng.uniform(1.1, 2.1) if two_lines else rng.uniform(2.0, 5.2)
    width = int(HEIGHT_PX * aspect)
    pixels = np.full((HEIGHT_PX, width, 3), vary(ground, rng), np.uint8)
    ink = vary(ink, rng)
    left = 0.05 * width
    if not two_lines and rng.random() < 0.35:  # a blue or other band on the left, as in the EU
        band = int(rng.uniform(0.07, 0.13) * width)
        pixels[:, :band] = vary((150, 60, 10), rng)
        left = band + 0.03 * width
    top, bottom = rng.uniform(0.10, 0.26, 2) * HEIGHT_PX
    x0, x1 = int(left), int(width * rng.uniform(0.92, 0.97))
    if two_lines:
        middle = int(HEIGHT_PX * rng.uniform(0.40, 0.55))
        write(
            pixels, characters(rng, int(rng.integers(2, 6))), (x0, int(top * 0.6), x1, middle - 3), ink, rng
        )
        write(
            pixels,
            characters(rng, int(rng.integers(3, 6))),
            (x0, middle + 3, x1, int(HEIGHT_PX - bottom * 0.6)),
            ink,
            rng,
        )
    else:
        if rng.random() < 0.25:  # a name above the characters, as in America
            top = 0.3 * HEIGHT_PX
            write(
                pixels,
                "".join(rng.choice(list(string.ascii_uppercase), 9)),
                (width // 4, 4, 3 * width // 4, 20),
                ink,
                rng,
            )
        write(
            pixels,
            characters(rng, int(rng.integers(4, 9))),
            (x0, int(top), x1, int(HEIGHT_PX - bottom)),
            ink,
            rng,
        )
    if rng.random() < 0.75:
        edge = int(rng.integers(1, 9))
        colour = ink if rng.random() < 0.7 else vary((40, 40, 40), rng)
        cv2.rectangle(pixels, (0, 0), (width - 1, HEIGHT_PX - 1), colour, edge)
    if rng.random() < 0.2:
        shade = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.5, 1), width)[None, :, None]
        pixels = (pixels * shade).astype(np.uint8)
    return pixels


def sign(rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Return a drawn traffic sign or advert, BGR, and its mask: things that are no plate."""
    kind = int(rng.integers(6))
    if kind >= 4:
        return drawn_word(rng)
    if kind == 0:  # speed limit
        size = 96
        pixels = np.full((size, size, 3), 240, np.uint8)
        mask = np.zeros((size, size), np.uint8)
        cv2.circle(mask, (48, 48), 47, 255, -1, cv2.LINE_AA)
        cv2.circle(pixels, (48, 48), 42, vary((40, 30, 200), rng, 30), 11, cv2.LINE_AA)
        write(
            pixels,
            str(rng.choice([20, 30, 40, 50, 60, 70, 80, 90, 100, 120])),
            (24, 32, 72, 66),
            (15, 15, 15),
            rng,
        )
        return pixels, mask
    if kind == 1:  # square blue sign, crossing or parking
        pixels = np.full((96, 96, 3), vary((170, 80, 20), rng, 30), np.uint8)
        cv2.fillPoly(pixels, [np.array([[48, 14], [12, 82], [84, 82]])], (240, 240, 240), cv2.LINE_AA)
        write(pixels, str(rng.choice(list("PHKA"))), (38, 42, 58, 78), (20, 20, 20), rng)
        return pixels, np.full((96, 96), 255, np.uint8)
    if kind == 2:  # red octagon
        turn = np.arange(8) * np.pi / 4 + np.pi / 8
        corners = np.stack([48 + 47 * np.cos(turn), 48 + 47 * np.sin(turn)], 1).astype(np.int32)
        mask = cv2.fillPoly(np.zeros((96, 96), np.uint8), [corners], 255, cv2.LINE_AA)
        pixels = np.full((96, 96, 3), vary((40, 30, 180), rng, 30), np.uint8)
        write(pixels, "STOP", (14, 34, 82, 62), (240, 240, 240), rng)
        return pixels, mask
    width = int(rng.integers(110, 420))  # a direction sign or shop front: several lines of words
    ground, ink = ((90, 110, 20), (240, 240, 240)) if rng.random() < 0.5 else ((150, 80, 20), (240, 240, 240))
    pixels = np.full((192, width, 3), vary(ground, rng, 40), np.uint8)
    lines = int(rng.integers(3, 6))
    step = 192 // lines
    for k in range(lines):
        word = "".join(rng.choice(list(string.ascii_letters), int(rng.integers(5, 14))))
        right = int(width * rng.uniform(0.5, 0.95))
        write(pixels, word, (8, k * step + 8, max(right, 20), (k + 1) * step - 6), ink, rng)
    return pixels, np.full((192, width), 255, np.uint8)


def spoken(rng: np.random.Generator) -> str:
    """Return one or two words that could be a model's, a shop's or a maker's name."""
    syllables = [a + b for a in "bcdfghklmnprstvz" for b in "aeiou"]
    name = "".join(rng.choice(syllables, int(rng.integers(2, 5)))) + str(
        rng.choice(["", "n", "r", "s", "x", "t"])
    )
    name = name[int(rng.integers(2)) :]
    case = int(rng.integers(3))
    name = (name.upper(), name.capitalize(), name)[case]
    if rng.random() < 0.25:
        name += " " + str(rng.choice(["GT", "1.6", "4x4", "TDI", "CAFE", "Bank", "Shop", "S", "XL", "2000"]))
    return name


def drawn_word(rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Return a drawn word, BGR, and its mask: letters on a car's body, or a lit or painted name on its board."""
    height = 64
    width = int(height * rng.uniform(2.5, 8.0))
    glyphs = np.zeros((height, width, 3), np.uint8)
    write(glyphs, spoken(rng), (8, 10, width - 8, height - 10), (255, 255, 255), rng)
    letters = glyphs[..., 0]
    light = int(rng.integers(120, 256)) if rng.random() < 0.7 else int(rng.integers(0, 60))
    ink = vary((light,) * 3, rng, 25) if rng.random() < 0.6 else vary((40, 60, 200), rng, 60)
    if rng.random() < 0.6:  # without a ground of its own
        return np.full((height, width, 3), ink, np.uint8), letters
    ground = tuple(int(v) for v in rng.integers(0, 110, 3)) if light > 100 else vary((200, 200, 200), rng, 50)
    board = np.full((height, width, 3), ground, np.uint8)
    if rng.random() < 0.5:  # lit from behind
        glow = cv2.GaussianBlur(letters, (0, 0), 5)[..., None] / np.float32(510)
        board = (board + (np.array(ink, np.float32) - board) * glow).astype(np.uint8)
    alpha = letters[..., None] / np.float32(255)
    board = (board + (np.array(ink, np.float32) - board) * alpha).astype(np.uint8)
    return board, np.full((height, width), 255, np.uint8)


def plain_scene(width_px: int, height_px: int, rng: np.random.Generator) -> Pixels:
    """Return an even or shaded ground, sometimes with rectangles like a car's body."""
    low, high = rng.integers(0, 256, (2, 3))
    ramp = np.linspace(0, 1, height_px)[:, None, None]
    pixels = np.broadcast_to(low + (high - low) * ramp * rng.uniform(0, 0.6), (height_px, width_px, 3))
    pixels = np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 5))):
        x, y = int(rng.integers(width_px)), int(rng.integers(height_px))
        w, h = int(rng.integers(20, width_px)), int(rng.integers(10, height_px))
        colour = vary((int(rng.integers(256)),) * 3, rng, 60)
        if rng.random() < 0.7:
            cv2.rectangle(pixels, (x - w // 2, y - h // 2), (x + w // 2, y + h // 2), colour, -1)
        else:
            cv2.circle(pixels, (x, y), max(4, h // 4), colour, -1, cv2.LINE_AA)
    return pixels
