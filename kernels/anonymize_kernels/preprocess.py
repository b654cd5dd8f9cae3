"""From the planes of a picture to the network's input in one pass: area average, colour, normalisation.

Every network px is the mean of the picture's area that it covers, with fractional edges (a box filter, summed
in integers); YUV is averaged first and converted at the network's resolution. For each channel c of the input

    out[c] = clip(t[c, 0] * first + t[c, 1] * second + t[c, 2] * third + t[c, 3], 0, 255) * t[c, 4] + t[c, 5]

with `table` t (3, 6) float32: the picture's three channels on the 8-bit scale, an offset, then gain and bias.
So channel order, range, matrix and normalisation are numbers, and the kernels know nothing of them.
`conversion_table` makes one. An input of bytes takes the part before the point: `mean` -0.5 rounds.

Shared arguments
    planes      uint8 (uint16 for 10 bit) lines, any line padding, reversed lines too; interleaved samples lie
                side by side in a line: a (H, W, 3) picture comes as `picture.reshape(H, W * 3)`
    out         (3, h, w) float32 or uint8, any strides: the picture's part of the input, turned as the picture is
                stored; h and w are not larger than the picture's height and width
    table       (3, 6) float32 as above
    sums        (>= sums_length(W),) int32, scratch
    lines       (LINES, w) float32, scratch

A chroma sample stands for the whole block of px it was made for (its siting within the block is left out: at
most half a px of colour). Odd sizes round chroma planes up, and the part beyond the picture weighs nothing.
"""

from __future__ import annotations

import numba
import numpy as np

from anonymize_kernels._jit import compile_only, inlined, inlined_fused, inner, kernel, side_by_side

TURNED = 16  # lines of float32: one cache line of each column
INPUT_DTYPES = ("float32", "uint8")
LINES = 3 + 3 * TURNED  # means of three channels, and their mix where it cannot be computed in place


def sums_length(width):
    """Elements of `sums` that a picture of `width` px needs: three channels, interleaved and one after another."""
    return 6 * width + 6


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
def _is_simple(cell, grain):
    """Whether a line of the network is 1, 2 or 3 lines of the plane, or two are three, or one is half a line."""
    whole = cell // grain
    return (whole * grain == cell and whole <= 3) or 2 * cell == 3 * grain or 2 * cell == grain


@inlined
def _put_means(plane, y, down, across, step, more, sums, lines, first):
    """Means of network line `y` of the `step` interleaved channels of `plane` into `lines` from `first` on.

    `down` and `across` are (cell, grain): a network px is `cell` units high or wide, a sample of the plane `grain`.
    `more` is the weight of a sample, for more than 8 bits. Simple sums fit 16 bits, and twice as many of those into a
    vector as of 32: BGR of 1080p to 640 x 360 takes 0.63 ms instead of 0.86.
    """
    count = plane.shape[1] // step
    if _is_simple(down[0], down[1]):
        short = sums.view(np.uint16)
        weight = _stack_lines(plane, y, down[0], down[1], short)
        if step == 2 and _is_simple(across[0], across[1]):
            _mean_pairs(sums, count, across, weight * more, lines[first], lines[first + 1])
        else:
            _mean_channels(short, count, step, across, weight * more, lines, first)
    else:
        _sum_lines(plane, y, down[0], down[1], sums)
        _mean_channels(sums, count, step, across, down[0] * more, lines, first)


