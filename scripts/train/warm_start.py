"""A run that begins with the weights of an exported network, of its own shape, a smaller one or a wider stem's.

The export folded every batch normalisation into its convolution. Here each gets one again that does the same on
the statistics of real canvases, so the network's answers are those of the file and the training can go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
import torch
from narrow import narrow_stem
from network import ConvUnit, Detector, Shape, fold
from onnx import numpy_helper
from torch import Tensor, nn


@torch.no_grad()
def warm_start(network: Detector, model: Path, images: Iterable[Tensor]) -> None:
    """Load the file's weights; ``images`` (N, 3, H, W), 0 to 1, on the network's device, give the statistics.

    Raises
    ------
    ValueError
        The file's network has layers or channels that this one has not.
    """
    images = list(images)
    stored = exported_weights(model)
    widths = tuple(unit[0].out_channels for unit in network.stem)
    if any(len(stored[f"stem.{k}.0.bias"]) > width for k, width in enumerate(widths)):
        lost = narrow_stem(stored, widths, torch.cat(images[:2]).cpu())
        print("share of variance lost:", lost, flush=True)
    device = images[0].device
    stored = {name: value.to(device) for name, value in stored.items()}
    units = {name: module for name, module in network.named_modules() if isinstance(module, ConvUnit)}
    wanted = {f"{name}.0.weight" for name in units} | {f"{name}.0.bias" for name in units}
    wanted |= {f"outputs.{k}.{part}" for k in range(len(network.outputs)) for part in ("weight", "bias")}
    if set(stored) - wanted:
        raise ValueError(f"{model.name} holds other layers: {sorted(set(stored) - wanted)}")
    before = 3
    for name in forward_order(network, units):
        weight = stored.get(f"{name}.0.weight")
        if weight is None:  # a layer more than the file's network has: it hands on what it gets
            weight = identity(before).to(device)
            stored[f"{name}.0.bias"] = torch.zeros(before, device=device)
        set_corner(units[name][0].weight, weight, f"{name} in {model.name}")
        before = len(weight)
    for k, output in enumerate(network.outputs):
        set_corner(output.weight, stored[f"outputs.{k}.weight"], f"outputs.{k} in {model.name}")
        output.bias.copy_(stored[f"outputs.{k}.bias"])
    measured = {name: Statistics(unit, stored[f"{name}.0.bias"]) for name, unit in units.items()}
    network.eval()
    for name in forward_order(network, units):  # a layer's statistics rest on the layers before it
        for batch in images:
            with measured[name].watching():
                network(batch)
        measured[name].settle()
    network.train()


def exported_weights(model: Path) -> dict[str, Tensor]:
    """Return the weights and biases of an exported network by their names in the folded one."""
    return {
        t.name.removeprefix("network."): torch.from_numpy(numpy_helper.to_array(t).copy())
        for t in onnx.load(model).graph.initializer
    }


def exported(shape: Shape, model: Path) -> nn.Module:
    """Return an exported network to be asked, without its batch normalisations."""
    network = fold(Detector(shape))
    network.load_state_dict(exported_weights(model))
    return network.requires_grad_(False)


def identity(channels: int) -> Tensor:
    """Return the weights (C, C, 3, 3) of a convolution that changes nothing."""
    weight = torch.zeros(channels, channels, 3, 3)
    weight[torch.arange(channels), torch.arange(channels), 1, 1] = 1.0
    return weight


def set_corner(weight: Tensor, stored: Tensor, place: str) -> None:
    """Put the stored weights where both networks have channels; what is new is not yet heard by what was there.

    New channels keep their random weights; those that lead from them into old ones are 0. So the wider network
    answers as the narrow one did, and the first gradient already reaches every new channel's way out.
    """
    outputs, inputs = stored.shape[:2]
    if outputs > weight.shape[0] or inputs > weight.shape[1] or stored.shape[2:] != weight.shape[2:]:
        raise ValueError(f"{place} is {tuple(stored.shape)}, wanted at most {tuple(weight.shape)}")
    weight[:outputs] = 0.0
    weight[:outputs, :inputs] = stored


def forward_order(network: Detector, units: dict[str, ConvUnit]) -> list[str]:
    """Return the names of the units in the order in which a pass reaches them."""
    order: list[str] = []
    watches = [
        unit.register_forward_hook(lambda _m, _i, _o, name=name: order.append(name))
        for name, unit in units.items()
    ]
    network(torch.zeros(1, 3, 64, 64, device=network.outputs[0].weight.device))
    for watch in watches:
        watch.remove()
    return order


class Statistics:
    """Mean and variance of what one unit's convolution gives, channel by channel."""

    def __init__(self, unit: ConvUnit, bias: Tensor) -> None:
        self.unit, self.bias = unit, bias
        self.sums = torch.zeros(2, unit[0].out_channels, dtype=torch.float64, device=bias.device)
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
        norm, known = self.unit[1], len(self.bias)
        mean, square = (self.sums / self.count).float()
        variance = (square - mean.square()).clamp(min=1e-6)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight[:known] = (variance + norm.eps).sqrt()[
            :known
        ]  # channels more than the file's keep 1 and 0
        norm.bias[:known] = self.bias + mean[:known]
