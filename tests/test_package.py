"""The package as a whole: its public names, what an import costs, and that no network is used."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

import anonymize
from anonymize.release import RELEASE

ROOT = Path(__file__).resolve().parent.parent
SOURCE_ROOTS = ("anonymize", "kernels/anonymize_kernels", "models/anonymize_models")
NETWORK = {
    "aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "poplib", "requests", "smtplib", "socket",
    "socketserver", "ssl", "telnetlib", "urllib", "urllib3", "webbrowser", "xmlrpc", "_socket", "_ssl",
}  # fmt: skip
HEAVY = {
    "PIL",
    "anonymize_kernels",
    "av",
    "cv2",
    "llvmlite",
    "numba",
    "numpy",
    "onnxruntime",
    "rich",
    "scipy",
}


# needs GStreamer's bindings, which come with the system's Python alone; loaded by the tests in tests/live
WITH_THE_SYSTEMS_PYTHON = {
    f"anonymize.live.gstreamer.python.vehicleanonymize{part}" for part in ("", "_parts", "hold")
}


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "models"))
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def loaded_by(statement: str) -> set[str]:
    """The modules in memory after a statement in a fresh interpreter, by the first part of their names."""
    program = f"import json, sys\n{statement}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_public_names_are_sorted_and_there():
    assert anonymize.__all__ == sorted(set(anonymize.__all__))
    assert dir(anonymize) == anonymize.__all__
    for name in anonymize.__all__:
        assert getattr(anonymize, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'open_door'"):
        _ = anonymize.open_door


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "anonymize" / "py.typed").is_file()


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import anonymize") & (HEAVY | NETWORK)


def test_the_types_of_frames_load_no_engine():
    assert not loaded_by("import anonymize; anonymize.CapturedFrame") & (HEAVY - {"numpy"})


def test_help_comes_at_once():
    ask = "from anonymize.cli import main\nmain(['--help'])\nmain(['run', '--help'])"
    assert not loaded_by(ask) & HEAVY
    times_s = []
    for _ in range(3):
        start = time.perf_counter()
        done = python("-m", "anonymize", "--help")
        times_s.append(time.perf_counter() - start)
        assert done.returncode == 0
        assert "usage: anonymize" in done.stdout
    assert min(times_s) < 2.0  # 0.1 s on an idle machine


def sources() -> list[Path]:
    found = [path for root in SOURCE_ROOTS for path in (ROOT / root).rglob("*.py")]
    assert len(found) > 40
    return found


def imported_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "import_module",
            "__import__",
            "find_spec",
        }:
            names |= {
                one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    "line",
    [
        "import socket",
        "def f():\n    from urllib import request",
        "import http.server as s",
        "__import__('ssl')",
    ],
)
def test_the_scan_sees_network_imports(line):
    assert imported_names(ast.parse(line)) & NETWORK


def test_no_source_imports_a_network_module():
    found = {
        path.relative_to(ROOT): imported_names(ast.parse(path.read_text("utf-8"))) & NETWORK
        for path in sources()
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_every_module_can_be_imported():
    for path in sources():
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts if parts[0] == "anonymize" else parts[1:]
        name = ".".join(parts).removesuffix(".__init__")
        if name != "anonymize.__main__" and name not in WITH_THE_SYSTEMS_PYTHON:
            importlib.import_module(name)


RUN = "sys.exit(main(['run', sys.argv[1], '-o', sys.argv[2], '--json', '--quiet']))"
BANNED = f"""
import sys
def ban(event, arguments):
    if event.split(".")[0] in ("socket", "urllib", "http", "ftplib", "smtplib", "imaplib", "poplib"):
        sys.stderr.write("network: " + event)
        sys.exit(9)
sys.addaudithook(ban)
import socket
def refused(*arguments, **named):
    sys.stderr.write("a socket was made")
    sys.exit(9)
socket.socket = socket.create_connection = socket.socketpair = refused
from anonymize.cli import main
{RUN}
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("drawn") / "street.png"
    done = python("-m", "anonymize", "sample", str(file))
    assert done.returncode == 0, done.stderr
    return file


def assert_hidden(done: subprocess.CompletedProcess[str], output: Path) -> None:
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["done"] == 1
    assert summary["objects_hidden"]["plate"] >= 1
    assert output.stat().st_size > 1000


def test_the_main_job_makes_no_socket(street, tmp_path):
    output = tmp_path / "hidden.png"
    assert_hidden(python("-c", BANNED, str(street), str(output)), output)


def test_the_ban_catches_a_socket(street, tmp_path):
    program = BANNED.replace("from anonymize.cli import main", "import _socket\n_socket.socket()")
    done = python("-c", program, str(street), str(tmp_path / "hidden.png"))
    assert done.returncode == 9
    assert "network: socket" in done.stderr


def test_the_main_job_runs_without_a_network(street, tmp_path):
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    alone = ["unshare", *as_root, "--net"]
    try:
        permitted = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        permitted = False
    if not permitted:
        pytest.skip(
            "unshare --net is missing or not permitted here: the run in a network namespace of its own is left out"
        )
    output = tmp_path / "hidden.png"
    run = f"import sys\nfrom anonymize.cli import main\n{RUN}"
    done = python(
        "-c",
        "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)",
        *alone,
        sys.executable,
        "-c",
        run,
        str(street),
        str(output),
    )
    assert_hidden(done, output)


def test_the_wheel_holds_what_it_should_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling")
    done = python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    code = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in code} == {"anonymize", "anonymize_kernels", "anonymize_models"}
    assert not [name for name in code if "anonymize_reference" in name or "test" in name.split("/")[-1]]
    assert {"anonymize/py.typed", "anonymize_models/manifest.toml", "anonymize_models/drive.onnx"} <= code
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    expected = {
        path.relative_to(ROOT).as_posix().removeprefix("kernels/").removeprefix("models/")
        for path in sources()
    }
    assert {name for name in code if name.endswith(".py")} == expected


def test_the_release_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == RELEASE
