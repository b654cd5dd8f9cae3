"""Is a short straight path within so many metres of a zone? Metres on the WGS-84 ellipsoid, positions in degrees.

The path runs straight in longitude and latitude between two positions at most some kilometres apart. It is laid on
the x axis of a frame in metres round its middle, from (-half, 0) to (half, 0), and the zone's edges, straight in
longitude and latitude too (RFC 7946), are turned into the same frame. Scaling is linear with the ellipsoid's radii
of curvature at the path, so straight stays straight: 3 cm wrong at 1 km (45 degrees of latitude). Nearer to a pole
or for wide margins edges are cut up and laid out by distance and direction from the path's middle instead.
Whatever a frame may get wrong is added to the limit: a path that touches is never taken for one that does not.

Zones come as flat arrays, see `near_any`.
"""

from __future__ import annotations

import math

import numpy as np

from anonymize_kernels._jit import inlined, inner, kernel

SEMI_MAJOR_M = 6_378_137.0  # WGS 84
FLATTENING = 1.0 / 298.257_223_563  # WGS 84
ECC2 = FLATTENING * (2.0 - FLATTENING)
SEMI_MINOR_M = SEMI_MAJOR_M * (1.0 - FLATTENING)
LEAST_RADIUS_M = 6_335_000.0  # smallest radius of curvature of the ellipsoid, rounded down
BIG_CIRCLE_M = 5_000.0  # from here circles are measured along the geodesic
MOST_LINEAR = 0.05  # above this error of the linear frame the other one is used
MOST_LINEAR_LAT_DEG = 85.0
STEP_DEG = 0.25  # pieces of an edge in the frame by distance and direction
BENT_EDGE_M = 10.0  # how far such a piece bends off its chord: 7.6 m at 45 degrees
RADIAN = math.pi / 180.0


@kernel
def near_any(
    candidates,
    zone_shapes,
    shape_rings,
    ring_vertices,
    lons,
    lats,
    shape_refs,
    reaches,
    start_lon,
    start_lat,
    end_lon,
    end_lat,
    margin,
):
    """True if the path comes within `margin` + `reaches[z]` metres of one of the zones in `candidates` (int64).

    Zone z has shapes `zone_shapes[z]` to `zone_shapes[z + 1]`; shape s has rings `shape_rings[s]` to
    `shape_rings[s + 1]`, and ring r the vertices `ring_vertices[r]` to `ring_vertices[r + 1]` of `lons`, `lats`,
    closed. `shape_refs` (n, 4) is the longitude of the shape's middle, the centre of a circle and its radius in m;
    a circle has no ring. `end_lon` may lie outside -180 to 180, so that the path is short.
    """
    for k in range(candidates.shape[0]):
        zone = candidates[k]
        limit = margin + reaches[zone]
        for shape in range(zone_shapes[zone], zone_shapes[zone + 1]):
            if shape_rings[shape] == shape_rings[shape + 1]:
                lon, lat, radius = shape_refs[shape, 1], shape_refs[shape, 2], shape_refs[shape, 3]
                near = near_circle(lon, lat, radius, start_lon, start_lat, end_lon, end_lat, limit)
            else:
                first, last = shape_rings[shape], shape_rings[shape + 1]
                reference = shape_refs[shape, 0]
                distance, inside = polygon_distance(
                    ring_vertices[first : last + 1],
                    lons,
                    lats,
                    reference,
                    start_lon,
                    start_lat,
                    end_lon,
                    end_lat,
                    limit,
                )
                near = inside or distance <= limit
            if near:
                return True
    return False


@inlined
def _metres_per_degree(lat):
    """Metres a degree of longitude and of latitude are long at `lat` (degrees)."""
    sine = math.sin(lat * RADIAN)
    w2 = 1.0 - ECC2 * sine * sine
    normal = SEMI_MAJOR_M / math.sqrt(w2)
    return normal * math.cos(lat * RADIAN) * RADIAN, normal * (1.0 - ECC2) / w2 * RADIAN


