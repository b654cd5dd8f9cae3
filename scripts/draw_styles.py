"""Draw docs/styles.png: the four styles of hiding on the drawn street.

python scripts/draw_styles.py [TARGET]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / part) for part in (".", "kernels", "models")]

from anonymize.boxes import CLASS_IDS  # noqa: E402
from anonymize.drawing import draw_street  # noqa: E402
from anonymize.frames import LAYOUTS, PixelFormat  # noqa: E402
from anonymize.hide import Style, Styles  # noqa: E402
from anonymize.hide.hider import Hider  # noqa: E402

PART: Final = (360, 230, 1130, 590)  # of the street of 1280 x 720 px: two people, the nearest car's plate
STRIP_PX: Final = 30
COLOURS: Final = 160  # of the palette: with it the file has a third of the bytes
ORDER: Final = (Style.VEIL, Style.SOLID, Style.MOSAIC, Style.BLUR)


def draw_panel(style: Style) -> Image.Image:
    """The part of the street with its plates and faces hidden, and the style's name above."""
    rgb, drawn = draw_street()
    boxes = np.array([thing.xyxy for thing in drawn], np.float32)
    kinds = np.array([CLASS_IDS[thing.label] for thing in drawn])
    hider = Hider(Styles(style, style))
    hider.hide((rgb,), LAYOUTS[PixelFormat.RGB24], boxes, kinds, np.full(len(drawn), -1), len(drawn))
    hider.check((rgb,))
    x1, y1, x2, y2 = PART
    panel = Image.new("RGB", (x2 - x1, y2 - y1 + STRIP_PX), "white")
    panel.paste(Image.fromarray(rgb[y1:y2, x1:x2]), (0, STRIP_PX))
    font = ImageFont.load_default(20)
    ImageDraw.Draw(panel).text((4, 3), f"{style} (default)" if style is Style.VEIL else style, "black", font)
    return panel


def main() -> None:
    """Two rows of two panels, half size."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "styles.png"
    panels = [draw_panel(style) for style in ORDER]
    width, height = panels[0].size
    sheet = Image.new("RGB", (2 * width + 12, 2 * height), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel, ((width + 12) * (index % 2), height * (index // 2)))
    small = sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target}: {target.stat().st_size} bytes, {small.width} x {small.height} px")


if __name__ == "__main__":
    main()
