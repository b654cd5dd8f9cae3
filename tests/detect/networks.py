"""Small real ONNX networks of our layout that say the same everywhere: blind, sure of everything, broken."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from anonymize.detect import Model, load_packaged
from anonymize.detect.manifest import ModelEntry


def constant_network(
    logit: float = -20.0, side: float = 0.0, *, names: tuple[str, ...] = ("level8", "level16", "level32")
) -> Model:
    """Every cell of every level has this logit for both classes and this raw side."""
    nodes, weights = [], []
    for stride, name in zip((8, 16, 32), names, strict=True):
        bias = np.array([logit, logit, side, side, side, side], np.float32)
        weights += [
            numpy_helper.from_array(np.zeros((6, 3, stride, stride), np.float32), f"w{stride}"),
            numpy_helper.from_array(bias, f"b{stride}"),
        ]
        inputs = ["images", f"w{stride}", f"b{stride}"]
        nodes.append(helper.make_node("Conv", inputs, [name], strides=[stride, stride]))
    return as_model(nodes, weights, names)


def as_model(nodes: list[Any], weights: list[Any], outputs: tuple[str, ...]) -> Model:
    """A model with the packaged entry's thresholds and the network given."""
    shape = [1, 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 6, None, None]) for name in outputs],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model_of(proto)


def model_of(proto: onnx.ModelProto) -> Model:
    """Bytes of a protocol buffer with the packaged entry and their own hash."""
    content = proto.SerializeToString()
    entry = load_packaged().entry
    values = {name: getattr(entry, name) for name in ModelEntry.__slots__}
    return Model(ModelEntry(**{**values, "sha256": hashlib.sha256(content).hexdigest()}), content)
