"""The training loop: one schedule by wall time, checkpoints that survive any kill."""

from __future__ import annotations

import copy
import math
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import mine
import numpy as np
import pictures
import settings
import torch
from crops import Canvases, Row
from losses import Targets, flatten, loss
from network import Detector
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from warm_start import exported, warm_start

NOT_FACES = Path(__file__).resolve().with_name("reviewed_not_faces.json")
LONGEST_STEP_S = (
    20.0  # what a step takes more was a stopped process (SIGSTOP), and is not the schedule's time
)
Sample = tuple[Tensor, list[Row]]
# pictures (N, H, W, 3) of bytes, objects, a teacher's class logits
Batch = tuple[Tensor, Targets, Tensor | None]


class CanvasStream(IterableDataset[Batch]):
    """Batches from canvas number ``start`` on, without an end; loader worker k of n makes every n-th one."""

    def __init__(self, config: dict[str, Any], work: Path, start: int, batch: int) -> None:
        self.config, self.work, self.start, self.batch = config, work, start, batch
        self.fraction = torch.zeros(1).share_memory_()  # of the schedule, told to the workers

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        worker = torch.utils.data.get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        canvases = Canvases(load_pack(self.work), self.config)
        teacher = Teacher(self.config) if self.config["network"].get("learner_of") else None
        number = self.start + index * self.batch
        while True:
            if float(self.fraction) >= self.config["crops"]["late"]["from_fraction"]:
                canvases.calm_down()
            made = (canvases.make(number + k) for k in range(self.batch))
            images, targets = collate([(torch.from_numpy(pixels), rows) for pixels, rows in made])
            yield images, targets, teacher(images) if teacher else None
            number += count * self.batch


class Teacher:
    """An installed network that is asked for its class logits beside the training, in the loader's process.

    With `teacher_mirrored` its answer is the mean of two looks, at the pictures and at their mirror images.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        name = config["network"]["learner_of"]
        shape = settings.shape({"network": config["networks"][name]})
        network = exported(shape, settings.model_file(name))
        self.network = network.to(torch.bfloat16, memory_format=torch.channels_last)
        self.mirrored = bool(config["network"].get("teacher_mirrored"))

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the class logits (N, A, 2) of the pictures (N, H, W, 3), bytes."""
        return class_logits(self.network, as_input(images).to(torch.bfloat16), mirrored=self.mirrored)


def class_logits(network: nn.Module, inputs: Tensor, *, mirrored: bool) -> Tensor:
    """Return what a network says of the inputs (N, 3, H, W), (N, A, 2); mirrored: the mean of two looks."""
    logits = flatten(network(inputs)).logits
    if not mirrored:
        return logits
    fine, middle, coarse = (level.flip(3) for level in network(inputs.flip(3)))
    said = (logits.sigmoid() + flatten((fine, middle, coarse)).logits.sigmoid()) / 2
    return torch.logit(said, eps=1e-6)


def as_input(images: Tensor) -> Tensor:
    """Return pictures (N, H, W, 3) of bytes as the network reads them."""
    return images.permute(0, 3, 1, 2).float().div_(255.0)


def load_pack(work: Path) -> pictures.Pack:
    """Return the pictures with what all teachers said so far."""
    pack = pictures.Pack(work / "pictures.zip", keep=True)
    pictures.merge_teachers(pack.pictures, [work / "faces.json", work / "plates.json"])
    pictures.drop_reviewed(pack.pictures, NOT_FACES)
    pictures.ignore_reviewed(pack.pictures, mine.REVIEWED)
    pictures.note_hard(pack.pictures, work / "hard.json")
    return pack


