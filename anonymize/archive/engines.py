"""One engine and one second look for pictures a worker, kept from file to file: making one optimises the network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from anonymize.archive.second_look import PICTURE_MARGIN, SecondLook
from anonymize.archive.work import Tools
from anonymize.pipeline import Engine
from anonymize.settings import Area, Settings

RELEASED_SHARE = 0.2  # of a false hit's sides, about its centre: where the centre of the same hit lies again


@dataclass(slots=True)
class Equipment:
    """What hides and what checks, with the settings and the network that they were made with."""

    settings: Settings
    tools: Tools
    engine: Engine
    second_look: SecondLook

    def fits(self, settings: Settings, tools: Tools) -> bool:
        """Whether these are the ones that such settings ask for."""
        return (
            self.settings == settings
            and self.tools.model is tools.model
            and self.tools.threads == tools.threads
        )


_last: Equipment | None = None  # of this process: a worker does one file after another, mostly of one kind


def equipment_for(tools: Tools, settings: Settings) -> Equipment:
    """An engine without tracks of an earlier file, and a second look that knows this file's false hits."""
    global _last
    if _last is None or not _last.fits(settings, tools):
        engine = Engine(tools.model, settings, threads=tools.threads)
        _last = Equipment(settings, tools, engine, SecondLook(tools, settings, margin=PICTURE_MARGIN))
    _last.second_look.release(tools.corrections.released)
    return _last


def corrected(settings: Settings, tools: Tools) -> Settings:
    """The settings with what a person said of one picture: boxes added, false hits released.

    A false hit is released about its centre alone: what else is found in its box stays hidden.
    """
    corrections = tools.corrections
    added = tuple(_grown(box.xyxy, settings.styles.growth) for box in corrections.added)
    released = tuple(_grown(hit.xyxy, RELEASED_SHARE) for hit in corrections.released)
    return replace(settings, hide_always=(*settings.hide_always, *added), never=(*settings.never, *released))


def corrected_everywhere(settings: Settings, tools: Tools) -> Settings:
    """The settings with every box that a person added hidden at any time: it only ever adds."""
    added = tuple(_grown(box.xyxy, settings.styles.growth) for box in tools.corrections.added)
    return replace(settings, hide_always=(*settings.hide_always, *added))


def _grown(area: Area, factor: float) -> Area:
    x, y = (area[0] + area[2]) / 2, (area[1] + area[3]) / 2
    half_width, half_height = factor * (area[2] - area[0]) / 2, factor * (area[3] - area[1]) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height
