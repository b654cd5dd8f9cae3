"""Several networks trained on the same canvases, the first one teaching the others: for an accelerator.

There the processor's cores that make the canvases are the limit (5 ms each), not the networks: a large teacher that
learns beside its pupils costs no canvas.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import settings
import torch
from torch import Tensor
from train import (
    LONGEST_STEP_S,
    CanvasStream,
    Report,
    State,
    StopRequest,
    class_logits,
    loader,
    on,
    start_from,
    train_step,
)


def train_together(config: dict[str, Any], work: Path) -> None:
    """Train the networks of ``together`` until their schedules are used; go on from checkpoints if there are any."""
    options = config["together"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    cv2.setNumThreads(1)
    states = {name: begin(config, work, name, device) for name in options["networks"]}
    teacher, *pupils = states.values()
    stream = CanvasStream(config, work, pupils[0].step * options["batch"], options["batch"])
    reports = {name: Report(f"{name:8s}") for name in states}
    stop = StopRequest()
    graphed = device.type != "cuda"
    before_s = saved_s = asked_s = time.monotonic()
    waited_s = 0.0
    for batch in loader(stream, device):
        waited_s += time.monotonic() - asked_s
        inputs, targets, _ = on(device, batch)
        if not graphed:
            record(list(states.values()), inputs)
            graphed, before_s = True, time.monotonic()
        now_s = time.monotonic()
        for state in states.values():
            state.used_s += min(now_s - before_s, LONGEST_STEP_S)
        before_s = now_s
        over = stop.asked or all(state.fraction() >= 1.0 for state in pupils)
        if over or now_s - saved_s > options["checkpoint_s"]:
            for name, state in states.items():
                state.save(work / name / "checkpoint.pt")
            saved_s = now_s
        if over:
            for name, state in states.items():
                torch.save(state.result(), work / name / "average.pt")
            break
        stream.fraction.fill_(pupils[0].fraction())
        taught = answer(teacher, inputs, mirrored=options["mirrored"])
        for name, state in states.items():
            if state.fraction() < 1.0:
                rate = state.set_rate()
                said = None if state is teacher else taught
                reports[name].note(state, rate, train_step(state, inputs, targets, said))
        asked_s = time.monotonic()
    print(*(f"{name} stopped at {state.fraction():.3f}," for name, state in states.items()), end=" ")
    print(f"waited {waited_s:.0f} s for canvases", flush=True)


def begin(config: dict[str, Any], work: Path, name: str, device: torch.device) -> State:
    """Return a network's state at its checkpoint, or with the installed weights it begins with."""
    options = config["together"]
    own = {key: options[key][name] for key in ("learning_rate", "budget_s")}
    own["learner_of"] = options["networks"][0] if name != options["networks"][0] else ""
    train = {**config["train"], "batch": options["batch"]}
    config = {**config, "train": train, "network": {**config["networks"][name], **own}}
    state = State(config, device)
    checkpoint = work / name / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state.load(checkpoint)
    elif (model := settings.installed(config)) is not None:
        start_from(state, model, config, work)
    return state


def record(states: list[State], inputs: Tensor) -> None:
    """Record forward and backward passes as CUDA graphs: hundreds of small kernels are launched as one."""
    for state in states:
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            torch.cuda.make_graphed_callables(state.network, (inputs.clone(),))


@torch.no_grad()
def answer(teacher: State, inputs: Tensor, *, mirrored: bool) -> Tensor:
    """Return what the averaged teacher says of the inputs, (N, A, 2)."""
    with torch.autocast(teacher.device.type, torch.bfloat16):
        return class_logits(teacher.average, inputs, mirrored=mirrored)
