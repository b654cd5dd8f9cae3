"""Which cell answers for which object, and what a wrong answer costs.

Assignment: task-aligned (TOOD, arXiv 2108.07755), class target: the overlap reached
(varifocal loss, arXiv 2008.13367), boxes: generalised IoU (arXiv 1902.09630).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from network import CLASSES, STRIDES_PX
from torch import Tensor
from torch.nn import functional

CANDIDATES = 10  # cells per object
SCORE_POWER, OVERLAP_POWER = 0.5, 4.0
NEGATIVE_WEIGHT, NEGATIVE_POWER = 0.75, 2.0
RAW_LIMIT = 8.0  # of the log side distances, as in the output contract


@dataclass
class Targets:
    """Objects of a batch in one list; ``ignore`` rows count neither way for their class."""

    picture: Tensor  # (G,) index in the batch
    boxes: Tensor  # (G, 4) xyxy in px
    class_id: Tensor  # (G,)
    ignore: Tensor  # (G,) bool


@dataclass
class Answers:
    """The network's maps as flat lists of cells."""

    logits: Tensor  # (N, A, 2)
    boxes: Tensor  # (N, A, 4) xyxy in px
    centres: Tensor  # (A, 2) px
    stride: Tensor  # (A,) px


def flatten(maps: tuple[Tensor, Tensor, Tensor]) -> Answers:
    """Return the cells of all levels with their boxes decoded by the output contract."""
    logits, boxes, centres, strides = [], [], [], []
    for raw, stride in zip(maps, STRIDES_PX, strict=True):
        _, _, height, width = raw.shape
        flat = raw.float().flatten(2).transpose(1, 2)
        y, x = torch.meshgrid(
            torch.arange(height, device=raw.device), torch.arange(width, device=raw.device), indexing="ij"
        )
        centre = (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
        sides = stride * flat[..., len(CLASSES) :].clamp(max=RAW_LIMIT).exp()
        boxes.append(torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], -1))
        logits.append(flat[..., : len(CLASSES)])
        centres.append(centre)
        strides.append(torch.full((height * width,), float(stride), device=raw.device))
    return Answers(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(centres), torch.cat(strides))


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU of boxes paired by broadcasting."""
    shared = (
        (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    )
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    iou = shared / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def inside(centres: Tensor, stride: Tensor, boxes: Tensor) -> Tensor:
    """Return (G, A): cells whose centre lies in the box, or within half a cell of a small box's centre."""
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    half = (boxes[:, None, 2:] - boxes[:, None, :2]) / 2
    # every box has a cell of the finest level, however small it is
    reach = torch.maximum(half, torch.full_like(half, 0.55 * STRIDES_PX[0]))
    near = (centres[None] - middle).abs() <= reach
    not_much_too_coarse = stride[None] <= 1.5 * 2 * half.amax(-1).clamp(min=STRIDES_PX[0] / 2)
    return near.all(-1) & not_much_too_coarse


