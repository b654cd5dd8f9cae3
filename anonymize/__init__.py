"""vehicle-anonymize: hides every face and licence plate in car-camera frames before anything is stored.

Importing this package loads nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anonymize.cameras import CameraGroup
    from anonymize.errors import AnonymizeError
    from anonymize.frames import (
        AnonymizedFrame,
        Box,
        CapturedFrame,
        ColorMatrix,
        ColorRange,
        Dropped,
        Label,
        Origin,
        PixelFormat,
        Reason,
        ReleasedFrame,
        Timings,
    )
    from anonymize.hide import Style, Styles
    from anonymize.media.pictures import open_picture
    from anonymize.media.video import open_video
    from anonymize.pipeline import Engine
    from anonymize.settings import Settings

__all__ = [
    "AnonymizeError",
    "AnonymizedFrame",
    "Box",
    "CameraGroup",
    "CapturedFrame",
    "ColorMatrix",
    "ColorRange",
    "Dropped",
    "Engine",
    "Label",
    "Origin",
    "PixelFormat",
    "Reason",
    "ReleasedFrame",
    "Settings",
    "Style",
    "Styles",
    "Timings",
    "open_picture",
    "open_video",
]

_HOMES = {
    "AnonymizeError": "anonymize.errors",
    "CameraGroup": "anonymize.cameras",
    "Engine": "anonymize.pipeline",
    "Settings": "anonymize.settings",
    "Style": "anonymize.hide",
    "Styles": "anonymize.hide",
    "open_picture": "anonymize.media.pictures",
    "open_video": "anonymize.media.video",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'anonymize' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "anonymize.frames")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
