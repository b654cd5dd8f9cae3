"""An int8 graph (QDQ) that reads the picture as bytes, (1, H, W, 3) RGB, instead of floats in three planes.

ONNX Runtime's int8 convolution takes its time by output px and not by product where channels are few: from 3 channels
to 16 at half of 960 x 544 it takes 3.1 ms. So four px that lie side by side are read as one of twelve channels, which
costs nothing with bytes, and give two px of 16 channels, as one of 32: 1.3 ms, where the float convolution, its change
of layout and `QuantizeLinear` took 2.5 (one thread of an EPYC with VNNI). The quarter is a convolution as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from layout import CHANNELS_FIRST, CHANNELS_LAST, STEPS
from network import COARSE, PAD_GREY, SIZE_MULTIPLE_PX
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rounding import whole_weights

NAME = "pixels"
CHANNELS = 3
SIDE_BY_SIDE = 4  # px that are read as one; they give two of half the size
QUARTERS = 8  # px of the quarter that one step gives: 4 take 0.38 ms at 960 x 544, 8 take 0.23


@dataclass
class Numbers:
    """Of a convolution: whole weights (O, I, H, W), what one step of them is (O,), bias (O,)."""

    weights: NDArray[np.float64]
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]


def rounded(weights: NDArray[np.float32], bias: NDArray[np.float32], moments: NDArray[np.float64]) -> Numbers:
    """The weights in whole numbers, by what the patches of real pictures are like."""
    scale = np.abs(weights).max(axis=(1, 2, 3)).astype(np.float64) / STEPS
    return Numbers(whole_weights(weights, scale, moments).astype(np.float64), scale, bias.astype(np.float64))


class _Front:
    """The nodes and numbers that take the place of what read the picture."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.numbers: dict[str, onnx.TensorProto] = {}
        self.number("byte", np.float32(1 / 255))
        self.number("zero", np.uint8(0))

    def number(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self.numbers[f"front_{name}"] = numpy_helper.from_array(np.asarray(value), f"front_{name}")
        return f"front_{name}"

    def node(self, operator: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def viewed(self, of: str, channels: int) -> str:
        """The same bytes as px of that many channels."""
        shape = self.number(f"as_{channels}", np.array([0, 0, -1, channels], np.int64))
        return self.node("Reshape", [of, shape], f"{of}_as_{channels}")

    def convolved(
        self, of: str, name: str, numbers: Numbers, to: tuple[str, str], **attributes: object
    ) -> str:
        """A convolution of bytes (1, H, W, C), to `to` (scale, zero point), channels last."""
        inputs = [
            self.node("Transpose", [of], f"{of}_turned", perm=CHANNELS_FIRST),
            "front_byte",
            "front_zero",
            self.number(f"{name}_weights", numbers.weights.astype(np.int8)),
            self.number(f"{name}_scale", numbers.scale.astype(np.float32)),
            self.number(f"{name}_zeros", np.zeros(len(numbers.scale), np.int8)),
            *to,
            self.number(f"{name}_bias", np.rint(numbers.bias * 255 / numbers.scale).astype(np.int32)),
        ]
        shape = numbers.weights.shape[2:]
        before = self.node("QLinearConv", inputs, f"{of}_{name}", kernel_shape=shape, **attributes)
        return self.node("Transpose", [before], f"{before}_last", perm=CHANNELS_LAST)

    def first(self, of: str, numbers: Numbers, to: tuple[str, str]) -> str:
        """The first convolution (3 x 3, every second px) of a picture of bytes."""
        weights, span = numbers.weights, SIDE_BY_SIDE
        wide = np.zeros((2, len(weights), span, CHANNELS, 3, 2))  # 2 px from 2 times 4
        for px in range(2):
            for tap in range(3):
                group, place = divmod(span + 2 * px - 1 + tap, span)
                wide[px, :, place, :, :, group] = weights[:, :, :, tap]
        wide = wide.reshape(2 * len(weights), span * CHANNELS, 3, 2)
        both = Numbers(wide, np.tile(numbers.scale, 2), np.tile(numbers.bias, 2))
        viewed = self.viewed(of, span * CHANNELS)
        done = self.convolved(viewed, "first", both, to, strides=(2, 1), pads=(1, 1, 1, 0))
        return self.node("Transpose", [self.viewed(done, len(weights))], f"{done}_done", perm=CHANNELS_FIRST)

    def quarter(self) -> str:
        """The picture at a quarter of its size, each px the mean of the middle 2 x 2, padded."""
        count, span = QUARTERS * CHANNELS, COARSE * QUARTERS * CHANNELS
        weights = np.zeros((QUARTERS, CHANNELS, QUARTERS, COARSE, CHANNELS, COARSE - 1, 1))
        for px in range(QUARTERS):
            for channel in range(CHANNELS):
                weights[px, channel, px, 1:3, channel, 1:3] = 1
        mean = Numbers(weights.reshape(count, span, COARSE - 1, 1), np.full(count, 0.25), np.zeros(count))
        to = ("front_byte", "front_zero")
        wide = self.convolved(self.viewed(NAME, span), "quarter", mean, to, strides=(COARSE, 1))
        small = self.viewed(wide, CHANNELS)
        multiples = np.array([1, SIZE_MULTIPLE_PX, SIZE_MULTIPLE_PX, 1], np.int64)
        negative = self.node("Neg", [self.node("Shape", [small], "small_shape")], "small_negative")
        lacking = self.node("Mod", [negative, self.number("multiples", multiples)], "small_lacking")
        before = self.number("before", np.zeros(4, np.int64))
        pads = self.node("Concat", [before, lacking], "small_pads", axis=0)
        grey = self.number("grey", np.uint8(PAD_GREY))
        return self.node("Pad", [small, pads, grey], "small_padded")


def take_bytes(model: onnx.ModelProto, first_weights: str, moments: NDArray[np.float64]) -> None:
    """Rewrite in place a quantised graph whose first convolution, by the name of its weights, is in float.

    ``moments`` (27, 27) are those of the patches that it sees (`rounding.py`).
    """
    graph = model.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = {name: node for node in graph.node for name in node.input}
    front = _Front()
    replaced: dict[str, str] = {}
    for convolution in [node for node in graph.node if first_weights in node.input]:
        relu = readers[convolution.output[0]]
        quantise = readers[relu.output[0]]
        assert (relu.op_type, quantise.op_type) == ("Relu", "QuantizeLinear")
        source, weights, bias = convolution.input
        scale, zero = quantise.input[1:]
        assert values[zero] == 0  # so that what is cut off below is what ReLU takes away
        numbers = rounded(values[weights], values[bias], moments)
        picture = NAME if source == graph.input[0].name else front.quarter()
        replaced[quantise.output[0]] = front.first(picture, numbers, (scale, zero))
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = replaced.get(name, name)
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front.nodes, *kept])
    graph.initializer.extend(front.numbers.values())
    shape = [1, *(dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim[2:]), CHANNELS]
    graph.input[0].CopyFrom(helper.make_tensor_value_info(NAME, TensorProto.UINT8, shape))
