"""A small archive of stand-in files, and a run over it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anonymize.archive.driver import Watcher
from anonymize.archive.journal import FileRow, Journal
from anonymize.archive.receipts import ModelChoice, Setup
from anonymize.archive.run import Outcome, Request, run_archive
from anonymize.archive.state import StateFolder, is_unfinished
from anonymize.archive.work import ArchiveSettings

JOBS = "tests.archive.standin:StandInJobs"


class Archive:
    """Sources, their output, and what a test asks of both."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source, self.output, self.log = folder / "in", folder / "out", folder / "log"
        self.source.mkdir()
        monkeypatch.setenv("STANDIN_LOG", str(self.log))

    def add(self, *names: str) -> None:
        for name in names:
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"content of {name}".encode())

    def request(self, **named: Any) -> Request:
        settings = named.pop("settings", ArchiveSettings())
        values = {
            "inputs": [str(self.source)], "output": str(self.output), "model_sha256": "0" * 64, "workers": 2,
            "setup": Setup(settings, ModelChoice("stand-in"), jobs=JOBS),
            "group": lambda paths: [list(paths)] if paths else [],
        }  # fmt: skip
        return Request(**{**values, **named})

    def run(
        self, watcher: Watcher | None = None, check: Callable[[], None] = lambda: None, **named: Any
    ) -> Outcome:
        return run_archive(self.request(**named), watcher or Watcher(), check)

    def rows(self) -> dict[str, FileRow]:
        with contextlib.closing(Journal(self.state.journal, reading=True)) as journal:
            return {row.key: row for row in journal.files()}

    @property
    def state(self) -> StateFolder:
        return StateFolder.of(self.output)

    def begun(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def outputs(self) -> set[str]:
        return {
            path.relative_to(self.output).as_posix()
            for path in self.output.rglob("*")
            if path.is_file() and ".anonymize-archive" not in path.parts
        }

    def left_over(self) -> list[str]:
        receipts = list((self.state.path / "receipts").iterdir())
        return [path.name for path in (*self.output.rglob("*"), *receipts) if is_unfinished(path.name)]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(tmp_path, monkeypatch)
