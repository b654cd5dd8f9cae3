"""Kernels compiled beforehand for every x86-64 processor with AVX2: with them a first start compiles nothing.

`scripts/build_kernels.py` puts them into the folder `ready_made` beside this file, and the wheel carries it along. They
are pickles, as numba's own cache is: trusted as the sources beside them are, and read from nowhere else (SAFETY 17).
One is taken only where sources, numba, llvmlite, Python and system are those of the index, the processor has what the
index asks for, and its bytes have the hash in the index. Whatever is not taken is compiled, as without them.
ANONYMIZE_READY_MADE=0 leaves them out.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pickle
import platform
import sys
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba.core import compiler, serialize, sigutils

FOLDER = Path(__file__).parent / "ready_made"
INDEX = "index.json"
CPU = "x86-64-v3"  # psABI level: Haswell (2013), Zen (2017) and later
ABILITIES = (
    "avx2",
    "bmi",
    "bmi2",
    "f16c",
    "fma",
    "lzcnt",
    "movbe",
    "popcnt",
)  # beside SSE 4.2, which AVX2 implies

taken: list[str] = []  # the keys of those that this process has loaded


def made_for() -> dict[str, str]:
    """What a compiled kernel fits, besides the processor's abilities."""
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.name.encode() + b"\0" + path.read_bytes())
    return {
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "python": str(sys.implementation.cache_tag),
        "system": f"{sys.platform} {platform.machine()}",
        "sources": sources.hexdigest(),
    }


def lacking_here() -> list[str]:
    """Which abilities this processor does not have."""
    features = binding.get_host_cpu_features()
    return [ability for ability in ABILITIES if not features.get(ability)]


def are_current() -> bool:
    """Whether those in the folder were made from these sources by this numba and Python."""
    try:
        return bool(json.loads((FOLDER / INDEX).read_bytes())["made_for"] == made_for())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fault() -> str:
    """Why none is taken in this process, in words; empty where they are."""
    return _index()[1]


@functools.cache
def _index() -> tuple[dict[str, str], str]:
    """Hashes of the kernels by their keys; or none, and why."""
    if os.environ.get("ANONYMIZE_READY_MADE") == "0":
        return {}, "ANONYMIZE_READY_MADE is 0"
    try:
        index = json.loads((FOLDER / INDEX).read_bytes())
        here = made_for()
        other = [name for name, value in here.items() if index["made_for"][name] != value]
        kernels = dict(index["kernels"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}, "there are none"
    if other:
        return {}, f"they were made for other {', '.join(other)}"
    lacking = lacking_here()
    return ({}, f"the processor lacks {', '.join(lacking)}") if lacking else (kernels, "")


def _key(function: Any, signature: Any) -> str:
    args, _ = sigutils.normalize_signature(signature)
    return f"{function.__module__}.{function.__qualname__}{args}"


def _file(key: str) -> Path:
    return FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.kernel"


def load(function: Any, signature: Any, target_context: Any) -> Any:
    """The compiled kernel for these types, or None."""
    kernels, _ = _index()
    if not kernels:
        return None
    try:
        key = _key(function, signature)
        wanted = kernels.get(key)
        if wanted is None:
            return None
        content = _file(key).read_bytes()
        if hashlib.sha256(content).hexdigest() != wanted:
            return None
        target_context.refresh()
        found = compiler.CompileResult._rebuild(target_context, *pickle.loads(content))  # noqa: S301
    except Exception:  # damaged or cut off: it is compiled instead
        return None
    taken.append(key)
    return found


def write(dispatchers: list[Any]) -> int:
    """Put all that these kernels were compiled for into the folder, and nothing else; returns how many bytes."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    kernels: dict[str, str] = {}
    for dispatcher in dispatchers:
        for args, compiled in dispatcher.overloads.items():
            key, content = _key(dispatcher.py_func, args), serialize.dumps(compiled._reduce())
            _file(key).write_bytes(content)
            kernels[key] = hashlib.sha256(content).hexdigest()
    index = {"made_for": made_for(), "cpu": CPU, "kernels": kernels}
    (FOLDER / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return sum(path.stat().st_size for path in FOLDER.iterdir())
