"""What an archive's workers leave behind when they are killed: nothing raw, anywhere (SAFETY 19, 20)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anonymize.archive.state import name_of
from bench.archive_kills import children, wait_for_end
from tests.archive.conftest import Archive
from tests.archive.conftest import archive as archive  # the fixture

RAM = Path("/dev/shm")
CANARY = b"content of "  # how every raw stand-in file begins

pytestmark = pytest.mark.skipif(
    not RAM.is_dir(), reason="there is no RAM disk here for workers' temporary files"
)


def raw_files(*places: Path) -> list[str]:
    """Files that begin as a raw source does."""
    paths = [path for place in places for path in place.rglob("*") if path.is_file()]
    return [str(path) for path in paths if path.read_bytes().startswith(CANARY)]


def scratch_of(archive: Archive) -> Path:
    return RAM / f"anonymize-{os.geteuid()}-{name_of(str(archive.state.path.resolve()))}"


def test_a_killed_worker_leaves_nothing_raw(archive, tmp_path, monkeypatch):
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    archive.add("litter-crash.jpg", "litter.jpg")
    assert archive.run().done == 1
    assert raw_files(archive.output, elsewhere) == []
    assert not scratch_of(archive).exists()


def test_a_killed_driver_leaves_raw_bytes_in_ram_of_this_user_alone_and_the_next_run_removes_them(
    archive, tmp_path
):
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    archive.add("litter-slow.jpg")
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(elsewhere),
        "STANDIN_TAKES_S": "0.05",
    }  # fmt: skip
    program = (
        "from bench.archive_kills import drive\nfrom pathlib import Path\n"
        f"drive(Path({str(archive.source)!r}), Path({str(archive.output)!r}))"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], env=environment)
    scratch, end_s = scratch_of(archive), time.monotonic() + 20
    while not (scratch.exists() and raw_files(scratch)) and time.monotonic() < end_s:
        time.sleep(0.02)
    workers = children(driver.pid)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert wait_for_end(workers) == 0
    assert raw_files(scratch)  # the test can fail: there was something to remove
    assert scratch.stat().st_mode & 0o777 == 0o700
    assert raw_files(archive.output, elsewhere) == []
    (archive.source / "litter-slow.jpg").rename(archive.source / "a.jpg")
    archive.run()
    assert not scratch.exists()
    assert archive.left_over() == []
