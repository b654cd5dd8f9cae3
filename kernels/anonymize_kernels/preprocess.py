"""From the planes of a picture to the network's input in one pass: area average, colour, normalisation.

Every network px is the mean of the picture's area that it covers, with fractional edges (a box filter, summed
in integers); YUV is averaged first and converted at the network's resolution. For each channel c of the input

    out[c] = clip(t[c, 0] * first + t[c, 1] * second + t[c, 2] * third + t[c, 3], 0, 255) * t[c, 4] + t[c, 5]

with `table` t (3, 6) float32: the picture's three channels on the 8-bit scale, an offset, then gain and bias.
So channel order, range, matrix and normalisation are numbers, and the kernels know nothing of them.
`conversion_table` makes one.

Shared arguments
    planes      uint8 (uint16 for 10 bit) lines, any line padding, reversed lines too; interleaved samples lie
                side by side in a line: a (H, W, 3) picture comes as `picture.reshape(H, W * 3)`
    out         (3, h, w) float32, any strides: the picture's part of the input, turned as the picture is stored;
                h and w are not larger than the picture's height and width
    table       (3, 6) float32 as above
    sums        (>= sums_length(W),) int32, scratch
    lines       (LINES, w) float32, scratch

A chroma sample stands for the whole block of px it was made for (its siting within the block is left out: at
most half a px of colour). Odd sizes round chroma planes up, and the part beyond the picture weighs nothing.
"""

from __future__ import annotations

import numba
import numpy as np

from anonymize_kernels._jit import compile_only, inlined, inner, kernel, side_by_side

TURNED = 16  # lines of float32: one cache line of each column
LINES = 3 + 3 * TURNED  # means of three channels, and their mix where it cannot be computed in place


def sums_length(width):
    """Elements of `sums` that a picture of `width` px needs."""
    return 3 * width + 3


def conversion_table(matrix, offset, mean, std):
    """(3, 6) float32 for `table`: `matrix` (3, 3) and `offset` (3,) to input channels, then (v - mean) / std."""
    table = np.empty((3, 6), np.float32)
    std = np.asarray(std, np.float64)
    table[:, :3] = matrix
    table[:, 3] = offset
    table[:, 4] = 1.0 / std
    table[:, 5] = -np.asarray(mean, np.float64) / std
    return table