@torch.no_grad()
def assign(answers: Answers, targets: Targets, floor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Choose cells for every object.

    Returns the object of each chosen cell (P,), the flat cell (picture * A + cell) (P,) and
    its target quality (P,). ``floor`` lifts the quality while boxes are still unlearnt.
    """
    cells = answers.centres.shape[0]
    if targets.boxes.shape[0] == 0:
        empty = torch.zeros(0, dtype=torch.long, device=answers.logits.device)
        return empty, empty, empty.float()
    candidate = inside(answers.centres, answers.stride, targets.boxes)
    row, cell = candidate.nonzero(as_tuple=True)
    picture = targets.picture[row]
    score = answers.logits[picture, cell, targets.class_id[row]].sigmoid()
    iou, _ = overlap(answers.boxes[picture, cell], targets.boxes[row])
    fit = score.pow(SCORE_POWER) * iou.pow(OVERLAP_POWER) + 1e-9
    dense = torch.zeros(candidate.shape, device=fit.device).index_put_((row, cell), fit)
    best = dense.topk(min(CANDIDATES, cells), dim=1)
    chosen = torch.zeros_like(candidate).scatter_(1, best.indices, best.values > 0)
    keep = chosen[row, cell]
    row, flat, iou, fit = row[keep], (picture * cells + cell)[keep], iou[keep], fit[keep]
    owner = torch.zeros(answers.logits.shape[0] * cells, device=fit.device).scatter_reduce_(
        0, flat, iou + 1e-6, "amax"
    )
    keep = iou + 1e-6 >= owner[flat]
    row, flat, iou, fit = row[keep], flat[keep], iou[keep], fit[keep]
    objects = targets.boxes.shape[0]
    best_fit = torch.zeros(objects, device=fit.device).scatter_reduce_(0, row, fit, "amax")
    best_iou = torch.zeros(objects, device=fit.device).scatter_reduce_(0, row, iou, "amax")
    # the root: a small object's loose box lowers its confidence less, and confidence decides what is hidden
    quality = fit / best_fit[row].clamp(min=1e-9) * best_iou[row].sqrt().clamp(min=floor)
    return row, flat, quality


def ignored_cells(answers: Answers, targets: Targets) -> Tensor:
    """Return (N, A, 2): cells inside an ignore box of the class."""
    pictures, cells, classes = answers.logits.shape
    half = (targets.boxes[:, 2:] - targets.boxes[:, :2]) * 0.6
    reach = torch.maximum(half[:, None], 0.6 * answers.stride[:, None])
    middle = (targets.boxes[:, :2] + targets.boxes[:, 2:]) / 2
    near = ((answers.centres - middle[:, None]).abs() <= reach).all(-1)
    counts = torch.zeros((pictures * classes, cells), dtype=torch.int32, device=near.device)
    counts.index_add_(0, targets.picture * classes + targets.class_id, near.int())
    return (counts > 0).reshape(pictures, classes, cells).transpose(1, 2)


def loss(
    maps: tuple[Tensor, Tensor, Tensor],
    targets: Targets,
    *,
    taught: Tensor | None,
    weights: dict[str, float],
    floor: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of a batch and its parts; ``taught`` are a teacher's class logits (N, A, 2)."""
    answers = flatten(maps)
    asked, left_out = split(targets)
    row, flat, quality = assign(answers, asked, floor)
    logits = answers.logits.flatten(0, 1)
    wanted = torch.zeros_like(logits)
    wanted[flat, asked.class_id[row]] = quality
    ignored = ignored_cells(answers, left_out)
    masked = ignored.flatten(0, 1) & (wanted == 0)
    weight = torch.where(wanted > 0, wanted, NEGATIVE_WEIGHT * logits.detach().sigmoid().pow(NEGATIVE_POWER))
    weight = weight.masked_fill(masked, 0.0)
    total_quality = quality.sum().clamp(min=1.0)
    class_loss = (
        functional.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="sum") / total_quality
    )
    iou, generalised = overlap(answers.boxes.flatten(0, 1)[flat], asked.boxes[row])
    box_loss = ((1 - generalised) * quality).sum() / total_quality
    parts = {"class": class_loss.detach(), "box": box_loss.detach()}
    parts["iou"] = (iou.detach() * quality).sum() / total_quality
    total = class_loss + weights["box_weight"] * box_loss
    if taught is not None:
        known_empty = ~(ignored | ignored_cells(answers, asked))
        from_teacher = teacher_loss(answers.logits, taught, known_empty) / total_quality
        parts["teacher"] = from_teacher.detach()
        total = total + weights["teacher_weight"] * from_teacher
    return total, parts


def teacher_loss(logits: Tensor, taught: Tensor, known_empty: Tensor) -> Tensor:
    """Return the sum of what class logits (N, A, 2) differ from a teacher's (distillation, arXiv 1503.02531).

    A cell counts by how much of an object one of the two sees in it. Where nothing is marked and nothing left out
    (``known_empty``) the teacher may only call it emptier than it is called: its own false hits are not taught.
    """
    said, wanted = logits.detach().sigmoid(), taught.sigmoid()
    wanted = torch.where(known_empty, torch.minimum(wanted, said), wanted)
    weight = torch.maximum(wanted, said)
    return functional.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="sum")


def split(targets: Targets) -> tuple[Targets, Targets]:
    """Return the objects asked for and those to ignore."""
    halves = [
        Targets(targets.picture[m], targets.boxes[m], targets.class_id[m], targets.ignore[m])
        for m in (~targets.ignore, targets.ignore)
    ]
    return halves[0], halves[1]
