"""A whole run over addresses, with the cluster's task function called in this process: planner, journal, staging."""

from __future__ import annotations

import pytest

from anonymize.archive.cluster.places import RemotePlace, list_addresses
from anonymize.archive.cluster.ray_crew import _do
from anonymize.archive.crew import Ended, failed
from anonymize.archive.driver import Watcher
from anonymize.archive.plain import from_plain, to_plain, to_text
from anonymize.archive.receipts import Receipt, Setup, Task
from anonymize.archive.run import Archive as Places
from anonymize.archive.run import run_archive
from anonymize.archive.state import StateFolder

from .standin import MARK


class InlineCrew:
    """Does each task when it is begun."""

    free = 1

    def __init__(self, setup: Setup, staging: str) -> None:
        self._setup, self._staging, self._events = setup, staging, []

    def begin(self, task: Task) -> None:
        answer = _do(to_text(self._setup), to_plain(task), self._staging)
        done = "done" in answer
        self._events.append(
            Ended(task, from_plain(Receipt, answer["done"])) if done else failed(task, answer["failed"])
        )

    def events(self, _wait_s: float) -> list:
        found, self._events = self._events, []
        return found

    def stop(self) -> list[Task]:
        return []


@pytest.fixture
def store():
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: remote files are left out")
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield memory
    memory.store.clear()


def test_a_run_over_addresses_is_done_once_and_redone_where_it_was_in_flight(store, archive, tmp_path):
    staging = tmp_path / "staging"
    staging.mkdir()
    for name in ("a.jpg", "day/v1.mp4", "day/v2.mp4", "bad.jpg", "unverified.jpg", "note.txt"):
        store.pipe(f"/in/{name}", f"content of {name}".encode())
    state = StateFolder(tmp_path / "state")

    def run():
        places = Places(list_addresses(["memory://in"], "memory://out"), RemotePlace("memory://out"), state)
        return run_archive(
            archive.request(),
            Watcher(),
            lambda: None,
            lambda setup, _: InlineCrew(setup, str(staging)),
            places,
        )

    outcome = run()
    assert (outcome.done, len(outcome.failures)) == (3, 2)
    assert outcome.failures[0] == "memory://in/bad.jpg: is no picture"
    assert outcome.left_out == ["memory://in/note.txt"]
    outputs = [path for path in store.find("/out") if ".anonymize-archive" not in path]
    assert sorted(outputs) == ["/out/a.jpg", "/out/day/v1.mp4", "/out/day/v2.mp4"]
    assert store.cat("/out/day/v1.mp4") == MARK + b"content of day/v1.mp4"  # addresses stand alone
    assert list(staging.iterdir()) == []
    assert run().already_done == 3
    from contextlib import closing

    from anonymize.archive.journal import Journal

    with closing(
        Journal(state.journal)
    ) as journal:  # as a killed run leaves it: in flight, its object complete
        journal._do("UPDATE files SET state = 'doing', output_digest = '' WHERE key = 'a.jpg'")
    outcome = run()
    assert (outcome.done, outcome.already_done) == (1, 2)
    store.pipe("/out/a.jpg", b"someone else's")
    outcome = run()
    assert "was changed by another program" in outcome.failures[0]
    assert store.cat("/out/a.jpg") == b"someone else's"