@inner
def _sum_lines(plane, y, cell, grain, sums):
    """Sum the lines of `plane` that network line `y` covers into `sums`; returns the sum of their weights.

    A network line is `cell` units high, a line of the plane `grain` units.
    """
    whole = cell // grain
    if whole * grain == cell and whole <= 3:
        _put(plane, whole * y, whole, sums)
        return np.int64(whole)
    start, end = y * cell, (y + 1) * cell
    first = start // grain
    for source in range(first, (end + grain - 1) // grain):
        weight = np.int32(min(end, (source + 1) * grain) - max(start, source * grain))
        line = plane[source]
        if line.strides[0] == line.itemsize:
            _add_weighted(side_by_side(line), weight, source == first, sums)
        else:
            _add_weighted(line, weight, source == first, sums)
    return np.int64(cell)


@inner
def _put(plane, y, count, sums):
    """The sum of `count` (1 to 3) lines from `y` on."""
    first, second, third = plane[y], plane[y + min(count - 1, 1)], plane[y + count - 1]
    if first.strides[0] == first.itemsize:
        _put_lines(side_by_side(first), side_by_side(second), side_by_side(third), count, sums)
    else:
        _put_lines(first, second, third, count, sums)


@inner
def _put_lines(first, second, third, count, sums):
    if count == 1:
        for i in range(first.shape[0]):
            sums[i] = np.int32(first[i])
    elif count == 2:
        for i in range(first.shape[0]):
            sums[i] = np.int32(first[i]) + np.int32(second[i])
    else:
        for i in range(first.shape[0]):
            sums[i] = np.int32(first[i]) + np.int32(second[i]) + np.int32(third[i])


@inner
def _add_weighted(line, weight, begin, sums):
    if begin:
        for i in range(line.shape[0]):
            sums[i] = weight * np.int32(line[i])
    else:
        for i in range(line.shape[0]):
            sums[i] += weight * np.int32(line[i])


@inlined
def _mean_columns(sums, step, cell, grain, weight, lines, first):
    """Means of the `step` interleaved channels of `sums` into `lines` from `first` on; spoils `sums`.

    A network px is `cell` units wide, a sample of the plane `grain` units; `weight` is that of each sum. Sums of
    neighbours are taken side by side first, so that one strided load a px is left: 0.22 ms instead of 0.67 for
    1080p BGR to 640 x 360.
    """
    samples = lines.shape[1] * cell // grain * step
    if cell == grain:
        _pick(sums, step, step, 1.0 / weight, lines, first)
    elif cell == 2 * grain:
        for i in range(samples - step):
            sums[i] = sums[i] + sums[i + step]
        _pick(sums, step, 2 * step, 1.0 / (2 * weight), lines, first)
    elif cell == 3 * grain:
        for i in range(samples - 2 * step):
            sums[i] = sums[i] + sums[i + step] + sums[i + 2 * step]
        _pick(sums, step, 3 * step, 1.0 / (3 * weight), lines, first)
    elif 2 * cell == 3 * grain:
        _mean_thirds(sums, step, 1.0 / (3 * weight), lines, first)
    elif 2 * cell == grain:
        factor = np.float32(1.0 / weight)
        for c in range(step):
            line = lines[first + c]
            for x in range(line.shape[0]):
                line[x] = factor * np.float32(sums[(x >> 1) * step + c])
    else:
        for c in range(step):
            _mean_weighted_columns(sums, step, c, cell, grain, weight, lines[first + c])


@inlined
def _pick(sums, step, stride, factor, lines, first):
    scale = np.float32(factor)
    for c in range(step):
        line = lines[first + c]
        for x in range(line.shape[0]):
            line[x] = scale * np.float32(sums[x * stride + c])


@inlined
def _mean_thirds(sums, step, factor, lines, first):
    """Three samples make two px: the chroma of 1080p at a third of its size."""
    scale = np.float32(factor)
    for c in range(step):
        line = lines[first + c]
        width = line.shape[0]
        for x in range(width >> 1):
            i = 3 * x * step + c
            line[2 * x] = scale * np.float32(np.int32(2 * sums[i] + sums[i + step]))
            line[2 * x + 1] = scale * np.float32(np.int32(sums[i + step] + 2 * sums[i + 2 * step]))
        if width & 1:
            i = 3 * (width >> 1) * step + c
            line[width - 1] = scale * np.float32(np.int32(2 * sums[i] + sums[i + step]))


@inner
def _mean_weighted_columns(sums, step, channel, cell, grain, weight, line):
    factor = 1.0 / (np.float64(weight) * cell)
    i = np.int64(channel)
    left = np.int64(grain)  # what is left of sample i
    for x in range(line.shape[0]):
        need = np.int64(cell)
        total = np.int64(0)
        while need >= left:
            total += left * np.int64(sums[i])
            need -= left
            i += step
            left = np.int64(grain)
        if need > 0:
            total += need * np.int64(sums[i])
            left -= need
        line[x] = np.float32(factor * total)


@inlined
def _row(table, c):
    return table[c, 0], table[c, 1], table[c, 2], table[c, 3], table[c, 4], table[c, 5]


@inlined
def _mix(row, first, second, third):
    value = row[0] * first + row[1] * second + row[2] * third + row[3]
    value = np.float32(0.0) if value < np.float32(0.0) else value
    value = np.float32(255.0) if value > np.float32(255.0) else value
    return value * row[4] + row[5]


@inner
def _convert(lines, table, out, y):
    """Colour and normalise the means of one line into line `y` of `out`.

    Where the px of `out` do not lie side by side (the picture is turned or mirrored) they are computed in
    scratch and copied, for a picture lying on its side `TURNED` lines at once, so that whole cache lines are
    written: 1080p NV12 to 540 x 960 takes 1.3 ms instead of 2.6.
    """
    if out.strides[2] == out.itemsize:
        first, second, third = side_by_side(out[0, y]), side_by_side(out[1, y]), side_by_side(out[2, y])
        _mix_line(lines, table, first, second, third)
        return
    at = 3 + 3 * (y % TURNED)
    _mix_line(lines, table, lines[at], lines[at + 1], lines[at + 2])
    if abs(out.strides[2]) < abs(out.strides[1]):
        for c in range(3):
            line, target = lines[at + c], out[c, y]
            for x in range(target.shape[0]):
                target[x] = line[x]
    elif y % TURNED == TURNED - 1 or y == out.shape[1] - 1:
        _put_turned(lines, out, y - y % TURNED, y % TURNED + 1)


@inner
def _put_turned(lines, out, y, count):
    """Copy `count` lines from scratch to line `y` of `out` and those after it, column by column."""
    for c in range(3):
        for x in range(out.shape[2]):
            target = out[c, y : y + count, x]
            for j in range(count):
                target[j] = lines[3 + 3 * j + c, x]


@inner
def _mix_line(lines, table, first_out, second_out, third_out):
    first, second, third = lines[0], lines[1], lines[2]
    one, two, three = _row(table, 0), _row(table, 1), _row(table, 2)
    for x in range(first.shape[0]):
        a, b, c = first[x], second[x], third[x]
        first_out[x] = _mix(one, a, b, c)
        second_out[x] = _mix(two, a, b, c)
        third_out[x] = _mix(three, a, b, c)


@kernel
def packed_to_input(pixels, out, table, sums, lines):
    """`pixels` (H, 3 W) uint8: three interleaved channels."""
    height, width = pixels.shape[0], pixels.shape[1] // 3
    rows, columns = out.shape[1], out.shape[2]
    for y in range(rows):
        weight = _sum_lines(pixels, y, height, rows, sums)
        _mean_columns(sums, 3, width, columns, weight, lines, 0)
        _convert(lines, table, out, y)


@kernel
def gray_to_input(luma, out, table, sums, lines):
    """`luma` (H, W) uint8: the picture's first channel; the other two are 0."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    for y in range(rows):
        weight = _sum_lines(luma, y, height, rows, sums)
        _mean_columns(sums, 1, width, columns, weight, lines, 0)
        for x in range(columns):
            lines[1, x] = np.float32(0.0)
            lines[2, x] = np.float32(0.0)
        _convert(lines, table, out, y)


@kernel
def nv12_to_input(luma, chroma, out, table, sums, lines):
    """`luma` (H, W) uint8, `chroma` (ceil(H / 2), 2 ceil(W / 2)) uint8: U and V interleaved."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    for y in range(rows):
        weight = _sum_lines(luma, y, height, rows, sums)
        _mean_columns(sums, 1, width, columns, weight, lines, 0)
        weight = _sum_lines(chroma, y, height, 2 * rows, sums)
        _mean_columns(sums, 2, width, 2 * columns, weight, lines, 1)
        _convert(lines, table, out, y)


@kernel
def planar_to_input(luma, u, v, shift_x, shift_y, bits, out, table, sums, lines):
    """`luma` (H, W), `u` and `v` (ceil(H / 2**shift_y), ceil(W / 2**shift_x)), uint8 or uint16 of `bits` bits."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    more = 1 << (bits - 8)  # a sample counts in quarters at 10 bits
    for y in range(rows):
        for channel in range(3):
            plane = luma if channel == 0 else (u if channel == 1 else v)
            across, down = (0, 0) if channel == 0 else (shift_x, shift_y)
            weight = _sum_lines(plane, y, height, rows << down, sums) * more
            _mean_columns(sums, 1, width, columns << across, weight, lines, channel)
        _convert(lines, table, out, y)


def _signatures():
    def lines_of(sample):
        return numba.types.Array(sample, 2, "A", readonly=True)

    number = numba.types.int64
    real = numba.types.float32
    rest = (
        numba.types.Array(real, 3, "A"),
        numba.types.Array(real, 2, "C", readonly=True),
        numba.types.Array(numba.types.int32, 1, "C"),
        numba.types.Array(real, 2, "C"),
    )
    u8, u16 = lines_of(numba.types.uint8), lines_of(numba.types.uint16)
    shape = (number, number, number)
    return {
        "packed": (packed_to_input, [(u8, *rest)]),
        "gray": (gray_to_input, [(u8, *rest)]),
        "nv12": (nv12_to_input, [(u8, u8, *rest)]),
        "planar": (planar_to_input, [(u8, u8, u8, *shape, *rest)]),
        "planar10": (planar_to_input, [(u16, u16, u16, *shape, *rest)]),
    }


def compile_all(*families):
    """Compile the kernels of these families (`packed`, `gray`, `nv12`, `planar`, `planar10`; none named: all), once.

    One compilation serves every layout; afterwards other types raise TypeError instead of compiling.
    """
    for name, (dispatcher, signatures) in _signatures().items():
        if not families or name in families:
            compile_only(dispatcher, signatures)
