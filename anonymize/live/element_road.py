"""What the GStreamer element does with one mapped buffer, without GStreamer: hide it in place, or say why it drops.

`ElementRoad.hide` returns None only for a frame that `Engine.process` released and whose planes are the very memory
that was given. Anything else is a reason to drop, and the caller passes nothing on.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np

from anonymize.errors import AnonymizeError, UsageError
from anonymize.frames import CapturedFrame, Dropped, Planes, Reason, ReleasedFrame
from anonymize.hide.styles import Style, Styles
from anonymize.live.gst_names import PictureKind
from anonymize.live.memory_layout import MemoryLayout

if TYPE_CHECKING:
    from anonymize.pipeline import Engine, Outcome
    from anonymize.zones import Gate

NANOSECONDS: Final = Fraction(1, 1_000_000_000)
ZONES_REFUSED: Final = (
    "this element refuses zones: it works in place and cannot hold a frame until the fix after it is known; "
    "use vehicleanonymizehold instead, which holds: see docs/live.md"
)


@dataclass(frozen=True, slots=True)
class ElementOptions:
    """The element's properties, checked.

    Parameters
    ----------
    threads : int
        Of the network's run, at least 1.
    style : str
        `veil` or `solid`.
    on_fault : "drop" or "hide"
        What becomes of a frame that could not be hidden box by box, or not in time: nothing, or one flat colour as
        a whole.
    deadline_ms : float
        From a buffer's arrival in the element to its outcome, ms; 0: as long as it takes.
    camera : str

    Raises
    ------
    UsageError
        A value is none of these.
    """

    threads: int = 1
    style: str = "veil"
    on_fault: str = "drop"
    deadline_ms: float = 0.0
    camera: str = "front"

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"threads is {self.threads}; wanted at least 1")
        if self.style not in (Style.VEIL, Style.SOLID):
            raise UsageError(
                f"style is {self.style!r}; wanted veil or solid: weaker ones can be read back from video"
            )
        if self.on_fault not in ("drop", "hide"):
            raise UsageError(f"on-fault is {self.on_fault!r}; wanted drop or hide")
        if not (math.isfinite(self.deadline_ms) and self.deadline_ms >= 0):
            raise UsageError(f"deadline-ms is {self.deadline_ms}; wanted 0 (none) or more")
        if not self.camera:
            raise UsageError("camera is empty; wanted a name")


def make_engine(options: ElementOptions, *, zones: Gate | None = None) -> Engine:
    """An engine with kernels kept in a private cache; it hides in place, or with zones in memory of its own."""
    from anonymize.kernel_cache import use_kernel_cache

    use_kernel_cache()  # before numba reads its settings
    from anonymize.deadline import Budget
    from anonymize.pipeline import Engine
    from anonymize.settings import Settings

    style = Style(options.style)
    on_fault = cast(Literal["drop", "hide"], options.on_fault)
    budget = Budget(options.deadline_ms, late=on_fault) if options.deadline_ms else Budget()
    settings = Settings(styles=Styles(face=style, plate=style, area=style), on_fault=on_fault, budget=budget)
    return Engine(settings=settings, zones=zones, in_place=zones is None, threads=options.threads)


class EngineRoad:
    """One engine and its counters for one element; for the streaming thread alone.

    Parameters
    ----------
    options : ElementOptions
    engine : Engine
    """

    def __init__(self, options: ElementOptions, engine: Engine) -> None:
        self.options = options
        self.engine = engine
        self.dropped: Counter[Reason] = Counter()
        self.hidden = 0
        self.hidden_whole = 0
        self.objects = 0
        self.last_fault = ""
        self._turn: tuple[int, bool] = (0, False)

    def turn(self, rotation_deg: int, *, mirrored: bool) -> None:
        """How the pictures to come are made upright."""
        if (rotation_deg, mirrored) != self._turn:
            self._turn = (rotation_deg, mirrored)
            self.forget()

    def forget(self) -> None:
        """The next frame belongs to another scene."""
        self.engine.reset(self.options.camera)

    def warm_up(self, kind: PictureKind, line_bytes: tuple[int, ...]) -> None:
        """Compile, allocate and find the canary for pictures of this kind, before the first one comes.

        Raises
        ------
        AnonymizeError
            The network does not see, or anything else that would drop every frame.
        """
        rotation_deg, mirrored = self._turn
        self.engine.warm_up(
            width=kind.width, height=kind.height, pixel_format=kind.pixel_format, camera=self.options.camera,
            line_bytes=line_bytes, rotation_deg=rotation_deg, mirrored=mirrored,
            color_range=kind.color_range, color_matrix=kind.color_matrix,
        )  # fmt: skip

    def fault(self, reason: Reason, words: str) -> Reason:
        """Remember in words why a frame will be dropped."""
        self.last_fault = words
        return reason

    def count_drop(self, reason: Reason) -> Reason:
        """Count a frame that the element drops."""
        self.dropped[reason] += 1
        return reason

    def captured(
        self, planes: Planes, kind: PictureKind, pts_ns: int, captured_at_s: float | None = None
    ) -> CapturedFrame:
        """A buffer's picture as the engine takes it."""
        rotation_deg, mirrored = self._turn
        return CapturedFrame(
            planes, kind.pixel_format, pts=pts_ns, time_base=NANOSECONDS, captured_at_s=captured_at_s,
            camera=self.options.camera, rotation_deg=rotation_deg, mirrored=mirrored,
            color_range=kind.color_range, color_matrix=kind.color_matrix,
        )  # fmt: skip

    def statistics(self) -> dict[str, int]:
        """Counters by the names that an element's `stats` property shows."""
        counted = {
            "frames-hidden": self.hidden,
            "frames-hidden-whole": self.hidden_whole,
            "frames-dropped": self.dropped.total(),
            "objects-hidden": self.objects,
        }
        return counted | {
            f"dropped-{reason.replace('_', '-')}": count for reason, count in sorted(self.dropped.items())
        }


