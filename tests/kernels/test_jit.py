"""numba's cache is pickled code: only a folder that is ours alone may hold it (SAFETY 17)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from anonymize_kernels import _jit

KERNELS = Path(_jit.__file__).parents[1]
COMPILES = {"NUMBA_DISABLE_JIT": "0", "ANONYMIZE_READY_MADE": "0"}


def folder(path, mode):
    path.mkdir()
    path.chmod(mode)
    return path


def test_own_private_folder_is_taken(tmp_path):
    assert _jit.is_private_folder(folder(tmp_path / "cache", 0o700))


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o701, 0o500, 0o1777])
def test_other_modes_are_refused(tmp_path, mode):
    assert not _jit.is_private_folder(folder(tmp_path / "cache", mode))


def test_links_files_and_nothing_are_refused(tmp_path):
    (tmp_path / "link").symlink_to(folder(tmp_path / "cache", 0o700))
    (tmp_path / "file").touch(0o700)
    assert not _jit.is_private_folder(tmp_path / "link")
    assert not _jit.is_private_folder(tmp_path / "file")
    assert not _jit.is_private_folder(tmp_path / "missing")
    assert not _jit.is_private_folder("nul\0byte")


def test_another_users_folder_is_refused(tmp_path, monkeypatch):
    cache = folder(tmp_path / "cache", 0o700)
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    assert not _jit.is_private_folder(cache)


@pytest.mark.parametrize(("mode", "kept"), [(0o700, True), (0o755, False)])
def test_compiled_kernels_are_kept_only_there(tmp_path, mode, kept):
    """In a process of its own: the folder is chosen when the first kernel is imported."""
    cache = folder(tmp_path / "cache", mode)
    code = (
        "import os, sys, numba; os.environ['NUMBA_CACHE_DIR'] = sys.argv[1]\n"
        "from anonymize_kernels import motion, _jit\nimport numpy as np\n"
        "motion.project(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32))\n"
        "print(_jit.CACHE)"
    )
    environment = {**os.environ, "PYTHONPATH": str(KERNELS), **COMPILES}
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-c", code, str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(kept)
    assert bool(list(cache.rglob("*.nbi"))) == kept


KEEPS = """
import os, sys, numba; os.environ['NUMBA_CACHE_DIR'] = sys.argv[1]
from anonymize_kernels import motion, _jit
import numpy as np
if sys.argv[2] == "full":
    def full(self, name, data): raise OSError(28, "No space left on device")
    _jit.caching.IndexDataCacheFile._save_data = full
motion.project(np.zeros((2, 2), np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32))
print(sum(motion.project.stats.cache_hits.values()))
"""


def hits(cache: Path, disk: str = "free") -> int:
    """How many kernels a new process finds in the folder; it fails if the engine would not start."""
    environment = {**os.environ, "PYTHONPATH": str(KERNELS), **COMPILES}
    command = [sys.executable, "-c", KEEPS, str(cache), disk]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def test_a_folder_that_is_full_damaged_or_read_only_costs_time_and_never_the_start(tmp_path):
    cache = folder(tmp_path / "cache", 0o700)
    assert hits(cache, "full") == 0
    assert not list(cache.rglob("*.nbc"))
    assert hits(cache) == 0
    assert hits(cache) == 1
    for kept in cache.rglob("*.nbi"):
        kept.write_bytes(b"no index")
    assert hits(cache) == 0


def test_kernels_are_found_in_a_folder_that_cannot_be_written(tmp_path):
    """As in a read-only image (root may write there all the same: for root this asks little)."""
    cache = folder(tmp_path / "cache", 0o700)
    assert hits(cache) == 0
    for inner in (p for p in cache.iterdir() if p.is_dir()):
        inner.chmod(0o500)
    assert hits(cache) == 1


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the JIT is off")
def test_compile_only_serves_all_layouts_and_nothing_else():
    @_jit.kernel
    def total(line):
        return line.sum()

    samples = numba.types.Array(numba.types.int64, 1, "A", readonly=True)
    for _ in range(2):
        _jit.compile_only(total, [(samples,)])
    line = np.arange(6)
    read_only = line.copy()
    read_only.flags.writeable = False
    assert [total(a) for a in (line, line[::2], line[::-1], read_only)] == [15, 6, 15, 15]
    assert len(total.signatures) == 1
    with pytest.raises(TypeError):
        total(np.zeros(3, np.float32))


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the JIT is off")
def test_side_by_side_only_retypes():
    @_jit.kernel
    def second_line(rows):
        line = rows[1]
        return _jit.side_by_side(line) if line.strides[0] == line.itemsize else line[:0].copy()

    padded = np.arange(20).reshape(4, 5)[:, :3]
    _jit.compile_only(second_line, [(numba.types.Array(numba.types.int64, 2, "A"),)])
    assert list(second_line(padded)) == [5, 6, 7]
