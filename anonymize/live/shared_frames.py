"""Frames between processes of one user without a copy, over iceoryx2 (the extra `shared-memory`).

    camera process --CapturedFrame--> raw service --> this engine --ReleasedFrame--> hidden service --> recorder

What lies in the raw service is raw: only the two processes at its ends may be there. Its memory belongs to this user
(0600), its names to a folder that only this user enters (0700). A hidden service takes a `ReleasedFrame` and nothing
else. No socket is opened: who waits looks every half millisecond, because iceoryx2's own events are Unix sockets.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

import iceoryx2
import numpy as np

from anonymize.errors import FrameError, UsageError
from anonymize.frames import CapturedFrame, Planes, ReleasedFrame
from anonymize.live import shared_header
from anonymize.live.shared_header import HIDDEN, RAW, FrameHeader
from anonymize.process_guard import forbid_core_dumps

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  where iceoryx2 puts its segments on Linux
MAX_SUBSCRIBERS: Final = 2
WAITING_FRAMES: Final = 2  # a slow subscriber loses the older ones
HELD_FRAMES: Final = 2  # that one subscriber may look at
# so that samples of 16 bit are aligned; asked for an alignment of 64, iceoryx2 0.10 makes the segment 64 times as large
WORD: Final = ctypes.c_uint64
WORD_BYTES: Final = ctypes.sizeof(WORD)
POLL_S: Final = 0.0005
CLEAN_EVERY_S: Final = 1.0


Received = TypeVar("Received")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HiddenFrame:
    """A frame that another process released: read-only views, and what is known of it."""

    header: FrameHeader
    planes: Planes


class Link:
    """One process's end of the shared memory; to be closed, best with `with`.

    Parameters
    ----------
    folder : Path or None
        Where the processes find one another: made with mode 0700 where it is missing. None takes
        `$XDG_RUNTIME_DIR/vehicle-anonymize`. All processes of one link name the same.
    guard_process : bool
        Forbid core dumps of this process, which would hold raw frames.

    Raises
    ------
    UsageError
        The folder is not this user's alone, or there is none.
    """

    def __init__(self, folder: Path | None = None, *, guard_process: bool = True) -> None:
        if guard_process:
            forbid_core_dumps()
        self.folder = _private_folder(folder)
        self._prefix = f"vehicle_anonymize_{hashlib.sha256(bytes(self.folder)).hexdigest()[:16]}_"
        config = iceoryx2.config.default()
        config.global_cfg.root_path = iceoryx2.Path.new(str(self.folder / "names"))
        config.global_cfg.prefix = iceoryx2.FileName.new(self._prefix)
        iceoryx2.set_log_level(iceoryx2.LogLevel.Error)
        builder = iceoryx2.NodeBuilder.new().config(config)
        # making a node removes what dead ones left; Ctrl-C stays the application's
        self._node: Any = builder.signal_handling_mode(iceoryx2.SignalHandlingMode.Disabled).create(
            iceoryx2.ServiceType.Ipc
        )
        self._restrict()
        self._cleaned_s = time.monotonic()

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave. Memory goes once nobody looks at its frames any more."""
        self._node = None

    def publish_raw(self, camera: str, most_bytes: int) -> RawPublisher:
        """A publisher of raw frames of one camera, each of at most `most_bytes` (`needed_bytes`)."""
        return RawPublisher(self, self._publisher(f"raw/{camera}", most_bytes))

    def publish_hidden(self, camera: str, most_bytes: int) -> HiddenPublisher:
        """A publisher of released frames of one camera."""
        return HiddenPublisher(self, self._publisher(f"hidden/{camera}", most_bytes))

    def raw_frames(self, camera: str) -> RawSubscriber:
        """The raw frames of one camera, for the process that hides them."""
        return RawSubscriber(self, self._service(f"raw/{camera}").subscriber_builder().create(), RAW)

    def hidden_frames(self, camera: str) -> HiddenSubscriber:
        """The released frames of one camera, for a recorder or a display."""
        return HiddenSubscriber(self, self._service(f"hidden/{camera}").subscriber_builder().create(), HIDDEN)

    def remove_leftovers(self) -> None:
        """Remove the memory and names of processes that died. Subscribers that wait do it every second."""
        self._node.try_cleanup_dead_nodes()
        self._cleaned_s = time.monotonic()

    def clean_now_and_then(self) -> None:
        """Remove leftovers if that was not done for a second."""
        if time.monotonic() - self._cleaned_s > CLEAN_EVERY_S:
            self.remove_leftovers()

    def _service(self, name: str) -> Any:
        if self._node is None:
            raise UsageError("the link was closed")
        builder = self._node.service_builder(iceoryx2.ServiceName.new(f"vehicle-anonymize/1/{name}"))
        builder = builder.publish_subscribe(iceoryx2.Slice[WORD])
        builder = builder.max_publishers(1).max_subscribers(MAX_SUBSCRIBERS).max_nodes(MAX_SUBSCRIBERS + 2)
        builder = (
            builder.history_size(0).subscriber_max_buffer_size(WAITING_FRAMES).enable_safe_overflow(True)
        )
        service = builder.subscriber_max_borrowed_samples(HELD_FRAMES).open_or_create()
        self._restrict()
        return service

    def _publisher(self, name: str, most_bytes: int) -> Any:
        builder = self._service(name).publisher_builder().initial_max_slice_len(-(-most_bytes // WORD_BYTES))
        publisher = builder.max_loaned_samples(1).create()
        self._restrict()
        return publisher

    def _restrict(self) -> None:
        """Segments are made 0600; one small file of counters is not. Ours alone, all of them."""
        for file in SHARED_MEMORY.glob(f"{self._prefix}*"):
            with suppress(FileNotFoundError):  # another process of ours has just removed it
                if stat.S_IMODE(file.stat().st_mode) & 0o077:
                    file.chmod(0o600)


class _Publisher:
    """Copies a frame into shared memory, once, and sends it."""

    def __init__(self, link: Link, port: Any) -> None:
        self._link, self._port = link, port
        self.sequence = 0

    def close(self) -> None:
        """Stop. Frames that subscribers hold stay with them."""
        self._port.delete()

    def _publish(self, frame: CapturedFrame | ReleasedFrame) -> None:
        header = shared_header.header_of(frame, self.sequence)
        loan = self._loan(header.size_bytes)
        memory = _memory(loan, header.size_bytes)
        shared_header.write_header(memory, header)
        for ours, theirs in zip(header.layout.planes(memory), frame.planes, strict=True):
            np.copyto(ours, theirs)
        loan.assume_init().send()
        self.sequence += 1

    def _loan(self, size_bytes: int) -> Any:
        try:
            return self._port.loan_slice_uninit(-(-size_bytes // WORD_BYTES))
        except iceoryx2.LoanError as fault:
            raise UsageError(
                f"a frame of {size_bytes} bytes cannot be shared: {fault}; wanted most_bytes or less"
            ) from None


class RawPublisher(_Publisher):
    """Sends raw frames to the process that hides them."""

    def publish(self, captured: CapturedFrame) -> None:
        """Copy the frame into shared memory and send it; the camera may use its buffer again at once.

        Raises
        ------
        UsageError
            It is not a `CapturedFrame`, or larger than the publisher was made for.
        """
        if type(captured) is not CapturedFrame:
            raise UsageError(f"a {type(captured).__name__} came; wanted a CapturedFrame")
        self._publish(captured)


class HiddenPublisher(_Publisher):
    """Sends released frames on; takes nothing else."""

    def publish(self, released: ReleasedFrame) -> None:
        """Copy the hidden frame into shared memory and send it.

        Raises
        ------
        UsageError
            It is not a `ReleasedFrame`, or larger than the publisher was made for.
        """
        if type(released) is not ReleasedFrame:
            raise UsageError(
                f"a {type(released).__name__} came; wanted a ReleasedFrame: nothing else may be sent"
            )
        self._publish(released)


class _Subscriber(Generic[Received]):
    """Waits for frames, refuses and counts what cannot be one.

    Attributes
    ----------
    refused : int
        Frames whose header could not be true.
    missed : int
        Frames that were sent and went for newer ones.
    last_fault : str
        Why the last one was refused.
    """

    def __init__(self, link: Link, port: Any, kind: int) -> None:
        self._link, self._port, self._kind = link, port, kind
        self._next = 0
        self.refused = 0
        self.missed = 0
        self.last_fault = ""

    def receive(self, timeout_s: float) -> Received | None:
        """The next frame, or None when none came in time.

        Its planes are read-only views on the shared memory itself. They stay valid for as long as anything refers to
        them, and at most two frames may be held: let one go before the next is asked for.

        Raises
        ------
        UsageError
            Two frames are held already.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            sample = self._sample()
            if sample is not None:
                try:
                    return self._check(sample)
                except FrameError as fault:
                    self.refused += 1
                    self.last_fault = str(fault)
                    continue
            if time.monotonic() >= until_s:
                return None
            self._link.clean_now_and_then()
            time.sleep(POLL_S)

    def close(self) -> None:
        """Stop. Frames that are still held stay valid."""
        self._port.delete()

    def _sample(self) -> Any:
        try:
            return self._port.receive()
        except iceoryx2.ReceiveError as fault:
            raise UsageError(
                f"the next frame cannot be had ({fault}); wanted at most {HELD_FRAMES} held, their views too"
            ) from None

    def _check(self, sample: Any) -> Received:
        memory = _memory(sample, sample.payload().len() * WORD_BYTES).toreadonly()
        header = shared_header.read_header(memory, self._kind)
        received = self._make(header, header.layout.planes(memory))
        # a publisher that starts anew counts from 0
        self.missed += max(0, header.sequence - self._next) if self._next else 0
        self._next = header.sequence + 1
        return received

    def _make(self, header: FrameHeader, planes: Planes) -> Received:
        raise NotImplementedError


class RawSubscriber(_Subscriber[CapturedFrame]):
    """Receives raw frames, as the engine takes them (not one with `in_place`: the views are read-only)."""

    def _make(self, header: FrameHeader, planes: Planes) -> CapturedFrame:
        return CapturedFrame(
            planes, header.layout.pixel_format, pts=header.pts, time_base=header.time_base,
            captured_at_s=header.captured_at_s, camera=header.camera, rotation_deg=header.rotation_deg,
            mirrored=header.mirrored, color_range=header.color_range, color_matrix=header.color_matrix,
            interlaced=header.interlaced,
        )  # fmt: skip


class HiddenSubscriber(_Subscriber[HiddenFrame]):
    """Receives frames that another process released."""

    def _make(self, header: FrameHeader, planes: Planes) -> HiddenFrame:
        return HiddenFrame(header, planes)


def _memory(sample: Any, size_bytes: int) -> memoryview:
    """The shared bytes themselves; the sample is given back when the last view on them is gone."""
    memory: Any = (ctypes.c_uint8 * size_bytes).from_address(sample.payload_ptr)
    memory._sample = sample
    return memoryview(memory).cast("B")


def _private_folder(folder: Path | None) -> Path:
    if folder is None:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        if not runtime:
            raise UsageError(
                "no folder came and XDG_RUNTIME_DIR is not set; wanted a folder that is yours alone"
            )
        folder = Path(runtime, "vehicle-anonymize")
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise UsageError(
            f"{folder} has mode {stat.S_IMODE(facts.st_mode):o} and owner {facts.st_uid}; "
            f"wanted a folder of mode 700 of user {os.getuid()}, no link"
        )
    return folder
