"""A run that begins with the weights of an exported network instead of random ones.

The export folded every batch normalisation into its convolution. Here each gets one again that does the same on
the statistics of real canvases, so the network's answers are those of the file and the training can go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
import torch
from network import ConvUnit, Detector
from onnx import numpy_helper
from torch import Tensor, nn


@torch.no_grad()
def warm_start(network: Detector, model: Path, images: Iterable[Tensor]) -> None:
    """Load the file's weights; ``images`` (N, 3, H, W), 0 to 1, give the statistics.

    Raises
    ------
    ValueError
        The file's network has another shape.
    """
    stored = {
        t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(model).graph.initializer
    }
    units = {name: module for name, module in network.named_modules() if isinstance(module, ConvUnit)}
    wanted = {f"{name}.0.weight" for name in units} | {f"{name}.0.bias" for name in units}
    wanted |= {f"outputs.{k}.{part}" for k in range(len(network.outputs)) for part in ("weight", "bias")}
    if wanted != set(stored):
        raise ValueError(f"{model.name} holds other layers: {sorted(wanted ^ set(stored))}")
    for name, value in network.state_dict().items():
        if name in stored and not name.endswith(".0.bias"):
            if value.shape != stored[name].shape:
                raise ValueError(
                    f"{name} in {model.name} is {tuple(stored[name].shape)}, wanted {tuple(value.shape)}"
                )
            value.copy_(stored[name])
    for k, output in enumerate(network.outputs):
        output.bias.copy_(stored[f"outputs.{k}.bias"])
    measured = {name: Statistics(unit, stored[f"{name}.0.bias"]) for name, unit in units.items()}
    network.eval()
    for name in forward_order(network, units):  # a layer's statistics rest on the layers before it
        for batch in images:
            with measured[name].watching():
                network(batch)
        measured[name].settle()
    network.train()


def forward_order(network: Detector, units: dict[str, ConvUnit]) -> list[str]:
    """Return the names of the units in the order in which a pass reaches them."""
    order: list[str] = []
    watches = [
        unit.register_forward_hook(lambda _m, _i, _o, name=name: order.append(name))
        for name, unit in units.items()
    ]
    network(torch.zeros(1, 3, 64, 64))
    for watch in watches:
        watch.remove()
    return order


class Statistics:
    """Mean and variance of what one unit's convolution gives, channel by channel."""

    def __init__(self, unit: ConvUnit, bias: Tensor) -> None:
        self.unit, self.bias = unit, bias
        self.sums = torch.zeros(2, len(bias), dtype=torch.float64)
        self.count = 0

    def watching(self) -> torch.utils.hooks.RemovableHandle:
        """Count during one pass (a context)."""
        return self.unit[0].register_forward_hook(self._note)

    def _note(self, _module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output.double()
        self.sums += torch.stack([values.sum((0, 2, 3)), values.square().sum((0, 2, 3))])
        self.count += output.numel() // output.shape[1]

    def settle(self) -> None:
        """Set the normalisation so that it changes nothing but adds the folded bias."""
        norm = self.unit[1]
        mean, square = (self.sums / self.count).float()
        variance = (square - mean.square()).clamp(min=1e-6)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(self.bias + mean)
