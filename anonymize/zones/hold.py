"""What waits for its decision: hidden frames, or closed groups of encoded ones, in RAM alone.

The unit is a group that can be shown without any other (SAFETY 3): one frame in memory of its own, or what an
encoder made between two flushes. A group is released or discarded as a whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final, Protocol

from anonymize.frames import AnonymizedFrame, FrameMemory, _Unpicklable

_GROUP_SEAL: Final = object()


class GroupEncoder(Protocol):
    """An encoder of one camera whose groups are closed: nothing in one refers to another."""

    def encode(self, hidden: AnonymizedFrame) -> bytes:
        """What is ready now, of this or earlier frames of the group; the first frame of a group is an IDR."""

    def close_group(self) -> bytes:
        """Flush: the rest of the group. The next frame begins a new one."""


@dataclass(frozen=True, slots=True)
class EachFrame:
    """A `GroupEncoder` of a function that encodes every frame for itself, such as JPEG."""

    encode_frame: Callable[[AnonymizedFrame], bytes]

    def encode(self, hidden: AnonymizedFrame) -> bytes:
        """The encoded frame."""
        return self.encode_frame(hidden)

    def close_group(self) -> bytes:
        """Nothing: no frame was kept back."""
        return b""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReleasedGroup(_Unpicklable):
    """An encoded group of hidden frames that may be stored; only the gate makes one.

    Attributes
    ----------
    camera : str
    pts : tuple of int
        Presentation time of each frame in `time_base` units.
    time_base : Fraction
    payload : bytes
        All that the encoder gave for these frames, in its order.
    """

    _seal: object
    camera: str
    pts: tuple[int, ...]
    time_base: Fraction
    payload: bytes

    def __post_init__(self) -> None:
        if self._seal is not _GROUP_SEAL:
            raise TypeError("only the gate makes a ReleasedGroup")

    def __repr__(self) -> str:
        return f"<ReleasedGroup of {len(self.pts)} frames, {len(self.payload)} bytes, camera={self.camera!r}>"


@dataclass(slots=True, repr=False, eq=False)
class Group:
    """A group that is held. `picture` is set where the frame itself waits, `chunks` where its encoding does."""

    camera: str
    first_s: float
    last_s: float
    arrived_s: float
    time_base: Fraction
    pts: list[int] = field(default_factory=list)
    picture: AnonymizedFrame | None = None
    chunks: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    kept: bool = False  # decided: it may be released, once all before it are decided

    def seal(self) -> ReleasedGroup:
        """For the gate alone: let an encoded group go."""
        return ReleasedGroup(_GROUP_SEAL, self.camera, tuple(self.pts), self.time_base, b"".join(self.chunks))

    def wipe(self) -> None:
        """Blank what is discarded; bytes that the encoder gave can only be forgotten."""
        self.chunks.clear()
        if self.picture is not None:
            for plane in self.picture.planes:
                plane.fill(0)
            self.picture = None


class Hold:
    """The groups that wait, in order of arrival, at most `most_bytes` of them."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._groups: deque[Group] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups)

    def add(self, group: Group) -> list[Group]:
        """Hold a group; those that had to go for it, oldest first, wiped. It may be among them itself."""
        self._groups.append(group)
        self.size_bytes += group.size_bytes
        gone = []
        while self.size_bytes > self._most_bytes:
            gone.append(self._groups.popleft())
            self.size_bytes -= gone[-1].size_bytes
            gone[-1].wipe()
        return gone

    def discard(self, unwanted: set[int]) -> None:
        """Wipe and forget the groups whose `id` is named."""
        for group in [group for group in self._groups if id(group) in unwanted]:
            self._groups.remove(group)
            self.size_bytes -= group.size_bytes
            group.wipe()

    def take_kept(self) -> list[Group]:
        """The groups that are decided and have no undecided one of their camera before them."""
        blocked: set[str] = set()
        taken, staying = [], deque[Group]()
        for group in self._groups:
            if group.kept and group.camera not in blocked:
                taken.append(group)
                self.size_bytes -= group.size_bytes
            else:
                blocked.add(group.camera)
                staying.append(group)
        self._groups = staying
        return taken


def own(hidden: AnonymizedFrame) -> AnonymizedFrame:
    """The same hidden frame in memory of its own: the engine and the camera use theirs again."""
    return replace(hidden, _planes=tuple(plane.copy() for plane in hidden.planes), _memory=FrameMemory())
