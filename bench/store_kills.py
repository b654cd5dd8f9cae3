"""Kill a recording process with SIGKILL, again and again, and look at what it left: `python bench/store_kills.py`.

Two ways. `--random N`: at a random moment of recording and deleting under load. `--lines`: at every line of the store's
own code while one segment is put, one read and one deleted, and while the start after it repairs. After each kill the
store is opened again, and: the ledger verifies, every segment whose storing was reported opens, every deleted one is
gone, nothing is half-written, rows and objects agree, and no file in the folder holds a canary: neither of the raw
frame, nor of the hidden one, nor a word of the plain segment. (A kill leaves the page cache; that fsync comes before
what builds upon it is shown by the order of the calls, in tests/store/test_order.py.)
"""

from __future__ import annotations

import argparse
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

import numpy as np

from anonymize.frames import CapturedFrame, FrameMemory, ReleasedFrame, _seal_anonymized, _seal_released
from anonymize.media.segments import Coding
from anonymize.store import writing
from anonymize.store.keys import KeyFile
from anonymize.store.ledger_verifier import verify_ledger
from anonymize.store.settings import StoreSettings, write_settings
from anonymize.store.store import LEDGER_NAME, Store
from anonymize.store.vault import MadeBy

RAW, HIDDEN, CAMERA = b"raw-canary-9d41c7", b"hidden-canary-52e8", "camera-canary-b6f0"
PLAIN = (RAW, HIDDEN, CAMERA.encode(), b'"time_base"', b"ftypisom", b"\xff\xd8\xff\xdb", b"\xff\xd8\xff\xe0")
MADE_BY = MadeBy("0" * 64)
SIDE_PX = 64


def new_store(folder: Path) -> KeyFile:
    """A store with a consent, and its key beside the folder."""
    folder.mkdir(mode=0o700)
    settings = StoreSettings(
        origin="kills.test/store", purpose="test", contact="nobody", region="CN",
        consent_from="2020-01-01", consent_until="9000-01-01", limit_bytes=60_000,
    )  # fmt: skip
    write_settings(folder, settings)
    return KeyFile.create(folder.with_suffix(".key"))


def frame(number: int) -> ReleasedFrame:
    """A hidden frame full of one canary, made of a raw one full of another."""
    raw = np.resize(np.frombuffer(RAW, np.uint8), (SIDE_PX, SIDE_PX)).copy()
    hidden = np.resize(np.frombuffer(HIDDEN, np.uint8), (SIDE_PX, SIDE_PX)).copy()
    captured = CapturedFrame((raw,), "gray8", number, Fraction(1, 30), camera=CAMERA)
    return _seal_released(_seal_anonymized(captured, (hidden,), FrameMemory()))


def record(folder: Path, key: Path, tell: Callable[[str], None], seed: int) -> None:
    """Record small JPEGs as fast as the store takes them, delete some, and tell what is certain by now."""
    writing.COMMIT_EVERY_S, writing.MOST_TOGETHER = 0.02, 6  # type: ignore[misc]  # many commits to be killed in
    store = Store.open(folder, KeyFile(key), made_by=MADE_BY, coding=Coding(encoding="jpeg", group_s=0.0))
    put, chance = store.vault.put, random.Random(seed)

    def reported(segments: Any, made_by: Any) -> list[str]:
        digests = put(segments, made_by)
        for digest in digests:
            tell(f"+{digest}")
        return digests

    store.vault.put = reported  # type: ignore[method-assign]
    tell("ready")
    for number in range(1_000_000):
        store.take([frame(number)])
        if number % 7 == 0:
            time.sleep(0.002)
        if chance.random() < 0.02:
            with store.turn:
                entries = list(store.vault.index.entries())[:3]
                for entry in entries:
                    tell(f"-{entry.digest}")
                store.vault.delete(entries, "owner")
                for entry in entries:
                    tell(f"!{entry.digest}")


def once(folder: Path, key: Path, tell: Callable[[str], None]) -> None:
    """Put two segments, read one, delete one, record an end: each path of the store's own code, once."""
    from anonymize.store.actions import Choice, carry_out
    from anonymize.store.coding import GroupMaker
    from anonymize.store.vault import Segment

    with Store.open(folder, KeyFile(key)) as store:
        makers = [GroupMaker(CAMERA, Coding(encoding="jpeg"), lambda why: None) for _ in range(2)]
        plains = []
        for number, maker in enumerate(makers):
            maker.encode(frame(number))
            plains.append(maker.close_group())
        digests = store.vault.put([Segment(plain, "personal", 1) for plain in plains], MADE_BY)
        for digest in digests:
            tell(f"+{digest}")
        store.read(digests[0])
        tell(f"-{digests[0]}")
        carry_out(store, "delete", Choice(digests=(digests[0],)))
        tell(f"!{digests[0]}")


