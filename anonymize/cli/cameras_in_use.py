"""Which camera took which input, what it sees, and how its clock stands to the track's."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from anonymize.configuration import CameraPart, Configuration, camera_view
from anonymize.errors import UsageError

if TYPE_CHECKING:
    from anonymize.zones.views import CameraView

DEFAULT_CAMERA: Final = "front"
MOST_CAMERAS: Final = 16  # as many as one engine serves
WHOLE_SECOND_S: Final = 1.0  # containers and EXIF count whole seconds
STATED_S: Final = 0.1
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class CamerasInUse:
    """The cameras of one run.

    Attributes
    ----------
    default : str
        Of an input that no pattern fits.
    patterns : tuple of (pattern, name)
    views : dict of name to CameraView
        Of every camera that the options or the configuration name, and of the default one.
    clock_stated : frozenset of str
        Cameras of whose clock somebody said how it stands to the track's.
    least_s : float
        How wrong their clocks are taken to be where nobody says, s.
    """

    default: str
    patterns: tuple[tuple[str, str], ...]
    views: dict[str, CameraView]
    clock_stated: frozenset[str]
    least_s: float

    def camera_of(self, source: Path) -> str:
        """The camera that took a file.

        Raises
        ------
        UsageError
            The patterns of two cameras fit.
        """
        names = sorted({name for pattern, name in self.patterns if PurePath(source).match(pattern)})
        if len(names) > 1:
            raise UsageError(f"{source}: the patterns of cameras {' and '.join(names)} fit; wanted one")
        return names[0] if names else self.default

    def exceptions(self, names: Iterable[str]) -> list[str]:
        """A line for every view narrower than 150 m and every clock set by hand, of these cameras."""
        from anonymize.zones.views import FRONT_VIEW_M

        lines = []
        for name in sorted(names):
            view, wedge = self.views[name], self.views[name].wedge
            if wedge is not None:
                lines.append(
                    f"camera {name} is taken to see {wedge.range_m:g} m, {wedge.field_of_view_deg:g} degrees "
                    f"wide, {wedge.yaw_deg:g} degrees off the nose"
                )
            elif view.view_m < FRONT_VIEW_M:
                lines.append(f"camera {name} is taken to see {view.view_m:g} m")
            if name in self.clock_stated:
                lines.append(f"the clock of camera {name} was set against the track's by hand")
            if view.clock_uncertainty_s < self.least_s:
                lines.append(
                    f"the clock of camera {name} is taken as right to {view.clock_uncertainty_s:g} s"
                )
        return lines


def cameras_in_use(
    options: argparse.Namespace, configuration: Configuration, *, least_s: float, track_s: float
) -> CamerasInUse:
    """Cameras as the options say, and where these say nothing as the configuration does.

    Parameters
    ----------
    least_s : float
        How wrong a camera's clock is taken to be where nobody says, s.
    track_s : float
        How wrong the times of the track may be; comes on top, s.

    Raises
    ------
    UsageError
        Words that are no camera or view, or do not go together.
    """
    default, patterns = _named(options.camera, configuration)
    stated = dict(_stated_view(words) for words in options.camera_view)
    used = {default, *(name for _, name in patterns), *configuration.cameras}
    for name in stated:
        if name not in used:
            raise UsageError(
                f"--camera-view is of camera {name}, which took no input; wanted --camera {name}"
            )
    if len(used) > MOST_CAMERAS:
        raise UsageError(f"{len(used)} cameras are named; at most {MOST_CAMERAS} in a run")
    views, clock_stated = {}, set()
    for name in used:
        part = configuration.cameras.get(name, CameraPart())
        seen = stated.get(name) or camera_view(part, name)
        offset_s = part.clock_offset_s if options.camera_offset_s is None else options.camera_offset_s
        given_s = options.camera_offset_uncertainty_s
        uncertainty_s = part.clock_uncertainty_s if given_s is None else given_s
        views[name] = replace(
            seen,
            clock_offset_s=offset_s or 0.0,
            clock_uncertainty_s=(least_s if uncertainty_s is None else uncertainty_s) + track_s,
        )
        if offset_s is not None:
            clock_stated.add(name)
    return CamerasInUse(default, tuple(patterns), views, frozenset(clock_stated), least_s + track_s)


def _named(words: Iterable[str], configuration: Configuration) -> tuple[str, list[tuple[str, str]]]:
    """The default camera, and the patterns of files."""
    alone, patterns = [], []
    for word in words:
        name, equals, pattern = word.partition("=")
        if not _NAME.fullmatch(name) or (equals and not pattern):
            raise UsageError(f"--camera is {word!r}; wanted NAME, or NAME=PATTERN of its files")
        if equals:
            patterns.append((pattern, name))
        else:
            alone.append(name)
    if len(alone) > 1:
        raise UsageError(f"--camera names {' and '.join(alone)} for the same files; wanted NAME=PATTERN")
    for name, part in configuration.cameras.items():
        if not _NAME.fullmatch(name):
            raise UsageError(f"the configuration names a camera {name!r}; wanted letters, digits, -, _ and .")
        if part.files and name not in {one for _, one in patterns}:
            patterns.append((part.files, name))
    return alone[0] if alone else DEFAULT_CAMERA, patterns


def _stated_view(words: str) -> tuple[str, CameraView]:
    """Name and view of ``NAME=METRES`` or ``NAME=YAW,FIELD_OF_VIEW,RANGE``."""
    name, _, view = words.partition("=")
    return name, stated_view("--camera-view", view, said=words)


def stated_view(option: str, words: str, *, said: str | None = None) -> CameraView:
    """The view of ``METRES`` or ``YAW,FIELD_OF_VIEW,RANGE``.

    Raises
    ------
    UsageError
        It is neither, or a value is out of its range.
    """
    from anonymize.zones.views import CameraView, Wedge

    try:
        values = [float(number) for number in words.split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        return CameraView(values[0])
    if len(values) == 3:
        return CameraView(wedge=Wedge(*values))
    shape = "METRES or YAW,FIELD_OF_VIEW,RANGE (degrees off the nose, degrees, m)"
    raise UsageError(f"{option} is {said or words!r}; wanted {shape if said is None else f'NAME={shape}'}")
