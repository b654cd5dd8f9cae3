"""Kernels that come compiled with the wheel: taken where they fit, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import pickle

import numba
import numpy as np
import pytest
from anonymize_kernels import _jit, _ready_made

pytestmark = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the JIT is off")
SAMPLES = (numba.types.Array(numba.types.int64, 1, "C"),)


@_jit.kernel
def total(line):
    return line.sum()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """One compiled kernel in a folder of its own; the index is read anew by each call."""
    monkeypatch.setattr(_ready_made, "FOLDER", tmp_path / "ready_made")
    monkeypatch.setattr(_ready_made, "_index", _ready_made._index.__wrapped__)
    monkeypatch.setattr(_ready_made, "lacking_here", list)
    monkeypatch.delenv("ANONYMIZE_READY_MADE", raising=False)
    _jit.compile_only(total, [SAMPLES])
    _ready_made.write([total])
    return _ready_made.FOLDER


def load():
    return _ready_made.load(total.py_func, SAMPLES, total.targetctx)


def test_what_was_written_is_loaded_and_computes(folder):
    assert _ready_made.are_current()
    assert _ready_made.fault() == ""
    assert load().entry_point(np.arange(6)) == 15


def test_other_types_are_not_found(folder):
    floats = (numba.types.Array(numba.types.float64, 1, "C"),)
    assert _ready_made.load(total.py_func, floats, total.targetctx) is None


@pytest.mark.parametrize("name", ["numba", "llvmlite", "python", "system", "sources"])
def test_those_made_for_something_else_are_left(folder, name):
    index = json.loads((folder / "index.json").read_bytes())
    index["made_for"][name] = "other"
    (folder / "index.json").write_text(json.dumps(index))
    assert load() is None
    assert _ready_made.fault() == f"they were made for other {name}"
    assert not _ready_made.are_current()


def test_a_processor_without_avx2_compiles(folder, monkeypatch):
    monkeypatch.setattr(_ready_made, "lacking_here", lambda: ["avx2"])
    assert load() is None
    assert _ready_made.fault() == "the processor lacks avx2"


def test_they_can_be_left_out(folder, monkeypatch):
    monkeypatch.setenv("ANONYMIZE_READY_MADE", "0")
    assert load() is None


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]"])
def test_without_a_whole_index_they_are_compiled(folder, content):
    (folder / "index.json").unlink()
    if content is not None:
        (folder / "index.json").write_bytes(content)
    assert load() is None
    assert _ready_made.fault() == "there are none"


OPENED = []


class Harm:
    """A pickle that shows that it was opened."""

    def __reduce__(self):
        return note, ("opened",)


def note(word):
    OPENED.append(word)


def test_bytes_without_the_hash_of_the_index_are_never_unpickled(folder):
    (file,) = folder.glob("*.kernel")
    file.write_bytes(harm := pickle.dumps(Harm()))
    assert load() is None
    assert OPENED == []
    pickle.loads(harm)
    assert OPENED == ["opened"]


def test_a_damaged_kernel_with_its_hash_is_compiled_instead(folder):
    (file,) = folder.glob("*.kernel")
    file.write_bytes(b"no pickle")
    index = json.loads((folder / "index.json").read_bytes())
    index["kernels"] = dict.fromkeys(index["kernels"], hashlib.sha256(b"no pickle").hexdigest())
    (folder / "index.json").write_text(json.dumps(index))
    assert load() is None


def test_another_source_is_another_digest(tmp_path, monkeypatch):
    before = _ready_made.made_for()["sources"]
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(_ready_made, "__file__", str(tmp_path / "a.py"))
    first = _ready_made.made_for()["sources"]
    (tmp_path / "b.py").write_text("2")
    assert len({before, first, _ready_made.made_for()["sources"]}) == 3
