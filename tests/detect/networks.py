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
    levels = [(name, stride, logit) for name, stride in zip(names, (8, 16, 32), strict=True)]
    return as_model(*_constant(levels, side), names)


def coarse_network(logit: float) -> Model:
    """Blind at full size; at a quarter of it every cell has this logit, and boxes of two strides."""
    levels = [(f"level{stride}", stride, -20.0) for stride in (8, 16, 32)]
    levels += [(f"coarse{stride}", stride, logit) for stride in (32, 64, 128)]
    return as_model(*_constant(levels, 0.0), tuple(name for name, _, _ in levels), "anonymize-v2")


def _constant(levels: list[tuple[str, int, float]], side: float) -> tuple[list[Any], list[Any]]:
    nodes, weights = [], []
    for name, stride, logit in levels:
        bias = np.array([logit, logit, side, side, side, side], np.float32)
        weights += [
            numpy_helper.from_array(np.zeros((6, 3, stride, stride), np.float32), f"w_{name}"),
            numpy_helper.from_array(bias, f"b_{name}"),
        ]
        inputs = ["images", f"w_{name}", f"b_{name}"]
        nodes.append(helper.make_node("Conv", inputs, [name], strides=[stride, stride]))
    return nodes, weights


def as_model(
    nodes: list[Any], weights: list[Any], outputs: tuple[str, ...], adapter: str = "anonymize-v1"
) -> Model:
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
    return model_of(proto, adapter)


def model_of(proto: onnx.ModelProto, adapter: str = "anonymize-v1") -> Model:
    """Bytes of a protocol buffer with the packaged entry and their own hash."""
    content = proto.SerializeToString()
    entry = load_packaged().entry
    values = {name: getattr(entry, name) for name in ModelEntry.__slots__}
    said = {"adapter": adapter, "sha256": hashlib.sha256(content).hexdigest()}
    return Model(ModelEntry(**{**values, **said}), content)