def collate(samples: list[Sample]) -> tuple[Tensor, Targets]:
    """Return a batch (N, H, W, 3) of bytes and its objects."""
    rows = [(k, *row) for k, (_, rows) in enumerate(samples) for row in rows]
    targets = Targets(
        torch.tensor([r[0] for r in rows], dtype=torch.long),
        torch.tensor([r[1] for r in rows], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([r[2] for r in rows], dtype=torch.long),
        torch.tensor([r[3] for r in rows], dtype=torch.bool),
    )
    return torch.stack([pixels for pixels, _ in samples]), targets


class State:
    """Everything a run needs to go on: network, average, optimiser, step, seconds used."""

    def __init__(self, config: dict[str, Any], device: torch.device) -> None:
        torch.manual_seed(config["seed"])
        self.options = {**config["train"], **{k: config["network"][k] for k in ("budget_s", "learning_rate")}}
        self.device = device
        self.learner_of = config["network"].get("learner_of", "")
        self.network = Detector(settings.shape(config)).to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        # compiled, batch normalisation and ReLU are one pass: 0.40 s a step became 0.31 (Xeon with AMX, one thread)
        compiled = self.options["compile"] and device.type == "cpu"
        self.forward = torch.compile(self.network) if compiled else self.network
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.network, self.options["weight_decay"]), lr=1.0, fused=device.type == "cuda"
        )
        self.step, self.used_s = 0, 0.0

    def fraction(self) -> float:
        """Return the share of the schedule that is over, 0 to 1."""
        return min(1.0, self.used_s / self.options["budget_s"])

    def set_rate(self) -> float:
        """Set and return the learning rate of this moment: a short rise, then a cosine."""
        rise = min(1.0, (self.used_s + 1) / self.options["warm_up_s"])
        rate = (
            self.options["learning_rate"]
            * rise
            * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.fraction())))
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return float(rate)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the averaged network towards the trained one."""
        decay = min(self.options["ema_decay"], (1 + self.step) / (10 + self.step))
        average, current = self.average.state_dict(), self.network.state_dict()
        floating = [name for name, value in average.items() if value.dtype.is_floating_point]
        counts = [name for name in average if name not in floating]
        torch._foreach_lerp_([average[n] for n in floating], [current[n] for n in floating], 1 - decay)
        torch._foreach_copy_([average[n] for n in counts], [current[n] for n in counts])

    def save(self, path: Path) -> None:
        """Write the checkpoint; a kill leaves the old one or the new one, never half."""
        partial = path.with_suffix(".tmp")
        parts = {"network": self.network, "optimiser": self.optimiser}
        torch.save({name: part.state_dict() for name, part in parts.items()} | self.result(), partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)

    def result(self) -> dict[str, Any]:
        """Return the part of a checkpoint that ``export`` reads: the averaged network and how it came about."""
        on_gpu = self.device.type == "cuda"
        return {
            "average": self.average.state_dict(),
            "step": self.step,
            "used_s": self.used_s,
            "batch": self.options["batch"],
            "machine": f"one {torch.cuda.get_device_name()}" if on_gpu else "shared CPU cores",
            "learner_of": self.learner_of,
        }

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        document = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(document["network"])
        self.average.load_state_dict(document["average"])
        self.optimiser.load_state_dict(document["optimiser"])
        self.step, self.used_s = document["step"], document["used_s"]


class StopRequest:
    """Turns SIGTERM into a flag, so that the run ends with a checkpoint."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _number: int, _frame: Any) -> None:
        self.asked = True


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimiser's groups: only convolution weights decay."""
    decayed = [p for p in network.parameters() if p.ndim == 4]
    others = [p for p in network.parameters() if p.ndim != 4]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def train_step(state: State, inputs: Tensor, targets: Targets, taught: Tensor | None) -> dict[str, Tensor]:
    """Take one step on inputs (N, 3, H, W) and return the parts of the loss."""
    with torch.autocast(state.device.type, torch.bfloat16, cache_enabled=False):
        maps = state.forward(inputs)
    floor = 0.5 * max(0.0, 1 - state.fraction() / 0.08)
    total, parts = loss(maps, targets, taught=taught, weights=state.options, floor=floor)
    state.optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), 10.0)
    if torch.isfinite(norm):
        state.optimiser.step()
    state.step += 1
    state.follow()
    return parts


