"""Time to load 100,000 zones and to answer for a stretch of road: `python bench/zones.py [zones]`, one thread.

The zones (33 vertices each, a few hundred metres wide) lie round towns, the drives (1 Hz fixes, 5 to 30 m/s) pass
them so that about half the queries meet a candidate of the tree. Rings of up to 10,000 vertices are told apart.
Each query is timed by the wall clock and by the thread's own time, which leaves out when others had the core.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.zones.index import ZoneIndex
from anonymize.zones.lists import parse_zones

VERTICES = 33
BIG_VERTICES = 10_000
QUERIES = 20_000
MARGIN_M = 2.46 * 5.0 + 1.0 + 10.0 + 150.0  # best fix, front camera
KEY = b"a margin key for the benchmark.."
M_PER_DEG = 111_195.0

Floats = npt.NDArray[np.float64]


def places(count: int, random: np.random.Generator) -> Floats:
    """Centres of zones (n, 2) in degrees: two hundred towns, denser towards their middles."""
    towns = np.column_stack((random.uniform(98.0, 122.0, 200), random.uniform(22.0, 48.0, 200)))
    spread = random.normal(0.0, 0.22, (count, 2))
    return towns[random.integers(0, len(towns), count)] + spread


def zone_list(centres: Floats, vertices: int, random: np.random.Generator) -> bytes:
    """A GeoJSON list of star-shaped rings, 100 to 300 m across."""
    angles = np.linspace(0.0, 2.0 * math.pi, vertices)
    features = []
    for number, (lon, lat) in enumerate(centres.tolist()):
        radii = random.uniform(0.8, 1.2, vertices) * random.uniform(50.0, 150.0) / M_PER_DEG
        radii[-1] = radii[0]
        ring = np.column_stack(
            (lon + radii * np.cos(angles) / math.cos(math.radians(lat)), lat + radii * np.sin(angles))
        )
        ring[-1] = ring[0]
        features.append(
            {
                "type": "Feature",
                "properties": {"id": f"zone {number}"},
                "geometry": {"type": "Polygon", "coordinates": [ring.round(7).tolist()]},
            }
        )
    return json.dumps(
        {"type": "FeatureCollection", "zone_list": {"datum": "wgs84"}, "features": features}
    ).encode()


def legs(
    index: ZoneIndex, centres: Floats, random: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """One-second stretches of straight drives; as many that meet a candidate as not, where the zones allow it."""
    with_candidate: list[tuple[float, float, float, float]] = []
    without: list[tuple[float, float, float, float]] = []
    while min(len(with_candidate), len(without)) < QUERIES // 2:
        lon, lat = (centres[random.integers(0, len(centres))] + random.normal(0.0, 0.01, 2)).tolist()
        step_deg, course = random.uniform(5.0, 30.0) / M_PER_DEG, random.uniform(0.0, 2.0 * math.pi)
        by_lon, by_lat = (
            step_deg * math.cos(course) / math.cos(math.radians(lat)),
            step_deg * math.sin(course),
        )
        for second in range(60):
            start = lon + second * by_lon, lat + second * by_lat
            leg = (*start, start[0] + by_lon, start[1] + by_lat)
            meets = index._candidates(leg, MARGIN_M).size > 0
            (with_candidate if meets else without).append(leg)
    chosen = with_candidate[: QUERIES // 2] + without[: QUERIES // 2]
    return [chosen[k] for k in random.permutation(len(chosen))]


def query_times_us(
    index: ZoneIndex, drive: list[tuple[float, float, float, float]]
) -> tuple[Floats, Floats, float]:
    """Wall and thread time of each query, us, and the share that touch a zone."""
    wall, own, touched = np.empty(len(drive)), np.empty(len(drive)), 0
    for warm in drive[:500]:
        index.touches(warm[:2], warm[2:], margin_m=MARGIN_M, time_s=0.0)
    for k, leg in enumerate(drive):
        own_ns, wall_ns = time.thread_time_ns(), time.perf_counter_ns()
        touched += index.touches(leg[:2], leg[2:], margin_m=MARGIN_M, time_s=0.0)
        wall[k], own[k] = time.perf_counter_ns() - wall_ns, time.thread_time_ns() - own_ns
    return wall / 1000.0, own / 1000.0, touched / len(drive)


def measure(zones: int, vertices: int) -> None:
    """Print the lines of one list."""
    random = np.random.default_rng(7)
    centres = places(zones, random)
    content = zone_list(centres, vertices, random)
    start_s, start_own_s = time.perf_counter(), time.process_time()
    loaded = parse_zones(content)
    parsed_s, parsed_own_s = time.perf_counter(), time.process_time()
    index = ZoneIndex(loaded, margin_key=KEY)
    built_s, built_own_s = time.perf_counter(), time.process_time()
    print(
        f"{zones} zones of {vertices} vertices, {len(content) / 1e6:.0f} MB of GeoJSON: loaded in "
        f"{parsed_s - start_s:.2f} s, indexed in {built_s - parsed_s:.2f} s "
        f"(processor {parsed_own_s - start_own_s:.2f} and {built_own_s - parsed_own_s:.2f} s)"
    )
    wall, own, touched = query_times_us(index, legs(index, centres, random))
    for name, times in ("wall", wall), ("thread", own):
        low, mid, high = np.percentile(times, (50, 90, 99))
        print(f"  query, {name:6}: median {low:.1f}, p90 {mid:.1f}, p99 {high:.1f} us")
    print(f"  half of them meet a candidate, {touched:.1%} touch a zone")


def main() -> None:
    """Print the table."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    start_s = time.perf_counter()
    ZoneIndex(parse_zones(zone_list(np.array([[100.0, 30.0]]), VERTICES, np.random.default_rng(1))))
    print(f"first index, with compiling or reading the kernel: {time.perf_counter() - start_s:.2f} s")
    zones = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    measure(zones, VERTICES)
    measure(max(10, zones // 1000), BIG_VERTICES)


if __name__ == "__main__":
    main()
