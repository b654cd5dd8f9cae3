"""What the element that holds does with a mapped buffer, without GStreamer: copy, hide, wait, hand out in order.

Only a `ReleasedFrame` of the engine's leaves, and only with the ticket that was drawn for it when it came. What has
no ticket any more (a flush) is blanked; what contradicts its ticket ends the pipeline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from anonymize.configuration import CameraPart, camera_view, read_configuration
from anonymize.errors import AnonymizeError, FrameError, UsageError
from anonymize.frames import Dropped, Reason, ReleasedFrame
from anonymize.live import element_road
from anonymize.live.element_road import NANOSECONDS, ElementOptions, EngineRoad
from anonymize.live.memory_layout import MemoryLayout
from anonymize.live.stream_order import StreamOrder, Ticket
from anonymize.zones.fixes import Fix
from anonymize.zones.rules import GateRules, ZonesInForce
from anonymize.zones.views import CameraView
from anonymize.zones.zone_gate import HOLD_BYTES, ZoneGate

if TYPE_CHECKING:
    from anonymize.pipeline import Outcome

CLOCKS_S: Final = (
    0.02  # UTC and the pipeline's clock are read together to this; added to the camera's uncertainty
)
NEXT_FRAME_S: Final = 0.5  # what was decided leaves when the next frame has been hidden
NO_ZONES: Final = (
    "this element holds frames until it is certain that they lie outside restricted zones, and was given none; wanted "
    "config=FILE with `list`, `root` and `state` in [zones]. Without zones use vehicleanonymize, which holds nothing"
)


@dataclass(frozen=True, slots=True)
class Site:
    """What a site's configuration says of zones and of one camera, checked.

    Parameters
    ----------
    zones : ZonesInForce
    view : CameraView
        What the camera sees and how its clock goes.
    warnings : tuple of str
    """

    zones: ZonesInForce
    view: CameraView
    warnings: tuple[str, ...] = ()


def read_site(config: str, camera: str) -> Site:
    """Zones and the camera's view, from the file that `anonymize run --config` reads.

    Raises
    ------
    UsageError
        No zones, or a list that is not signed: live use takes signed ones alone.
    ZoneListError
        The list is refused.
    """
    if not config:
        raise UsageError(NO_ZONES)
    configuration = read_configuration(config)
    part = configuration.zones
    if part.list is None:
        raise UsageError(f"{config}: {NO_ZONES}")
    if part.root is None or part.state is None or part.datum is not None:
        raise UsageError(
            f"{config}: live use takes signed lists alone; wanted `list` (a folder), `root` and `state` in [zones], "
            "and no `datum`"
        )
    camera_part = configuration.cameras.get(camera, CameraPart())
    known = camera_view(camera_part, camera)
    uncertain_s = camera_part.clock_uncertainty_s
    view = replace(
        known,
        clock_offset_s=camera_part.clock_offset_s or 0.0,
        clock_uncertainty_s=(known.clock_uncertainty_s if uncertain_s is None else uncertain_s) + CLOCKS_S,
    )
    zones, warnings = _signed_zones(part.list, part.root, part.state)
    return Site(zones, view, warnings)


def _signed_zones(folder: Path, root: Path, state: Path) -> tuple[ZonesInForce, tuple[str, ...]]:
    try:
        from anonymize.zones.in_force import signed_in_force
        from anonymize.zones.signed import load_signed_zones

        signed = load_signed_zones(folder, root.read_bytes(), state)
        in_force = signed_in_force(signed)
    except ImportError as missing:
        raise UsageError(
            f"zone lists need {missing.name}; wanted: pip install vehicle-anonymize[zones]"
        ) from None
    except OSError as fault:
        raise UsageError(f"{root}: the root file cannot be read: {fault.strerror}") from None
    return in_force, signed.warnings(time.time())


@dataclass(frozen=True, slots=True, eq=False)
class Leaving:
    """A released frame on its way out.

    Parameters
    ----------
    frame : ReleasedFrame
        Valid until the road takes the next frame.
    ticket : Ticket
    """

    frame: ReleasedFrame
    ticket: Ticket


class HoldRoad(EngineRoad):
    """Frames in, and what may leave now, perhaps of seconds ago, out. `fix` may be called by any thread.

    Parameters
    ----------
    options : ElementOptions
    site : Site
    hold_bytes : int
        Memory for frames that wait, bytes; the oldest go when it is full.
    clock_s : callable
        UTC, s since 1970.
    """

    def __init__(
        self,
        options: ElementOptions,
        site: Site,
        *,
        hold_bytes: int = HOLD_BYTES,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        rules = GateRules()
        self.clock_s, self.clocks_s = clock_s, CLOCKS_S
        self.latency_s = rules.hold_timeout_s + NEXT_FRAME_S
        self.fixes = 0
        self.gate = ZoneGate(
            site.zones, rules, views={options.camera: site.view}, hold_bytes=hold_bytes, clock=clock_s
        )
        super().__init__(options, element_road.make_engine(options, zones=self.gate))
        self._order = StreamOrder()
        self._flushed_until_s = -math.inf
        self._newest_s = -math.inf

    def fix(self, fix: Fix) -> None:
        """A fix that has just come."""
        self.gate.fix(fix)
        self.fixes += 1

    def take(self, memory: Any, layout: MemoryLayout, ticket: Ticket) -> tuple[list[Any], Reason | None]:
        """What may leave now, in order: events, and frames as `Leaving`; and why this very frame is dropped.

        A frame that is withheld is not told here (SAFETY 24): it is missing, and counted.

        Parameters
        ----------
        memory : buffer
            Readable bytes; the picture is copied out of them, and not referred to once this returns.
        """
        self._newest_s = max(self._newest_s, ticket.captured_at_s)
        self._order.add(ticket)
        try:
            captured = self.captured(layout.planes(memory), ticket.kind, ticket.pts_ns, ticket.captured_at_s)
            outcomes = self.engine.process(captured)
        except AnonymizeError as fault:
            self._order.take_back(ticket)
            return self.collect(), self.bad_frame(f"{type(fault).__name__}: {fault}")
        leaving, reason = self._judge(outcomes)
        held = self.gate.held_s
        if held is None or held[1] != ticket.captured_at_s:
            self._order.take_back(ticket)
        return leaving + self._settled(), reason

    def bad_frame(self, words: str) -> Reason:
        """Count a frame that did not come as far as the engine."""
        return self.count_drop(self.fault(Reason.BAD_FRAME, words))

    def collect(self) -> list[Any]:
        """What fixes and time have decided meanwhile."""
        leaving, _ = self._judge(self.engine.collect())
        return leaving + self._settled()

    def event(self, event: Any) -> list[Any]:
        """What may leave now: this event too, if no frame before it waits."""
        leaving = self.collect()
        self._order.add(event)
        return leaving + self._settled()

    def flush(self) -> list[Any]:
        """The stream begins anew: what waits will not come. The events that were waiting."""
        self._flushed_until_s = self._newest_s
        self.forget()
        return self._order.clear()

    def end(self) -> list[Any]:
        """No frame and no fix comes any more: what is certain now; the rest is discarded."""
        leaving, _ = self._judge(self.engine.close())
        return leaving + self._order.clear()

    def wipe(self) -> None:
        """Blank and forget everything that waits."""
        self._order.clear()
        for outcome in self.engine.close():
            if isinstance(outcome, ReleasedFrame):
                _blank(outcome)

    def write(self, leaving: Leaving, memory: Any, layout: MemoryLayout) -> None:
        """Fill the memory of a new buffer: every byte is one of the released planes, or 0."""
        layout.blank_gaps(memory)
        for target, plane in zip(layout.planes(memory), leaving.frame.planes, strict=True):
            if target.shape != plane.shape:
                raise FrameError(f"a plane of {plane.shape} was released; wanted {target.shape}")
            np.copyto(target, plane, casting="no")

    def count_hidden(self, leaving: Leaving) -> None:
        """Count a frame that has left."""
        self.hidden += 1
        self.hidden_whole += leaving.frame.hidden_whole
        self.objects += len(leaving.frame.boxes)

    def statistics(self) -> dict[str, int]:
        """Counters, and how many fixes came: nothing of where or when."""
        return super().statistics() | {"fixes": self.fixes}

    def _judge(self, outcomes: list[Outcome]) -> tuple[list[Any], Reason | None]:
        """Frames with their tickets and the events before them; why the newest frame was dropped, if it was."""
        leaving: list[Any] = []
        told = None
        for outcome in outcomes:
            if isinstance(outcome, ReleasedFrame):
                leaving += self._released(outcome)
            elif not isinstance(outcome, Dropped):
                raise RuntimeError(f"the engine gave a {type(outcome).__name__}; wanted a ReleasedFrame")
            else:
                self.count_drop(outcome.reason)
                if outcome.reason is not Reason.WITHHELD:
                    told = self.fault(outcome.reason, self.engine.last_fault)
        return leaving, told

    def _released(self, frame: ReleasedFrame) -> list[Any]:
        captured_at_s = frame.captured_at_s
        if captured_at_s is None:
            raise RuntimeError("a frame without its time of capture was released")
        events, ticket = self._order.reach(captured_at_s)
        if ticket is None:
            _blank(frame)
            if captured_at_s <= self._flushed_until_s:
                return []
            raise RuntimeError("a frame was released that was not waited for")
        kind = ticket.kind
        given = (frame.pts, frame.time_base, frame.pixel_format, frame.width, frame.height)
        if given != (ticket.pts_ns, NANOSECONDS, kind.pixel_format, kind.width, kind.height):
            raise RuntimeError("a frame was released that is not the one that came")
        return [*events, Leaving(frame, ticket)]

    def _settled(self) -> list[Any]:
        """The events that no waiting frame keeps back any more."""
        held = self.gate.held_s
        return self._order.settle(math.inf if held is None else held[0])


def _blank(frame: ReleasedFrame) -> None:
    for plane in frame.planes:
        plane.fill(0)
