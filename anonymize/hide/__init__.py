"""Hiding: styles, and the `Hider` that applies them to the planes of a frame in place.

`Hider` lives in `anonymize.hide.hider`: that module imports numba, this one does not.
"""

from anonymize.hide.styles import AREA, FACE, PLATE, Style, Styles

__all__ = ["AREA", "FACE", "PLATE", "Style", "Styles"]
