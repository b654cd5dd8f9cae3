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
    lines       (3, >= w) float32, scratch

A chroma sample stands for the whole block of px it was made for (its siting within the block is left out: at
most half a px of colour). Odd sizes round chroma planes up, and the part beyond the picture weighs nothing.
"""

from __future__ import annotations

import numba
import numpy as np

from anonymize_kernels._jit import compile_only, inlined, kernel


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


@inlined
def _sum_lines(plane, y, cell, grain, sums):
    """Sum the lines of `plane` that network line `y` covers into `sums`; returns the sum of their weights.

    A network line is `cell` units high, a line of the plane `grain` units.
    """
    samples = plane.shape[1]
    if cell == grain:
        line = plane[y]
        for i in range(samples):
            sums[i] = np.int32(line[i])
        return np.int64(1)
    if cell == 2 * grain:
        line, second = plane[2 * y], plane[2 * y + 1]
        for i in range(samples):
            sums[i] = np.int32(line[i]) + np.int32(second[i])
        return np.int64(2)
    if cell == 3 * grain:
        line, second, third = plane[3 * y], plane[3 * y + 1], plane[3 * y + 2]
        for i in range(samples):
            sums[i] = np.int32(line[i]) + np.int32(second[i]) + np.int32(third[i])
        return np.int64(3)
    _sum_weighted_lines(plane, y, cell, grain, sums)
    return np.int64(cell)


@inlined
def _sum_weighted_lines(plane, y, cell, grain, sums):
    samples = plane.shape[1]
    start, end = y * cell, (y + 1) * cell
    first = start // grain
    for source in range(first, (end + grain - 1) // grain):
        weight = np.int32(min(end, (source + 1) * grain) - max(start, source * grain))
        line = plane[source]
        if source == first:
            for i in range(samples):
                sums[i] = weight * np.int32(line[i])
        else:
            for i in range(samples):
                sums[i] += weight * np.int32(line[i])


@inlined
def _mean_columns(sums, step, channel, cell, grain, weight, line):
    """Means of one channel of `sums` (a sample every `step`) into `line`; `weight` is what a sum holds already.

    A network px is `cell` units wide, a sample of the plane `grain` units.
    """
    width = line.shape[0]
    if cell == grain:
        factor = np.float32(1.0 / weight)
        for x in range(width):
            line[x] = factor * np.float32(sums[x * step + channel])
    elif cell == 2 * grain:
        factor = np.float32(1.0 / (2 * weight))
        for x in range(width):
            i = 2 * x * step + channel
            line[x] = factor * np.float32(np.int32(sums[i] + sums[i + step]))
    elif cell == 3 * grain:
        factor = np.float32(1.0 / (3 * weight))
        for x in range(width):
            i = 3 * x * step + channel
            line[x] = factor * np.float32(np.int32(sums[i] + sums[i + step] + sums[i + 2 * step]))
    elif 2 * cell == grain:
        factor = np.float32(1.0 / weight)
        for x in range(width):
            line[x] = factor * np.float32(sums[(x >> 1) * step + channel])
    else:
        _mean_weighted_columns(sums, step, channel, cell, grain, weight, line)


@inlined
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
            left = grain
        if need > 0:
            total += need * np.int64(sums[i])
            left -= need
        line[x] = np.float32(factor * total)


@kernel
def _convert(lines, table, out, y):
    """Colour and normalise the means of one line into line `y` of `out`."""
    width = out.shape[2]
    first, second, third = lines[0], lines[1], lines[2]
    low, high = np.float32(0.0), np.float32(255.0)
    for c in range(3):
        a, b, d, e, gain, bias = table[c, 0], table[c, 1], table[c, 2], table[c, 3], table[c, 4], table[c, 5]
        target = out[c, y]
        for x in range(width):
            value = a * first[x] + b * second[x] + d * third[x] + e
            value = low if value < low else value
            value = high if value > high else value
            target[x] = value * gain + bias


@kernel
def packed_to_input(pixels, out, table, sums, lines):
    """`pixels` (H, 3 W) uint8: three interleaved channels."""
    height, width = pixels.shape[0], pixels.shape[1] // 3
    rows, columns = out.shape[1], out.shape[2]
    for y in range(rows):
        weight = _sum_lines(pixels, y, height, rows, sums)
        for c in range(3):
            _mean_columns(sums, 3, c, width, columns, weight, lines[c, :columns])
        _convert(lines, table, out, y)


@kernel
def gray_to_input(luma, out, table, sums, lines):
    """`luma` (H, W) uint8: the picture's first channel; the other two are 0."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    for x in range(columns):
        lines[1, x] = np.float32(0.0)
        lines[2, x] = np.float32(0.0)
    for y in range(rows):
        weight = _sum_lines(luma, y, height, rows, sums)
        _mean_columns(sums, 1, 0, width, columns, weight, lines[0, :columns])
        _convert(lines, table, out, y)


@kernel
def nv12_to_input(luma, chroma, out, table, sums, lines):
    """`luma` (H, W) uint8, `chroma` (ceil(H / 2), 2 ceil(W / 2)) uint8: U and V interleaved."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    for y in range(rows):
        weight = _sum_lines(luma, y, height, rows, sums)
        _mean_columns(sums, 1, 0, width, columns, weight, lines[0, :columns])
        weight = _sum_lines(chroma, y, height, 2 * rows, sums)
        _mean_columns(sums, 2, 0, width, 2 * columns, weight, lines[1, :columns])
        _mean_columns(sums, 2, 1, width, 2 * columns, weight, lines[2, :columns])
        _convert(lines, table, out, y)


@kernel
def planar_to_input(luma, u, v, shift_x, shift_y, bits, out, table, sums, lines):
    """`luma` (H, W), `u` and `v` (ceil(H / 2**shift_y), ceil(W / 2**shift_x)), uint8 or uint16 of `bits` bits."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    more = 1 << (bits - 8)  # a sample counts in quarters at 10 bits
    for y in range(rows):
        weight = _sum_lines(luma, y, height, rows, sums) * more
        _mean_columns(sums, 1, 0, width, columns, weight, lines[0, :columns])
        weight = _sum_lines(u, y, height, rows << shift_y, sums) * more
        _mean_columns(sums, 1, 0, width, columns << shift_x, weight, lines[1, :columns])
        weight = _sum_lines(v, y, height, rows << shift_y, sums) * more
        _mean_columns(sums, 1, 0, width, columns << shift_x, weight, lines[2, :columns])
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
        "planar": (planar_to_input, [(u8, u8, u8, *shape, *rest), (u16, u16, u16, *shape, *rest)]),
    }


def compile_all(*families):
    """Compile the kernels of these families (`packed`, `gray`, `nv12`, `planar`; none named: all), once.

    One compilation serves every layout; afterwards other types raise TypeError instead of compiling.
    """
    for name, (dispatcher, signatures) in _signatures().items():
        if not families or name in families:
            compile_only(dispatcher, signatures)
