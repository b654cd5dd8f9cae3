"""Ctrl-C and SIGTERM, taken between two frames.

An exception that a signal raises inside one of FFmpeg's callbacks into Python is printed and forgotten there, so
the first signal only asks; `check` raises at the next frame or input. A second one raises at once.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_asked = False


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Take SIGINT and SIGTERM in the block; changes nothing outside the main thread."""
    global _asked
    _asked = False
    before = {}
    with contextlib.suppress(ValueError):
        before = {number: signal.signal(number, _ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check() -> None:
    """Raise KeyboardInterrupt if a signal came."""
    if _asked:
        raise KeyboardInterrupt


def _ask(number: int, frame: FrameType | None) -> None:
    global _asked
    if _asked:
        raise KeyboardInterrupt
    _asked = True
