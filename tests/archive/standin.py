"""Jobs that stand in for the real ones: they copy bytes, and fail in the ways that their file's name asks for.

What a source holds is taken as text; a word in its name says what happens: `slow`, `hang`, `crash` (the worker is
killed each time), `crashonce`, `bad` (an error of ours), `bug` (another), `full` (a disk without space), `unverified`,
`litter` (raw bytes are left in a temporary file).
Each job that begins leaves a line in `$STANDIN_LOG`, if set.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from anonymize.archive.receipts import ModelChoice
from anonymize.archive.work import FileResult, Moment, Tools
from anonymize.errors import MediaError, VerificationError

MARK = b"hidden: "


class StandInJobs:
    def load_model(self, choice: ModelChoice) -> Any:
        return SimpleNamespace(entry=SimpleNamespace(name="stand-in", sha256="0" * 64))

    def look(self, source: Path, spool: Path, tools: Tools) -> None:
        self._note("look", source)
        if "lookcrash" in source.name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "blind" in source.name:
            raise MediaError(f"{source}: cannot be looked at")
        content = source.read_bytes()
        for _ in range(3):
            tools.check_stop()
            tools.progress(len(content))
        spool.write_text(f"boxes of {source.name}")

    def hide(
        self,
        source: Path,
        target: Path,
        spool: Path,
        before: Path | None,
        after: Path | None,
        *,
        tools: Tools,
    ) -> FileResult:
        assert spool.read_text() == f"boxes of {source.name}"
        near = b"".join(b"[" + path.read_bytes() + b"]" for path in (before, after) if path)
        return self._copy("hide", source, target, tools, near)

    def picture(self, source: Path, target: Path, tools: Tools) -> FileResult:
        return self._copy("picture", source, target, tools)

    def log(self, source: Path, target: Path, tools: Tools) -> FileResult:
        return self._copy("log", source, target, tools)

    def _copy(self, kind: str, source: Path, target: Path, tools: Tools, near: bytes = b"") -> FileResult:
        self._note(kind, source)
        content, name = source.read_bytes(), source.name
        hidden = (
            MARK + near + repr(tools.corrections.added).encode() * bool(tools.corrections.added) + content
        )
        with target.open("wb") as stream:
            stream.write(hidden[: len(hidden) // 2])
            stream.flush()
            self._misbehave(name, source, target, tools)
            stream.write(hidden[len(hidden) // 2 :])
        return FileResult(
            kind="picture" if kind == "picture" else "video" if kind == "hide" else "log",
            frames=1, boxes={"face": 1, "plate": 2}, objects={"face": 1, "plate": 2}, origins={"detected": 3},
            confidence_histogram=(0, 0, 0, 0, 1, 0, 0, 0, 2, 0), verified=("compared",),
            certainty=(Moment(0.0, 0, "face", (1.0, 2.0, 30.0, 40.0), 0.41, "detected"),),
        )  # fmt: skip

    def _misbehave(self, name: str, source: Path, target: Path, tools: Tools) -> None:
        end_s = time.monotonic() + float(os.environ.get("STANDIN_TAKES_S", "0"))
        while "hang" in name or time.monotonic() < end_s:
            if "hang" not in name:
                tools.check_stop()
                tools.progress(source.stat().st_size // 2)
            time.sleep(0.005)
        if "litter" in name:  # as a library that puts what it decodes into a file
            descriptor, _ = tempfile.mkstemp()
            os.write(descriptor, source.read_bytes())
        if "slow" in name:
            for _ in range(100):
                tools.check_stop()
                tools.progress(source.stat().st_size // 2)
                time.sleep(0.02)
        once = source.with_name(f".{name}.crashed")
        if "crashonce" in name and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "crash" in name and "once" not in name:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "growing" in name:
            with source.open("ab") as stream:
                stream.write(b"more")
        if "bad" in name:
            raise MediaError(f"{source}: is no picture")
        if "bug" in name:
            raise ZeroDivisionError("pixels: 1 2 3")
        if "unverified" in name:
            raise VerificationError(f"{source}: the written file does not hold the fill")
        if "full" in name:
            with Path("/dev/full").open("wb", buffering=0) as full:
                full.write(b"x")

    def _note(self, kind: str, source: Path) -> None:
        if log := os.environ.get("STANDIN_LOG"):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(descriptor, f"{kind} {source.name}\n".encode())
            os.close(descriptor)
