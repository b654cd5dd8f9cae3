"""SAFETY 17 and 19: the kernel cache is ours alone, and a crash leaves nothing raw behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(REPOSITORY / part) for part in (".", "kernels", "models"))

CRASHES = """
import ctypes, os, resource, signal, sys
from fractions import Fraction
from pathlib import Path
import numpy as np
import anonymize
from anonymize.media.output import new_file

resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
luma = np.frombuffer(Path(sys.argv[1]).read_bytes(), np.uint8).reshape(360, 640)
frame = anonymize.CapturedFrame((luma,), "gray8", pts=0, time_base=Fraction(1, 30))
engine = anonymize.Engine(guard_process=sys.argv[3] == "guarded")
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)

def crash(*_):
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))

engine._detector.detect = crash
with new_file(Path("hidden.bin")) as file:
    engine.process(frame)
"""


def crash(folder: Path, noise: Path, signal_name: str, *, guarded: bool) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": PATHS, "TMPDIR": str(folder), "NUMBA_CACHE_DIR": ""}
    return subprocess.run(
        [sys.executable, "-c", CRASHES, str(noise), signal_name, "guarded" if guarded else "open"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_DUMPABLE is Linux's")
@pytest.mark.parametrize("signal_name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_crash_with_a_frame_in_flight_leaves_nothing_raw(tmp_path, signal_name):
    """SAFETY 19: search the working folder, the temporary folder, shared memory and the output for the picture."""
    content = os.urandom(360 * 640)
    noise = tmp_path / "camera.raw"
    noise.write_bytes(content)
    work = tmp_path / "work"
    work.mkdir()
    memory = Path("/dev/shm")
    before = set(memory.rglob("*"))
    ended = crash(work, noise, signal_name, guarded=True)
    assert ended.returncode == -getattr(signal, signal_name), ended.stderr
    assert ended.stdout.strip() == "0"  # PR_GET_DUMPABLE
    left = [path for path in (*work.rglob("*"), *(set(memory.rglob("*")) - before)) if path.is_file()]
    pieces = [content[start : start + 32] for start in range(0, len(content), 4096)]
    for path in left:
        found = path.read_bytes()
        assert not any(piece in found for piece in pieces), path
    assert not any(piece.decode("latin-1") in ended.stdout + ended.stderr for piece in pieces)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_DUMPABLE is Linux's")
def test_the_guard_is_what_makes_the_process_undumpable(tmp_path):
    noise = tmp_path / "camera.raw"
    noise.write_bytes(bytes(360 * 640))
    assert crash(tmp_path, noise, "SIGKILL", guarded=False).stdout.strip() == "1"


CACHE = """
import sys
from pathlib import Path
from anonymize.kernel_cache import use_kernel_cache
used = use_kernel_cache(Path(sys.argv[1]))
from anonymize_kernels import _jit
print(used, _jit.CACHE)
"""


def cache_in(folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": PATHS}
    environment.pop("NUMBA_CACHE_DIR", None)
    run = subprocess.run(
        [sys.executable, "-c", CACHE, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def test_a_new_cache_folder_is_private(tmp_path):
    """SAFETY 17."""
    folder = tmp_path / "a" / "kernels"
    assert cache_in(folder) == f"{folder} True"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o1777])
def test_a_folder_that_others_can_enter_is_not_used(tmp_path, mode):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(mode)
    assert cache_in(folder) == "None False"


def test_a_link_or_a_file_is_not_used(tmp_path):
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)
    assert cache_in(link) == "None False"
    file = tmp_path / "file"
    file.touch()
    assert cache_in(file) == "None False"
