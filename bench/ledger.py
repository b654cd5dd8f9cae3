"""Time of the ledger: append, commits alone and in batches, checkpoint, proofs, opening, verification.

    python bench/ledger.py [rows] [--folder FOLDER] [--json]

Wall clock and the process's own time: on a shared machine the second is what the work costs. The folder decides what a
commit costs (`synchronous = FULL` waits for the disk); default: a temporary one.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anonymize.store.ledger import Ledger
from anonymize.store.ledger_verifier import verify_ledger
from anonymize.store.signing import verify_key

ORIGIN = "bench.example/ledger"
DAY_S = 86_400.0
SEGMENT = {
    "bytes": 912_345,
    "class": "personal",
    "content": "cd" * 32,
    "digest": "ab" * 32,
    "epoch": "2026-11-26",
    "exceptions": [],
    "frames": 30,
    "model": "ef" * 32,
    "policy": "01" * 32,
    "purpose": "accident_record",
    "region": "CN",
    "retain_until": "2026-12-10",
    "zone_list": 17,
}

Figures = dict[str, dict[str, float]]


@contextmanager
def timed(figures: Figures, name: str, count: int) -> Iterator[None]:
    """Seconds in all and microseconds for each of `count`, by wall clock and process time."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    figures[name] = {
        "wall_s": round(wall_s, 4),
        "cpu_s": round(cpu_s, 4),
        "wall_us_each": round(wall_s / count * 1e6, 1),
        "cpu_us_each": round(cpu_s / count * 1e6, 1),
    }


def filled(ledger: Ledger, rows: int, batch: int) -> None:
    for number in range(rows):
        ledger.append("segment.stored", SEGMENT)
        if number % batch == batch - 1:
            ledger.commit()
    ledger.commit()


def latencies(act: Callable[[], Any], times: int) -> dict[str, float]:
    """Median and p99 of single calls, microseconds of wall clock."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append((time.perf_counter() - start) * 1e6)
    return {
        "median_us": round(statistics.median(taken), 1),
        "p99_us": round(sorted(taken)[int(times * 0.99)], 1),
    }


def measured(folder: Path, rows: int) -> dict[str, Any]:
    key, figures, path = Ed25519PrivateKey.generate(), {}, folder / "ledger"
    ticks = iter(range(1_000_000_000))

    def clock() -> float:
        """A second for every row, as in life: a checkpoint for every 60."""
        return 1_795_650_000.0 + next(ticks)

    single = Ledger.open(folder / "single", key, origin=ORIGIN, clock=clock)
    with single, timed(figures, "append and commit, one row each", 1000):
        filled(single, 1000, 1)
    with Ledger.open(path, key, origin=ORIGIN, clock=clock) as ledger:
        with timed(figures, "append and commit, batches of 30", rows):
            filled(ledger, rows, 30)
        with timed(figures, "root", 1000):
            for _ in range(1000):
                ledger.root()
        with timed(figures, "find the rows of an event", 1):
            list(ledger.find("export.begun"))
        singles = {
            "inclusion proof": latencies(lambda: ledger.inclusion_proof(rows // 3, rows), 50),
            "consistency proof": latencies(lambda: ledger.consistency_proof(rows // 3, rows), 50),
        }
    with timed(figures, "open", 1):
        Ledger.open(path, key, origin=ORIGIN, clock=clock).close()
    with timed(figures, f"verify {rows} rows", rows):
        found = verify_ledger(path, [verify_key(key, ORIGIN)])
    assert not found.faults, found.faults
    return {
        "machine": platform.processor() or platform.machine(), "python": platform.python_version(), "rows": rows,
        "checkpoints": found.checkpoints, "bytes_a_row": round(path.stat().st_size / rows, 1), "figures": figures,
        "singles": singles,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        report = measured(Path(folder), options.rows)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{report['rows']} rows, {report['checkpoints']} checkpoints, {report['bytes_a_row']} bytes a row")
    for name, one in report["figures"].items():
        print(
            f"{name:34} {one['wall_s']:8.3f} s, cpu {one['cpu_s']:8.3f} s; each {one['wall_us_each']:8.1f} us, "
            f"cpu {one['cpu_us_each']:8.1f} us"
        )
    for name, one in report["singles"].items():
        print(f"{name:34} median {one['median_us']:8.1f} us, p99 {one['p99_us']:8.1f} us")


if __name__ == "__main__":
    main()
