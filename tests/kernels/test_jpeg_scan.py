"""The walk over a JPEG's coded pixels equals its twin, on real scans, whole and damaged; JIT on and off."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from anonymize_kernels import jpeg_scan as kernel
from anonymize_reference import jpeg_scan as twin
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import MediaError
from anonymize.media import jpeg_check
from anonymize.media.containers import unpack_jpeg
from tests.media import making

KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "full chroma": {"subsampling": 0, "quality": 97, "progressive": True},
    "optimised": {"optimize": True, "quality": 20},
}


def damaged(content: bytes, place: float, value: int, length: int) -> bytes:
    start = content.index(b"\xff\xda")
    at = start + int(place * (len(content) - 2 - start))
    return content[:at] + bytes([value]) * min(length, len(content) - 2 - at) + content[at + length :]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(1, 40),
    st.integers(1, 30),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 254),
    st.integers(0, 6),
)
def test_kernel_and_twin_agree_on_every_scan(
    kind: str, width: int, height: int, place: float, value: int, length: int
) -> None:
    content = making.encoded(making.street(width, height), "JPEG", **KINDS[kind])
    if length:
        content = damaged(content, place, value, length)
    calls: list[str] = []

    class Both:
        """Stands in for the kernel module: each call goes to both, and they must agree."""

        PADDING_BYTES = kernel.PADDING_BYTES

        def __getattr__(self, name: str) -> Callable[..., int]:
            def walk(coded: Any, bits: int, tables: Any, *rest: Any) -> int:
                copies = [part.copy() if isinstance(part, np.ndarray) else part for part in rest]
                came = getattr(kernel, name)(coded, bits, tables, *rest)
                wanted = getattr(twin, name)(coded, bits, tables, *copies)
                calls.append(name)
                if wanted < 0:
                    assert came < 0 or came > bits
                else:
                    assert came == wanted
                    for ours, theirs in zip(rest, copies, strict=True):
                        assert np.array_equal(ours, theirs)
                return int(came)

            return walk

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anonymize_kernels.jpeg_scan", Both())
        try:
            jpeg_check.check_jpeg(unpack_jpeg(content).picture)
        except MediaError:
            assert length
    assert calls or length


def test_a_block_checked_by_hand() -> None:
    """Codes 0 → size 0 and 10 → end of block: "0 10" is a gray block of the mean, 3 bits."""
    tables = np.zeros((2, 65536), np.uint16)
    tables[0, :32768] = 1 << 8 | 0
    tables[1, 32768:49152] = 2 << 8 | 0
    one = np.zeros(1, np.int64)
    coded = np.frombuffer(bytes([0b01001011]) + bytes(kernel.PADDING_BYTES), np.uint8)
    assert kernel.walk_baseline(coded, 8, tables, one, one + 1, 2) == 6
    assert kernel.walk_baseline(coded, 8, tables, one, one + 1, 3) == -1  # 11 begins no code
    assert kernel.walk_dc_first(coded, 8, tables, one, 1) == 1


@pytest.mark.skipif(
    shutil.which("djpeg") is None, reason="djpeg is not installed (Debian: libjpeg-turbo-progs)"
)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_passes_gives_no_warning_in_libjpeg(kind: str) -> None:
    """`djpeg -strict` treats libjpeg's warnings as errors: what we let pass, it must let pass."""
    content = making.encoded(making.street(33, 25), "JPEG", **KINDS[kind])
    random = np.random.default_rng(5)
    passed = 0
    for _ in range(40):
        at = int(random.integers(content.index(b"\xff\xda") + 14, len(content) - 2))
        broken = content[:at] + bytes([content[at] ^ 1 << int(random.integers(0, 8))]) + content[at + 1 :]
        try:
            jpeg_check.check_jpeg(unpack_jpeg(broken).picture)
        except MediaError:
            continue
        passed += 1
        strict = subprocess.run(["djpeg", "-strict"], input=broken, capture_output=True, check=False)
        assert strict.returncode == 0 or b"extraneous bytes" in strict.stderr, strict.stderr
    assert passed < 40
