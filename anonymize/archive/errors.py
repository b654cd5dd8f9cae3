"""Why a run of the archive cannot go on, or a file's result may not be kept."""

from __future__ import annotations

import errno
from typing import Final

from anonymize.errors import AnonymizeError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# A written file that does not hold what it should; told by name, for media and jobs each have their own.
UNVERIFIED: Final = frozenset({"VerificationError", "SecondLookError"})


class ArchiveError(AnonymizeError, RuntimeError):
    """The run cannot begin or go on: lock, journal, disk. What was done stays done."""


class SourceChangedError(AnonymizeError, RuntimeError):
    """A source is not the one that was planned, or changed while it was read; nothing of it is kept."""


def is_full(fault: BaseException | None) -> bool:
    """Whether a full disk (or a limit on a file's size) is behind this exception."""
    seen: set[int] = set()
    while fault is not None and id(fault) not in seen:
        if isinstance(fault, OSError) and fault.errno in FULL:
            return True
        seen.add(id(fault))
        fault = fault.__cause__ or fault.__context__
    return False


def is_unverified(fault: BaseException) -> bool:
    """Whether the written file failed its verification or its second look."""
    return any(kind.__name__ in UNVERIFIED for kind in type(fault).__mro__)
