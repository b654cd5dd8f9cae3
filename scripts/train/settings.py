"""The configuration file, and the places it names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from network import Shape

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).resolve().with_name("config.toml")


def read(path: Path = CONFIG, network: str = "drive") -> dict[str, Any]:
    """Return the configuration as nested dictionaries, with this network's part under ``network``."""
    config = tomllib.loads(path.read_text())
    return {**config, "network": {"name": network, **config["networks"][network]}}


def installed(config: dict[str, Any]) -> Path | None:
    """Return the file of the network that the run begins with, None for random weights."""
    start = config["network"].get("start_from")
    return model_file(start) if start else None


def model_file(name: str) -> Path:
    """Return where the weights of an installed network lie."""
    return REPOSITORY / "models/anonymize_models" / f"{name}.onnx"


def data_folder(config: dict[str, Any]) -> Path:
    """Return the folder of the pictures, which is outside the repository."""
    return (REPOSITORY / config["paths"]["data"]).resolve()


def work_folder(config: dict[str, Any]) -> Path:
    """Return the folder of packs, teachers' boxes and checkpoints; git ignores it."""
    folder = REPOSITORY / config["paths"]["work"]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def shape(config: dict[str, Any]) -> Shape:
    """Return the network's shape."""
    n = config["network"]
    return Shape(
        tuple(n["stem"]),
        (n["channels"][0], n["channels"][1], n["channels"][2]),
        (n["layers"][0], n["layers"][1], n["layers"][2]),
        (n["head"][0], n["head"][1], n["head"][2]),
    )