@inner
def _sum_lines(plane, y, cell, grain, sums):
    """Sum the lines of `plane` that network line `y` covers, each times the units that it covers."""
    start, end = y * cell, (y + 1) * cell
    first = start // grain
    for source in range(first, (end + grain - 1) // grain):
        weight = np.int32(min(end, (source + 1) * grain) - max(start, source * grain))
        line = plane[source]
        if line.strides[0] == line.itemsize:
            _add_weighted(side_by_side(line), weight, source == first, sums)
        else:
            _add_weighted(line, weight, source == first, sums)


@inner
def _add_weighted(line, weight, begin, sums):
    if begin:
        for i in range(line.shape[0]):
            sums[i] = weight * np.int32(line[i])
    else:
        for i in range(line.shape[0]):
            sums[i] += weight * np.int32(line[i])


@inner
def _stack_lines(plane, y, cell, grain, short):
    """`_sum_lines` for simple ratios, into 16 bits; returns the sum of the weights."""
    if 2 * cell == 3 * grain:
        # three lines make two: the outer ones each belong to one of the two wholly, the middle one to both
        nearer = 3 * (y >> 1) + 2 * (y & 1)
        return _stack(plane[nearer], plane[3 * (y >> 1) + 1], plane[nearer], 3, 2, short)
    if 2 * cell == grain:
        return _stack(plane[y >> 1], plane[y >> 1], plane[y >> 1], 1, 1, short)
    count = cell // grain
    top = count * y
    return _stack(plane[top], plane[top + min(count - 1, 1)], plane[top + count - 1], count, 1, short)


@inner
def _stack(first, second, third, count, weight, short):
    if first.strides[0] == first.itemsize:
        first, second, third = side_by_side(first), side_by_side(second), side_by_side(third)
        return _stack_typed(first, second, third, count, weight, short)
    return _stack_typed(first, second, third, count, weight, short)


@inner
def _stack_typed(first, second, third, count, weight, short):
    """One line, two, or three; of weight 2: twice the first and the second.

    One after another, as they lie in memory: the processor then fetches ahead, and of three lines read at once it does
    not. 1080p NV12 from memory to 640 x 360 takes 0.61 ms instead of 0.67.
    """
    length = first.shape[0]
    if weight == 2:
        for i in range(length):
            short[i] = 2 * np.int32(first[i])
    else:
        for i in range(length):
            short[i] = np.int32(first[i])
    if count > 1:
        for i in range(length):
            short[i] += np.uint16(second[i])
    if count > 2 and weight == 1:
        for i in range(length):
            short[i] += np.uint16(third[i])
    return np.int64(count)


@inlined
def _mean_channels(sums, count, step, across, weight, lines, first):
    """Means of `count` sums of each of `step` interleaved channels; `weight` is that of a sum."""
    if step == 1:
        _mean_line(sums[:count], across[0], across[1], weight, lines[first])
        return
    _split(sums, count, step)
    for c in range(step):
        part = sums[(step + c) * count : (step + c + 1) * count]
        _mean_line(part, across[0], across[1], weight, lines[first + c])


@inlined
def _mean_pairs(sums, count, across, weight, one, two):
    """Means of two interleaved channels whose 16-bit sums lie in `sums`: each pair is added as one number of 32 bits.

    Three samples of three lines are below 2 ** 12, so nothing is carried from one channel into the other; and the
    channels are parted where there are fewer of them, and side by side. So 1080p NV12 to 640 x 360
    takes 0.42 ms instead of 0.62.
    """
    pairs = sums[:count].view(np.uint32)
    total = sums[count : count + one.shape[0]].view(np.uint32)
    parts = _add_pairs(pairs, across[0], across[1], total)
    scale = np.float32(1.0 / (parts * weight))
    for x in range(one.shape[0]):
        one[x] = scale * np.float32(np.int32(total[x] & np.uint32(0xFFFF)))
        two[x] = scale * np.float32(np.int32(total[x] >> np.uint32(16)))


@inner
def _add_pairs(pairs, cell, grain, total):
    """Sum the pairs that each network px covers; returns the sum of their weights."""
    width = total.shape[0]
    if cell == grain:
        for x in range(width):
            total[x] = pairs[x]
        return 1
    if cell == 2 * grain:
        for x in range(width):
            total[x] = pairs[2 * x] + pairs[2 * x + 1]
        return 2
    if cell == 3 * grain:
        for x in range(width):
            total[x] = pairs[3 * x] + pairs[3 * x + 1] + pairs[3 * x + 2]
        return 3
    if 2 * cell == grain:
        for x in range(width):
            total[x] = pairs[x >> 1]
        return 1
    for x in range(width >> 1):
        middle = pairs[3 * x + 1]
        total[2 * x] = 2 * pairs[3 * x] + middle
        total[2 * x + 1] = 2 * pairs[3 * x + 2] + middle
    if width & 1:
        i = 3 * (width >> 1)
        total[width - 1] = 2 * pairs[i] + pairs[i + 1]
    return 3


@inlined
def _split(sums, count, step):
    """Put the interleaved channels one after another, behind the interleaved ones."""
    one, two, three = sums[step * count :], sums[(step + 1) * count :], sums[2 * step * count - count :]
    if step == 2:
        for x in range(count):
            one[x] = sums[2 * x]
            two[x] = sums[2 * x + 1]
    else:
        for x in range(count):
            one[x] = sums[3 * x]
            two[x] = sums[3 * x + 1]
            three[x] = sums[3 * x + 2]


@inner
def _mean_line(sums, cell, grain, weight, line):
    """Means of one channel; a px is `cell` units wide, a sample `grain` units of the weight `weight`."""
    width = line.shape[0]
    if cell == grain:
        scale = np.float32(1.0 / weight)
        for x in range(width):
            line[x] = scale * np.float32(np.int32(sums[x]))
    elif cell == 2 * grain:
        scale = np.float32(1.0 / (2 * weight))
        for x in range(width):
            line[x] = scale * np.float32(np.int32(sums[2 * x]) + np.int32(sums[2 * x + 1]))
    elif cell == 3 * grain:
        scale = np.float32(1.0 / (3 * weight))
        for x in range(width):
            total = np.int32(sums[3 * x]) + np.int32(sums[3 * x + 1]) + np.int32(sums[3 * x + 2])
            line[x] = scale * np.float32(np.int32(total))
    elif 2 * cell == 3 * grain:
        _mean_thirds(sums, np.float32(1.0 / (3 * weight)), line)
    elif 2 * cell == grain:
        scale = np.float32(1.0 / weight)
        for x in range(width):
            line[x] = scale * np.float32(np.int32(sums[x >> 1]))
    else:
        _mean_weighted(sums, cell, grain, weight, line)


@inner
def _mean_thirds(sums, scale, line):
    """Three samples make two px: the chroma of 1080p at a third of its size."""
    width = line.shape[0]
    for x in range(width >> 1):
        middle = np.int32(sums[3 * x + 1])
        line[2 * x] = scale * np.float32(np.int32(2 * np.int32(sums[3 * x]) + middle))
        line[2 * x + 1] = scale * np.float32(np.int32(2 * np.int32(sums[3 * x + 2]) + middle))
    if width & 1:
        i = 3 * (width >> 1)
        line[width - 1] = scale * np.float32(np.int32(2 * np.int32(sums[i]) + np.int32(sums[i + 1])))


@inner
def _mean_weighted(sums, cell, grain, weight, line):
    factor = 1.0 / (np.float64(weight) * cell)
    i = np.int64(0)
    left = np.int64(grain)  # what is left of sample i
    for x in range(line.shape[0]):
        need = np.int64(cell)
        total = np.int64(0)
        while need >= left:
            total += left * np.int64(sums[i])
            need -= left
            i += 1
            left = np.int64(grain)
        if need > 0:
            total += need * np.int64(sums[i])
            left -= need
        line[x] = np.float32(factor * total)


@inlined
def _row(table, c):
    """Row `c` of the table with gain and bias multiplied in, and its limits."""
    gain, bias = table[c, 4], table[c, 5]
    ends = bias, np.float32(255.0) * gain + bias
    row = table[c, 0] * gain, table[c, 1] * gain, table[c, 2] * gain, table[c, 3] * gain + bias
    return (*row, min(ends[0], ends[1]), max(ends[0], ends[1]))


@inlined_fused
def _mix(row, first, second, third):
    value = row[0] * first + row[1] * second + row[2] * third + row[3]
    value = row[4] if value < row[4] else value
    return row[5] if value > row[5] else value


@inner
def _convert(lines, table, out, y):
    """Colour and normalise the means of one line into line `y` of `out`.

    Where neither the px of `out` nor their channels lie side by side (the picture is turned or mirrored) they are
    computed in scratch and copied, for a picture lying on its side `TURNED` lines at once, so that whole cache lines
    are written: 1080p NV12 to 540 x 960 takes 1.3 ms instead of 2.6.
    """
    if out.strides[2] == out.itemsize:
        first, second, third = side_by_side(out[0, y]), side_by_side(out[1, y]), side_by_side(out[2, y])
        _mix_line(lines, table, first, second, third)
        return
    if out.itemsize == 1 and out.strides[2] == 3 and out.strides[0] == 1:
        _mix_interleaved(lines, table, side_by_side(out[0, y]))
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


@inner
def _mix_interleaved(lines, table, out):
    """The same into bytes, the three channels of a px side by side; `out` is the memory from the first on."""
    first, second, third = lines[0], lines[1], lines[2]
    one, two, three = _row(table, 0), _row(table, 1), _row(table, 2)
    for x in range(first.shape[0]):
        a, b, c = first[x], second[x], third[x]
        out[3 * x] = np.uint8(np.int32(_mix(one, a, b, c)))
        out[3 * x + 1] = np.uint8(np.int32(_mix(two, a, b, c)))
        out[3 * x + 2] = np.uint8(np.int32(_mix(three, a, b, c)))


@kernel
def packed_to_input(pixels, out, table, sums, lines):
    """`pixels` (H, 3 W) uint8: three interleaved channels."""
    rows, columns = out.shape[1], out.shape[2]
    down, across = (pixels.shape[0], rows), (pixels.shape[1] // 3, columns)
    for y in range(rows):
        _put_means(pixels, y, down, across, 3, 1, sums, lines, 0)
        _convert(lines, table, out, y)


@kernel
def gray_to_input(luma, out, table, sums, lines):
    """`luma` (H, W) uint8: the picture's first channel; the other two are 0."""
    height, width = luma.shape
    rows, columns = out.shape[1], out.shape[2]
    for y in range(rows):
        _put_means(luma, y, (height, rows), (width, columns), 1, 1, sums, lines, 0)
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
        _put_means(luma, y, (height, rows), (width, columns), 1, 1, sums, lines, 0)
        _put_means(chroma, y, (height, 2 * rows), (width, 2 * columns), 2, 1, sums, lines, 1)
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
            shift = (0, 0) if channel == 0 else (shift_x, shift_y)
            down, across = (height, rows << shift[1]), (width, columns << shift[0])
            _put_means(plane, y, down, across, 1, more, sums, lines, channel)
        _convert(lines, table, out, y)


def _signatures(dtype):
    def lines_of(sample):
        return numba.types.Array(sample, 2, "A", readonly=True)

    number = numba.types.int64
    real = numba.types.float32
    rest = (
        numba.types.Array(numba.from_dtype(np.dtype(dtype)), 3, "A"),
        numba.types.Array(real, 2, "C", readonly=True),
        numba.types.Array(numba.types.int32, 1, "C"),
        numba.types.Array(real, 2, "C"),
    )
    u8, u16 = lines_of(numba.types.uint8), lines_of(numba.types.uint16)
    shape = (number, number, number)
    return {
        "packed": (packed_to_input, (u8, *rest)),
        "gray": (gray_to_input, (u8, *rest)),
        "nv12": (nv12_to_input, (u8, u8, *rest)),
        "planar": (planar_to_input, (u8, u8, u8, *shape, *rest)),
        "planar10": (planar_to_input, (u16, u16, u16, *shape, *rest)),
    }


def compile_all(*families, dtypes=INPUT_DTYPES):
    """Compile the kernels of these families (`packed`, `gray`, `nv12`, `planar`, `planar10`; none named: all), once.

    For inputs of these types. One compilation serves every layout; afterwards other types raise TypeError instead of
    compiling.
    """
    for dtype in dtypes:
        for name, (dispatcher, signature) in _signatures(dtype).items():
            if not families or name in families:
                compile_only(dispatcher, [signature])
