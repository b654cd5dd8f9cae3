"""Kills the driver or a worker of an archive run at random moments, starts it again, and looks at what lies there.

    python bench/archive_kills.py [--kills 300] [--files 3000] [--takes-ms 15] [--seed 0] [--json]

The jobs are stand-ins (`tests/archive/standin.py`) that copy bytes in two halves: what is tested is the running of
tasks, the journal and the adoption of complete outputs, not the hiding. After each kill:

- no partial output: every file under its final name is whole;
- nothing redone but what was in flight: a file that lay there whole is never begun again;

and at the end no lost file: every source has its output and a row, nothing unfinished and no receipt is left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in (".", "kernels", "models")]

from anonymize.archive.driver import Watcher
from anonymize.archive.journal import Journal
from anonymize.archive.receipts import ModelChoice, Setup
from anonymize.archive.run import Request, run_archive
from anonymize.archive.state import StateFolder, is_unfinished
from anonymize.archive.work import ArchiveSettings
from tests.archive.standin import MARK

JOBS = "tests.archive.standin:StandInJobs"
WORKERS = 2


@dataclass
class Findings:
    """What was found; all but the first five and `begun_twice` must be 0 or empty."""

    kills_of_driver: int = 0
    kills_of_worker: int = 0
    starts: int = 0
    files: int = 0
    adopted: int = 0
    begun_twice: int = 0
    partial: list[str] = field(default_factory=list)
    redone: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    orphans: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether every promise was kept."""
        return not (self.partial or self.redone or self.lost or self.left_over or self.orphans)


def main() -> int:
    """Print the findings; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--takes-ms", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--drive", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        return drive(*options.drive)
    with tempfile.TemporaryDirectory() as folder:
        found = kill_often(Path(folder), options.kills, options.files, options.takes_ms, options.seed)
    print(json.dumps(asdict(found), indent=2) if options.json else found)
    return 0 if found.sound else 1


def drive(source: Path, output: Path) -> int:
    """One run, in this process; set-aside files are tried again, for here it was the kills' fault."""
    request = Request(
        inputs=[str(source)], output=str(output), setup=Setup(ArchiveSettings(), ModelChoice("stand-in"), jobs=JOBS),
        model_sha256="0" * 64, group=drives, workers=WORKERS, retry=True,
    )  # fmt: skip
    outcome = run_archive(request, Watcher(), lambda: None)
    return 1 if outcome.failures else 0


def drives(paths: list[Path]) -> list[list[Path]]:
    """Four consecutive videos are a drive."""
    return [paths[first : first + 4] for first in range(0, len(paths), 4)]


def kill_often(folder: Path, kills: int, files: int, takes_ms: float, seed: int) -> Findings:
    """Do the whole trial in `folder`."""
    source, output, log = folder / "in", folder / "out", folder / "log"
    make_sources(source, files)
    rng, found, begun_s = random.Random(seed), Findings(files=files), time.monotonic()
    whole: set[str] = set()
    read = 0
    run = None
    while found.kills_of_driver + found.kills_of_worker < kills:
        if run is None or run.poll() is not None:
            if run is not None and run.returncode == 0:
                break  # all is done: too few files for so many kills
            run = start(source, output, log, takes_ms)
            found.starts += 1
            if rng.random() < 0.8:  # else it may be killed before it has workers
                wait_for_work(run, log)
        if (count := found.kills_of_driver + found.kills_of_worker) % 20 == 0:
            print(f"{count} kills, {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True)
        time.sleep(rng.uniform(0.0, 0.6))
        workers = children(run.pid)
        if workers and rng.random() < 0.5:
            found.kills_of_worker += kill(rng.choice(workers))
            continue
        if not kill(run.pid):
            continue
        run.wait()
        found.kills_of_driver += 1
        found.orphans += wait_for_end(workers)
        read = look(output, log, read, whole, found)
    if run is not None and run.poll() is None:
        run.wait(timeout=600)
    while start(source, output, log, 0.0).wait(timeout=600) != 0:
        found.starts += 1
        if found.starts > 2 * kills + 5:
            break
    look(output, log, read, whole, found)
    look_at_end(source, output, log, found)
    found.seconds = round(time.monotonic() - begun_s, 1)
    return found


def make_sources(folder: Path, count: int) -> None:
    """Pictures, and videos in drives of four: one file in five."""
    rng = random.Random(1)
    for number in range(count):
        place = folder / f"day{number % 7}"
        place.mkdir(parents=True, exist_ok=True)
        suffix = "mp4" if number % 5 == 0 else "jpg"
        (place / f"{number:05}.{suffix}").write_bytes(rng.randbytes(rng.randrange(100, 20_000)))


def start(source: Path, output: Path, log: Path, takes_ms: float) -> subprocess.Popen[bytes]:
    """A driver in a process of its own."""
    environment = {**os.environ, "STANDIN_LOG": str(log), "STANDIN_TAKES_S": str(takes_ms / 1000)}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), "--drive", str(source), str(output)], env=environment, cwd=ROOT
    )


def wait_for_work(run: subprocess.Popen[bytes], log: Path) -> None:
    """Until its workers have begun something."""
    size = log.stat().st_size if log.exists() else 0
    while run.poll() is None and not (log.exists() and log.stat().st_size > size):
        time.sleep(0.01)


def children(parent: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            if (
                place.name.isdigit()
                and int((place / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent
            ):
                found.append(int(place.name))
    return found


def kill(process: int) -> bool:
    """Whether there was something to kill."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(workers: list[int]) -> int:
    """How many workers outlive their driver by more than 2 s."""
    end_s = time.monotonic() + 2.0
    while time.monotonic() < end_s:
        alive = [one for one in workers if Path(f"/proc/{one}").exists() and not _is_zombie(one)]
        if not alive:
            return 0
        time.sleep(0.005)
    return len(alive)


def _is_zombie(process: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


def look(output: Path, log: Path, read: int, whole: set[str], found: Findings) -> int:
    """After a kill: no partial output, and nothing begun again of what lay there whole before. Lines read so far."""
    lines = log.read_text().splitlines() if log.exists() else []
    for line in lines[read:]:
        kind, name = line.split(" ", 1)
        if kind != "look" and name in whole:
            found.redone.append(name)
    for path in output.rglob("*"):
        if path.suffix in (".jpg", ".mp4") and not is_unfinished(path.name):
            if not is_whole(path, output):
                found.partial.append(path.name)
            whole.add(path.name)
    return len(lines)


def is_whole(path: Path, output: Path) -> bool:
    """Whether the stand-in's result is all there."""
    source = output.parent / "in" / path.relative_to(output)
    content = path.read_bytes()
    return content.startswith(MARK) and content.endswith(source.read_bytes())


def look_at_end(source: Path, output: Path, log: Path, found: Findings) -> None:
    """Every file once, nothing else."""
    state = StateFolder.of(output)
    with contextlib.closing(Journal(state.journal, reading=True)) as journal:
        rows = {row.key: row for row in journal.files()}
    found.adopted = sum(row.proof != "" for row in rows.values())
    for path in source.rglob("*.*"):
        key = path.relative_to(source).as_posix()
        if key not in rows or rows[key].state != "done" or not is_whole(output / key, output):
            found.lost.append(key)
    found.left_over = [path.name for path in output.rglob("*") if is_unfinished(path.name)]
    found.left_over += [path.name for path in (state.path / "receipts").iterdir()]
    counts = Counter(line for line in log.read_text().splitlines())
    found.begun_twice = sum(count - 1 for count in counts.values())


if __name__ == "__main__":
    sys.exit(main())