@inlined
def _linear_error(reach, lat):
    """Share by which distances up to `reach` m may be wrong in the linear frame at `lat`; 1.0 where it is not used."""
    if abs(lat) > MOST_LINEAR_LAT_DEG:
        return 1.0
    error = reach / LEAST_RADIUS_M * (1.0 + math.tan(abs(lat) * RADIAN))
    return error if error <= MOST_LINEAR else 1.0


@kernel
def polygon_distance(vertices, lons, lats, reference, start_lon, start_lat, end_lon, end_lat, limit):
    """Distance in m from the path to the nearest edge, and whether the path's start lies inside.

    `vertices` (rings + 1,) int64 are the bounds of the rings in `lons`, `lats`; inside is inside an odd number of
    rings. Distances above `limit` (m, may be inf) come back as inf; others are reduced by what may be wrong.
    """
    middle_lon, middle_lat = 0.5 * (start_lon + end_lon), 0.5 * (start_lat + end_lat)
    per_lon, per_lat = _metres_per_degree(middle_lat)
    along_x, along_y = 0.5 * (end_lon - start_lon) * per_lon, 0.5 * (end_lat - start_lat) * per_lat
    half = math.hypot(along_x, along_y)
    cosine, sine = (along_x / half, along_y / half) if half > 0.0 else (1.0, 0.0)
    shift = 360.0 * np.round((middle_lon - reference) / 360.0)
    known = limit < np.inf
    error = _linear_error(limit + half if known else 0.0, middle_lat)
    if error < 1.0:
        wide = limit * (1.0 + error)
        best2, inside = _linear_rings(
            vertices,
            lons,
            lats,
            shift - middle_lon,
            middle_lat,
            per_lon,
            per_lat,
            cosine,
            sine,
            half,
            wide,
        )
        return (math.sqrt(best2) / (1.0 + error) if best2 <= wide * wide else np.inf), inside
    stretch = 1.001 + ((limit + half) / LEAST_RADIUS_M) ** 2 if known else 1.001
    wide = limit * stretch + BENT_EDGE_M
    half *= stretch
    best2, inside = _laid_out_rings(vertices, lons, lats, middle_lon, middle_lat, cosine, sine, half, wide)
    if best2 > wide * wide:
        return np.inf, inside
    return max(0.0, (math.sqrt(best2) - BENT_EDGE_M) / stretch), inside


@inner
def _linear_rings(vertices, lons, lats, add_lon, middle_lat, per_lon, per_lat, cosine, sine, half, wide):
    """Squared distance (inf above `wide`) and inside, in the linear frame."""
    best2, inside = np.inf, False
    xx, xy = per_lon * cosine, per_lat * sine
    yx, yy = -per_lon * sine, per_lat * cosine
    for ring in range(vertices.shape[0] - 1):
        first, last = vertices[ring], vertices[ring + 1]
        east, north = lons[first] + add_lon, lats[first] - middle_lat
        px, py = east * xx + north * xy, east * yx + north * yy
        for v in range(first + 1, last):
            east, north = lons[v] + add_lon, lats[v] - middle_lat
            qx, qy = east * xx + north * xy, east * yx + north * yy
            distance2, crosses = _edge(px, py, qx, qy, half, wide)
            best2 = min(best2, distance2)
            inside = inside != crosses
            px, py = qx, qy
    return best2, inside


@inner
def _laid_out_rings(vertices, lons, lats, middle_lon, middle_lat, cosine, sine, half, wide):
    """The same in the frame by distance (of the chord) and direction from the path's middle."""
    best2, inside = np.inf, False
    for ring in range(vertices.shape[0] - 1):
        first, last = vertices[ring], vertices[ring + 1]
        px, py = _lay_out(lons[first] - middle_lon, lats[first], middle_lat, cosine, sine)
        for v in range(first + 1, last):
            by_lon, by_lat = lons[v] - lons[v - 1], lats[v] - lats[v - 1]
            pieces = max(1, math.ceil(max(abs(by_lon), abs(by_lat)) / STEP_DEG))
            for piece in range(1, pieces + 1):
                share = piece / pieces
                lon, lat = lons[v - 1] + share * by_lon, lats[v - 1] + share * by_lat
                qx, qy = _lay_out(lon - middle_lon, lat, middle_lat, cosine, sine)
                distance2, crosses = _edge(px, py, qx, qy, half, wide)
                best2 = min(best2, distance2)
                inside = inside != crosses
                px, py = qx, qy
    return best2, inside


