"""What the store, its ledger and its export raise.

AnonymizeError
├── StoreError (RuntimeError)         the store cannot be opened, read or acted upon; nothing is changed
│   └── StoreBusyError                another process has it open
├── LedgerError (RuntimeError)        not to be relied on, or not to be written: what needs a row does not happen
│   └── RowError (ValueError)         a row that may not be written: an unknown event or field, a value of another form
└── RefusedError (PermissionError)    a rule of territory or export says no; nothing leaves, `rule` names it
"""

from __future__ import annotations

from anonymize.errors import AnonymizeError


class StoreError(AnonymizeError, RuntimeError):
    """A store that cannot be opened, is in use elsewhere, or does not hold what was asked for.

    Parameters
    ----------
    message : str
    reason : str
        One word for counts: `store_failed`, or what the disk did.
    """

    def __init__(self, message: str, *, reason: str = "store_failed") -> None:
        super().__init__(message)
        self.reason = reason


class StoreBusyError(StoreError):
    """Another process has the store open, most likely the recorder."""


class LedgerError(AnonymizeError, RuntimeError):
    """A ledger that is altered, in use elsewhere, or cannot be written."""


class RowError(LedgerError, ValueError):
    """A row that the ledger's allow-list does not know. The message holds no value of it."""


class RefusedError(AnonymizeError, PermissionError):
    """A rule forbids it, and nothing was done.

    Parameters
    ----------
    rule : str
        Its name, as in docs/export.md.
    message : str
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
