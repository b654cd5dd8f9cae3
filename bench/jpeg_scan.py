"""Time of the walk over a JPEG's coded pixels beside libjpeg's decoding of the same file, one thread.

    python bench/jpeg_scan.py [FILE.jpg ...]

Without a file: a drawn 1920 x 1080 street, baseline and progressive.
"""

from __future__ import annotations

import io
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.media.containers import unpack_jpeg
from anonymize.media.jpeg_check import check_jpeg


def drawn(**options: Any) -> bytes:
    """A JPEG of slopes and noise, about as large as a street picture of the same quality."""
    rows, columns = np.mgrid[:1080, :1920]
    base = np.stack([rows * 255 // 1080, columns * 255 // 1920, (rows + columns) % 256], 2)
    noisy = base + np.random.default_rng(0).normal(0, 6, base.shape)
    stream = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85, **options)
    return stream.getvalue()


def decode(content: bytes) -> None:
    """What Pillow needs for the same file."""
    Image.open(io.BytesIO(content)).load()


def median_ms(work: Callable[[], Any], rounds: int = 15) -> float:
    """Median of some rounds after one that is not counted, ms."""
    times = []
    for _ in range(rounds + 1):
        start_s = time.perf_counter()
        work()
        times.append((time.perf_counter() - start_s) * 1e3)
    return float(np.median(times[1:]))


def main() -> None:
    """Print a line a file."""
    files = {path: Path(path).read_bytes() for path in sys.argv[1:]}
    files = files or {"drawn, baseline": drawn(), "drawn, progressive": drawn(progressive=True)}
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for name, content in files.items():
        picture = unpack_jpeg(content).picture
        walk = median_ms(partial(check_jpeg, picture))
        decoding = median_ms(partial(decode, picture))
        rate = len(picture) / walk / 1e3
        print(
            f"{name}: {len(picture):,} bytes, walk {walk:.1f} ms ({rate:.0f} MB/s), libjpeg {decoding:.1f} ms"
        )


if __name__ == "__main__":
    main()
