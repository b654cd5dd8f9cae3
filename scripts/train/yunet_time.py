"""``python scripts/train/yunet_time.py``: our networks beside one of YuNet-n's layers, one thread, all in turn.

The time of a network does not rest on its weights, so they are random here; the layers are those of the paper (Wu, Peng
and Yu, YuNet: A tiny millisecond-level face detector, 2023), and the count of its parameters, 75,856, is checked.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import settings
import torch
from quantise import SIZES, times_ms
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

PARAMETERS = 75_856
WIDTH = 64


class Pair(nn.Sequential):
    """A 1 x 1 convolution, a depthwise 3 x 3 one, and unless ``bare`` batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, *, bare: bool = False) -> None:
        after = [] if bare else [nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(
            nn.Conv2d(inputs, outputs, 1), nn.Conv2d(outputs, outputs, 3, 1, 1, groups=outputs), *after
        )

    def fold(self) -> None:
        """Take the batch normalisation into the convolution."""
        if len(self) > 2:
            self[1], self[2] = fuse_conv_bn_eval(self[1], self[2]), nn.Identity()


class YuNet(nn.Module):
    """The layers of YuNet-n with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), Pair(16, 16))
        self.stages = nn.ModuleList(
            nn.Sequential(Pair(i, i), Pair(i, o)) for i, o in ((16, WIDTH), *[(WIDTH, WIDTH)] * 4)
        )
        self.laterals = nn.ModuleList(Pair(WIDTH, WIDTH) for _ in range(3))
        self.shared = nn.ModuleList(Pair(WIDTH, WIDTH) for _ in range(3))
        self.heads = nn.ModuleList(  # class, box, objectness, five landmarks
            nn.ModuleList(Pair(WIDTH, outputs, bare=True) for outputs in (1, 4, 1, 10)) for _ in range(3)
        )
        self.halve, self.enlarge = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return twelve maps, four of each of the strides 8, 16 and 32."""
        maps = [self.stages[1](self.stages[0](self.halve(self.first(images))))]
        for stage in self.stages[2:]:
            maps.append(stage(self.halve(maps[-1])))
        fine, middle, coarse = maps[1:]
        coarse = self.laterals[2](coarse)
        middle = self.laterals[1](middle + self.enlarge(coarse))
        fine = self.laterals[0](fine + self.enlarge(middle))
        shared = [layer(given) for layer, given in zip(self.shared, (fine, middle, coarse), strict=True)]
        return [head(given) for heads, given in zip(self.heads, shared, strict=True) for head in heads]


def write(target: Path) -> None:
    """Write the network as ONNX with free height and width."""
    network = YuNet().eval()
    counted = sum(p.numel() for p in network.parameters())
    if counted != PARAMETERS:
        raise ValueError(f"{counted} parameters, wanted {PARAMETERS}")
    for module in network.modules():
        if isinstance(module, Pair):
            module.fold()
    network.first[0], network.first[1] = fuse_conv_bn_eval(network.first[0], network.first[1]), nn.Identity()
    axes = {"images": {2: "height", 3: "width"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = (torch.zeros(1, 3, 64, 96),)
        torch.onnx.export(
            network, given, str(target), input_names=["images"], dynamic_axes=axes, dynamo=False
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("models", nargs="*", default=["drive", "drive-int8"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        theirs = Path(place) / "yunet.onnx"
        write(theirs)
        ours = [settings.model_file(name) for name in arguments.models]
        for height, width in SIZES:
            (base, best), *rest = times_ms([theirs, *ours], height, width, arguments.runs)
            print(f"{width} x {height}: YuNet-n's layers median {base:.2f} ms (fastest {best:.2f})", end="")
            for name, (median, fastest) in zip(arguments.models, rest, strict=True):
                print(f"; {name} {median:.2f} ({fastest:.2f}), {median / base:.2f} times", end="")
            print()


if __name__ == "__main__":
    main()
