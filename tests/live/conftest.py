"""The system's Python with GStreamer, which the virtual environment does not have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = """
import sys, gi
for name in ("Gst", "GstApp", "GstBase", "GstVideo"):
    gi.require_version(name, "1.0")
from gi.repository import Gst, GstApp, GstBase, GstVideo
Gst.init(None)
wanted = [name for name in ("appsink", "videotestsrc", "videoconvert") if not Gst.ElementFactory.find(name)]
sys.exit(f"GStreamer lacks {', '.join(wanted)}" if wanted else 0)
"""
PACKAGES = "gstreamer1.0-python3-plugin-loader python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-tools"


def environment(**more: str) -> dict[str, str]:
    """What the docs tell a user to export, for this checkout."""
    paths = [*(str(ROOT / name) for name in ("", "kernels", "models")), sysconfig.get_path("purelib")]
    plugins = str(ROOT / "anonymize" / "live" / "gstreamer")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GST_PLUGIN_PATH": plugins, **more}


@pytest.fixture(scope="session")
def gst_environment() -> dict[str, str]:
    """Environment of a process that finds the element; skips where the system has no GStreamer for Python."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"no {SYSTEM_PYTHON}: the GStreamer element is not tested")
    version = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
    ).stdout.split()
    if version != [str(part) for part in sys.version_info[:2]]:
        pytest.skip(
            f"{SYSTEM_PYTHON} is Python {'.'.join(version)}, not this one's minor version: no GStreamer test"
        )
    asked = subprocess.run([SYSTEM_PYTHON, "-c", NEEDED], capture_output=True, text=True)
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["?"])[-1]
        pytest.skip(f"the system's Python has no GStreamer ({why}): apt-get install {PACKAGES}")
    return environment()


def run_example(name: str, *words: object, gst_environment: dict[str, str]) -> str:
    """What an example printed; skips where GStreamer lacks an element that it uses."""
    done = subprocess.run(
        [SYSTEM_PYTHON, str(ROOT / "examples" / "gstreamer" / name), *map(str, words)],
        env=gst_environment,
        input="",
        capture_output=True,
        text=True,
        timeout=240,
    )
    if "no element" in done.stderr:
        pytest.skip(f"GStreamer lacks an element of the example: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(element: str, gst_environment: dict[str, str]) -> str:
    """What `gst-inspect-1.0` says of an element."""
    done = subprocess.run(
        ["gst-inspect-1.0", element], env=gst_environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def runner(driver: str, gst_environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Runs a scenario of a driver under the system's Python."""

    def run(scenario: str, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [SYSTEM_PYTHON, str(Path(__file__).with_name(driver)), scenario, *map(str, words)],
            env=gst_environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run


@pytest.fixture
def drive(gst_environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Run one scenario of `gst_driver.py`; its answer."""
    return runner("gst_driver.py", gst_environment)


@pytest.fixture
def hold(gst_environment: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """Run one scenario of `gst_hold_driver.py`; its answer."""
    return runner("gst_hold_driver.py", gst_environment)
