"""What an engine is told to do: one frozen value, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from anonymize.deadline import Budget
from anonymize.detect import DetectionSettings
from anonymize.errors import UsageError
from anonymize.frames import Label
from anonymize.hide import Styles

DEFAULT_GROWTH: Final = Styles().growth

FULL_SIZE_PX: Final = (
    1920  # for files: up to 1080p the network sees every pixel, above it half of them at least
)

Area = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine detects, tracks and hides.

    Parameters
    ----------
    styles : Styles
        Style of hiding per class, growth and soft edge.
    thresholds : mapping of Label to probability, or None
        From which confidence a box is hidden; None or a missing label takes the model's own.
    cautious : bool
        Take the model's cautious thresholds: more is found, and more is hidden that is nothing.
    thorough : bool
        Look four times at each picture, at other sizes and mirrored (`anonymize.detect.looks`): for archives.
    classes : frozenset of Label
        What is looked for: faces, plates or both.
    hide_always : areas, xyxy in px of the stored picture
        Hidden in every frame, whatever is found.
    never : areas, xyxy in px of the stored picture
        Boxes whose centre lies in one of them are not hidden. An exception that every report names.
    scope_px, keep_px : int
        An object whose shorter side is `scope_px` in the frame keeps `keep_px` in the network's input.
    min_long_side_px : int
        The network's input is not made smaller than this on its longer side, px, even where `keep_px` would allow
        it: 640 for live use, `FULL_SIZE_PX` for files. Frames are never enlarged.
    tracking : bool
        Hold and predict boxes from frame to frame (off for single pictures).
    on_fault : "drop" or "hide"
        What a frame becomes that cannot be hidden box by box: nothing, or one flat colour as a whole.
    budget : Budget
        Deadline of a frame and what becomes of a late one; `budgets` names other ones by camera.
    budgets : mapping of camera name to Budget
    canary_every_s : float
        How often the canary goes through the network again, s.
    weak_on_video : bool
        Whether `blur` and `mosaic` may be used on video (SAFETY 9).

    Raises
    ------
    UsageError
        A value is out of its range.
    """

    styles: Styles = field(default_factory=Styles)
    thresholds: Mapping[Label, float] | None = None
    cautious: bool = False
    thorough: bool = False
    classes: frozenset[Label] = frozenset({Label.FACE, Label.PLATE})
    hide_always: tuple[Area, ...] = ()
    never: tuple[Area, ...] = ()
    scope_px: int = 16
    keep_px: int = 8
    min_long_side_px: int = 640
    tracking: bool = True
    on_fault: Literal["drop", "hide"] = "drop"
    budget: Budget = field(default_factory=Budget)
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    canary_every_s: float = 30.0
    weak_on_video: bool = False

    def __post_init__(self) -> None:
        if not self.classes or self.classes - {Label.FACE, Label.PLATE}:
            raise UsageError(f"classes are {sorted(self.classes)}; wanted face, plate or both")
        for label, threshold in (self.thresholds or {}).items():
            if not 0.0 < threshold < 1.0:
                raise UsageError(f"threshold for {label} is {threshold}; wanted more than 0 and less than 1")
        for name in ("hide_always", "never"):
            for area in getattr(self, name):
                _check_area(name, area)
        if not 1 <= self.keep_px <= self.scope_px:
            raise UsageError(f"keep_px is {self.keep_px}; wanted 1 to scope_px ({self.scope_px})")
        if self.min_long_side_px < 1:
            raise UsageError(f"min_long_side_px is {self.min_long_side_px}; wanted at least 1 px")
        if self.on_fault not in ("drop", "hide"):
            raise UsageError(f"on_fault is {self.on_fault!r}; wanted 'drop' or 'hide'")
        if not self.canary_every_s > 0:
            raise UsageError(f"canary_every_s is {self.canary_every_s}; wanted more than 0 s")
        if self.thorough and any(b.deadline_ms is not None for b in (self.budget, *self.budgets.values())):
            raise UsageError(
                "thorough came with a deadline; wanted one of them: it looks four times at a frame"
            )
        if not self.tracking and any(b.late == "predict" for b in (self.budget, *self.budgets.values())):
            raise UsageError("late is 'predict' with tracking off; wanted tracks to predict by")

    def detection(self) -> DetectionSettings:
        """The part of these settings that the detector needs."""
        return DetectionSettings(
            thresholds=dict(self.thresholds or {}),
            classes=self.classes,
            scope_px=self.scope_px,
            keep_px=self.keep_px,
            min_long_side_px=self.min_long_side_px,
            cautious=self.cautious,
            thorough=self.thorough,
        )

    def budget_of(self, camera: str) -> Budget:
        """The budget in force for a camera."""
        return self.budgets.get(camera, self.budget)

    def exceptions(self) -> list[str]:
        """Lines naming every setting that hides less than the default; they belong in every report."""
        lines = [
            f"{label}s are not looked for" for label in (Label.FACE, Label.PLATE) if label not in self.classes
        ]
        lines += [
            f"threshold for {label}s set to {value}"
            for label, value in sorted((self.thresholds or {}).items())
        ]
        lines += [f"boxes centred in {area} are not hidden" for area in self.never]
        if any(b.late == "predict" for b in (self.budget, *self.budgets.values())):
            lines.append("late frames are hidden by prediction alone, without a look at them")
        styles = {Label.FACE: self.styles.face, Label.PLATE: self.styles.plate}
        lines += [
            f"{label}s are hidden by {style}, a weaker style: see docs/styles.md"
            for label, style in styles.items()
            if style.weak
        ]
        if self.styles.growth < DEFAULT_GROWTH:
            lines.append(f"boxes are grown {self.styles.growth} times instead of {DEFAULT_GROWTH}")
        return lines


def _check_area(name: str, area: Area) -> None:
    x1, y1, x2, y2 = area
    if not all(map(math.isfinite, area)) or x2 <= x1 or y2 <= y1:
        raise UsageError(f"{name} area is {area}; wanted x1,y1,x2,y2 in px with x1 < x2 and y1 < y2")