@inner
def _lay_out(by_lon, lat, middle_lat, cosine, sine):
    """Metres along and across the path of a position, its distance that of the straight chord."""
    to_lon, to_lat, from_lat = by_lon * RADIAN, lat * RADIAN, middle_lat * RADIAN
    to_normal = SEMI_MAJOR_M / math.sqrt(1.0 - ECC2 * math.sin(to_lat) ** 2)
    from_normal = SEMI_MAJOR_M / math.sqrt(1.0 - ECC2 * math.sin(from_lat) ** 2)
    outwards = to_normal * math.cos(to_lat) * math.cos(to_lon) - from_normal * math.cos(from_lat)
    east = to_normal * math.cos(to_lat) * math.sin(to_lon)
    up = (1.0 - ECC2) * (to_normal * math.sin(to_lat) - from_normal * math.sin(from_lat))
    north = up * math.cos(from_lat) - outwards * math.sin(from_lat)
    flat = math.hypot(east, north)
    if flat == 0.0:
        return 0.0, 0.0
    chord = math.sqrt(outwards * outwards + east * east + up * up) / flat
    return chord * (east * cosine + north * sine), chord * (north * cosine - east * sine)


@inlined
def _edge(px, py, qx, qy, half, wide):
    """Squared distance of edge PQ to the path on the x axis (inf if above `wide`); whether PQ crosses the ray.

    The ray runs along the x axis from the path's start to the right; it counts for inside and outside.
    """
    crosses = False
    if (py > 0.0) != (qy > 0.0):
        at = px + (qx - px) * (py / (py - qy))
        crosses = at > -half
        if abs(at) <= half:
            return 0.0, crosses
    if min(py, qy) > wide or max(py, qy) < -wide or min(px, qx) > half + wide or max(px, qx) < -half - wide:
        return np.inf, crosses
    best2 = min(_to_path2(px, py, half), _to_path2(qx, qy, half))
    best2 = min(best2, _to_edge2(-half, px, py, qx, qy))
    return min(best2, _to_edge2(half, px, py, qx, qy)), crosses


@inlined
def _to_path2(x, y, half):
    beyond = max(0.0, abs(x) - half)
    return beyond * beyond + y * y


@inlined
def _to_edge2(x, px, py, qx, qy):
    """Squared distance of (x, 0) to the edge PQ."""
    dx, dy = qx - px, qy - py
    length2 = dx * dx + dy * dy
    share = 0.0
    if length2 > 0.0:
        share = min(1.0, max(0.0, ((x - px) * dx - py * dy) / length2))
    ex, ey = px + share * dx - x, py + share * dy
    return ex * ex + ey * ey


@kernel
def near_circle(lon, lat, radius, start_lon, start_lat, end_lon, end_lat, limit):
    """True if the path comes within `limit` + `radius` m of the position `lon`, `lat`."""
    middle_lon, middle_lat = 0.5 * (start_lon + end_lon), 0.5 * (start_lat + end_lat)
    per_lon, per_lat = _metres_per_degree(middle_lat)
    along_x, along_y = 0.5 * (end_lon - start_lon) * per_lon, 0.5 * (end_lat - start_lat) * per_lat
    half = math.hypot(along_x, along_y)
    error = _linear_error(limit + radius + half, middle_lat)
    if radius >= BIG_CIRCLE_M or error == 1.0:
        return _near_far_centre(lon, lat, start_lon, start_lat, end_lon, end_lat, limit + radius, half)
    by_lon = lon - middle_lon
    by_lon -= 360.0 * np.round(by_lon / 360.0)
    x, y = by_lon * per_lon, (lat - middle_lat) * per_lat
    if half > 0.0:
        x, y = (x * along_x + y * along_y) / half, (y * along_x - x * along_y) / half
    return math.sqrt(_to_path2(x, y, half)) <= (limit + radius) * (1.0 + error)


