"""Twin of `anonymize_kernels.jpeg_scan`: decodes the values of ITU-T T.81, annexes F and G, bit by bit.

Slow and plain: a string of "0" and "1", a dictionary of codes, and the values themselves, of which the kernel
keeps no more than "is not zero". Each function returns the bits used, or -1 where the kernel must refuse.
"""

from __future__ import annotations


class NoCodeError(Exception):
    """A code that is none, or bits that are missing."""


class Bits:
    """The bits of an interval, read from the front."""

    def __init__(self, coded, bits):
        self.text = "".join(f"{byte:08b}" for byte in coded[: bits // 8])
        self.place = 0

    def number(self, length):
        """The next `length` bits as a number (T.81 F.2.2.4, RECEIVE)."""
        text = self.text[self.place : self.place + length]
        if len(text) < length:
            raise NoCodeError
        self.place += length
        return int(text, 2) if text else 0

    def symbol(self, codes):
        """The symbol of the next code (T.81 F.2.2.3, DECODE)."""
        for length in range(1, 17):
            text = self.text[self.place : self.place + length]
            if len(text) == length and text in codes:
                self.place += length
                return codes[text]
        raise NoCodeError


def codes_of(table):
    """The codes of a look-up table as {"010": symbol}."""
    found = {}
    for index, entry in enumerate(table.tolist()):
        if entry:
            found[f"{index:016b}"[: entry >> 8]] = entry & 255
    return found


def signed(number, length):
    """A value from its bits (T.81 F.2.2.1, EXTEND)."""
    return number if length == 0 or number >> (length - 1) else number - (1 << length) + 1


def walk_baseline(coded, bits, tables, dc_tables, ac_tables, mcus):
    """All blocks of a baseline interval, value by value."""
    reader = Bits(coded, bits)
    codes = {index: codes_of(tables[index]) for index in {*dc_tables.tolist(), *ac_tables.tolist()}}
    try:
        for _ in range(mcus):
            for dc, ac in zip(dc_tables.tolist(), ac_tables.tolist(), strict=True):
                block = [0] * 64
                length = reader.symbol(codes[dc])
                if length > 11:
                    return -1
                block[0] = signed(reader.number(length), length)
                k = 0
                while k < 63:
                    zeros, length = divmod(reader.symbol(codes[ac]) & 255, 16)
                    if length == 0 and zeros != 15:
                        break
                    k += zeros + 1
                    if k > 63:
                        return -1
                    block[k] = signed(reader.number(length), length)
    except NoCodeError:
        return -1
    return reader.place


def walk_dc_first(coded, bits, tables, dc_tables, mcus):
    """The DC differences of an interval."""
    reader = Bits(coded, bits)
    codes = {index: codes_of(tables[index]) for index in set(dc_tables.tolist())}
    try:
        for _ in range(mcus):
            for dc in dc_tables.tolist():
                length = reader.symbol(codes[dc])
                if length > 11:
                    return -1
                reader.number(length)
    except NoCodeError:
        return -1
    return reader.place


def walk_ac_first(coded, bits, table, known, first, last):
    """The band of an interval as a list of values a block; `known` is set from them at the end."""
    reader, codes = Bits(coded, bits), codes_of(table)
    values = [[0] * 64 for _ in known]
    run = 0
    try:
        for block in values:
            if run:
                run -= 1
                continue
            k = first
            while k <= last:
                zeros, length = divmod(reader.symbol(codes), 16)
                if length == 0 and zeros < 15:
                    run = (1 << zeros) + reader.number(zeros) - 1
                    break
                k += zeros
                if length:
                    if k > last:
                        return -1
                    block[k] = signed(reader.number(length), length)
                k += 1
    except NoCodeError:
        return -1
    _mark(known, values)
    return reader.place if run == 0 else -1


def walk_ac_refine(coded, bits, table, known, first, last):
    """One more bit for the band: corrections of known values, and new ones between them (T.81 figure G.7)."""
    reader, codes = Bits(coded, bits), codes_of(table)
    values = [[int(entry) >> k & 1 for k in range(64)] for entry in known]
    run = 0
    try:
        for block in values:
            k = first
            if run == 0:
                while k <= last:
                    zeros, length = divmod(reader.symbol(codes), 16)
                    if length > 1:
                        return -1
                    if length == 0 and zeros < 15:
                        run = (1 << zeros) + reader.number(zeros)
                        break
                    new = 1 if length and reader.number(1) else -1
                    while k <= last and (block[k] or zeros):
                        if block[k]:
                            reader.number(1)
                        else:
                            zeros -= 1
                        k += 1
                    if length:
                        if k > last:
                            return -1
                        block[k] = new
                    k += 1
            if run:
                for value in block[k : last + 1]:
                    reader.number(1 if value else 0)
                run -= 1
    except NoCodeError:
        return -1
    _mark(known, values)
    return reader.place if run == 0 else -1


def _mark(known, values):
    for index, block in enumerate(values):
        for k, value in enumerate(block):
            if value:
                known[index] |= type(known[index])(1 << k)
