"""One look from a low threshold holds what the plain engine hides; too many boxes raise the threshold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from anonymize.detect import load_packaged
from anonymize.drawing import draw_street
from anonymize.evaluate import look as looking
from anonymize.evaluate.look import FLOORS, Looker, live_size
from anonymize.frames import CapturedFrame, Dropped, PixelFormat, Reason
from anonymize.pipeline import Engine

FRAME = CapturedFrame((draw_street(960, 540)[0],), PixelFormat.RGB24, 0, Fraction(1, 30))


def test_raised_to_the_models_threshold_it_is_what_the_plain_engine_hides():
    packaged = load_packaged()
    look = Looker(packaged, live_size()).look(FRAME)
    assert look.floor in FLOORS and look.scores.min() >= look.floor and not look.dropped
    between = float(np.median(look.scores))  # so that some are above and some below
    entry = replace(packaged.entry, threshold=dict.fromkeys(packaged.entry.labels, between))
    kept = look.hidden[look.scores >= between]
    assert len(kept) < len(look.hidden)
    (outcome,) = Engine(replace(packaged, entry=entry), live_size()).process(FRAME)
    assert sorted(kept.tolist()) == sorted(list(box.hidden_xyxy) for box in outcome.boxes)


@pytest.mark.parametrize("failing", [1, 2, len(FLOORS) + 1])
def test_too_many_boxes_raise_the_threshold_and_at_last_drop_the_picture(monkeypatch, failing):
    class Crowded(Engine):
        def process(self, captured):
            low = min(self.settings.thresholds.values())
            crowded = low in FLOORS[:failing] or failing > len(FLOORS)
            return [Dropped(Reason.TOO_MANY)] if crowded else super().process(captured)

    monkeypatch.setattr(looking, "Engine", Crowded)
    look = Looker(load_packaged(), live_size()).look(FRAME)
    if failing > len(FLOORS):
        assert look.dropped == "too_many" and len(look.boxes) == 0
    else:
        assert look.floor >= FLOORS[failing] and len(look.boxes) >= 3
