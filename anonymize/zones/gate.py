"""The one place that turns a hidden frame into one that may be stored.

Without zones there is nothing to wait for: `OpenGate` lets every hidden frame go at once.
"""

from __future__ import annotations

from typing import Protocol

from anonymize.frames import AnonymizedFrame, CapturedFrame, Dropped, ReleasedFrame, _seal_released


class Gate(Protocol):
    """What the pipeline asks before any work on a frame, and after it."""

    def admit(self, captured: CapturedFrame) -> bool:
        """Whether work on the frame may begin; it is dropped as `withheld` if not."""

    def release(self, hidden: AnonymizedFrame) -> list[ReleasedFrame | Dropped]:
        """Frames that are decided now, perhaps earlier ones."""

    def collect(self) -> list[ReleasedFrame | Dropped]:
        """Frames that time and fixes have decided since."""

    def close(self) -> list[ReleasedFrame | Dropped]:
        """The last frames; what is not certain by now is discarded."""


class OpenGate:
    """No zones: every frame is admitted, every hidden frame released at once."""

    def admit(self, captured: CapturedFrame) -> bool:
        """True."""
        return True

    def release(self, hidden: AnonymizedFrame) -> list[ReleasedFrame | Dropped]:
        """The frame that came."""
        return [_seal_released(hidden)]

    def collect(self) -> list[ReleasedFrame | Dropped]:
        """Nothing waits."""
        return []

    def close(self) -> list[ReleasedFrame | Dropped]:
        """Nothing waits."""
        return []
