"""Slow twin of `anonymize_kernels.zone_distance`: path and edges as many points in space, every pair measured."""

from __future__ import annotations

import numpy as np

SEMI_MAJOR_M = 6_378_137.0
ECC2 = 6.694_379_990_141_33e-3


def in_space(positions):
    """Metres from the earth's centre (n, 3) of positions (n, 2) in degrees."""
    lon, lat = np.radians(positions[:, 0]), np.radians(positions[:, 1])
    normal = SEMI_MAJOR_M / np.sqrt(1.0 - ECC2 * np.sin(lat) ** 2)
    flat = normal * np.cos(lat)
    return np.column_stack((flat * np.cos(lon), flat * np.sin(lon), normal * (1.0 - ECC2) * np.sin(lat)))


def along(start, end, pieces):
    """Positions (pieces + 1, 2) on the line, straight in longitude and latitude, between two positions."""
    return (
        np.asarray(start) + (np.asarray(end) - np.asarray(start)) * np.linspace(0.0, 1.0, pieces + 1)[:, None]
    )


def chord_m(path, ring, step_m=0.5):
    """Least straight distance in m between points of two lines (n, 2), `step_m` apart; at most `step_m` too large."""
    return float(np.sqrt(_least2(_points(path, step_m), _points(ring, step_m))))


def _points(line, step_m):
    corners = in_space(line)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    pieces = np.clip(np.ceil(lengths / step_m), 1, 2000).astype(int)
    cut = [along(line[k], line[k + 1], count) for k, count in enumerate(pieces.tolist())]
    return in_space(np.concatenate(cut))


def _least2(points, others):
    least = np.inf
    for point in points:
        least = min(least, np.min(np.sum((others - point) ** 2, axis=1)))
    return least


def inside(position, rings):
    """Whether a position lies in an odd number of rings, in the plane of longitude and latitude."""
    x, y = position
    crossings = 0
    for ring in rings:
        for (px, py), (qx, qy) in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
            if (py > y) != (qy > y) and px + (y - py) * (qx - px) / (qy - py) > x:
                crossings += 1
    return crossings % 2 == 1
