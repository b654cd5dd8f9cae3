"""Which network, how exact and on what: the options that `run` and `bench` share; imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_network_options(group: argparse._ArgumentGroup) -> None:
    """A model of one's own, or the packaged one in float32 or int8; the execution provider."""
    group.add_argument("--model", type=Path, metavar="FILE", help="an ONNX model of your own")
    group.add_argument("--model-sha256", metavar="HASH", help="its SHA-256, from where you got it")
    group.add_argument("--manifest", type=Path, metavar="FILE", help="the manifest that describes it")
    group.add_argument(
        "--precision",
        choices=("float32", "int8"),
        default="float32",
        help="of the packaged network; int8 takes half the time and is checked against float32 at start",
    )
    group.add_argument(
        "--provider",
        default="cpu",
        metavar="NAME",
        help="where the network runs: cpu, openvino, cuda, tensorrt, qnn, coreml, xnnpack; doctor lists what is there",
    )
    group.add_argument(
        "--provider-fallback",
        action="store_true",
        help="take the CPU where the provider is missing or disagrees with it, instead of failing",
    )
