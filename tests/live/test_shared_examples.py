"""The three processes of examples/shared_memory on a real clip."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.live.conftest import ROOT, environment

pytest.importorskip("iceoryx2", reason="iceoryx2 (the extra shared-memory) is not installed")
pytest.importorskip("av", reason="PyAV (the extra video) is not installed")


def start(*words: str) -> subprocess.Popen[str]:
    folder = ROOT / "examples" / "shared_memory"
    return subprocess.Popen(
        [sys.executable, str(folder / words[0]), *words[1:]],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_camera_engine_and_recorder(data_dir, tmp_path):
    link, output = str(tmp_path / "link"), tmp_path / "hidden.avi"
    hide = start("hide.py", link, "1280", "720", "yuv420p", "15")
    assert "ready" in hide.stdout.readline()
    recorder = start("recorder.py", link, str(output), "20")
    assert "ready" in recorder.stdout.readline()
    camera = start("camera.py", link, str(data_dir / "video" / "us_highway_720p.mp4"))
    said = [process.communicate(timeout=200)[0] for process in (camera, hide, recorder)]
    assert [process.returncode for process in (camera, hide, recorder)] == [0, 0, 0], said
    assert "38 frames sent" in said[0]
    sent, missed = (
        int(n) for n in re.search(r"(\d+) frames sent, (\d+) missed, 0 refused", said[1]).groups()
    )
    assert sent >= 1
    assert sent + missed in (37, 38)  # a slow machine misses some, none is lost count of
    assert int(re.search(r"(\d+) frames written", said[2])[1]) <= sent
    assert output.stat().st_size > 1000
