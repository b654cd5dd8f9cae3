"""SAFETY 23: neither engine nor store opens a socket, asked of the kernel; and which network modules are loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.privacy.network_ban import supported

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not supported(), reason="the kernel's ban on sockets is written for Linux x86-64, arm64"
)

NETWORK = {
    "_socket", "_ssl", "aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "multiprocessing", "poplib",
    "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib", "urllib3", "webbrowser", "xmlrpc",
}  # fmt: skip
# What libraries load without using it: pathlib urllib.parse, numba the others. None of our sources imports one
# (tests/test_package.py).
LOADED_BY_LIBRARIES = {
    "_socket", "multiprocessing", "multiprocessing.context", "multiprocessing.process", "multiprocessing.reduction",
    "socket", "urllib", "urllib.parse",
}  # fmt: skip

EVERYTHING = f"""
import importlib, json, pkgutil, sys
from pathlib import Path
from tests.privacy.network_ban import ban_sockets
ban_sockets()

from anonymize.cli import main
assert main(["run", sys.argv[1], "-o", sys.argv[2] + "/hidden.png", "--quiet"]) == 0

import anonymize
APART = ("anonymize.__main__", "anonymize.archive.cluster", "anonymize.live.gstreamer")
for found in pkgutil.walk_packages(anonymize.__path__, "anonymize."):
    if not found.name.startswith(APART):
        importlib.import_module(found.name)

from tests.store.exports import HOME, KNOWN, Scene
from anonymize.store.ledger_verifier import verify, verify_bundle
scene = Scene(Path(sys.argv[2]))
assert verify_bundle(scene.export(HOME).path, KNOWN).faults == []
scene.ledger.close()
assert verify(scene.ledger.path, KNOWN).faults == []

network = {NETWORK!r}
print("loaded", json.dumps(sorted(name for name in sys.modules if name.split(".")[0] in network)))
"""


def python(program: str, *words: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in an environment that does not itself silence onnxruntime (CI and ORT_... would)."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home or Path.home())}
    environment["PYTHONPATH"] = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "models"))
    kernels = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "vehicle-anonymize", "kernels")
    environment["NUMBA_CACHE_DIR"] = os.environ.get("NUMBA_CACHE_DIR", str(kernels))
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def traces(home: Path) -> list[Path]:
    """What onnxruntime keeps to send later, and the identifier of the device."""
    return [path for path in home.rglob("*") if "Microsoft" in path.parts]


def test_engine_store_ledger_and_export_make_no_socket(tmp_path):
    street, home = tmp_path / "street.png", tmp_path / "home"
    home.mkdir()
    made = python(f"from anonymize.cli import main\nassert main(['sample', {str(street)!r}]) == 0")
    assert made.returncode == 0, made.stderr
    done = python(EVERYTHING, str(street), str(tmp_path), home=home)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hidden.png").stat().st_size > 1000
    loaded = json.loads(done.stdout.splitlines()[-1].removeprefix("loaded "))
    assert set(loaded) <= LOADED_BY_LIBRARIES
    assert traces(home) == []  # its thread would ask for an address only some 10 s later


def test_what_onnxruntime_does_unless_it_is_told(tmp_path):
    """The test above can fail: the same runtime, imported as anybody would, prepares to send; ours does not."""
    session = "onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    ban = "import sys; from tests.privacy.network_ban import ban_sockets; ban_sockets()"
    for name, load in (
        ("anybody", "import onnxruntime"),
        ("ours", "from anonymize.detect.session import load_runtime; onnxruntime = load_runtime()"),
    ):
        home = tmp_path / name
        home.mkdir()
        done = python(
            f"{ban}\n{load}\n{session}", str(ROOT / "models/anonymize_models/drive.onnx"), home=home
        )
        assert done.returncode == 0, done.stderr
    assert traces(tmp_path / "ours") == []
    if tuple(map(int, metadata.version("onnxruntime").split(".")[:2])) >= (1, 29):
        assert traces(tmp_path / "anybody")


def test_a_runtime_that_was_imported_before_is_warned_of():
    warned = "import onnxruntime\nfrom anonymize.detect.session import load_runtime\nload_runtime()"
    assert "may use the network" in python(warned).stderr
    told = f"import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'\n{warned}"
    assert python(told).stderr == ""


@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX)",
        "import socket; socket.socketpair()",
        "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)",
        "import threading; t = threading.Thread(target=__import__('_socket').socket); t.start(); t.join()",
        "import asyncio; asyncio.new_event_loop()",
    ],
)
def test_the_ban_kills_who_makes_a_socket(act):
    done = python(
        f"from tests.privacy.network_ban import ban_sockets\nban_sockets()\nprint('go', flush=True)\n{act}"
    )
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, "go\n")


def test_the_ban_holds_for_children():
    words = "[sys.executable, '-c', 'import socket; socket.socket()']"
    child = f"import subprocess, sys; print(subprocess.run({words}).returncode)"
    done = python(f"from tests.privacy.network_ban import ban_sockets\nban_sockets()\n{child}")
    assert done.stdout == f"{-signal.SIGSYS}\n"


def test_ledger_and_export_load_no_network_module():
    program = "import json, sys, anonymize.store.export\nprint(json.dumps(sorted(sys.modules)))"
    done = python(program)
    assert done.returncode == 0, done.stderr
    loaded = {name for name in json.loads(done.stdout) if name.split(".")[0] in NETWORK}
    assert loaded <= {"urllib", "urllib.parse"}  # pathlib loads it


def test_no_part_of_the_store_loads_a_network_module():
    program = """
import importlib, json, pkgutil, sys
import anonymize.store
for found in pkgutil.walk_packages(anonymize.store.__path__, "anonymize.store."):
    importlib.import_module(found.name)
print(json.dumps(sorted(sys.modules)))
"""
    done = python(program)
    assert done.returncode == 0, done.stderr
    loaded = {name for name in json.loads(done.stdout) if name.split(".")[0] in NETWORK}
    assert loaded <= {"urllib", "urllib.parse"}  # pathlib loads it
