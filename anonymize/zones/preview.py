"""A map of a zone list for the person who prepares it: one HTML file, drawn by hand, no network.

It shows what must not get out, and says so. The engine never writes one.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from anonymize.zones.geometry import outline
from anonymize.zones.index import secret_margin_m
from anonymize.zones.shapes import Polygon, Positions, Zone, ZoneList

MOST_ZONES: Final = 5_000  # a browser draws no more in good time
M_PER_DEG: Final = 111_195.0

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="robots" content="noindex">
<title>Secret: restricted zones</title>
<style>body{{font:14px sans-serif;margin:1em}}h1{{color:#b00;font-size:1.3em}}svg{{border:1px solid #999;width:100%;
height:80vh}}.zone{{fill:#c33;fill-opacity:.5;stroke:#800;vector-effect:non-scaling-stroke}}.margin{{fill:none;
stroke:#c80;vector-effect:non-scaling-stroke}}.secret{{stroke-dasharray:6 4}}.kept{{fill:none;stroke:#080;
stroke-width:2;vector-effect:non-scaling-stroke}}.dropped{{fill:none;stroke:#000;stroke-width:3;
vector-effect:non-scaling-stroke}}</style>
<h1>Secret: this page shows restricted zones. Keep it as the list itself.</h1>
<p>{summary}</p>
<svg id="map" viewBox="{box}" preserveAspectRatio="xMidYMid meet">{drawn}</svg>
<p>Red: zones. Orange: with margins ({margin:g} m and the zone's own); dashed: with the secret margin too.
Drive: green kept, black dropped. Scroll to zoom. Bar: {bar:g} m.</p>
<script>
const m=document.getElementById("map");
m.addEventListener("wheel",e=>{{e.preventDefault();const v=m.viewBox.baseVal,r=m.getBoundingClientRect(),
f=e.deltaY>0?1.25:.8,x=v.x+v.width*(e.clientX-r.left)/r.width,y=v.y+v.height*(e.clientY-r.top)/r.height;
v.x=x-(x-v.x)*f;v.y=y-(y-v.y)*f;v.width*=f;v.height*=f}},{{passive:false}});
</script>
"""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Metres on the drawing, y downwards, round the middle of what is drawn."""

    lon_deg: float
    lat_deg: float

    def metres(self, positions: Positions) -> Positions:
        by_lon = positions[:, 0] - self.lon_deg
        # the ring as a whole goes to the near side of the 180th meridian
        by_lon -= 360.0 * round(float(np.mean(by_lon)) / 360.0)
        east = by_lon * M_PER_DEG * max(0.01, math.cos(math.radians(self.lat_deg)))
        metres: Positions = np.column_stack((east, (self.lat_deg - positions[:, 1]) * M_PER_DEG))
        return metres


def preview_html(
    zone_list: ZoneList,
    *,
    margin_m: float = 0.0,
    margin_key: bytes | None = None,
    drive: Sequence[tuple[float, float, bool]] = (),
) -> str:
    """A page with the zones, their margins, and a drive.

    Parameters
    ----------
    margin_m : float
        The margin a query would have, m, drawn round each zone.
    margin_key : bytes or None
        The authority's key, to draw the secret margins as well.
    drive : sequence of (longitude, latitude, kept)
        Positions in order; a stretch counts as kept if both its ends are.
    """
    from shapely import unary_union
    from shapely.geometry import Polygon as Area

    frame = _frame(zone_list, drive)
    zones = _nearest(zone_list, frame) if drive else zone_list.zones[:MOST_ZONES]
    drawn, corners = [], []
    for zone in zones:
        rings = [[frame.metres(ring) for ring in _rings(shape)] for shape in zone.shapes]
        drawn.append(
            f'<path class="zone" fill-rule="evenodd" d="{_path(rings)}"><title>{_title(zone)}</title></path>'
        )
        union: Any = unary_union([Area(shell).buffer(0.01) for shell, *_ in rings])
        secret_m = 0.0 if margin_key is None else secret_margin_m(margin_key, zone.site_id)
        wide_m = margin_m + zone.margin_m
        drawn += [_grown(union, wide_m, "margin"), _grown(union, wide_m + secret_m, "margin secret")]
        corners.append(np.array(union.buffer(wide_m + secret_m).bounds))
    drawn += _drawn_drive(frame, drive, corners)
    boxes = np.array(corners[-1:] if drive else corners)  # with a drive that is what is looked at; scroll out
    west, north = boxes[:, :2].min(axis=0)
    east, south = boxes[:, 2:].max(axis=0)
    around_m = 0.05 * max(east - west, south - north, 100.0)
    bar_m = 10.0 ** math.floor(math.log10(max(east - west, 100.0) / 3.0))
    y = south + around_m / 2.0
    drawn.append(f'<path class="dropped" d="M{west:.1f} {y:.1f}h{bar_m:g}"/>')
    return _PAGE.format(
        summary=_summary(zone_list, len(zones)),
        box=f"{west - around_m:.1f} {north - around_m:.1f} {east - west + 2 * around_m:.1f} "
        f"{south - north + 2 * around_m:.1f}",
        drawn="\n".join(drawn),
        margin=margin_m,
        bar=bar_m,
    )


def _nearest(zone_list: ZoneList, frame: _Frame) -> Sequence[Zone]:
    """As many as are drawn, those nearest to the middle of the drive."""

    def distance_m(zone: Zone) -> float:
        shape = zone.shapes[0]
        corner = (
            shape.rings[0][:1] if isinstance(shape, Polygon) else np.array([[shape.lon_deg, shape.lat_deg]])
        )
        return float(np.hypot(*frame.metres(corner)[0]))

    if len(zone_list) <= MOST_ZONES:
        return zone_list.zones
    return sorted(zone_list.zones, key=distance_m)[:MOST_ZONES]


def _rings(shape: Any) -> list[Positions]:
    rings = outline(shape)
    # a flat ring has too few corners to be an area for Shapely
    return [ring if len(ring) >= 4 else np.repeat(ring, 2, axis=0) for ring in rings]


def _frame(zone_list: ZoneList, drive: Sequence[tuple[float, float, bool]]) -> _Frame:
    first = zone_list.zones[0].shapes[0]
    start = first.rings[0][0] if isinstance(first, Polygon) else np.array([first.lon_deg, first.lat_deg])
    if drive:
        start = np.array(drive[len(drive) // 2][:2])
    return _Frame(float(start[0]), float(start[1]))


def _path(rings: list[list[Positions]]) -> str:
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring.tolist()) + "Z" for part in rings for ring in part
    )


def _grown(union: Any, metres: float, name: str) -> str:
    grown = union.buffer(metres)
    areas = getattr(grown, "geoms", [grown])
    outlines = [[np.array(area.exterior.coords)] for area in areas if not area.is_empty]
    return f'<path class="{name}" d="{_path(outlines)}"/>'


def _drawn_drive(frame: _Frame, drive: Sequence[tuple[float, float, bool]], corners: list[Any]) -> list[str]:
    if len(drive) < 2:
        return []
    metres = frame.metres(np.array([position[:2] for position in drive]))
    corners.append(np.concatenate((metres.min(axis=0), metres.max(axis=0))))
    lines, first = [], 0
    kept = [drive[k][2] and drive[k + 1][2] for k in range(len(drive) - 1)]
    for k in range(1, len(kept) + 1):
        if k == len(kept) or kept[k] != kept[first]:
            points = "L".join(f"{x:.1f} {y:.1f}" for x, y in metres[first : k + 1].tolist())
            lines.append(f'<path class="{"kept" if kept[first] else "dropped"}" d="M{points}"/>')
            first = k
    return lines


def _title(zone: Zone) -> str:
    parts = [f"feature {zone.number}", zone.zone_id, zone.purpose, "only at times" if zone.windows else ""]
    return html.escape(", ".join(part for part in parts if part))


def _summary(zone_list: ZoneList, drawn: int) -> str:
    more = f" Only {drawn} of them are drawn." if drawn < len(zone_list) else ""
    return html.escape(
        f"{zone_list.name or 'Zone list'}: {len(zone_list)} zones, {len(zone_list.repairs)} repairs.{more}"
    )
