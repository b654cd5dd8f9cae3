"""Why a run of the archive cannot go on, or a file's result may not be kept."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from anonymize.errors import AnonymizeError

if TYPE_CHECKING:
    from anonymize.archive.work import Moment

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArchiveError(AnonymizeError, RuntimeError):
    """The run cannot begin or go on: lock, journal, disk. What was done stays done."""


class SourceChangedError(AnonymizeError, RuntimeError):
    """A source is not the one that was planned, or changed while it was read; nothing of it is kept."""


class UnverifiedError(AnonymizeError, RuntimeError):
    """What was written failed its verification or its second look; nothing of it is kept, and a person must look.

    Attributes
    ----------
    source_digest : str
        Of the source, to which a person's word on it is bound.
    moment : Moment or None
        What the second look found.
    """

    def __init__(self, words: str, source_digest: str, moment: Moment | None) -> None:
        super().__init__(words)
        self.source_digest, self.moment = source_digest, moment


def is_full(fault: BaseException | None) -> bool:
    """Whether a full disk (or a limit on a file's size) is behind this exception."""
    seen: set[int] = set()
    while fault is not None and id(fault) not in seen:
        if isinstance(fault, OSError) and fault.errno in FULL:
            return True
        seen.add(id(fault))
        fault = fault.__cause__ or fault.__context__
    return False
