"""The written video read back, packets only, before it gets its name: every frame is there, at its time."""

from __future__ import annotations

from array import array
from fractions import Fraction
from pathlib import Path

from anonymize.errors import MediaError
from anonymize.media.video_av import foreign_errors, open_input


def check_times(descriptor: int, path: Path, written: array[int], time_base: Fraction) -> Fraction:
    """The step in seconds to which the container rounded the times; 0 where each one is exactly as it was written.

    Parameters
    ----------
    written : array of int64
        Times of the frames, rising, in units of `time_base`.

    Raises
    ------
    MediaError
        A frame is missing, or one has another time.
    """
    with foreign_errors(path, "cannot be read back"), open_input(descriptor, path) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1)
        found = array("q")
        for packet in container.demux(stream):
            time = packet.pts if packet.pts is not None else packet.dts  # AVI has decoding times alone
            if packet.size and time is not None and not packet.is_discard:
                found.append(time)
    return compare_times(path, found, base, written, time_base)


def compare_times(
    path: Path, found: array[int], base: Fraction, written: array[int], time_base: Fraction
) -> Fraction:
    """As `check_times`, for times `found` in units of `base`, in any order."""
    found = array("q", sorted(found))
    if len(found) != len(written):
        raise MediaError(f"{path}: {len(found)} frames were found in it; wanted the {len(written)} written")
    # In integers: a / b == c / d where a d == c b.
    left, right = base.numerator * time_base.denominator, time_base.numerator * base.denominator
    worst = max(abs(f * left - w * right) for f, w in zip(found, written, strict=True))
    if worst == 0:
        return Fraction(0)
    if 2 * worst > left:  # more than half a step of the container's clock
        first = next(
            i
            for i, (f, w) in enumerate(zip(found, written, strict=True))
            if 2 * abs(f * left - w * right) > left
        )
        raise MediaError(
            f"{path}: frame {first} was found at {float(found[first] * base):.6f} s; "
            f"wanted {float(written[first] * time_base):.6f} s"
        )
    return base
