"""What one run measures: a frozen value that goes to the run's own process as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

SIZES: Final = ((640, 360), (1280, 720), (1920, 1080), (3840, 2160))
FORMATS: Final = ("nv12", "yuv420p", "bgr24", "rgb24", "gray8", "yuv422p", "yuv444p", "yuv420p10le")
QUEUE_FRAMES: Final = (
    2  # as CameraGroup: a frame that was not begun this many periods after it was due is lost
)

Task = Literal["run", "start", "limit"]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One configuration.

    Attributes
    ----------
    task : "run", "start" or "limit"
        Everything; only the start to the first hidden frame; or the search for how many cameras fit.
    clip : str or None
        A video of the user's instead of drawn frames; `width`, `height` and `pixel_format` are then its own.
    objects : int
        Faces and plates that are drawn.
    model : three str or None
        File, SHA-256 and manifest of a foreign network; None: the packaged one.
    precision, provider, provider_fallback
        As of `anonymize run`: of the packaged network, and what runs it.
    full : bool
        Detect at the size for files instead of the live engine's.
    fps : float
        Frames a second of a camera.
    deadline_ms : float
        From when a frame was due to when it was hidden, ms.
    late : "drop", "hide", "predict" or None
        What the engine makes of a frame that the network cannot look at by the deadline; None: it has no deadline.
    flat_s, paced_s : float
        How long each kind of run takes, s; 0 leaves it out.
    load : int
        Processes that burn one core each meanwhile.
    control : "auto", "on" or "off"
        Run the fixed busy loop in the same schedule as paced frames; `auto`: where it takes no core from the engine.
    priority : int or None
        Real-time priority (SCHED_FIFO) of the engine's threads in paced runs; None: none.
    allocation_frames : int
        Frames of each round of the pass that looks for growing memory; 0 leaves it out.
    """

    task: Task = "run"
    width: int = 1280
    height: int = 720
    pixel_format: str = "nv12"
    threads: int = 1
    clip: str | None = None
    objects: int = 8
    model: tuple[str, str, str] | None = None
    precision: Literal["float32", "int8"] = "float32"
    provider: str = "cpu"
    provider_fallback: bool = False
    full: bool = False
    fps: float = 30.0
    deadline_ms: float = 1000 / 30
    late: Literal["drop", "hide", "predict"] | None = None
    flat_s: float = 8.0
    paced_s: float = 8.0
    load: int = 0
    control: Literal["auto", "on", "off"] = "auto"
    priority: int | None = None
    allocation_frames: int = 50

    def as_json(self) -> str:
        """For the run's process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, words: str) -> Self:
        """What `as_json` gave."""
        values: dict[str, Any] = json.loads(words)
        if values["model"] is not None:
            values["model"] = tuple(values["model"])
        return cls(**values)

    def with_(self, **changes: Any) -> RunPlan:
        """The same with some values changed."""
        return replace(self, **changes)

    def key(self) -> dict[str, Any]:
        """What must be equal for two runs to be compared; durations are not in it, nor where a file lies."""
        return {
            "width": self.width,
            "height": self.height,
            "pixel_format": self.pixel_format,
            "threads": self.threads,
            "source": "clip" if self.clip else f"{self.objects} drawn objects",
            "detection": "full" if self.full else "live",
            "fps": self.fps,
            "deadline_ms": round(self.deadline_ms, 3),
            "load": self.load,
            "provider": self.provider,
            **({"late": self.late} if self.late else {}),
            **({"priority": self.priority} if self.priority else {}),
        }
