"""What a run does to a file, what comes of it, and the corrections that a person made; values alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from anonymize.detect import Model
from anonymize.settings import Area, Settings

Kind = Literal["picture", "video", "log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """What decides a file's result; equal settings give equal files.

    Parameters
    ----------
    video, pictures : Settings
        Of detection and hiding, for videos and image topics, and for single pictures.
    encoder : str
        "auto" keeps the source's codec.
    quality : int or None
        In the encoder's own scale (crf).
    preset : str or None
    audio : {"keep", "drop"}
    keep_subtitles : bool
    copy_groups : bool
        Groups of pictures without a box stay as they are, bit for bit.
    keep_channels : tuple of str
        Topics of robot logs that pass though their schema is not on the allow-list.
    """

    video: Settings = field(default_factory=Settings)
    pictures: Settings = field(default_factory=lambda: Settings(tracking=False))
    encoder: str = "auto"
    quality: int | None = None
    preset: str | None = None
    audio: Literal["keep", "drop"] = "keep"
    keep_subtitles: bool = False
    copy_groups: bool = True
    keep_channels: tuple[str, ...] = ()

    def digest(self, model_sha256: str) -> str:
        """Hex SHA-256 over these settings and the model: a file done with another one is done again."""
        text = json.dumps([_plain(self), model_sha256], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AddedBox:
    """A box that a person added: hidden in every frame of the span. Times in s of the source's own clock."""

    label: str
    xyxy: Area
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class FalseHit:
    """A box that a person called no face and no plate: what is found there in the span is not hidden."""

    label: str
    xyxy: Area
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a person said of one file, bound to the digests of its source and the settings (SAFETY 20)."""

    added: tuple[AddedBox, ...] = ()
    released: tuple[FalseHit, ...] = ()


@dataclass(frozen=True, slots=True)
class Tools:
    """What a job works with. `progress` is told the bytes of the source that are done; `check_stop` raises to end."""

    settings: ArchiveSettings
    model: Model
    threads: int = 1
    corrections: Corrections = Corrections()
    progress: Callable[[int], None] = lambda _done_bytes: None
    check_stop: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Moment:
    """One hidden box worth a person's look: `pts_s` of its frame (0 for a picture), px of the stored picture."""

    pts_s: float
    frame: int
    label: str
    xyxy: Area
    confidence: float
    origin: str
    topic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What became of one file. Holds nothing of its pictures.

    Parameters
    ----------
    boxes, objects : mapping of label to int
        Hidden boxes, and objects (tracks).
    origins : mapping of origin to int
        Hidden boxes by origin.
    confidence_histogram : tuple of int
        Hidden boxes by confidence, ten bins from 0 to 1.
    dropped : mapping of reason to int
        Frames, messages or channels that are not in the output, by reason.
    removed : tuple of str
        What else was left out, named: tracks, channels, metadata.
    certainty : tuple of Moment
        The least certain moments, at most 24, least certain first.
    verified : tuple of str
        Which checks the written file has passed, in words.
    notes : tuple of str
        What a person should know; empty where all is as usual.
    copied_groups, groups : int
        Groups of pictures that are bit for bit the source's, and all of them.
    """

    kind: Kind
    frames: int = 0
    duration_s: float = 0.0
    boxes: Mapping[str, int] = field(default_factory=dict)
    objects: Mapping[str, int] = field(default_factory=dict)
    origins: Mapping[str, int] = field(default_factory=dict)
    confidence_histogram: tuple[int, ...] = (0,) * 10
    dropped: Mapping[str, int] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    certainty: tuple[Moment, ...] = ()
    verified: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    copied_groups: int = 0
    groups: int = 0


def _plain(value: Any) -> Any:
    """A value of dataclasses, mappings, sets and tuples as what JSON holds, in one order."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(str(held) for held in value)
    if isinstance(value, (tuple, list)):
        return [_plain(held) for held in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value