class Killed:
    """A child that was killed, and what it had told by then."""

    def __init__(
        self, job: Callable[[Callable[[str], None]], None], after_s: float | None, wait_ready: bool
    ) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            try:
                job(lambda line: os.write(writing, line.encode() + b"\n") and None)
            finally:
                os._exit(0)
        os.close(writing)
        told = bytearray()
        until_s = time.monotonic() + (60.0 if after_s is None or wait_ready else after_s)
        while time.monotonic() < until_s:
            if select.select([reading], [], [], max(0.0, until_s - time.monotonic()))[0]:
                came = os.read(reading, 1 << 16)
                if not came:
                    break
                told += came
                if wait_ready and b"ready" in told and after_s is not None:
                    wait_ready, until_s = False, time.monotonic() + after_s
        os.kill(self.pid, signal.SIGKILL)
        while came := os.read(reading, 1 << 16):
            told += came
        os.close(reading)
        self.died = os.waitpid(self.pid, 0)[1] == signal.SIGKILL
        self.lines = told.decode().split("\n")[:-1]


def check(folder: Path, key: Path, lines: list[str]) -> dict[str, int]:
    """Look at what a kill left, twice: as it lies there, and after the next start. Raises AssertionError."""
    search(folder)
    stored = {line[1:] for line in lines if line[:1] == "+"}
    going = {line[1:] for line in lines if line[:1] == "-"}
    gone = {line[1:] for line in lines if line[:1] == "!"}
    store = Store.open(folder, KeyFile(key))
    repaired = store.repaired
    try:
        held = set(store.ids())
        rows = list(store.vault.ledger.rows(0, store.vault.ledger.size))
        rows_of = {row["digest"] for row in rows if row["event"] == "segment.stored"}
        tombs = [row["digest"] for row in rows if row["event"] == "segment.deleted"]
        files = {path.name for path in (folder / "objects").rglob("*") if path.is_file()}
        assert repaired.missing == 0, repaired
        assert files == held, "objects and index differ"
        assert rows_of - set(tombs) == held, "rows and objects differ"
        assert len(tombs) == len(set(tombs)), "two tombstones for one object"
        assert stored <= rows_of, "what was reported as stored has no row"
        assert stored - going - set(tombs) <= held, "what was reported as stored is gone"
        assert not gone & held, "what was reported as deleted is there"
        for digest in held:
            assert store.vault.reader.open(digest)[1]
    finally:
        store.close()
    findings = verify_ledger(folder / LEDGER_NAME)
    assert not findings.faults or not rows, findings.faults
    search(folder)
    left = [path.name for path in folder.rglob("*") if ".tmp" in path.name]
    assert not left, left
    return {name: getattr(repaired, name) for name in ("half_written", "without_row", "deletions_completed")}


def search(folder: Path) -> None:
    """No file holds anything of a frame."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for canary in PLAIN:
                assert canary not in content, f"{path.name} holds {canary!r}"


def kill_at_random(kills: int, seed: int, longest_s: float = 0.5) -> dict[str, int]:
    """Kill so often; what the starts after it have found."""
    found: dict[str, int] = {"kills": 0, "segments": 0}
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        folder, key = Path(place) / "store", Path(place) / "store.key"
        new_store(folder)
        lines: list[str] = []
        for number in range(kills):
            during_start = number % 10 == 9
            after_s = chance.random() * (0.03 if during_start else longest_s)
            child = Killed(
                lambda tell, number=number: record(folder, key, tell, number),
                after_s,
                wait_ready=not during_start,
            )
            assert child.died, "the child ended by itself"
            lines = [line for line in child.lines if line[:1] in "+-!"]
            for name, count in check(folder, key, lines).items():
                found[name] = found.get(name, 0) + count
            found["kills"] += 1
            found["segments"] += sum(line[:1] == "+" for line in lines)
            if number % 25 == 24:  # a fresh store: the ledger would grow with the number of kills
                shutil.rmtree(folder)
                key.unlink()
                new_store(folder)
    return found


def kill_at_lines(every: int, *, first: int = 0) -> dict[str, int]:
    """Kill at each `every`-th line of the store's code on its one way through `once`."""
    found: dict[str, int] = {"kills": 0}
    with tempfile.TemporaryDirectory() as place:
        line = first
        while True:
            folder, key = Path(place) / f"store{line}", Path(place) / f"store{line}.key"
            new_store(folder)
            Store.open(folder, KeyFile(key)).close()
            child = Killed(
                lambda tell, line=line, f=folder, k=key: once_until(line, f, k, tell), None, wait_ready=False
            )
            for name, count in check(folder, key, child.lines).items():
                found[name] = found.get(name, 0) + count
            shutil.rmtree(folder)
            if not child.died:
                return found
            found["kills"] += 1
            line += every


def once_until(line: int, folder: Path, key: Path, tell: Callable[[str], None]) -> None:
    """`once`, killed at the line of this number."""
    left = line

    def trace(where: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if "anonymize/store" not in where.f_code.co_filename:
            return None
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    sys.settrace(trace)
    once(folder, key, tell)
    sys.settrace(None)


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=300, metavar="N")
    parser.add_argument(
        "--lines", type=int, default=0, metavar="EVERY", help="kill at each EVERY-th line instead"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    start_s = time.monotonic()
    if options.lines:
        found = kill_at_lines(options.lines)
    else:
        found = kill_at_random(options.random, options.seed)
        print(f"seed {options.seed}")
    print(
        ", ".join(f"{count} {name}" for name, count in found.items()),
        f"in {time.monotonic() - start_s:.0f} s",
    )


if __name__ == "__main__":
    main()
