"""How large the network's input is for a picture: as small as the smallest wanted object allows."""

from __future__ import annotations

from dataclasses import dataclass

from anonymize.errors import UsageError


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """A network input of `width` x `height` px with the picture in its upper left corner.

    Attributes
    ----------
    width, height : int
        Of the input, multiples of the network's largest stride.
    picture_width, picture_height : int
        The part of it that holds the picture; what is right of it and below is padding.
    scale : float
        Network px per picture px, 0 < scale <= 1; before the picture's sides are rounded to whole px.
    scale_x, scale_y : float
        The same after rounding, exact for each axis: a picture column of `x` px lies at `x * scale_x`.
    """

    width: int
    height: int
    picture_width: int
    picture_height: int
    scale: float
    scale_x: float
    scale_y: float

    @property
    def padding(self) -> tuple[int, int]:
        """(right, bottom) padding, network px."""
        return self.width - self.picture_width, self.height - self.picture_height


def network_size(
    width: int,
    height: int,
    *,
    scope_px: float = 16,
    keep_px: float = 8,
    multiple: int = 32,
    min_long_side: int = 640,
    max_long_side: int | None = None,
) -> NetworkSize:
    """The network's input size for an upright picture of `width` x `height` px.

    An object of `scope_px` in the picture keeps `keep_px` in the network; a network that sees 8 px finds
    16 px objects at half size, for a quarter of the time. Pictures are never enlarged.

    Parameters
    ----------
    width, height : int
        Of the upright picture, px, at least 1.
    scope_px : float
        Side of the smallest object that must be found, px of the picture.
    keep_px : float
        Side that it needs in the network's input, px.
    multiple : int
        Width and height of the input are multiples of it: the network's largest stride.
    min_long_side : int
        The picture's longer side is not made smaller than this, px.
    max_long_side : int or None
        Nor left larger than this, px; it wins over the rest, at the cost of small objects.

    Raises
    ------
    UsageError
        A value is out of its range.
    """
    wanted = (("width", width), ("height", height), ("multiple", multiple), ("min_long_side", min_long_side))
    for name, value in (*wanted, ("max_long_side", 1 if max_long_side is None else max_long_side)):
        if value < 1:
            raise UsageError(f"{name} is {value}; wanted at least 1 px")
    if not (scope_px > 0 and keep_px > 0):
        raise UsageError(f"scope_px is {scope_px}, keep_px {keep_px}; wanted more than 0")
    longer = max(width, height)
    scale = max(keep_px / scope_px, min(min_long_side, longer) / longer)
    if max_long_side is not None:
        scale = min(scale, max_long_side / longer)
    scale = min(scale, 1.0)
    # half a px more or less is rounded up, so that 1081 rows become 541 and not, by round-half-even, 540
    picture_width, picture_height = (max(1, int(side * scale + 0.5)) for side in (width, height))
    return NetworkSize(
        width=-(-picture_width // multiple) * multiple,
        height=-(-picture_height // multiple) * multiple,
        picture_width=picture_width,
        picture_height=picture_height,
        scale=scale,
        scale_x=picture_width / width,
        scale_y=picture_height / height,
    )
