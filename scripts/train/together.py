"""Several networks trained on the same canvases, the first one teaching the others: for an accelerator.

There the processor's cores that make the canvases are the limit (5 ms each), not the networks: a large teacher that
learns beside its pupils costs no canvas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor
from train import (
    CanvasStream,
    Report,
    State,
    begin,
    checkpoint_of,
    class_logits,
    loader,
    on,
    scheduled,
    train_step,
)


def train_together(config: dict[str, Any], work: Path) -> None:
    """Train the networks of ``together`` until their schedules are used; go on from checkpoints if there are any."""
    options = config["together"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    cv2.setNumThreads(1)
    states = {name: begin(own_config(config, name), work, name, device) for name in options["networks"]}
    teacher, *pupils = states.values()
    stream = CanvasStream(config, work, pupils[0].step * options["batch"], options["batch"])
    reports = {name: Report(f"{name:8s}") for name in states}
    batches = iter(loader(stream, device))
    if device.type == "cuda":
        record(list(states.values()), on(device, next(batches))[0])
    saved = {checkpoint_of(work, name): state for name, state in states.items()}
    for batch in scheduled(batches, saved, options["checkpoint_s"]):
        stream.fraction.fill_(pupils[0].fraction())
        inputs, targets, _ = on(device, batch)
        taught = answer(teacher, inputs, mirrored=options["mirrored"])
        for name, state in states.items():
            if state.fraction() < 1.0:
                rate = state.set_rate()
                said = None if state is teacher else taught
                reports[name].note(state, rate, train_step(state, inputs, targets, said))
    for name, state in states.items():
        torch.save(state.result(), work / name / "average.pt")
        print(f"{name} stopped at {state.fraction():.3f} of the schedule", flush=True)


def own_config(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the configuration of one of the networks, with what ``together`` says of it."""
    options = config["together"]
    own = {key: options[key][name] for key in ("learning_rate", "budget_s")}
    own["learner_of"] = options["networks"][0] if name != options["networks"][0] else ""
    train = {**config["train"], "batch": options["batch"]}
    return {**config, "train": train, "network": {**config["networks"][name], **own}}


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
