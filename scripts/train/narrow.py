"""A stem with fewer channels than the exported network's that a run begins with.

Backward elimination: one channel after the other goes, each time the one whose loss the next layer, its weights
solved anew by least squares, can best make up for on real canvases.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

RIDGE = 1e-4  # of the mean of the diagonal: channels that are nearly always 0 have no unique weights


@torch.no_grad()
def narrow_stem(stored: dict[str, Tensor], widths: tuple[int, ...], images: Tensor) -> list[float]:
    """Bring the stem's layers to ``widths`` channels in place, by what ``images`` (N, 3, H, W) make of them.

    ``stored`` are weights and biases by the exported names, the stem's last layer keeps its channels or its follower
    is ``stage8.0``. Returns for every narrowed layer the share of the next one's variance that is lost.
    """
    lost = []
    names = [f"stem.{k}.0" for k in range(len(widths))] + ["stage8.0.0"]
    strides = [2, 2] + [1] * (len(widths) - 2) + [2]
    inputs = images
    for k, width in enumerate(widths):
        outputs = layer(stored, names[k], strides[k], inputs).relu()
        if width < outputs.shape[1]:
            kept, weight, bias, loss = fewer(stored, names[k + 1], strides[k + 1], (outputs, width))
            stored[f"{names[k]}.weight"] = stored[f"{names[k]}.weight"][kept]
            stored[f"{names[k]}.bias"] = stored[f"{names[k]}.bias"][kept]
            stored[f"{names[k + 1]}.weight"], stored[f"{names[k + 1]}.bias"] = weight, bias
            outputs = outputs[:, kept]
            lost.append(loss)
        inputs = outputs
    return lost


def layer(stored: dict[str, Tensor], name: str, stride: int, inputs: Tensor) -> Tensor:
    """Return what the convolution gives."""
    return functional.conv2d(inputs, stored[f"{name}.weight"], stored[f"{name}.bias"], stride, 1)


def fewer(
    stored: dict[str, Tensor], name: str, stride: int, given: tuple[Tensor, int]
) -> tuple[list[int], Tensor, Tensor, float]:
    """Return the channels to keep, the weights and biases of layer ``name`` on them, and the share lost."""
    inputs, width = given
    channels = inputs.shape[1]
    wanted = layer(stored, name, stride, inputs)
    moments = torch.zeros(9 * channels + 1, 9 * channels + 1, dtype=torch.float64)
    shared = torch.zeros(9 * channels + 1, wanted.shape[1], dtype=torch.float64)
    for picture, answer in zip(inputs, wanted, strict=True):
        patches = functional.unfold(picture[None], 3, padding=1, stride=stride)[0].T.double()
        patches = torch.cat([patches, patches.new_ones(len(patches), 1)], 1)
        moments += patches.T @ patches
        shared += patches.T @ answer.flatten(1).T.double()
    total = sum(float((w.double() - w.double().mean()).square().sum()) for w in wanted.transpose(0, 1))
    squares = float(wanted.double().square().sum())

    def solved(kept: list[int]) -> tuple[Tensor, float]:
        rows = torch.tensor([9 * c + t for c in kept for t in range(9)] + [9 * channels])
        exact = moments[rows][:, rows]
        part = exact + RIDGE * exact.diagonal().mean() * torch.eye(len(rows), dtype=exact.dtype)
        weight = torch.linalg.solve(part, shared[rows])
        missing = squares - 2 * (weight * shared[rows]).sum() + (weight * (exact @ weight)).sum()
        return weight, float(missing) / total

    kept = list(range(channels))
    while len(kept) > width:
        kept.remove(min(kept, key=lambda c: solved([k for k in kept if k != c])[1]))
    weight, loss = solved(kept)
    return kept, weight[:-1].T.reshape(-1, len(kept), 3, 3).float(), weight[-1].float(), loss
