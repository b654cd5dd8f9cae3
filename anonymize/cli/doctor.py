"""`anonymize doctor`: what this machine offers, and what on it could let raw frames out or slow the engine down."""

from __future__ import annotations

import argparse
import json
import os
import platform
import stat
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from anonymize.detect import load_packaged, providers
from anonymize.errors import AnonymizeError
from anonymize.kernel_cache import use_kernel_cache, why_compiled
from anonymize.process_guard import forbid_core_dumps

PARTS: Final = ("numpy", "numba", "llvmlite", "onnxruntime", "pillow", "rich", "av")
FLAGS: Final = (
    "sse4_2",
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
)
ENCODERS: Final = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "mjpeg": "mjpeg",
}


def execute(options: argparse.Namespace) -> int:
    """Print the findings; 1 if the engine cannot work here."""
    values = examine()
    print(json.dumps(values, indent=2, ensure_ascii=False) if options.json else _text(values))
    return 1 if values["faults"] else 0


def examine() -> dict[str, Any]:
    """Everything that `doctor` says, as plain values."""
    faults: list[str] = []
    warnings: list[str] = []
    cache = use_kernel_cache()
    if cache is None and why_compiled():
        warnings.append(
            "compiled kernels cannot be kept (no private folder of mode 0700): each start compiles for some seconds; "
            "set NUMBA_CACHE_DIR to a folder that only this user can enter"
        )
    try:
        model = load_packaged()
        model_name = f"{model.entry.name} {model.entry.sha256[:12]}"
    except AnonymizeError as fault:
        faults.append(str(fault))
        model_name = "none"
    warnings += _leaks()
    return {
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "instruction_sets": _instruction_sets(),
        },
        "versions": {name: _version(name) for name in PARTS},
        "execution_providers": _providers(faults),
        "video_encoders": _encoders(),
        "kernel_cache": str(cache) if cache else None,
        "ready_made_kernels": f"not used: {why_compiled()}" if why_compiled() else "used",
        "model": model_name,
        "core_dumps_forbidden": forbid_core_dumps(),
        "warnings": warnings,
        "faults": faults,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _instruction_sets() -> list[str]:
    try:
        words = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return []
    line = next((line for line in words.splitlines() if line.startswith(("flags", "Features"))), "")
    found = set(line.split())
    return [flag for flag in FLAGS if flag in found]


def _providers(faults: list[str]) -> list[str]:
    """What the installed runtime offers, by the names that `--provider` takes."""
    from anonymize.detect.session import load_runtime

    try:
        onnxruntime = load_runtime()
    except AnonymizeError as fault:
        faults.append(str(fault))
        return []
    installed = [
        name for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino") if _version(name)
    ]
    if len(installed) > 1:
        faults.append(f"{' and '.join(installed)} overwrite one another; keep one of them")
    offered = onnxruntime.get_available_providers()
    return [name for name, (theirs, _) in providers.PROVIDERS.items() if theirs in offered]


def _encoders() -> dict[str, bool] | None:
    """Which encoders PyAV's FFmpeg has; None without PyAV."""
    if find_spec("av") is None:
        return None
    from anonymize.media.video_av import load_av

    available = load_av().codecs_available
    return {codec: name in available for codec, name in ENCODERS.items()}


def _leaks() -> list[str]:
    """Ways in which raw frames could get from memory to a disk (SAFETY 19)."""
    warnings = []
    swaps = _lines("/proc/swaps")[1:]
    if swaps:
        warnings.append(
            f"swap is on ({len(swaps)} areas): raw frames may be written to it; turn it off or encrypt it"
        )
    pattern = "".join(_lines("/proc/sys/kernel/core_pattern")[:1])
    if pattern.startswith("|"):
        warnings.append(
            "core dumps go to a program (core_pattern begins with '|'), which ignores the size limit of 0"
        )
    for folder in ("/tmp", "/dev/shm"):
        try:
            mode = os.stat(folder).st_mode
        except OSError:
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            warnings.append(f"{folder} is writable by everyone without the sticky bit")
    return warnings


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8").splitlines()
    except OSError:
        return []


def _text(values: dict[str, Any]) -> str:
    machine = values["machine"]
    encoders = values["video_encoders"]
    video = (
        "not installed: pip install 'vehicle-anonymize[video]'"
        if encoders is None
        else ", ".join(codec for codec, there in encoders.items() if there)
    )
    rows = [
        ("system", machine["system"]),
        ("python", machine["python"]),
        ("cores", str(machine["cores"])),
        ("instructions", ", ".join(machine["instruction_sets"]) or "unknown"),
        (
            "versions",
            ", ".join(f"{name} {version}" for name, version in values["versions"].items() if version),
        ),
        ("providers", ", ".join(values["execution_providers"]) + " (--provider; cpu unless you say so)"),
        ("video", video),
        ("kernel cache", values["kernel_cache"] or "none"),
        ("model", values["model"]),
        ("core dumps", "forbidden" if values["core_dumps_forbidden"] else "not forbidden on this system"),
    ]
    lines = [f"{name:13} {words}" for name, words in rows]
    lines += [f"warning: {line}" for line in values["warnings"]]
    lines += [f"fault: {line}" for line in values["faults"]]
    return "\n".join(lines)
