"""How long a frame may take, and what becomes of one that takes longer: never the original."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from anonymize.errors import UsageError

ON_TIME_SHARE: Final = 0.9  # a frame that has still this share of its deadline is always tried
FORGET: Final = 1.05  # by which the shortest run known is believed less with each run: processors heat up


@dataclass(frozen=True, slots=True)
class Budget:
    """One camera's deadline.

    Parameters
    ----------
    deadline_ms : float or None
        From a frame's arrival to its outcome, ms; None: as long as it takes.
    late : "drop", "hide" or "predict"
        What a frame becomes that the network cannot look at in time: nothing, one flat colour as a whole, or
        (SAFETY 7) hidden where tracks lead and along its edges alone. The last lets through what no track knows: it
        is named in every report, the frame carries `predicted_only`, and the store refuses it.

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    deadline_ms: float | None = None
    late: Literal["drop", "hide", "predict"] = "drop"

    def __post_init__(self) -> None:
        if self.deadline_ms is not None and not 0.0 < self.deadline_ms < math.inf:
            raise UsageError(f"deadline_ms is {self.deadline_ms}; wanted more than 0 ms, or none")
        if self.late not in ("drop", "hide", "predict"):
            raise UsageError(f"late is {self.late!r}; wanted 'drop', 'hide' or 'predict'")
        if self.deadline_ms is None and self.late != "drop":
            raise UsageError(f"late is {self.late!r} without a deadline_ms; wanted both")

    def due_s(self, arrived_s: float) -> float:
        """When a frame's outcome is due, on the clock of `arrived_s`; infinity without a deadline."""
        return math.inf if self.deadline_ms is None else arrived_s + self.deadline_ms / 1000.0


class Pace:
    """How fast the network was at best lately, so that no core is spent on a run that must be late."""

    def __init__(self) -> None:
        self._shortest_s = 0.0

    def note(self, run_s: float) -> None:
        """A run took this long."""
        self._shortest_s = min(run_s, self._shortest_s * FORGET) if self._shortest_s else run_s

    def is_hopeless(self, left_s: float, budget: Budget) -> bool:
        """Whether even the fastest run of late would not end within what is left.

        A frame that came on time is always tried: otherwise one slow second would end all looking.
        """
        if budget.deadline_ms is None:
            return False
        on_time_s = ON_TIME_SHARE * budget.deadline_ms / 1000.0
        return left_s <= 0.0 or left_s < min(self._shortest_s, on_time_s)
