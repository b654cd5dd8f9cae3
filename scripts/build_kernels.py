"""Compiles the kernels for the wheel: `python scripts/build_kernels.py` (half a minute; x86-64 Linux).

They fit every x86-64 processor with AVX2 that runs the same Python and numba: see `anonymize_kernels._ready_made`.
Does nothing where those that are there fit the sources.
"""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / part) for part in (".", "kernels", "models")]
# numba reads these when it is imported: compile for the level, whatever this processor can do besides
os.environ |= {"ANONYMIZE_READY_MADE": "0", "NUMBA_CACHE_DIR": "", "NUMBA_CPU_NAME": "x86-64-v3"}
os.environ["NUMBA_CPU_FEATURES"] = "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt"

import numpy as np
from anonymize_kernels import _ready_made, areas, blur, decode, hide, jpeg_scan, motion, preprocess, track
from PIL import Image

from anonymize.boxes import BoxTable
from anonymize.hide import Styles
from anonymize.hide.hider import Hider
from anonymize.media.jpeg_check import check_jpeg
from anonymize.track import CameraMotion, Tracker

MODULES = (areas, blur, decode, hide, jpeg_scan, motion, preprocess, track)


def compile_all() -> None:
    """Call everything with the types that the engine calls it with."""
    preprocess.compile_all()
    decode.compile_all()
    for pixel_format in ("nv12", "yuv420p10le"):
        Hider(Styles("blur", "mosaic")).reserve(64, 64, pixel_format)
    Tracker().step(BoxTable(), 0.0, size=(64, 64))
    picture, of_bytes = np.zeros((64, 64), np.float32), np.zeros((64, 64, 3), np.uint8)
    for view in (picture, picture[:, :32], of_bytes[..., 1]):  # without and with padding beside the picture
        moved = CameraMotion()
        for _ in range(2):
            moved.shift(view)
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    for progressive in (False, True):
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "jpeg", progressive=progressive)
        check_jpeg(file.getvalue())


def main() -> int:
    """0 also where this machine cannot make them: the wheel then compiles at the first start."""
    system, lacking = _ready_made.made_for()["system"], _ready_made.lacking_here()
    if system != "linux x86_64" or lacking:
        print(f"no ready-made kernels are made on {system} {lacking}: the first start compiles them")
        return 0
    assert os.environ["NUMBA_CPU_NAME"] == _ready_made.CPU
    assert set(_ready_made.ABILITIES) == set(os.environ["NUMBA_CPU_FEATURES"].replace("+", "").split(","))
    if _ready_made.are_current():
        return 0
    begun_s = time.process_time()
    compile_all()
    found: list[Any] = [value for module in MODULES for value in vars(module).values()]
    from_python = {
        id(one): one
        for one in found
        if hasattr(one, "overloads") and not one.targetoptions.get("no_cpython_wrapper")
    }
    size = _ready_made.write(list(from_python.values()))
    print(
        f"{len(list(_ready_made.FOLDER.iterdir())) - 1} ready-made kernels, {size / 1e6:.1f} MB, in "
        f"{time.process_time() - begun_s:.0f} s of processor time"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
