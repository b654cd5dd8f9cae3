"""Reports as `anonymize bench --json` writes them, from durations that a test chose."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize.bench.histogram import Histogram, summary

WINDOW_S = 0.25
Durations = npt.NDArray[np.float64]


def noisy_ms(rng: np.random.Generator, frames: int, middle_ms: float, *, rho: float = 0.8) -> Durations:
    """Durations as a machine gives them: like those before them, skewed, with one spike in a hundred."""
    steps = rng.normal(0, 0.04 * np.sqrt(1 - rho**2), frames)
    slow = np.empty(frames)
    value = rng.normal(0, 0.04)
    for number, step in enumerate(steps):
        value = rho * value + step
        slow[number] = value
    spikes = np.where(rng.random(frames) < 0.01, rng.uniform(1.2, 2.5, frames), 1.0)
    values: Durations = middle_ms * np.exp(slow) * (1 + 0.03 * rng.exponential(size=frames)) * spikes
    return values


def mode(
    durations_ms: Durations, *, fps: float = 30.0, whole: str = "latency", never: int = 0
) -> dict[str, Any]:
    """One kind of run whose frames took so long; the last `never` frames did not come out."""
    windows = []
    per_window = fps * WINDOW_S
    counted = Histogram()
    for number in range(int(np.ceil(len(durations_ms) / per_window))):
        part = durations_ms[round(number * per_window) : round((number + 1) * per_window)]
        one = Histogram()
        for place, value in enumerate(part, round(number * per_window)):
            one.add(float("inf") if place >= len(durations_ms) - never else float(value))
        counted.merge(one)
        windows.append(
            {
                "at_s": number * WINDOW_S,
                "frames": len(part),
                "begun": len(part),
                "misses": 0,
                "cpu_ms": float(part.sum()),
                "max_ms": one.max_ms,
                "never": {whole: one.never} if one.never else {},
                "counts": {whole: one.as_list(), "network_ms": one.as_list()},
            }
        )
    return {
        "seconds": len(durations_ms) / fps,
        "frames": len(durations_ms),
        "delivered": len(durations_ms) - never,
        "frames_per_s": fps,
        "dropped": {"queue_full": never} if never else {},
        "hidden_whole": {},
        "boxes_hidden_per_frame": {"face": 4.0, "plate": 4.0},
        "misses": 0 if whole == "latency" else None,
        "cpu_ms_per_frame": float(durations_ms.mean()),
        "cores": 0.5,
        "durations_ms": {whole: summary(counted), "network_ms": summary(counted)},
        "window_s": WINDOW_S,
        "windows": windows,
        "watts": None,
        "stolen_s": 0.0,
        "switched_away": 3,
        "control": None,
    }


def report(modes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A whole report of one run; `changes` replace values of its key."""
    key = {
        "width": 1280, "height": 720, "pixel_format": "nv12", "threads": 1, "source": "8 drawn objects",
        "detection": "live", "fps": 30.0, "deadline_ms": 33.333, "load": 0, "provider": "cpu", **changes,
    }  # fmt: skip
    run = {
        "key": key,
        "width": key["width"],
        "height": key["height"],
        "network": {"width": 640, "height": 384},
        "model": {"name": "drive", "sha256": "ab" * 32},
        "provider": "CPUExecutionProvider",
        "fallbacks": [],
        "scene": {"source": "drawn", "frames": 8, "objects": {"face": 4, "plate": 4}},
        "start": {
            "interpreter_ms": 50.0, "imports_and_engine_ms": 400.0, "warm_up_ms": 300.0, "first_call_ms": 12.0,
            "to_first_hidden_frame_ms": 762.0, "processor_ms": 700.0, "first_frame_hidden": True, "kernels": "kept",
        },
        "memory": {"peak_mb": 240.0, "benchmark_frames_mb": 11.0, "peak_since": "the frames were made"},
        "modes": modes,
        "last_fault": "",
    }  # fmt: skip
    state = {"governor": None, "frequency_mhz": None, "temperature_c": None, "load_average": 0.1}
    return {
        "schema": 1,
        "kind": "anonymize bench",
        "begun": "2026-01-01T00:00:00+00:00",
        "machine": {
            "cpu": "A <processor>", "architecture": "x86_64", "cores": 2, "memory_gb": 8.0, "virtual": False,
            "system": "Linux 6", "python": "3.12.1", "versions": {"numpy": "2.0"},
        },
        "before": state,
        "after": state,
        "warnings": [],
        "runs": [run],
    }  # fmt: skip
