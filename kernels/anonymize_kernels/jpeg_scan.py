"""Walks over the coded pixels of a JPEG without decoding any: are they all there, is every code a code?

libjpeg fills what is missing with grey and goes on after a warning that Pillow does not pass on.
Source: ITU-T T.81, annexes F (baseline) and G (progressive). One call walks one restart interval, with the
stuffed zero bytes already removed and at least `PADDING_BYTES` zeros behind it.

Units: `bit` counts from the start of the interval. A table is (65536,) uint16: the next 16 bits give
`code length << 8 | symbol`, or 0 where no code begins so. Each returns the bit behind the last one needed
(the caller compares it with what came), or -1 for a code that is none.
"""

from __future__ import annotations

import numpy as np

from anonymize_kernels._jit import inner, kernel

PADDING_BYTES = 16


@inner
def _peek(coded, bit):
    """The 16 bits from `bit` on."""
    byte = bit >> 3
    three = (np.int64(coded[byte]) << 16) | (np.int64(coded[byte + 1]) << 8) | np.int64(coded[byte + 2])
    return (three >> (8 - (bit & 7))) & 0xFFFF


@kernel
def walk_baseline(coded, bits, tables, dc_tables, ac_tables, mcus):
    """Walk `mcus` units of the blocks whose tables (rows of `tables`) `dc_tables`, `ac_tables` name (T.81 F.2.2)."""
    bit = np.int64(0)
    for _ in range(mcus):
        for block in range(dc_tables.shape[0]):
            entry = np.int64(tables[dc_tables[block], _peek(coded, bit)])
            if entry == 0 or (entry & 255) > 11:
                return np.int64(-1)
            bit += (entry >> 8) + (entry & 255)
            k = np.int64(1)
            while k < 64:
                if bit > bits:
                    return bit
                entry = np.int64(tables[ac_tables[block], _peek(coded, bit)])
                if entry == 0:
                    return np.int64(-1)
                size, zeros = entry & 15, (entry >> 4) & 15
                bit += (entry >> 8) + size
                if size == 0 and zeros != 15:
                    break
                k += zeros + 1
                if k > 64:
                    return np.int64(-1)
            if bit > bits:
                return bit
    return bit


@kernel
def walk_dc_first(coded, bits, tables, dc_tables, mcus):
    """Walk the first scan of DC values of a progressive picture (T.81 G.1.2.1)."""
    bit = np.int64(0)
    for _ in range(mcus):
        for block in range(dc_tables.shape[0]):
            entry = np.int64(tables[dc_tables[block], _peek(coded, bit)])
            if entry == 0 or (entry & 255) > 11:
                return np.int64(-1)
            bit += (entry >> 8) + (entry & 255)
            if bit > bits:
                return bit
    return bit


@kernel
def walk_ac_first(coded, bits, table, known, first, last):
    """Walk the first scan of a band `first` to `last` of AC values (T.81 G.1.2.2).

    `known` (blocks,) uint64: bit k of a block is set where value k is not zero; set here.
    """
    bit = np.int64(0)
    run = np.int64(0)
    for block in range(known.shape[0]):
        if run > 0:
            run -= 1
            continue
        k = first
        while k <= last:
            if bit > bits:
                return bit
            entry = np.int64(table[_peek(coded, bit)])
            if entry == 0:
                return np.int64(-1)
            size, zeros = entry & 15, (entry >> 4) & 15
            bit += entry >> 8
            if size != 0:
                k += zeros
                if k > last:
                    return np.int64(-1)
                known[block] |= np.uint64(1) << np.uint64(k)
                bit += size
                k += 1
            elif zeros == 15:
                k += 16
            else:
                run = (np.int64(1) << zeros) - 1
                if zeros > 0:
                    run += _peek(coded, bit) >> (16 - zeros)
                    bit += zeros
                break
        if bit > bits:
            return bit
    return bit if run == 0 else np.int64(-1)


@kernel
def walk_ac_refine(coded, bits, table, known, first, last):
    """Walk a scan that adds one bit to the AC values `first` to `last` (T.81 G.1.2.3); `known` as before."""
    bit = np.int64(0)
    run = np.int64(0)
    for block in range(known.shape[0]):
        k = first
        while run == 0 and k <= last:
            if bit > bits:
                return bit
            entry = np.int64(table[_peek(coded, bit)])
            if entry == 0 or (entry & 15) > 1:
                return np.int64(-1)
            size, zeros = entry & 15, (entry >> 4) & 15
            bit += (entry >> 8) + size
            if size == 0 and zeros != 15:
                run = np.int64(1) << zeros
                if zeros > 0:
                    run += _peek(coded, bit) >> (16 - zeros)
                    bit += zeros
                break
            while k <= last:
                if known[block] >> np.uint64(k) & np.uint64(1):
                    bit += 1
                elif zeros == 0:
                    break
                else:
                    zeros -= 1
                k += 1
            if size == 1:
                if k > last:
                    return np.int64(-1)
                known[block] |= np.uint64(1) << np.uint64(k)
            k += 1
        if run > 0:
            while k <= last:
                bit += np.int64(known[block] >> np.uint64(k) & np.uint64(1))
                k += 1
            run -= 1
        if bit > bits:
            return bit
    return bit if run == 0 else np.int64(-1)
