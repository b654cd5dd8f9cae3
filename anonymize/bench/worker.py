"""One run in a process of its own: `python -m anonymize.bench.worker`, the plan on standard input, JSON on the output.

A fresh process is the honest way to time a start, to know a peak of memory and to outlive a crash. Where a frame is
dropped the reason is in the answer; where the engine does not start, the error is.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anonymize.bench.plan import RunPlan
from anonymize.errors import AnonymizeError, UsageError

if TYPE_CHECKING:
    from anonymize.bench.scenes import Scene
    from anonymize.pipeline import Engine


def main() -> None:
    """Read the plan, write the answer."""
    spawned_s, words = json.loads(sys.stdin.readline())
    answer = sys.stdout
    sys.stdout = sys.stderr  # the answer stands alone
    try:
        values = measure(RunPlan.from_json(words), spawned_s)
    except AnonymizeError as fault:
        values = {"error": str(fault), "usage": isinstance(fault, UsageError)}
    print(json.dumps(values), file=answer, flush=True)


def measure(plan: RunPlan, spawned_s: float) -> dict[str, Any]:
    """Everything that `plan` asks for; `spawned_s` is when this process was asked for (monotonic clock)."""
    python_s = time.monotonic()
    from anonymize.kernel_cache import use_kernel_cache

    cache = use_kernel_cache()
    from anonymize.bench import machine, runs
    from anonymize.frames import ReleasedFrame

    try:
        engine = make_engine(plan)
        made_s, made_cpu_s = time.monotonic(), time.process_time()
        scene = make_scene(plan)
    except AnonymizeError as fault:  # a model, a clip or a size that came from the command line
        raise UsageError(str(fault)) from None
    drawn_s, drawn_cpu_s = time.monotonic(), time.process_time()
    with_reset = machine.reset_peak_memory()
    warm_up(engine, scene)
    gc.freeze()  # as the engine does by itself where it has a deadline
    warm_s = time.monotonic()
    outcome = engine.process(scene.frame(0, plan.fps))[0]
    first_s, first_cpu_s = time.monotonic(), time.process_time()
    values: dict[str, Any] = {
        "start": {
            "interpreter_ms": round((python_s - spawned_s) * 1000, 1),
            "imports_and_engine_ms": round((made_s - python_s) * 1000, 1),
            "warm_up_ms": round((warm_s - drawn_s) * 1000, 1),
            "first_call_ms": round((first_s - warm_s) * 1000, 2),
            "to_first_hidden_frame_ms": round((first_s - spawned_s - (drawn_s - made_s)) * 1000, 1),
            "processor_ms": round((first_cpu_s - (drawn_cpu_s - made_cpu_s)) * 1000, 1),
            "first_frame_hidden": isinstance(outcome, ReleasedFrame),
            "kernels": kernels_words(cache),
        }
    }
    values.update(describe(engine, scene))
    if plan.task == "run":
        values.update(runs.whole_run(engine, scene, plan))
    elif plan.task == "limit":
        values.update(runs.search(engine, scene, plan))
    values.setdefault("memory", runs.memory(scene))
    values["memory"]["peak_since"] = "the frames were made" if with_reset else "the process began"
    return values


def kernels_words(cache: Path | None) -> str:
    """Whether this process found its kernels compiled: numba counts what it did not find."""
    from anonymize.kernel_cache import why_compiled

    modules = [module for name, module in sys.modules.items() if name.startswith("anonymize_kernels.")]
    kept = [value.stats for module in modules for value in vars(module).values() if hasattr(value, "stats")]
    if any(stats.cache_misses for stats in kept):
        return "compiled" if cache else "compiled, for no folder may keep them"
    return "kept" if why_compiled() else "ready-made"


def make_engine(plan: RunPlan) -> Engine:
    """An engine as a vehicle has it: the live engine's defaults, or the size for files."""
    from anonymize.deadline import Budget
    from anonymize.detect import DEFAULT_MODEL, INT8_MODEL, load_foreign, load_packaged
    from anonymize.pipeline import Engine
    from anonymize.settings import FULL_SIZE_PX, Settings

    if plan.model is None:
        model = load_packaged(DEFAULT_MODEL if plan.precision == "float32" else INT8_MODEL)
    else:
        file, sha256, manifest = plan.model
        model = load_foreign(Path(file), sha256, Path(manifest))
    budget = Budget(plan.deadline_ms, plan.late) if plan.late else Budget()
    settings = Settings(budget=budget)
    if plan.full:
        settings = replace(settings, min_long_side_px=FULL_SIZE_PX)
    return Engine(
        model,
        settings,
        threads=plan.threads,
        provider=plan.provider,
        provider_fallback=plan.provider_fallback,
    )


def make_scene(plan: RunPlan) -> Scene:
    """Drawn frames, or those of the clip."""
    from anonymize.bench.scenes import draw_scene, read_clip

    if plan.clip is not None:
        return read_clip(Path(plan.clip))
    return draw_scene(plan.width, plan.height, plan.pixel_format, plan.objects)


def warm_up(engine: Engine, scene: Scene, cameras: tuple[str, ...] = ("front",)) -> None:
    """Prepare the engine for frames of this kind."""
    frame = scene.frames[0]
    for camera in cameras:
        engine.warm_up(
            width=frame.width,
            height=frame.height,
            pixel_format=frame.pixel_format,
            camera=camera,
            rotation_deg=frame.rotation_deg,
            mirrored=frame.mirrored,
            color_range=frame.color_range,
            color_matrix=frame.color_matrix,
        )


def describe(engine: Engine, scene: Scene) -> dict[str, Any]:
    """Frames, network and what really runs it."""
    frame = scene.frames[0]
    size = engine._detector.size_for(frame)
    return {
        "width": frame.width,
        "height": frame.height,
        "pixel_format": str(frame.pixel_format),
        "scene": {**scene.facts, "objects": scene.objects},
        "network": {"width": size.width, "height": size.height},
        "provider": engine.provider,
        "fallbacks": list(engine.fallbacks),
        "model": {"name": engine.model.entry.name, "sha256": engine.model.entry.sha256},
    }


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(130)
