"""Rewrites of an int8 graph (QDQ) with which ONNX Runtime keeps channels last throughout.

Its int8 convolutions work with channels last. With them `Resize`, as the quantiser leaves it, takes the general loop
(960 x 544, one thread of an EPYC with VNNI: 0.5 ms), and a head in float is put into blocks of channels first (0.35 ms
more than here). What is left are int8 convolutions, at the processor's limit: 200 G products a second.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
STEPS = 127  # of a weight in int8
FINER = 254  # steps of the second part in one of the first: what rounding left, at most a half


def keep_channels_last(model: onnx.ModelProto) -> None:
    """Rewrite the graph in place."""
    graph = model.graph
    for name in [output.name for output in graph.output]:
        _head(graph, name)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    makers = {name: node for node in graph.node for name in node.output}
    doublings = [node for node in graph.node if node.op_type == "Resize" and node.input[0] in makers]
    for number, node in enumerate(doublings):
        _repeat(graph, f"twice{number}", makers[node.input[0]], node, readers[node.output[0]][0])
    _drop_unread(graph)
    onnx.checker.check_model(model)


def _head(graph: onnx.GraphProto, name: str) -> None:
    """A 1 x 1 convolution in float as a product of bytes and weights of 15 bits (two parts of int8): exact sums."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    convolution = makers[name]
    before = makers[convolution.input[0]]
    assert (convolution.op_type, before.op_type) == ("Conv", "DequantizeLinear")
    weights, bias = (values[given] for given in convolution.input[1:])
    columns = weights[:, :, 0, 0].T.astype(np.float64)
    scale = np.abs(columns).max(axis=0) / STEPS
    coarse = np.rint(columns / scale)
    fine = np.rint((columns / scale - coarse) * FINER)
    numbers = {
        "weights": np.concatenate([coarse, fine], axis=1).astype(np.int8),
        "scale": np.concatenate([scale, scale / FINER]).astype(np.float32),
        "zeros": np.zeros(2 * len(bias), np.int8),
        "bias": np.concatenate([bias, np.zeros_like(bias)]),
    }
    for of, value in numbers.items():
        graph.initializer.append(numpy_helper.from_array(value, f"{name}_{of}"))
    given = [f"{name}_last", f"{name}_weights", before.input[1], f"{name}_scale"]
    given += [before.input[2], f"{name}_zeros", f"{name}_bias"]
    parts = [f"{name}_coarse", f"{name}_fine"]
    _insert(
        graph,
        convolution,
        _transpose(before.input[0], f"{name}_last", CHANNELS_LAST),
        helper.make_node("MatMulIntegerToFloat", given, [f"{name}_both"], domain="com.microsoft"),
        _transpose(f"{name}_both", f"{name}_first", CHANNELS_FIRST),
        helper.make_node("Split", [f"{name}_first"], parts, axis=1),
        helper.make_node("Add", parts, [name]),
    )
    graph.node.remove(convolution)


def _repeat(
    graph: onnx.GraphProto, name: str, before: onnx.NodeProto, resize: onnx.NodeProto, after: onnx.NodeProto
) -> None:
    """Nearest-neighbour doubling of the bytes themselves: each px beside itself, then each line."""
    assert (before.op_type, after.op_type) == ("DequantizeLinear", "QuantizeLinear")
    assert list(before.input[1:]) == list(after.input[1:])  # one scale and zero point on both sides
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert values[resize.input[2]].tolist() == [1, 1, 2, 2]
    nodes = [_transpose(before.input[0], f"{name}_0", CHANNELS_LAST)]
    for step, (axis, times) in enumerate(((3, (1, 1, 2, 1)), (2, (1, 2, 1, 1)))):
        of, here = f"{name}_{step}", f"{name}_{step}_"
        graph.initializer.append(numpy_helper.from_array(np.array(times, np.int64), f"{here}times"))
        nodes += [
            helper.make_node("Concat", [of, of], [f"{here}both"], axis=axis),
            helper.make_node("Shape", [of], [f"{here}shape"]),
            helper.make_node("Mul", [f"{here}shape", f"{here}times"], [f"{here}larger"]),
            helper.make_node("Reshape", [f"{here}both", f"{here}larger"], [f"{name}_{step + 1}"]),
        ]
    _insert(graph, resize, *nodes, _transpose(f"{name}_2", after.output[0], CHANNELS_FIRST))
    graph.node.remove(resize)
    graph.node.remove(after)


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove what the rewrites left without a reader."""
    while True:
        read = {name for node in graph.node for name in node.input} | {out.name for out in graph.output}
        idle = [node for node in graph.node if not read.intersection(node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _transpose(before: str, after: str, order: tuple[int, ...]) -> onnx.NodeProto:
    return helper.make_node("Transpose", [before], [after], perm=list(order))


def _insert(graph: onnx.GraphProto, before: onnx.NodeProto, *nodes: onnx.NodeProto) -> None:
    place = list(graph.node).index(before)
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
