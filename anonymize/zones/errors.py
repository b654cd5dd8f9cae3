"""What this package raises when a zone list cannot be relied on. There is no half of a list: it loads or it does not.

AnonymizeError
└── ZoneListError (ValueError)        the list is refused as a whole; where zones are wanted nothing is recorded
    └── ZoneTrustError                its signatures, version or dates are not what they must be
"""

from __future__ import annotations

from anonymize.errors import AnonymizeError


class ZoneListError(AnonymizeError, ValueError):
    """A zone list that cannot be used whole. The message names the feature by its number in the file, and why.

    It never holds a coordinate, a zone's id or a site's name: such a line may end in a log.
    """


class ZoneTrustError(ZoneListError):
    """A signed list that is altered, too old, out of date, or signed by too few.

    Parameters
    ----------
    message : str
    reason : str
        One of "missing", "altered", "unsigned", "old_version", "expired", "clock", "state".
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
