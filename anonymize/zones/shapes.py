"""What a zone is: frozen values, all positions WGS-84 (longitude before latitude), all margins in metres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anonymize.zones.windows import Window

Positions = npt.NDArray[np.float64]  # (n, 2): longitude and latitude in degrees


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Polygon:
    """A shell and the holes that are honoured; each ring a read-only (n, 2) array that ends where it begins.

    A ring may be flat (a line there and back, a single point): then only the distance to it counts.
    """

    rings: tuple[Positions, ...]

    def __repr__(self) -> str:
        return "<Polygon>"


@dataclass(frozen=True, slots=True, repr=False)
class Circle:
    """All within `radius_m` of a position."""

    lon_deg: float
    lat_deg: float
    radius_m: float

    def __repr__(self) -> str:
        return "<Circle>"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Zone:
    """One place that may not be recorded.

    Parameters
    ----------
    number : int
        Of the feature in its file, from 1.
    zone_id, site_id : str
        A site may have several zones; they share one secret margin.
    shapes : tuple of Polygon or Circle
        The zone is all of them together.
    windows : tuple of Window
        When it is active; none means always.
    margin_m : float
        Distance that the list wants to be kept, m.
    purpose : str
    """

    number: int
    zone_id: str
    site_id: str
    shapes: tuple[Polygon | Circle, ...]
    windows: tuple[Window, ...] = ()
    margin_m: float = 0.0
    purpose: str = ""

    def __repr__(self) -> str:
        return "<Zone>"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ZoneList:
    """A list that was loaded whole.

    Parameters
    ----------
    zones : tuple of Zone
    source_format : str
        "geojson", "ed318" or "ed269".
    datums : tuple of str
        Those in which the file was written.
    honour_holes : bool
    repairs, notes, left_out : tuple of str
        What was repaired, what was taken in the stricter sense, and which features are no zones; each line names
        the feature by its number, none holds a coordinate.
    valid_to_s : float or None
        When the file itself says that it ends, UTC. It is enforced all the same.
    """

    zones: tuple[Zone, ...]
    source_format: str
    datums: tuple[str, ...] = ("wgs84",)
    honour_holes: bool = False
    name: str = ""
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    valid_to_s: float | None = field(default=None)

    def __repr__(self) -> str:
        return f"<ZoneList of {len(self.zones)} zones>"

    def __len__(self) -> int:
        return len(self.zones)

    def __iter__(self) -> Iterator[Zone]:
        return iter(self.zones)
