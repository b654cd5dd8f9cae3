"""Builds the wheel, installs it in a clean environment with the locked versions, and lets its command do its work."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY_MADE = sys.platform == "linux" and platform.machine() == "x86_64"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")


def call(*words: str, cwd: Path) -> str:
    """The output of a command that must succeed; nothing of this checkout is on its path, or left of its caches."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_CACHE_DIR")
    }
    if "pip" not in words:
        environment["XDG_CACHE_HOME"] = str(cwd / "cache")
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, made in `folder` by the locked hatchling, with the kernels compiled for it."""
    call(sys.executable, "scripts/build_kernels.py", cwd=ROOT)
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (made,) = folder.glob("*.whl")
    return made


def wrong_contents(made: Path) -> list[str]:
    """What the wheel holds and should not, or lacks."""
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    faults = [f"{name} is in the wheel" for name in names if "reference" in name or name.startswith("tests/")]
    if tops != {"anonymize", "anonymize_kernels", "anonymize_models"}:
        faults.append(
            f"the wheel installs {sorted(tops)}; wanted anonymize, anonymize_kernels, anonymize_models"
        )
    needed = ["anonymize/py.typed", "anonymize_models/manifest.toml", "anonymize_models/drive.onnx"]
    if READY_MADE:
        needed.append("anonymize_kernels/ready_made/index.json")
    return faults + [f"{name} is not in the wheel" for name in needed if name not in names]


def install(made: Path, folder: Path) -> Path:
    """A clean environment with the run set and the wheel; returns its folder of commands."""
    venv.create(folder, with_pip=False, clear=True, symlinks=True)
    into = (*PIP, "--python", str(folder / "bin" / "python"), "install", "--no-deps")
    run_set = str(ROOT / "requirements" / "run.txt")
    call(*into, "--require-hashes", "--only-binary", ":all:", "-r", run_set, cwd=folder)
    call(*into, "--no-index", str(made), cwd=folder)
    return folder / "bin"


def hides_the_sample(commands: Path, folder: Path) -> list[str]:
    """Draw the street, hide it, and read in the summary that faces and plates were found."""
    anonymize = str(commands / "anonymize")
    call(anonymize, "sample", "street.png", cwd=folder)
    summary = json.loads(call(anonymize, "run", "street.png", "-o", "hidden.png", "--json", cwd=folder))
    hidden = summary["objects_hidden"]
    faults = [f"of {label}s {hidden[label]} were hidden" for label in ("face", "plate") if not hidden[label]]
    if summary["done"] != 1 or summary["failed"] or not (folder / "hidden.png").stat().st_size:
        faults.append(f"done {summary['done']}, failed {summary['failed']}; wanted 1 and 0, and hidden.png")
    call(anonymize, "models", cwd=folder)
    kernels = json.loads(call(anonymize, "doctor", "--json", cwd=folder))["ready_made_kernels"]
    if kernels != "used" and READY_MADE:
        faults.append(f"the kernels that come with the wheel are {kernels}")
    return faults


def main() -> int:
    """0 if all is well."""
    with tempfile.TemporaryDirectory(prefix="wheel-check-") as name:
        folder = Path(name)
        made = build(folder)
        faults = wrong_contents(made)
        size = made.stat().st_size / 1e6
        faults += hides_the_sample(install(made, folder / "clean"), folder)
    for fault in faults:
        print(fault)
    print(
        f"{made.name}, {size:.1f} MB, hides the drawn street in a clean environment: {'no' if faults else 'yes'}"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
