"""The steps of `scripts/check`: all of them run, each gets one line with its time, the last line has the counts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
TYPED = ("anonymize", "kernels", "models", *sorted(str(p) for p in (ROOT / "scripts").glob("check_*.py")))
# With the JIT off a kernel takes a thousand times as long: what calls them on small pictures, and the gate's files.
WITHOUT_JIT = ("tests/kernels", "tests/hide", "tests/track", "tests/pipeline", "tests/zones")
GATE = ("day_counts", "decide", "fixes", "gate", "hold", "legs", "rules", "views", "zone_gate")
# Share of branches that those tests must reach, in percent, by file or folder.
FLOORS = {
    "anonymize/pipeline.py": 100,
    **{f"anonymize/zones/{name}.py": 100 for name in GATE},
    "anonymize/camera_state.py": 95,
    "anonymize/hide/": 95,
}
SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] \S+: (.*)$", re.MULTILINE)
SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step, and how many tests it held (a step without tests is one)."""

    passed: int
    failed: int
    skipped: int = 0
    note: str = ""


def run(*words: str, **environment: str) -> tuple[int, str]:
    """Run a command in the repository; its output is shown if it fails, and returned."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "models"))
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        print(done.stdout, flush=True)
    return done.returncode, done.stdout


def command(*words: str) -> Outcome:
    code, output = run(*words)
    lines = output.strip().splitlines()
    return Outcome(not code, bool(code), note=lines[-1] if lines else "")


def repository() -> Outcome:
    return command(PYTHON, "scripts/check_repository.py")


def layout() -> Outcome:
    return command(PYTHON, "-m", "ruff", "format", "--check", "--output-format", "concise", ".")


def lint() -> Outcome:
    return command(PYTHON, "-m", "ruff", "check", "--output-format", "concise", ".")


def types() -> Outcome:
    return command(PYTHON, "-m", "mypy", *TYPED)


def imports() -> Outcome:
    code, output = run(
        PYTHON, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"
    )
    kept = re.search(r"Contracts: .*", output)
    return Outcome(not code, bool(code), note=kept[0] if kept else "")


def tests() -> Outcome:
    return pytest("tests")


def tests_without_jit() -> Outcome:
    """The pure Python of kernels and engine, and the branches of the files that keep the promise."""
    with tempfile.TemporaryDirectory() as folder:
        measured = Path(folder, "coverage")
        there = [path for path in WITHOUT_JIT if (ROOT / path).is_dir()]
        outcome = pytest(
            *there, COVERAGE_FILE=str(measured), NUMBA_DISABLE_JIT="1", under=("coverage", "run", "-m")
        )
        report = Path(folder, "coverage.json")
        code, _ = run(PYTHON, "-m", "coverage", "json", "-q", "-o", str(report), COVERAGE_FILE=str(measured))
        short = ["coverage could not be read"] if code else below_floor(json.loads(report.read_text("utf-8")))
    for line in short:
        print(line)
    note = f"{outcome.note}; coverage {'too low' if short else 'as wanted'}"
    return Outcome(outcome.passed, outcome.failed + len(short), outcome.skipped, note)


def below_floor(report: dict[str, dict[str, dict[str, object]]]) -> list[str]:
    """One line for each file whose covered branches and lines are fewer than its floor."""
    faults = []
    for prefix, floor in FLOORS.items():
        names = [name for name in report["files"] if name.startswith(prefix)]
        if not names:
            faults.append(f"coverage of {prefix}: not measured; wanted {floor} %")
        for name in names:
            facts = report["files"][name]
            share = facts["summary"]["percent_covered"]  # type: ignore[index]
            if share < floor:
                faults.append(
                    f"coverage of {name}: {share:.1f} %; wanted {floor} %; lines {facts['missing_lines']}, "
                    f"branches {facts['missing_branches']} were not reached"
                )
    return faults


def wheel() -> Outcome:
    return command(PYTHON, "scripts/check_wheel.py")


def pytest(*paths: str, under: Sequence[str] = (), **environment: str) -> Outcome:
    """Run these tests; what was skipped is named, once for each reason."""
    before = ("-m", *under) if under else ("-m",)
    code, output = run(PYTHON, *before, "pytest", "-rs", "--durations=5", *paths, **environment)
    lines = output.strip().splitlines()
    reasons: Counter[str] = Counter()
    for count, reason in SKIPPED.findall(output):
        reasons[reason] += int(count)
    for reason, count in reasons.items():
        print(f"    {count} skipped: {reason}")
    found = {word.rstrip("s"): int(count) for count, word in SUMMARY.findall(lines[-1] if lines else "")}
    failed = found.get("failed", 0) + found.get("error", 0)
    if code and not failed:  # a crash, nothing collected, a wrong option
        failed = 1
    return Outcome(
        found.get("passed", 0), failed, found.get("skipped", 0), lines[-1] if lines else "no output"
    )


STEPS: dict[str, Callable[[], Outcome]] = {
    "repository": repository,
    "format": layout,
    "lint": lint,
    "types": types,
    "imports": imports,
    "tests": tests,
    "without-jit": tests_without_jit,
    "wheel": wheel,
}


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        print(f"scripts/check: steps {unknown} came; there are {', '.join(STEPS)}", file=sys.stderr)
        return 2
    passed = failed = skipped = 0
    begun = time.monotonic()
    lines = []
    for name in names or STEPS:
        start = time.monotonic()
        outcome = STEPS[name]()
        passed, failed, skipped = passed + outcome.passed, failed + outcome.failed, skipped + outcome.skipped
        word = "FAILED" if outcome.failed else "ok"
        lines.append(f"{word:6} {name:12} {time.monotonic() - start:6.1f} s  {outcome.note}".rstrip())
        print(lines[-1], flush=True)
    print(f"\nsummary, {time.monotonic() - begun:.0f} s")
    print("\n".join(lines))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
