"""A real Ray cluster of two workers on this machine: a worker is killed in the middle, every file is done once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from anonymize.archive.cluster.places import RemotePlace, list_addresses
from anonymize.archive.cluster.run import run_on_cluster
from anonymize.archive.cluster.staging import staged
from anonymize.archive.corrections import Spoken
from anonymize.archive.driver import Watcher
from anonymize.archive.journal import Said
from anonymize.archive.receipts import Bound, Task
from anonymize.archive.work import Corrections, FalseHit
from anonymize.errors import UsageError

from .standin import MARK


@pytest.mark.timeout(240)  # 20 s on a quiet machine: Ray starts a dozen processes
def test_a_ray_worker_is_killed_and_every_file_is_done_once(archive, monkeypatch):
    if find_spec("ray") is None:  # found, not imported: its switch for loopback is read at import
        pytest.skip("Ray is not installed: the cluster is left out")
    monkeypatch.setenv("STANDIN_TAKES_S", "0.1")
    archive.add(*(f"p{number}.jpg" for number in range(16)), "v1.mp4", "v2.mp4", "bad.jpg")
    listening: list[str] = []
    killed: list[int] = []

    def interfere() -> None:
        while len(archive.begun()) < 4:
            time.sleep(0.02)
        listening.extend(listeners())
        workers = ray_workers()
        os.kill(workers[0], signal.SIGKILL)
        killed.append(workers[0])

    thread = threading.Thread(target=interfere, daemon=True)
    thread.start()
    outcome = run_on_cluster(archive.request(), Watcher(), lambda: None, address="local")
    thread.join(5)
    assert killed
    assert outcome.done == 18
    assert len(outcome.failures) == 1
    assert "bad.jpg" in outcome.failures[0]
    assert {row.state for row in archive.rows().values()} == {"done", "failed"}
    assert (archive.output / "v1.mp4").read_bytes() == MARK + b"[boxes of v2.mp4]content of v1.mp4"
    assert archive.left_over() == []
    begun = [line for line in archive.begun() if not line.startswith("look")]
    assert len(begun) <= 19 + 2  # what the killed worker had in flight is begun twice, nothing else
    assert listening
    assert all(place.startswith(("127.", "[::1]", "[::ffff:127.")) for place in listening)
    assert ray_workers() == []
    before = archive.begun()
    assert archive.run().already_done == 18  # the local runner reads the same journal
    assert [line for line in archive.begun()[len(before) :] if "bad" not in line] == []


def ray_workers() -> list[int]:
    """Processes of Ray that run tasks."""
    return [pid for pid, words in processes() if words.startswith("ray::") and "_do" in words]


def processes() -> list[tuple[int, str]]:
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                found.append(
                    (int(place.name), (place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                )
            except OSError:
                continue
    return found


def listeners() -> list[str]:
    """Addresses on which Ray's processes of this session listen."""
    lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout.splitlines()
    names = ("gcs_server", "raylet", "ray::", "python")
    return [line.split()[3] for line in lines if any(f'"{name}' in line for name in names)]


@pytest.fixture
def memory():
    """An object store in this process."""
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: remote files are left out")
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


def task_for(source: str, target: str, size: int, mtime_ns: int) -> Task:
    bound = Bound(size=size, mtime_ns=mtime_ns, settings_digest="0" * 64)
    return Task(
        key="a.jpg", step="file", kind="picture", source=source, target=target, temporary="", bound=bound
    )


def carried_out(task: Task, folder: Path):
    from types import SimpleNamespace

    from anonymize.archive.carry_out import carry_out
    from anonymize.archive.work import ArchiveSettings, Tools

    from .standin import StandInJobs

    tools = Tools(settings=ArchiveSettings(), model=SimpleNamespace())
    with staged(task, folder) as (near, finish):
        (place,) = folder.iterdir()
        assert place.stat().st_mode & 0o777 == 0o700
        return finish(carry_out(near, StandInJobs(), tools))


def test_remote_files_are_staged_and_put_back_whole(memory, tmp_path):
    memory.pipe("/in/day/a.jpg", b"picture")
    memory.pipe("/in/note.txt", b"text")
    found = list_addresses(["memory://in"], "memory://out")
    (item,) = found.items
    assert (item.key, item.source, item.size) == ("day/a.jpg", "memory://in/day/a.jpg", 7)
    assert found.left_out == ["memory://in/note.txt"]
    place = RemotePlace("memory://out")
    assert place.lies("day/a.jpg") is None
    task = task_for(item.source, place.address("day/a.jpg"), item.size, item.mtime_ns)
    receipt = carried_out(task, tmp_path)
    assert memory.cat("/out/day/a.jpg") == MARK + b"picture"
    assert place.lies("day/a.jpg") == (receipt.output_size, receipt.output_mtime_ns)
    assert place.digest("day/a.jpg") == receipt.output_digest
    assert receipt.bound == task.bound
    assert list(tmp_path.iterdir()) == []  # nothing of the source or the output stays on the worker
    assert sorted(memory.find("/out")) == ["/out/day/a.jpg"]
    place.discard_unsettled("day/a.jpg", receipt.output_digest)
    assert memory.exists("/out/day/a.jpg")
    place.discard_unsettled("day/a.jpg", "")
    assert not memory.exists("/out/day/a.jpg")


def test_a_remote_source_that_changed_gives_no_output(memory, tmp_path):
    from anonymize.archive.errors import SourceChangedError

    memory.pipe("/in/a.jpg", b"picture")
    (item,) = list_addresses(["memory://in"], "memory://out").items
    memory.pipe("/in/a.jpg", b"another picture")
    task = task_for(item.source, "memory://out/a.jpg", item.size, item.mtime_ns)
    with pytest.raises(SourceChangedError, match="is not what was planned"), staged(task, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    assert not memory.exists("/out/a.jpg")


def test_what_a_cluster_cannot_do_is_refused_before_it_is_asked(archive):
    hit = FalseHit("face", (0.0, 0.0, 9.0, 9.0), 0.0, 1.0)
    review = [Spoken("a.jpg", Said("0", "0", Corrections(released=(hit,))))]
    for named, words in (
        ({"review": review, "release": True}, "on the machine that has the source"),
        ({"output": "memory://out"}, "wanted --state FOLDER"),
        ({"inputs": ["memory://in"], "delete_source": True}, "for sources on disks"),
    ):
        with pytest.raises(UsageError, match=words):
            run_on_cluster(archive.request(**named), Watcher(), lambda: None, address="local")
