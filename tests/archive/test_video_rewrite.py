"""Groups without a box stay as they are, bit for bit; the others are hidden; nothing else changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

from tests.archive.video_making import AREA, CODECS, FILL, GROUP, area_of, decoded, grouped_clip, rewritten
from tests.media.video_samples import contents


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("kind", CODECS)
def test_groups_without_a_box_are_bit_identical(tmp_path: Path, kind: str, extension: str) -> None:
    source = grouped_clip(tmp_path / f"in.{extension}", kind)
    target = tmp_path / f"out.{extension}"
    facts = rewritten(source, target, 11)
    assert (facts.fall_back, facts.frames, facts.groups, facts.copied_groups) == ("", 32, 4, 3)
    before, after = decoded(source), decoded(target)
    assert [time for time, _ in after] == [time for time, _ in before]
    encoded = range(GROUP, 2 * GROUP)
    assert [n for n in range(32) if after[n] != before[n]] == list(encoded)
    assert abs(area_of(target, 11) - FILL).mean() < 6
    assert contents(target).duration_s == pytest.approx(contents(source).duration_s, abs=2e-6)
