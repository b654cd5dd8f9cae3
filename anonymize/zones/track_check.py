"""Whether a recorded track lets anything be kept, and which option of archives would change that.

Most real logs have no accuracy, or a fix every few seconds: without an option nothing of their drives is kept.
The lines say so in numbers of fixes and seconds; they hold no place and no time of day.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from anonymize.zones.fixes import MAX_GAP_S, FineReason, Fix, fault_of_fix, fault_of_step
from anonymize.zones.legs import Leg, Legs
from anonymize.zones.rules import ArchiveOptions, GateRules

_WORDS = {
    FineReason.NO_POSITION: "have no position",
    FineReason.ZERO_POSITION: "lie at 0, 0",
    FineReason.TWO_DIMENSIONAL: "are two-dimensional",
    FineReason.ACCURACY_MISSING: "carry no accuracy",
    FineReason.ACCURACY_POOR: "are worse than 100 m",
    FineReason.DEAD_RECKONING: "are estimated, not measured",
    FineReason.TIME: "do not follow the one before in time",
    FineReason.ODOMETRY: "contradict the odometry",
}


@dataclass(frozen=True, slots=True)
class TrackCheck:
    """What a track is good for.

    Attributes
    ----------
    fixes, believed : int
        All, and those that are believed under the options given.
    known_s : float
        Seconds of the way that are known well enough; what lies 3 s from their ends is lost all the same.
    longest_gap_s : float
        Between two believed fixes.
    lines : tuple of str
        Why something is not known, and the option that would change it, for people.
    """

    fixes: int
    believed: int
    known_s: float
    longest_gap_s: float
    lines: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether anything at all can be kept."""
        return self.known_s > 0.0


def check_track(fixes: Sequence[Fix], options: ArchiveOptions | None = None) -> TrackCheck:
    """How much of a track can be relied on under the options given, and what would change it.

    Parameters
    ----------
    fixes : sequence of Fix
        In the order of the log.
    options : ArchiveOptions or None
    """
    options = options or ArchiveOptions()
    rules = GateRules(not_before_s=None, archive=options)
    legs = Legs(rules)
    faults: Counter[FineReason] = Counter()
    for fix in fixes:
        before = len(legs.legs)
        legs.add(fix, fix.time_s)
        if len(legs.legs) == before and legs.break_reason is not None:
            faults[legs.break_reason] += 1
    ways = [leg for leg in legs.legs if leg.start is not leg.end]
    known = _runs(ways, 2.0 * rules.scrub_s)
    gaps_s = [leg.seconds for leg in ways]
    lines = [f"{count} of {len(fixes)} fixes {_WORDS[reason]}" for reason, count in faults.most_common()]
    longest_s = max(gaps_s, default=0.0)
    long_gaps = sum(leg.fault is FineReason.GAP for leg in ways)
    if long_gaps:
        lines.append(
            f"{long_gaps} gaps are too long or breaks of reception, the longest {math.ceil(longest_s)} s"
        )
    speeding = sum(leg.fault is FineReason.SPEED for leg in ways)
    if speeding:
        lines.append(f"{speeding} steps are faster than {rules.max_speed_mps:g} m/s")
    lines += _advice(fixes, options)
    return TrackCheck(len(fixes), len(legs.legs), known, longest_s, tuple(lines))


def _runs(ways: Sequence[Leg], scrub_both_s: float) -> float:
    """Seconds of unbroken known way, each stretch less what is scrubbed at its ends."""
    known_s = run_s = 0.0
    for leg in ways:
        if leg.fault is None:
            run_s += leg.seconds
            continue
        known_s += max(0.0, run_s - scrub_both_s)
        run_s = 0.0
    return known_s + max(0.0, run_s - scrub_both_s)


def _advice(fixes: Sequence[Fix], options: ArchiveOptions) -> list[str]:
    lines = []
    without = sum(fix.accuracy_m is None for fix in fixes)
    if without and options.track_accuracy_m is None:
        lines.append(
            "--track-accuracy-m METRES would give fixes without accuracy one; say how good the receiver is"
        )
    assumed = [fix for fix in fixes if fault_of_fix(fix) in (None, FineReason.ACCURACY_MISSING)]
    bridged_s = options.max_gap_s or MAX_GAP_S
    gaps_s = sorted(
        later.time_s - earlier.time_s
        for earlier, later in pairwise(assumed)
        if later.time_s - earlier.time_s > bridged_s
        and fault_of_step(earlier, later, max_gap_s=math.inf) is None
    )
    if gaps_s:
        usual_s = math.ceil(gaps_s[len(gaps_s) * 9 // 10])
        lines.append(
            f"--max-gap-s {usual_s} would bridge nine of ten of the {len(gaps_s)} gaps, by a wider margin"
        )
    return lines
