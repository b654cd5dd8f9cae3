"""How kernels are compiled: without the interpreter's lock, and kept on disk only in a folder that is ours alone.

numba's cache is pickled code, so who can write there runs code in our process (SAFETY 17). The application names
the folder in NUMBA_CACHE_DIR before the first kernel is imported; without it nothing is kept. What the wheel brings
along compiled (`_ready_made`) is asked first.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numpy.lib.stride_tricks import as_strided

from anonymize_kernels import _ready_made


def is_private_folder(folder: str | os.PathLike[str]) -> bool:
    """True if `folder` is a directory of this user with mode 0700, and no link."""
    try:
        found = os.lstat(folder)
    except (OSError, ValueError):
        return False
    ours = found.st_uid == os.geteuid()
    return ours and stat.S_ISDIR(found.st_mode) and found.st_mode & 0o777 == 0o700


def _private_cache_folder() -> str | None:
    """The absolute folder that NUMBA_CACHE_DIR names, if it may be used."""
    named = os.environ.get("NUMBA_CACHE_DIR", "")
    return str(Path(named).absolute()) if named and is_private_folder(named) else None


_CACHE_FOLDER = _private_cache_folder()
CACHE = _CACHE_FOLDER is not None
if CACHE:  # numba reads the variable when it is imported, which may be before the application set it
    numba.config.CACHE_DIR = _CACHE_FOLDER


class _PrivateFolder(caching.UserProvidedCacheLocator):
    """Our folder, which may have become read-only after the kernels were put there."""

    def ensure_cache_path(self) -> None:
        with contextlib.suppress(OSError):
            Path(self.get_cache_path()).mkdir(exist_ok=True)


class _PrivateImplementation(caching.CompileResultCacheImpl):
    _locator_classes = (_PrivateFolder,)


class _KeptKernels(caching.FunctionCache):
    """numba's cache; a folder that cannot be read or written costs time, and never the start of the engine."""

    _impl_class = _PrivateImplementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # damaged, or written by another version
            self.disable()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:  # read-only or full
            self.disable()


class _Found(caching.NullCache):
    """Where a compiled kernel is looked for: among the ready-made ones, then in our folder."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._kept: Any = _KeptKernels(function) if CACHE else caching.NullCache()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        ready = _ready_made.load(self._function, sig, target_context)
        return self._kept.load_overload(sig, target_context) if ready is None else ready

    def save_overload(self, sig: Any, data: Any) -> None:
        self._kept.save_overload(sig, data)


def _compiler(**options: Any) -> Callable[[Any], Any]:
    """A decorator that compiles without the interpreter's lock, and keeps the kernels where that is allowed."""

    def decorate(function: Any) -> Any:
        dispatcher = numba.njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
        if not numba.config.DISABLE_JIT:
            dispatcher._cache = _Found(function)
        return dispatcher

    return decorate


kernel = _compiler()
# What other kernels alone call needs no way in from Python: that is a seventh of the time of compiling. Calling one
# from Python all the same ends the process, so it is for names with an underscore and for `areas` alone.
inner = _compiler(no_cpython_wrapper=True)
# the same where it must see its caller's constants (a stride of 3 is then compiled as one)
inlined = _compiler(no_cpython_wrapper=True, forceinline=True)
# and where a product and a sum may be rounded once instead of twice, or a sum be added up in any order (the only
# liberties taken with real numbers)
inlined_fused = _compiler(no_cpython_wrapper=True, forceinline=True, fastmath={"contract"})
inner_summing = _compiler(no_cpython_wrapper=True, fastmath={"reassoc"})


def _side_by_side(line: Any) -> Any:
    gap = line.strides[0] // line.itemsize
    return as_strided(line, (len(line) * gap,), (line.itemsize,)) if gap > 1 else line


if not numba.config.DISABLE_JIT:

    @intrinsic
    def _side_by_side(_: Any, line: Any) -> Any:
        """The same array, typed as contiguous: numba lays both out alike. Its length stays that of the line."""
        contiguous = line.copy(layout="C")

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return impl_ret_borrowed(context, builder, signature.return_type, args[0])

        return contiguous(line), generate


# A line of a padded or turned array has a stride that the compiler does not know, so it computes one sample at a
# time. After `line.strides[0] == line.itemsize` this tells it that there is no gap; without that test it is wrong. Of
# a line with a gap it is the memory from the first sample on: after a test that the gap is 3, sample x lies at 3 * x.
side_by_side = _side_by_side


def compile_only(dispatcher: Any, signatures: Iterable[Any]) -> None:
    """Compile a kernel for these signatures and for no other: an unknown type raises instead of compiling.

    Any-layout signatures take contiguous, padded and reversed arrays; a read-only one takes writable arrays too.
    Does nothing with the JIT off.
    """
    if numba.config.DISABLE_JIT:
        return
    missing = [tuple(signature) for signature in signatures if tuple(signature) not in dispatcher.signatures]
    if missing:
        dispatcher.disable_compile(False)
        for signature in missing:
            dispatcher.compile(signature)
    dispatcher.disable_compile()
