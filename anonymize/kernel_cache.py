"""Where compiled kernels may be kept: numba's cache is pickled code, so its folder must be ours alone (SAFETY 17)."""

from __future__ import annotations

import os
from pathlib import Path


def use_kernel_cache(folder: Path | None = None) -> Path | None:
    """Let numba keep its compiled kernels in `folder`; call it before `anonymize.Engine` is first named.

    Parameters
    ----------
    folder : Path or None
        None takes `$NUMBA_CACHE_DIR`, or `$XDG_CACHE_HOME/vehicle-anonymize/kernels`
        (`~/.cache/vehicle-anonymize/kernels`). It is made with mode 0700 where it is missing.

    Returns
    -------
    Path or None
        The folder in use; None where it cannot be made, is not this user's alone, or kernels were loaded before:
        then nothing is kept.
    """
    chosen = folder or _default_folder()
    if chosen is None:
        return None
    try:
        chosen.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    os.environ["NUMBA_CACHE_DIR"] = str(chosen)  # read once, when the kernels are imported
    from anonymize_kernels import _jit

    if _jit.CACHE and _jit.is_private_folder(chosen):
        return chosen
    del os.environ["NUMBA_CACHE_DIR"]
    return None


def _default_folder() -> Path | None:
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base, "vehicle-anonymize", "kernels")
    try:
        return Path.home() / ".cache" / "vehicle-anonymize" / "kernels"
    except RuntimeError:  # no home folder
        return None


def why_compiled() -> str:
    """Why the kernels that come with the package compiled are not used here, in words; empty where they are."""
    from anonymize_kernels import _ready_made

    return _ready_made.fault()