def on(device: torch.device, batch: Batch) -> tuple[Tensor, Targets, Tensor | None]:
    """Return the batch's inputs (N, 3, H, W), objects and a teacher's answer on the device."""
    images, targets, taught = batch
    return (
        as_input(images.to(device, non_blocking=True)),
        Targets(*(v.to(device, non_blocking=True) for v in vars(targets).values())),
        None if taught is None else taught.to(device),
    )


class Report:
    """Prints the mean of the loss's parts every 50 steps."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.sums: dict[str, Tensor] = {}

    def note(self, state: State, rate: float, parts: dict[str, Tensor]) -> None:
        """Add one step's parts."""
        for part, value in parts.items():
            self.sums[part] = self.sums.get(part, 0.0) + value / 50
        if state.step % 50 == 0:
            said = " ".join(f"{part} {float(value):.3f}" for part, value in self.sums.items())
            print(
                f"{self.name}step {state.step} used {state.used_s:.0f} s rate {rate:.5f} {said}", flush=True
            )
            self.sums = {}


def start_from(state: State, model: Path, config: dict[str, Any], work: Path) -> None:
    """Begin with an exported network's weights."""
    canvases = Canvases(load_pack(work), config)
    made = torch.from_numpy(np.stack([canvases.make(k)[0] for k in range(64)])).to(state.device)
    warm_start(state.network, model, as_input(made).split(16))
    state.average.load_state_dict(state.network.state_dict())


def loader(stream: CanvasStream, device: torch.device) -> DataLoader[Batch]:
    """Return what makes the canvases beside the training, on all cores but one."""
    workers = max(1, (os.cpu_count() or 1) - 1)
    pinned = device.type == "cuda"
    return DataLoader(stream, None, num_workers=workers, prefetch_factor=4, pin_memory=pinned)


def checkpoint_of(work: Path, run: str) -> Path:
    """Return where a run's checkpoint lies."""
    return work / run / "checkpoint.pt"


def begin(config: dict[str, Any], work: Path, run: str, device: torch.device) -> State:
    """Return the run's state at its checkpoint, or with the installed weights that it begins with."""
    state = State(config, device)
    checkpoint = checkpoint_of(work, run)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        state.load(checkpoint)
    elif (model := settings.installed(config)) is not None:
        start_from(state, model, config, work)
    return state


def scheduled(batches: Iterable[Batch], states: dict[Path, State], checkpoint_s: float) -> Iterator[Batch]:
    """Yield batches until all schedules are used or a stop is asked for, with a checkpoint then and now and then."""
    stop = StopRequest()
    before_s = saved_s = asked_s = time.monotonic()
    waited_s = 0.0
    for batch in batches:
        now_s = time.monotonic()
        waited_s += now_s - asked_s
        for state in states.values():
            state.used_s += min(now_s - before_s, LONGEST_STEP_S)
        before_s = now_s
        over = stop.asked or all(state.fraction() >= 1.0 for state in states.values())
        if over or now_s - saved_s > checkpoint_s:
            for checkpoint, state in states.items():
                state.save(checkpoint)
            saved_s = time.monotonic()
        if over:
            print(f"waited {waited_s:.0f} s for canvases", flush=True)
            return
        yield batch
        asked_s = time.monotonic()


def train(config: dict[str, Any], work: Path, run: str) -> None:
    """Train until the schedule's wall time is used; go on from the run's checkpoint if there is one."""
    options = config["train"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options["threads"])
    cv2.setNumThreads(1)  # a pool of its threads does not survive the loader's fork
    state = begin(config, work, run, device)
    stream = CanvasStream(config, work, state.step * options["batch"], options["batch"])
    report = Report()
    states = {checkpoint_of(work, run): state}
    for batch in scheduled(loader(stream, device), states, options["checkpoint_s"]):
        stream.fraction.fill_(state.fraction())
        rate = state.set_rate()
        report.note(state, rate, train_step(state, *on(device, batch)))
    print(f"stopped at {state.fraction():.3f} of the schedule", flush=True)