class ElementRoad(EngineRoad):
    """The road of the element that works in place: each frame comes out at once, in the memory it came in.

    Parameters
    ----------
    options : ElementOptions
    engine : Engine or None
        None: made as the options say.
    clock_s : callable
        Monotonic, s.
    """

    def __init__(
        self,
        options: ElementOptions,
        engine: Engine | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(options, engine or make_engine(options))
        self.late = 0
        self._clock_s = clock_s
        self._whole: Reason | None = None  # why the last frame was hidden as a whole

    def hide(
        self, memory: Any, layout: MemoryLayout, kind: PictureKind, pts_ns: int, arrived_s: float
    ) -> Reason | None:
        """Hide the picture in `memory`, in place. None: it may go on; else why it must not.

        Parameters
        ----------
        memory : buffer
            Writable bytes; not referred to once this returns, except by views that the engine never reads again.
        pts_ns : int
            Presentation time, ns.
        arrived_s : float
            When the buffer came, on this road's clock.
        """
        try:
            reason = self._hide(memory, layout, kind, pts_ns, arrived_s)
        except AnonymizeError as fault:
            reason = self.fault(Reason.BAD_FRAME, f"{type(fault).__name__}: {fault}")
        # the engine keeps the deadline; what it could not keep it by is not passed on either
        overdue = 0 < self.options.deadline_ms < (self._clock_s() - arrived_s) * 1000.0
        self.late += overdue or Reason.LATE in (reason, self._whole)
        if reason is None and overdue and self.options.on_fault == "drop":
            reason = Reason.LATE
        if reason is not None:
            return self.count_drop(reason)
        self.hidden += 1
        return None

    def _hide(
        self, memory: Any, layout: MemoryLayout, kind: PictureKind, pts_ns: int, arrived_s: float
    ) -> Reason | None:
        self._whole = None
        layout.blank_gaps(memory)
        planes = layout.planes(memory)
        outcomes = self.engine.process(self.captured(planes, kind, pts_ns), arrived_s=arrived_s)
        return self._judge(outcomes, planes)

    def _judge(self, outcomes: list[Outcome], planes: Planes) -> Reason | None:
        """None only for the one frame that was released, in the memory that was given."""
        if len(outcomes) == 1 and isinstance(outcomes[0], ReleasedFrame):
            released = outcomes[0]
            if not all(map(_same_memory, released.planes, planes)):
                return self.fault(Reason.INTERNAL_ERROR, "the engine hid in other memory than the buffer's")
            self.hidden_whole += released.hidden_whole
            self.objects += len(released.boxes)
            if released.hidden_whole:
                self._whole = released.reason
                self.last_fault = self.engine.last_fault
            return None
        if len(outcomes) == 1 and isinstance(outcomes[0], Dropped):
            return self.fault(outcomes[0].reason, self.engine.last_fault)
        return self.fault(Reason.INTERNAL_ERROR, f"{len(outcomes)} outcomes of one frame; wanted one")

    def statistics(self) -> dict[str, int]:
        """Counters, late frames among them."""
        return super().statistics() | {"frames-late": self.late}


def _same_memory(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    return (
        one.__array_interface__["data"][0] == other.__array_interface__["data"][0]
        and one.shape == other.shape
        and one.strides == other.strides
    )
