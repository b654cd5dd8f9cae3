"""Everything that this package raises, and what the pipeline does when it meets it.

AnonymizeError
├── UsageError (ValueError)           the caller's arguments are wrong: raised at once, exit code 2
├── FrameError (ValueError)           a frame whose planes do not fit its format: dropped as `bad_frame`
│   ├── InterlacedError               two fields in one frame: dropped as `interlaced`
│   └── FrameExpiredError             planes asked for after the next `process` call: raised, nothing is read
├── MediaError (OSError)              a file that cannot be read or written whole: that input fails
│   └── VerificationError             what was written is not what was meant: nothing of it is left
├── SecondLookError (RuntimeError)    a face or plate was found in what was hidden: the written file is set aside
├── TrackError (ValueError)           a position log that cannot be read: nothing is written for its inputs
├── ModelError (RuntimeError)         a model is missing, altered or of an unknown layout: the engine does not start
├── DetectorError (RuntimeError)      the network failed or gave NaN: dropped as `detector_error`
│   └── DetectorBlindError            the canary was not found: every frame drops as `detector_blind`
├── LateError (TimeoutError)          the network cannot be done by the frame's deadline: dropped or hidden as `late`
├── TooManyError (OverflowError)      a fixed capacity was reached: hidden or dropped as `too_many`
└── HideError (RuntimeError)          the check after hiding failed: dropped as `check_failed`

Whatever is raised inside `Engine.process`, ours or foreign, the frame is dropped or hidden as a whole.
"""

from __future__ import annotations


class AnonymizeError(Exception):
    """Base of every error that this package raises."""


class UsageError(AnonymizeError, ValueError):
    """Arguments that cannot be carried out; the command exits with 2."""


class FrameError(AnonymizeError, ValueError):
    """Planes that do not fit the frame's format; the pipeline drops the frame."""


class InterlacedError(FrameError):
    """A frame of two fields; the pipeline drops it."""


class FrameExpiredError(FrameError):
    """Planes were asked for after their memory went back to the engine or the camera."""


class MediaError(AnonymizeError, OSError):
    """A file that cannot be read or written whole; that input fails and nothing is written for it."""


class VerificationError(MediaError):
    """What was written, read back, is not what was meant; nothing of it is left."""


class SecondLookError(AnonymizeError, RuntimeError):
    """A second look at a hidden picture found a face or a plate; its file is set aside until a person has looked.

    Attributes
    ----------
    label : str
    xyxy : tuple of float
        px of the stored picture.
    confidence : float
    frame : int
        Counted from 0 in its file or topic.
    pts_s : float
        Time of that frame in the source's own clock, s; 0 for a picture.
    topic : str
        Of a robot log.
    """

    def __init__(
        self,
        label: str,
        xyxy: tuple[float, float, float, float],
        confidence: float,
        *,
        frame: int = 0,
        pts_s: float = 0.0,
        topic: str = "",
    ) -> None:
        self.label, self.xyxy, self.confidence = label, xyxy, confidence
        self.frame, self.pts_s, self.topic = frame, pts_s, topic
        where = "x".join(f"{side:.0f}" for side in (xyxy[2] - xyxy[0], xyxy[3] - xyxy[1]))
        of_topic = f" of {topic}" if topic else ""
        super().__init__(
            f"a second look found a {label} of {where} px at ({xyxy[0]:.0f}, {xyxy[1]:.0f}) that is not hidden, "
            f"confidence {confidence:.2f}, frame {frame}{of_topic} at {pts_s:.3f} s; wanted none"
        )


class TrackError(AnonymizeError, ValueError):
    """A position log that cannot be read. The message holds no place and no time of it."""


class ModelError(AnonymizeError, RuntimeError):
    """A model that is missing, altered or of an unknown layout; the engine does not start."""


class DetectorError(AnonymizeError, RuntimeError):
    """The network failed or gave numbers that cannot be; the pipeline drops the frame."""


class DetectorBlindError(DetectorError):
    """The network no longer finds the canary; every frame is dropped until it does."""


class LateError(AnonymizeError, TimeoutError):
    """The network was not, or cannot be, done by the frame's deadline; what becomes of it is the budget's choice."""


class TooManyError(AnonymizeError, OverflowError):
    """A fixed capacity of candidates, boxes or tracks was reached; the frame is hidden or dropped whole."""


class HideError(AnonymizeError, RuntimeError):
    """The check after hiding found a box that is not covered; the pipeline drops the frame."""
