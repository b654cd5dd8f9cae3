"""Weights of convolutions as whole numbers that change the answers on real pictures least.

Rounding to the nearest would be right if the px of a patch had nothing to do with one another; they have, so errors
must cancel out over the patch: what is left of the squared error is 0.14 to 0.47 of it, layer by layer (the idea is
GPTQ's, arXiv 2210.17323; here every weight may go up or down, one step at a time, as long as that helps).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from layout import STEPS
from numpy.typing import NDArray
from onnx import helper, numpy_helper

PLACES = 600  # of each map that are looked at
# by the weights' name: mean of x xT over patches x, (I kH kW, I kH kW)
Moments = dict[str, NDArray[np.float64]]


def second_moments(model: Path, inputs: Iterable[dict[str, Any]]) -> Moments:
    """Return what the patches are like that the convolutions of a float graph see, both sizes together."""
    graph = onnx.load(model)
    kernels = {t.name: t.dims[2:] for t in graph.graph.initializer if len(t.dims) == 4}
    read = {(node.input[1], node.input[0]) for node in graph.graph.node if node.op_type == "Conv"}
    given = {entry.name for entry in graph.graph.input}
    watched = sorted({tensor for _, tensor in read} - given)
    graph.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in watched)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(5)
    sums: dict[str, list[NDArray[np.float64]]] = {}
    for feeds in inputs:
        maps = {**feeds, **dict(zip(watched, session.run(watched, feeds), strict=True))}
        for weights, tensor in sorted(read):
            patches = some_patches(maps[tensor][0], tuple(kernels[weights]), rng)
            sums.setdefault(weights, []).append(patches.T @ patches / len(patches))
    return {weights: np.mean(parts, axis=0) for weights, parts in sums.items()}


def some_patches(
    maps: NDArray[np.float32], kernel: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return patches (N, C kH kW) of a map (C, H, W), from anywhere in it, zeros round it."""
    around = [(side // 2, side // 2) for side in kernel]
    padded = np.pad(maps, ((0, 0), *around))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))
    height, width = maps.shape[1:]
    y, x = rng.integers(0, height, PLACES), rng.integers(0, width, PLACES)
    return windows[:, y, x].transpose(1, 0, 2, 3).reshape(PLACES, -1).astype(np.float64)


def whole_weights(
    exact: NDArray[np.floating[Any]], scale: NDArray[np.floating[Any]], moments: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Return whole numbers (O, I, kH, kW) of steps of ``scale`` (O,) for weights of that shape."""
    wanted = exact.reshape(len(exact), -1).astype(np.float64) / scale.astype(np.float64)[:, None]
    whole = np.clip(np.rint(wanted), -STEPS, STEPS)
    own = np.diag(moments)
    for target, error in zip(whole, whole - wanted, strict=True):
        slope = 2 * moments @ error
        while True:
            change = np.stack([own + slope, own - slope])  # of the squared error, one step up, one down
            change[0, target >= STEPS] = change[1, target <= -STEPS] = np.inf
            down, place = np.unravel_index(int(change.argmin()), change.shape)
            if change[down, place] >= -1e-9 * own.mean():
                break
            step = 1 - 2 * int(down)
            target[place] += step
            slope += 2 * step * moments[place]
    return whole.reshape(exact.shape).astype(np.int8)


def round_anew(quantised: onnx.ModelProto, model: Path, moments: Moments) -> None:
    """Replace in place the int8 weights of a quantised (QDQ) graph made from the float ``model``."""
    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    stored = {tensor.name: tensor for tensor in quantised.graph.initializer}
    for name, seen in moments.items():
        if (tensor := stored.get(f"{name}_quantized")) is not None:
            scale = numpy_helper.to_array(stored[f"{name}_scale"])
            tensor.CopyFrom(numpy_helper.from_array(whole_weights(exact[name], scale, seen), tensor.name))
