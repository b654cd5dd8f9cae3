"""What a segment holds: a short header and the coded group; made and read in RAM alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Protocol, get_args

from anonymize.errors import MediaError
from anonymize.media.segments import Coding, Encoding, GroupCoder, HiddenPicture
from anonymize.store.errors import StoreError

_LENGTH_BYTES: Final = 4
MOST_HEADER_BYTES: Final = 1 << 16


class StorablePicture(HiddenPicture, Protocol):
    """A hidden picture with what the store asks of it."""

    @property
    def camera(self) -> str:
        """Name of the camera."""

    @property
    def captured_at_s(self) -> float | None:
        """UTC time of exposure."""

    @property
    def predicted_only(self) -> bool:
        """The network did not look at it: never stored (SAFETY 7)."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A group as it is sealed.

    Attributes
    ----------
    camera : str
    encoding : {"h264", "jpeg"}
    time_base : Fraction
    pts : tuple of int
    captured_at_s : float or None
        UTC time of the first frame's exposure.
    rotation_deg : int
    mirrored : bool
    sizes : tuple of int
        Bytes of each JPEG; empty for an MP4.
    media : bytes
        An MP4 whose times begin at 0, or the JPEGs one after another.
    """

    camera: str
    encoding: Encoding
    time_base: Fraction
    pts: tuple[int, ...]
    captured_at_s: float | None
    rotation_deg: int
    mirrored: bool
    sizes: tuple[int, ...]
    media: bytes

    def pack(self) -> bytes:
        """The bytes to be sealed."""
        header = {
            "camera": self.camera, "encoding": self.encoding, "time_base": str(self.time_base), "pts": self.pts,
            "captured_at_s": self.captured_at_s, "rotation_deg": self.rotation_deg, "mirrored": self.mirrored,
            "sizes": self.sizes,
        }  # fmt: skip
        coded = json.dumps(header).encode()
        return len(coded).to_bytes(_LENGTH_BYTES, "big") + coded + self.media

    @classmethod
    def unpack(cls, plain: bytes) -> Payload:
        """The group again; raises `StoreError` for bytes that are none of ours."""
        length = int.from_bytes(plain[:_LENGTH_BYTES], "big")
        try:
            if not 0 < length <= MOST_HEADER_BYTES:
                raise ValueError
            header: dict[str, Any] = json.loads(plain[_LENGTH_BYTES : _LENGTH_BYTES + length])
            payload = cls(
                header["camera"], header["encoding"], Fraction(header["time_base"]), tuple(header["pts"]),
                header["captured_at_s"], header["rotation_deg"], header["mirrored"], tuple(header["sizes"]),
                plain[_LENGTH_BYTES + length :],
            )  # fmt: skip
            if payload.encoding not in get_args(Encoding) or not payload.pts:
                raise ValueError
        except (ValueError, KeyError, TypeError, ZeroDivisionError):
            raise StoreError("a group came that no encoder of this store has made") from None
        return payload

    @property
    def end_pts(self) -> int:
        """Time of the last frame."""
        return self.pts[-1]

    def pictures(self) -> list[bytes]:
        """The JPEGs."""
        found, start = [], 0
        for size in self.sizes:
            found.append(self.media[start : start + size])
            start += size
        return found


def content_digest(plain: bytes) -> str:
    """Hex SHA-256 of a packed group's media: what is handed over when it is copied or exported."""
    start = _LENGTH_BYTES + int.from_bytes(plain[:_LENGTH_BYTES], "big")
    return hashlib.sha256(memoryview(plain)[start:]).hexdigest()


class GroupMaker:
    """Codes the frames of one camera into payloads; a `GroupEncoder` for the gate, and what the writer uses.

    Parameters
    ----------
    camera : str
    coding : Coding
    refused : callable
        Told the reason of each frame that is not taken.
    """

    def __init__(self, camera: str, coding: Coding, refused: Callable[[str], None]) -> None:
        self.camera, self.coding = camera, coding
        self._refused = refused
        self._coder: GroupCoder | None = None
        self._captured_at_s: float | None = None

    @property
    def frames(self) -> int:
        """Frames in the open group."""
        return len(self._coder.pts) if self._coder else 0

    def takes(self, frame: HiddenPicture) -> bool:
        """Whether the frame can go into the open group, by kind, order and length."""
        return self._coder is None or self._coder.takes(frame)

    def encode(self, hidden: StorablePicture) -> bytes:
        """Nothing yet: a group is one file, complete when it is closed.

        Raises
        ------
        MediaError
            The encoder failed, or the frame is of another kind than the group: the group is lost.
        """
        if hidden.predicted_only:
            self._refused("predicted_only")
            return b""
        if self._coder is None:
            self._coder = GroupCoder(hidden, self.coding)
            self._captured_at_s = hidden.captured_at_s
        if not self._coder.follows(hidden):
            raise MediaError(
                "segment: the camera's frames changed, or their times do not rise, within a group"
            )
        self._coder.add(hidden)
        return b""

    def close_group(self) -> bytes:
        """The payload's bytes; empty where no frame was taken."""
        coder, self._coder = self._coder, None
        if coder is None or not coder.pts:
            return b""
        kind = coder.kind
        return Payload(
            self.camera, self.coding.encoding, kind.time_base, tuple(coder.pts), self._captured_at_s,
            kind.rotation_deg, kind.mirrored, tuple(coder.sizes), coder.close(),
        ).pack()  # fmt: skip

    def abandon(self) -> int:
        """Forget the open group; how many frames it had."""
        coder, self._coder = self._coder, None
        return len(coder.pts) if coder else 0
