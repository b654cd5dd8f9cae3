"""Messages between driver and workers: four bytes of length, big-endian, then one JSON object."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Final

MAX_BYTES: Final = 64 << 20
_LENGTH: Final = struct.Struct(">I")


class FramingError(ValueError):
    """What came is no message: the other side is broken."""


class Inbox:
    """Puts messages together from what a pipe gives."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def take(self, chunk: bytes) -> list[dict[str, Any]]:
        """The messages that are complete with `chunk`."""
        self._bytes += chunk
        messages = []
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            if length > MAX_BYTES:
                raise FramingError(f"a message of {length:,} bytes; wanted at most {MAX_BYTES:,}")
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                break
            message = json.loads(self._bytes[_LENGTH.size : end])
            if not isinstance(message, dict):
                raise FramingError("a message that is no object")
            messages.append(message)
            del self._bytes[:end]
        return messages


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Write one message whole."""
    body = json.dumps(message).encode()
    left = memoryview(_LENGTH.pack(len(body)) + body)
    while left:
        left = left[os.write(descriptor, left) :]


def receive(descriptor: int) -> dict[str, Any] | None:
    """The next message; None where the other side has closed."""
    head = _exactly(descriptor, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(descriptor, _LENGTH.unpack(head)[0])
    return None if body is None else dict(json.loads(body))


def _exactly(descriptor: int, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        chunk = os.read(descriptor, count - len(found))
        if not chunk:
            return None
        found += chunk
    return bytes(found)
