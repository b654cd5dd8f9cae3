"""Keeps raw frames out of crash dumps (SAFETY 19)."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import Final

PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid_core_dumps() -> bool:
    """Make this process undumpable: no core file, no core pipe, no reading of its memory by other users.

    Returns
    -------
    bool
        Whether the system took it. Linux only; elsewhere the core size limit alone is set.
    """
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0
