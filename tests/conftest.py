"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from anonymize.frames import CapturedFrame, FrameMemory, ReleasedFrame, _seal_anonymized, _seal_released

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY.parent / "shared" / "data"

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests that import onnxruntime themselves send nothing either

settings.register_profile("ours", deadline=None)  # on a loaded machine any example may take a second
settings.load_profile("ours")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Pictures and videos from elsewhere, which are no part of the repository."""
    if not DATA.is_dir():
        pytest.skip("../shared/data is not here: tests on pictures and videos from elsewhere are left out")
    return DATA


@pytest.fixture
def released() -> Callable[[CapturedFrame], ReleasedFrame]:
    """Seal a captured frame without hiding anything: writers can be tested without an engine."""

    def seal(captured: CapturedFrame) -> ReleasedFrame:
        return _seal_released(_seal_anonymized(captured, captured.planes, FrameMemory()))

    return seal


@pytest.fixture(autouse=True)
def _an_ordinary_process() -> Iterator[None]:
    """No test leaves a real-time thread to those after it: SVT-AV1 makes its caller one, and children inherit it."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        pytest.fail("this test has left a real-time thread behind")
