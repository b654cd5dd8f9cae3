"""examples/dashcam.py, run as a vehicle would run it: some seconds of a clip at its real pace, then SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anonymize.cli.main import main
from anonymize.media.video import open_video
from anonymize.store.ledger_verifier import read_key, verify
from anonymize.store.making import key_home
from anonymize.store.store import Store
from tests.store.stores import INIT

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0  # a cold cache compiles the kernels first: 20 s on a quiet core


def start(tmp_path: Path, clip: Path, *words: str) -> tuple[subprocess.Popen[str], Path]:
    status = tmp_path / "status.json"
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "models"))
    command = [
        sys.executable,
        str(ROOT / "examples" / "dashcam.py"),
        str(clip),
        str(tmp_path / "store"),
        *words,
    ]
    running = subprocess.Popen(
        [*command, "--status", str(status), "--loop"],
        env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return running, status


def wait_for(running: subprocess.Popen[str], status: Path, wanted) -> dict:
    """The status file, whole at every moment, once it says what is wanted."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if running.poll() is not None:
            raise AssertionError(f"it ended: {running.stdout.read()}")
        if status.exists():
            said = json.loads(status.read_text())
            if wanted(said):
                return said
        time.sleep(0.1)
    running.kill()
    raise AssertionError(f"it did not come: {status.read_text() if status.exists() else 'no status'}")


def stop(running: subprocess.Popen[str]) -> str:
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 0, output
    return output


@pytest.fixture
def clip(data_dir):
    return data_dir / "video" / "us_highway_540p.mp4"


def test_it_records_and_ends_cleanly(tmp_path, clip):
    folder = tmp_path / "store"
    assert main(["store", "init", str(folder), *INIT, "--key", str(tmp_path / "device.key")]) == 0
    running, status = start(tmp_path, clip)
    said = wait_for(running, status, lambda one: one.get("stored", {}).get("frames", 0) > 20)
    assert (said["state"], said["recording"], said["fault"]) == ("running", True, None)
    assert said["pid"] == running.pid
    assert 0 <= time.time() - said["last_frame_s"] < 60
    assert main(["store", "report", str(folder), "--json", str(tmp_path / "report.json")]) == 0  # beside it
    output = stop(running)
    last = json.loads(status.read_text())
    assert (last["state"], last["fault"]) == ("stopped", None)
    assert json.loads(output)["frames"] == last["stored"]["frames"]
    assert "withheld" not in last["dropped"]  # who reads this every second would learn where zones lie
    with Store.open(folder, key_home(folder)) as store:
        assert store.repaired.text == ""
        frames = sum(len(store.open_segment(one).pts) for one in store.ids())
        ended = next(store.vault.ledger.find("recording.ended"))
    assert frames == last["stored"]["frames"] == ended["frames"]
    assert ended["reason"] == "closed"
    assert not verify(folder / "ledger.sqlite", [read_key(folder / "ledger.pub")]).faults
    assert main(["store", "copy", str(folder), str(tmp_path / "copy")]) == 0
    with open_video(next((tmp_path / "copy").iterdir())) as film:
        assert (film.facts.width, film.facts.height) == (960, 540)
        assert len(list(film)) > 20


def test_with_a_list_that_is_refused_nothing_is_recorded(tmp_path, clip):
    folder, zones = tmp_path / "store", tmp_path / "zones"
    zones.mkdir()
    (tmp_path / "root.json").write_text("{}")
    assert main(["store", "init", str(folder), *INIT, "--key", str(tmp_path / "device.key")]) == 0
    options = ["--zones", zones, "--zones-root", tmp_path / "root.json", "--zones-state", tmp_path / "state"]
    running, status = start(tmp_path, clip, *map(str, options))
    said = wait_for(running, status, lambda one: one["frames"] > 20)
    assert said["stored"]["frames"] == 0
    output = stop(running)
    assert "nothing is recorded" in output
    with Store.open(folder, key_home(folder)) as store:
        assert not list(store.ids())
        assert {reason for _, reason, fine, _ in store.vault.index.drops() if not fine} <= {
            "withheld",
            "queue_full",
        }
        assert any(fine for _, _, fine, _ in store.vault.index.drops())