@inner
def _near_far_centre(lon, lat, start_lon, start_lat, end_lon, end_lat, limit, half):
    """The same along the geodesic: the ends decide unless the path's middle may be nearer."""
    from_start = geodesic_m(lon, lat, start_lon, start_lat)
    from_end = geodesic_m(lon, lat, end_lon, end_lat)
    if min(from_start, from_end) <= limit:
        return True
    if 0.5 * (from_start + from_end) - 1.01 * half > limit:
        return False
    low, high = 0.0, 1.0
    for _ in range(40):  # (2/3)^40 of 5 km is less than a millimetre
        left, right = low + (high - low) / 3.0, high - (high - low) / 3.0
        by_lon, by_lat = end_lon - start_lon, end_lat - start_lat
        from_left = geodesic_m(lon, lat, start_lon + left * by_lon, start_lat + left * by_lat)
        from_right = geodesic_m(lon, lat, start_lon + right * by_lon, start_lat + right * by_lat)
        if min(from_left, from_right) <= limit:
            return True
        if from_left < from_right:
            high = right
        else:
            low = left
    return False


@kernel
def geodesic_m(from_lon, from_lat, to_lon, to_lat):
    """Length in m of the geodesic between two positions in degrees; 2e7 where they are nearly opposite.

    T. Vincenty, "Direct and inverse solutions of geodesics on the ellipsoid", Survey Review 176, 1975.
    """
    by_lon = (to_lon - from_lon - 360.0 * np.round((to_lon - from_lon) / 360.0)) * RADIAN
    reduced_from = math.atan((1.0 - FLATTENING) * math.tan(from_lat * RADIAN))
    reduced_to = math.atan((1.0 - FLATTENING) * math.tan(to_lat * RADIAN))
    sin1, cos1 = math.sin(reduced_from), math.cos(reduced_from)
    sin2, cos2 = math.sin(reduced_to), math.cos(reduced_to)
    on_sphere = by_lon
    for _ in range(50):
        sin_lon, cos_lon = math.sin(on_sphere), math.cos(on_sphere)
        sin_arc = math.hypot(cos2 * sin_lon, cos1 * sin2 - sin1 * cos2 * cos_lon)
        if sin_arc == 0.0:
            return 0.0 if cos_lon > 0.0 or abs(from_lat) == 90.0 else 2e7
        cos_arc = sin1 * sin2 + cos1 * cos2 * cos_lon
        arc = math.atan2(sin_arc, cos_arc)
        sin_alpha = cos1 * cos2 * sin_lon / sin_arc
        cos2_alpha = 1.0 - sin_alpha * sin_alpha
        cos_2m = cos_arc - 2.0 * sin1 * sin2 / cos2_alpha if cos2_alpha > 1e-15 else 0.0
        c = FLATTENING / 16.0 * cos2_alpha * (4.0 + FLATTENING * (4.0 - 3.0 * cos2_alpha))
        before = on_sphere
        series = cos_2m + c * cos_arc * (2.0 * cos_2m * cos_2m - 1.0)
        on_sphere = by_lon + (1.0 - c) * FLATTENING * sin_alpha * (arc + c * sin_arc * series)
        if abs(on_sphere - before) < 1e-12:
            return _arc_length_m(sin_arc, cos_arc, arc, cos2_alpha, cos_2m)
    return 2e7


@inlined
def _arc_length_m(sin_arc, cos_arc, arc, cos2_alpha, cos_2m):
    u2 = cos2_alpha * (SEMI_MAJOR_M**2 - SEMI_MINOR_M**2) / SEMI_MINOR_M**2
    a = 1.0 + u2 / 16384.0 * (4096.0 + u2 * (-768.0 + u2 * (320.0 - 175.0 * u2)))
    b = u2 / 1024.0 * (256.0 + u2 * (-128.0 + u2 * (74.0 - 47.0 * u2)))
    last = b / 6.0 * cos_2m * (4.0 * sin_arc * sin_arc - 3.0) * (4.0 * cos_2m * cos_2m - 3.0)
    change = b * sin_arc * (cos_2m + b / 4.0 * (cos_arc * (2.0 * cos_2m * cos_2m - 1.0) - last))
    return SEMI_MINOR_M * a * (arc - change)
