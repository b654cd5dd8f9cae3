"""The plain convolutional network of both classes, and its folding for export.

Only 3 x 3 and 1 x 1 convolutions, batch normalisation (folded away at export) and ReLU:
onnxruntime runs those fast in float32 and twice as fast in int8, where depthwise
layers get slower (shared/design/RUNTIME.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

STRIDES_PX = (8, 16, 32)
COARSE = 4  # the exported network also looks at the picture at a quarter of its size
COARSE_STRIDES_PX = tuple(COARSE * stride for stride in STRIDES_PX)
LEVELS = {f"level{s}": s for s in STRIDES_PX} | {f"coarse{s}": s for s in COARSE_STRIDES_PX}
PAD_GREY = 114
SIZE_MULTIPLE_PX = 32
CLASSES = ("face", "plate")
OUTPUT_CHANNELS = len(CLASSES) + 4
PRIOR_PROBABILITY = 0.01  # of a cell being an object at the start, as in RetinaNet (arXiv 1708.02002)


@dataclass(frozen=True)
class Shape:
    """Channels and layer counts; channels are multiples of 16, onnxruntime's AVX-512 block."""

    stem: tuple[int, ...] = (16, 16, 32)  # one layer at stride 2, the others at stride 4
    channels: tuple[int, int, int] = (48, 64, 96)
    layers: tuple[int, int, int] = (2, 3, 3)
    head: tuple[int, int, int] = (48, 64, 64)


class ConvUnit(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def stage(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    """Return a halving 3 x 3 unit followed by ``layers - 1`` plain ones."""
    units = [ConvUnit(inputs, outputs, stride=2)]
    units += [ConvUnit(outputs, outputs) for _ in range(layers - 1)]
    return nn.Sequential(*units)


class Detector(nn.Module):
    """Raw maps of the three levels: face logit, plate logit, four log side distances."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        fine, middle, coarse = shape.channels
        before = (3, *shape.stem[:-1])
        units = [
            ConvUnit(i, o, stride=2 if k < 2 else 1)
            for k, (i, o) in enumerate(zip(before, shape.stem, strict=True))
        ]
        self.stem = nn.Sequential(*units)
        self.stage8 = stage(shape.stem[-1], fine, shape.layers[0])
        self.stage16 = stage(fine, middle, shape.layers[1])
        self.stage32 = stage(middle, coarse, shape.layers[2])
        self.lateral32 = ConvUnit(coarse, middle, kernel=1)
        self.merge16 = ConvUnit(middle, middle)
        self.lateral16 = ConvUnit(middle, fine, kernel=1)
        self.merge8 = ConvUnit(fine, fine)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        inputs = (fine, middle, middle)
        self.towers = nn.ModuleList(
            ConvUnit(i, o) if o else nn.Identity() for i, o in zip(inputs, shape.head, strict=True)
        )
        self.outputs = nn.ModuleList(
            nn.Conv2d(o or i, OUTPUT_CHANNELS, 1) for i, o in zip(inputs, shape.head, strict=True)
        )
        self._start_quiet()

    def _start_quiet(self) -> None:
        """Start all class logits at a low prior and all sides at about one stride."""
        logit = float(torch.logit(torch.tensor(PRIOR_PROBABILITY)))
        for output in self.outputs:
            nn.init.normal_(output.weight, std=0.01)
            with torch.no_grad():
                output.bias[: len(CLASSES)] = logit
                output.bias[len(CLASSES) :] = 0.0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32, each (N, 6, H / s, W / s)."""
        level8 = self.stage8(self.stem(images))
        level16 = self.stage16(level8)
        level32 = self.lateral32(self.stage32(level16))
        level16 = self.merge16(level16 + self.upsample(level32))
        level8 = self.merge8(level8 + self.upsample(self.lateral16(level16)))
        maps = (level8, level16, level32)
        a, b, c = (output(tower(m)) for output, tower, m in zip(self.outputs, self.towers, maps, strict=True))
        return a, b, c


class BothSizes(nn.Module):
    """A network that looks at the picture and, with the same weights, at a quarter of its size, in one pass.

    A cell sees 343 px; an object that is larger shows it no edge. A quarter of the size sees 1,372 px and costs
    a sixteenth.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of ``LEVELS``; the quarter is padded to a multiple of 32 px, below and on the right."""
        # the mean of the middle 2 x 2 px of 4 x 4; that of all 16 finds no more and takes three times as long
        quarter = functional.interpolate(images, scale_factor=1 / COARSE, mode="bilinear")
        right, below = (-quarter.shape[axis] % SIZE_MULTIPLE_PX for axis in (3, 2))
        padded = functional.pad(quarter, (0, right, 0, below), value=PAD_GREY / 255)
        return (*self.network(images), *self.network(padded))


def parameter_count(network: nn.Module) -> int:
    """Return the number of trained values, batch normalisation folded away."""
    return sum(p.numel() for p in fold(network).parameters())


def fold(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose batch normalisations are inside the convolutions."""
    import copy

    folded = copy.deepcopy(network).cpu().float().eval()
    for module in list(folded.modules()):
        if isinstance(module, ConvUnit):
            fused = fuse_conv_bn_eval(module[0], module[1])
            module[0], module[1] = fused, nn.Identity()
    return folded
