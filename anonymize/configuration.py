"""What a site settles once for all its runs, from one TOML file: `--config FILE`, or ANONYMIZE_CONFIG.

A part of the product describes its table as a frozen dataclass; adding one is adding a field to `Configuration`.
Unknown keys are refused, so that a mistyped `requierd = true` is not passed over; so are values of a wrong type.
Paths are relative to the file. What the command line says goes before what stands here.
"""

from __future__ import annotations

import difflib
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from anonymize.deadline import Budget
from anonymize.errors import UsageError

if TYPE_CHECKING:
    from anonymize.zones.views import CameraView

MOST_BYTES: Final = 1 << 20
_Part = TypeVar("_Part")
_WORDS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesPart:
    """`[zones]`: restricted zones.

    Parameters
    ----------
    required : bool
        Without a list nothing is done.
    list, root, state : Path or None
        As `--zones`, `--zones-root`, `--zones-state`.
    datum, gap : str or None
        As `--zones-datum`, `--gap`.
    """

    required: bool = False
    list: Path | None = None
    root: Path | None = None
    state: Path | None = None
    datum: Literal["wgs84", "gcj02", "bd09"] | None = None
    gap: Literal["cut", "black", "split"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPart:
    """`[cameras.NAME]`: what a camera sees, how its clock goes, and how long its frames may take.

    Parameters
    ----------
    files : str or None
        Pattern of the files that it wrote, such as ``*_R.mp4``.
    view_m : float or None
        Radius within which something may be seen, m.
    yaw_deg, field_of_view_deg, range_m : float or None
        The wedge that it sees, instead of the radius: all three or none.
    heading_uncertainty_deg : float or None
        Of the wedge.
    clock_offset_s, clock_uncertainty_s : float or None
        The camera's clock minus the track's, and how wrong that may be.
    deadline_ms : float or None
        Of a live frame, from its arrival to its outcome, ms.
    late : str
        What a late frame becomes: see `anonymize.deadline.Budget`.
    """

    files: str | None = None
    view_m: float | None = None
    yaw_deg: float | None = None
    field_of_view_deg: float | None = None
    range_m: float | None = None
    heading_uncertainty_deg: float | None = None
    clock_offset_s: float | None = None
    clock_uncertainty_s: float | None = None
    deadline_ms: float | None = None
    late: Literal["drop", "hide", "predict"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The whole file."""

    zones: ZonesPart = field(default_factory=ZonesPart)
    cameras: dict[str, CameraPart] = field(default_factory=dict)

    def budgets(self) -> dict[str, Budget]:
        """Deadlines by camera, for `Settings(budgets=...)`; raises `UsageError` for one that means nothing."""
        cameras = self.cameras.items()
        timed = {name: part for name, part in cameras if part.deadline_ms is not None or part.late != "drop"}
        return {name: Budget(part.deadline_ms, part.late) for name, part in timed.items()}


def read_configuration(path: str | Path) -> Configuration:
    """The configuration of a TOML file.

    Raises
    ------
    UsageError
        It cannot be read, is no TOML, or holds a key that is not known or a value of a wrong type.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"{path}: a configuration of more than {MOST_BYTES} bytes")
        table = tomllib.loads(content.decode("utf-8"))
    except OSError as fault:
        raise UsageError(f"{path}: the configuration cannot be read: {fault.strerror}") from None
    except (ValueError, RecursionError) as fault:  # no TOML, no UTF-8
        raise UsageError(f"{path}: the configuration is no TOML: {fault}") from None
    return _filled(Configuration, table, path, "")


def camera_view(part: CameraPart, name: str) -> CameraView:
    """What a camera sees, as its part says, or as is assumed of a camera of this name; its clock is left out.

    Raises
    ------
    UsageError
        Values that do not go together.
    """
    from anonymize.zones.views import CameraView, Wedge, default_view

    wedge = (part.yaw_deg, part.field_of_view_deg, part.range_m)
    given = [number for number in wedge if number is not None]
    if given and (len(given) < 3 or part.view_m is not None):
        raise UsageError(
            f"camera {name}: wanted view_m, or all of yaw_deg, field_of_view_deg and range_m, in the configuration"
        )
    if part.heading_uncertainty_deg is not None and not given:
        raise UsageError(f"camera {name}: heading_uncertainty_deg belongs to a wedge")
    if len(given) == 3:
        uncertainty = part.heading_uncertainty_deg
        more = {} if uncertainty is None else {"heading_uncertainty_deg": uncertainty}
        return CameraView(wedge=Wedge(*given, **more))
    return default_view(name) if part.view_m is None else CameraView(part.view_m)


def _filled(part: type[_Part], table: Any, path: Path, where: str) -> _Part:
    """A dataclass with what its table says."""
    if not isinstance(table, dict):
        raise UsageError(f"{path}: `{where}` is {_named(table)}; wanted a table")
    types_of = typing.get_type_hints(part)
    known = [one.name for one in fields(part)]  # type: ignore[arg-type]  # a dataclass, by contract
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f" (is `{near[0]}` meant?)" if near else ""
            raise UsageError(f"{path}: unknown key `{_joined(where, key)}`{meant}; wanted {', '.join(known)}")
    return part(**{key: _value(types_of[key], table[key], path, _joined(where, key)) for key in table})


def _value(wanted: Any, value: Any, path: Path, where: str) -> Any:
    if typing.get_origin(wanted) in (types.UnionType, typing.Union):
        wanted = next(kind for kind in typing.get_args(wanted) if kind is not types.NoneType)
    if is_dataclass(wanted):
        return _filled(wanted, value, path, where)  # type: ignore[arg-type]  # the class, not a value
    if typing.get_origin(wanted) is dict:
        if not isinstance(value, dict):
            raise UsageError(f"{path}: `{where}` is {_named(value)}; wanted a table")
        inner = typing.get_args(wanted)[1]
        return {key: _value(inner, one, path, _joined(where, key)) for key, one in value.items()}
    if typing.get_origin(wanted) is Literal:
        if value not in typing.get_args(wanted):
            words = ", ".join(map(str, typing.get_args(wanted)))
            raise UsageError(f"{path}: `{where}` is {_named(value)}; wanted one of {words}")
        return value
    if wanted is Path and isinstance(value, str) and value:
        return path.parent / value
    if wanted is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if type(value) is not wanted or wanted in (Path, float):
        raise UsageError(f"{path}: `{where}` is {_named(value)}; wanted {_WORDS[wanted]}")
    return value


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _named(value: Any) -> str:
    return "a table" if isinstance(value, dict) else repr(value)[:80]
