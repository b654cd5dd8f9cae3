"""Stores and frames for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from anonymize.frames import (
    LAYOUTS,
    CapturedFrame,
    FrameMemory,
    ReleasedFrame,
    _seal_anonymized,
    _seal_released,
)
from anonymize.media.segments import Coding
from anonymize.store.events import METHODS
from anonymize.store.keys import KeyFile, KeyHome
from anonymize.store.settings import StoreSettings, write_settings
from anonymize.store.store import Store
from anonymize.store.vault import MadeBy, Segment

MADE_BY = MadeBy("a" * 64)
JPEG = Coding(encoding="jpeg", group_s=0.0)
DAY_S = 86_400.0
START_S = 1_800_000_000.0  # 2027-01-15, 08:00 UTC
# words of `anonymize store init` for a store that may record
INIT = [
    "--purpose",
    "accident-evidence",
    "--contact",
    "owner@example.org",
    "--region",
    "CN",
    "--consent-days",
    "30",
]


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def make_settings(**changes: Any) -> StoreSettings:
    given: dict[str, Any] = {
        "origin": "test.example/store", "purpose": "test", "contact": "owner@example.org", "region": "CN",
        "consent_from": "2020-01-01", "consent_until": "2099-12-31",
    }  # fmt: skip
    return StoreSettings(**(given | changes))


def make_store(place: Path, **changes: Any) -> tuple[Path, KeyFile]:
    """A store's folder with settings, and its key beside it."""
    folder = place / "store"
    folder.mkdir()
    write_settings(folder, make_settings(**changes))
    return folder, KeyFile.create(place / "device.key")


@contextmanager
def recording(folder: Path, home: KeyHome, coding: Coding = JPEG, **more: Any) -> Iterator[Store]:
    store = Store.open(folder, home, made_by=MADE_BY, coding=coding, **more)
    try:
        yield store
    finally:
        store.close()


def frame(
    number: int = 0,
    *,
    value: int = 90,
    size: tuple[int, int] = (64, 48),
    pixel_format: str = "nv12",
    predicted_only: bool = False,
    **facts: Any,
) -> ReleasedFrame:
    """A released frame of one grey, 30 a second."""
    planes = LAYOUTS[pixel_format].allocate(*size)  # type: ignore[index]
    for plane in planes:
        plane.fill(value)
    captured = CapturedFrame(planes, pixel_format, number, Fraction(1, 30), **facts)  # type: ignore[arg-type]
    return _seal_released(_seal_anonymized(captured, planes, FrameMemory(), predicted_only=predicted_only))


def put(store: Store, count: int, *, data_class: str = "personal", size: int = 200) -> list[str]:
    """Segments put by hand: their plain bytes are no film."""
    random = np.random.default_rng(count)
    plain = [b"\x00\x00\x00\x02{}" + random.bytes(size) for _ in range(count)]
    return store.vault.put([Segment(one, data_class, 1) for one in plain], MADE_BY)


class HomeInMemory:
    """A key home that really destroys: it keeps a secret of each epoch, as a TPM or HSM can."""

    name = "test module"
    deletion = METHODS[0]

    def __init__(self, inner: KeyFile) -> None:
        self._inner = inner
        self.secrets: dict[str, bytes] = {}
        self.signer: Callable[[], Any] = inner.signer

    def wrap(self, epoch: str, key: bytes) -> bytes:
        secret = self.secrets.setdefault(epoch, np.random.default_rng(len(self.secrets)).bytes(32))
        return self._inner.wrap(epoch, bytes(a ^ b for a, b in zip(key, secret, strict=True)))

    def unwrap(self, epoch: str, wrapped: bytes) -> bytes:
        return bytes(
            a ^ b for a, b in zip(self._inner.unwrap(epoch, wrapped), self.secrets[epoch], strict=True)
        )

    def destroy(self, epoch: str) -> None:
        self.secrets.pop(epoch, None)
