"""What may not be in a commit: paths of a machine, hosts of package registries, foreign pictures, what is too large.

Looks at the files that git tracks, or at all that are not ignored by name where git is not installed.
"""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ROOT.parent / "shared" / "data"
MAX_FILE_BYTES = 8_000_000  # the network of 1.8 M parameters in float32 is the largest
MAX_WEIGHTS_BYTES = 20_000_000
MAX_LINES, MAX_TEST_LINES = 500, 800
MAX_FUNCTION_LINES = 60
MAX_POSITIONAL = 5
MOST_BUILD_AGE_S = 60 * 86_400
# Files that are over a size on the day this check was made, with the size they may keep.
LONGER_FILES = {
    "anonymize/frames.py": 540,
    "anonymize/store/ledger_verifier.py": 740,  # it stands alone: one file that is handed out
    "kernels/anonymize_kernels/hide.py": 560,
}
LONGER_FUNCTIONS: dict[str, int] = {}
# one of them the engine's inner seam, which takes arrays as kernels do
SIX_POSITIONAL = {
    "anonymize/archive/video_job.py:hide", "anonymize/drawing.py:_car", "anonymize/hide/hider.py:hide",
    "scripts/train/crops.py:lay",
}  # fmt: skip

# Written in pieces, so that this file does not find itself.
FORBIDDEN_WORDS = {
    "a path of a machine": ["/" + "work/", "/" + "farm/", "/" + "root/", "/" + "home/"],
    "the host of a package registry": [
        "py" + "pi.org",
        "python" + "hosted.org",
        "deb" + ".debian.org",
        "npm" + "js.org",
        "--index" + "-url",
        "--find" + "-links",
    ],
}
ALLOWED_WORDS = {"scripts/lock": ["--index" + "-url", "--find" + "-links"]}
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".jsonl", ".yml", ".yaml", ".cfg", ".ini", ".sh", ".csv", ""}


def tracked() -> list[Path]:
    """The files that a commit holds, or that one would."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(words, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        ignored = re.compile(r"^(\..*|__pycache__|dist|build|out|.*\.egg-info)$")
        every = (path for path in ROOT.rglob("*") if path.is_file())
        return [path for path in every if not any(map(ignored.match, path.relative_to(ROOT).parts[:-1]))]
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def words(files: list[Path]) -> Iterator[str]:
    """Machine paths and registry hosts."""
    for path in files:
        if path.suffix not in TEXT or path.name == "LICENSE":
            continue
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            for kind, forbidden in FORBIDDEN_WORDS.items():
                found = [word for word in forbidden if word in line]
                if found and not set(found) <= set(ALLOWED_WORDS.get(name_of(path), [])):
                    yield f"{name_of(path)}:{number}: {kind}: {found[0]}"


def bytes_of_files(files: list[Path]) -> Iterator[str]:
    """Large files and weights."""
    for path in files:
        if path.stat().st_size > MAX_FILE_BYTES:
            yield f"{name_of(path)}: {path.stat().st_size} bytes; wanted {MAX_FILE_BYTES} at most"
    weights = sum(path.stat().st_size for path in files if path.suffix in {".onnx", ".npz", ".pt"})
    if weights > MAX_WEIGHTS_BYTES:
        yield f"weights: {weights} bytes together; wanted {MAX_WEIGHTS_BYTES} at most"


def foreign_files(files: list[Path]) -> Iterator[str]:
    """Files that are equal to one of ../shared/data: pictures of people, under others' licences."""
    if not FOREIGN.is_dir():
        return
    sizes: dict[int, list[Path]] = {}
    for path in files:
        if path.stat().st_size:
            sizes.setdefault(path.stat().st_size, []).append(path)
    for other in FOREIGN.rglob("*"):
        if other.is_relative_to(FOREIGN / "licences"):
            continue
        same_size = sizes.get(other.stat().st_size, []) if other.is_file() else []
        for path in same_size:
            if digest(path) == digest(other):
                yield f"{name_of(path)}: is ../shared/data/{other.relative_to(FOREIGN).as_posix()}"


def digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def lengths(files: list[Path]) -> Iterator[str]:
    """Long files, long functions, functions of many positional parameters."""
    for path in files:
        if path.suffix != ".py":
            continue
        name, source = name_of(path), path.read_text("utf-8")
        limit = LONGER_FILES.get(name, MAX_TEST_LINES if name.startswith("tests/") else MAX_LINES)
        if source.count("\n") > limit:
            yield f"{name}: {source.count(chr(10))} lines; wanted {limit} at most"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from long_function(name, node)


def long_function(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    body = node.body
    if ast.get_docstring(node) is not None and len(body) > 1:
        body = body[1:]  # what a function promises does not make it long
    lines = (node.end_lineno or node.lineno) - body[0].lineno + 1
    limit = LONGER_FUNCTIONS.get(f"{name}:{node.name}", MAX_FUNCTION_LINES)
    if lines > limit:
        yield f"{name}:{node.lineno}: {node.name} has {lines} lines; wanted {limit} at most"
    positional = [one.arg for one in node.args.posonlyargs + node.args.args if one.arg not in {"self", "cls"}]
    kernels = name.startswith(("kernels/", "tests/", "bench/"))  # arrays in, arrays out: kernels take many
    most = MAX_POSITIONAL + (f"{name}:{node.name}" in SIX_POSITIONAL)
    if len(positional) > most and not kernels:
        yield f"{name}:{node.lineno}: {node.name} has {len(positional)} positional parameters; wanted {most} at most"


def locks(files: list[Path]) -> Iterator[str]:
    """Locked versions that pyproject.toml no longer allows, that are missing, or that differ between the two sets."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    run = (
        project["project"]["dependencies"]
        + project["project"]["optional-dependencies"]["video"]
        + groups["build"]
    )
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    dev = run + extras + [line for line in groups["dev"] if isinstance(line, str)]
    pins = {name: locked(ROOT / "requirements" / f"{name}.txt") for name in ("run", "dev")}
    for kind, wanted in (("run", run), ("dev", dev)):
        for requirement in map(Requirement, wanted):
            version = pins[kind].get(canonicalize_name(requirement.name))
            if version is None or version not in requirement.specifier:
                yield f"requirements/{kind}.txt: {requirement.name} {version}; wanted {requirement}: run scripts/lock"
    for name, version in pins["run"].items():
        if pins["dev"].get(name) != version:
            yield f"requirements/dev.txt: {name} {pins['dev'].get(name)}; wanted {version} as in run.txt"


def locked(path: Path) -> dict[str, str]:
    """Name and version of each line."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", path.read_text("utf-8"), re.MULTILINE))


def build_time(_: list[Path]) -> Iterator[str]:
    """The time before which the gate believes no clock: not later than this commit, nor 60 days older, nor a release's.

    It stands in the code, not in the wheel's making, so that what was tested is what is shipped.
    """
    source = (ROOT / "anonymize/zones/rules.py").read_text("utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    try:
        shown = ["git", "-C", str(ROOT), "show", "-s", "--format=%ct", "HEAD"]
        commit_s = float(subprocess.run(shown, capture_output=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError):
        commit_s = None
    yield from build_time_faults(source, changes, commit_s)


def build_time_faults(source: str, changes: str, commit_s: float | None) -> Iterator[str]:
    """The same of the texts of `rules.py` and the changelog, and of the time of the commit, s since 1970."""
    found = re.search(r"^BUILT_AT_S: Final = ([\d_.]+) ", source, re.MULTILINE)
    built_s = float(found[1].replace("_", "")) if found else 0.0
    where = "anonymize/zones/rules.py: BUILT_AT_S"
    days = re.findall(r"^## \S+ \((\d{4}-\d\d-\d\d)\)", changes, re.MULTILINE)
    released_s = max(
        (datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() for day in days), default=0.0
    )
    if built_s < released_s:
        yield f"{where} is older than the newest release in CHANGELOG.md; set it to that day"
    if commit_s is not None and built_s > commit_s:
        yield f"{where} is later than the commit: no clock would be believed"
    if commit_s is not None and built_s < commit_s - MOST_BUILD_AGE_S:
        yield f"{where} is more than {MOST_BUILD_AGE_S / 86_400:g} days older than the commit; set it to today"


def main() -> int:
    """0 if nothing was found."""
    files = tracked()
    checks = (words, bytes_of_files, foreign_files, lengths, locks, build_time)
    faults = [fault for check in checks for fault in check(files)]
    print("\n".join([*faults, f"{len(files)} files, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
