"""`anonymize archive` as a user runs it, with the real jobs on a drawn street."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from anonymize.cli import main
from anonymize.configuration import read_configuration


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A folder with a good and a bad picture, its output, and the exit code of the run."""
    folder = tmp_path_factory.mktemp("archive")
    source, output = folder / "in", folder / "out"
    (source / "trip").mkdir(parents=True)
    assert main(["sample", str(source / "trip" / "street.png")]) == 0
    (source / "bad.jpg").write_bytes(b"no picture")
    (source / "notes.txt").write_text("left out")
    run = ["archive", "run", str(source), "-o", str(output), "--workers", "1", "--quiet"]
    return source, output, main(run)


def test_a_bad_file_turns_the_exit_code_and_the_others_are_done(done):
    source, output, code = done
    assert code == 1
    assert (output / "trip" / "street.png").is_file()
    assert (output / "trip" / "street.png").read_bytes() != (source / "trip" / "street.png").read_bytes()
    assert not (output / "bad.jpg").exists()
    assert (source / "bad.jpg").read_bytes() == b"no picture"


def test_status_report_and_plan_say_what_was_done(done, tmp_path, capsys):
    source, output, _ = done
    assert main(["archive", "status", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == {"done": 1, "failed": 1}
    html, values = tmp_path / "report.html", tmp_path / "report.json"
    assert main(["archive", "report", str(output), "--html", str(html), "--json", str(values)]) == 0
    report = json.loads(values.read_text())
    assert report["objects"]["plate"] >= 1
    assert report["each"][1]["verified"]
    assert "trip/street.png" in html.read_text()
    capsys.readouterr()
    plan = ["archive", "plan", str(source), "-o", str(output), "--sample-seconds", "0", "--json"]
    assert main(plan) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["standings"] == {"again": 1, "done": 1}
    assert planned["left_out"] == [str(source / "notes.txt")]


def test_the_review_page_shows_the_output_and_is_this_users_alone(done, tmp_path, capsys):
    _, output, _ = done
    page = tmp_path / "review.html"
    assert main(["archive", "review", str(output), "-o", str(page)]) == 0
    assert "personal data" in capsys.readouterr().out
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text()
    assert "data:image/jpeg;base64," in text
    assert "This page holds personal data" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert main(["archive", "review", str(output), "-o", str(page)]) == 1  # never over another file
    written = output / "trip" / "street.png"
    original = written.read_bytes()
    try:
        written.write_bytes((done[0] / "trip" / "street.png").read_bytes())  # the source put in its place
        assert main(["archive", "review", str(output), "-o", str(page), "--overwrite"]) == 0
        assert "is not what was written; it is not shown" in capsys.readouterr().err
        assert "data:image" not in page.read_text()
    finally:
        written.write_bytes(original)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "missing", "-o", "out"], "no such file"),
        (["run", ".", "-o", "out", "--workers", "0"], "--workers is 0"),
        (["run", ".", "-o", "out", "--style", "blur"], "--allow-weak-on-video"),
        (["run", ".", "-o", "out", "--release-false-hits"], "wanted --review FILE with it"),
        (["run", ".", "-o", "out", "--review", "missing.json"], "cannot be read"),
        (["run"], "required"),
        (["review", "out", "-o", "page.html", "--moments", "0"], "--moments is 0"),
    ],
)
def test_wrong_usage_is_told(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["archive", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_archive_is_told(tmp_path, capsys):
    assert main(["archive", "status", str(tmp_path)]) == 1
    assert "holds no journal" in capsys.readouterr().err


def test_a_site_that_requires_zones_is_not_gone_around(tmp_path, monkeypatch, capsys):
    site = tmp_path / "site.toml"
    site.write_text("[zones]\nrequired = true\n")
    assert read_configuration(site).zones.required
    monkeypatch.setenv("ANONYMIZE_CONFIG", str(site))
    (tmp_path / "in").mkdir()
    assert main(["archive", "run", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 2
    assert "requires zones" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    program = (
        "import sys\nfrom anonymize.cli import main\n"
        "main(['archive', 'run', '--help'])\n"
        "print(sorted({'numpy', 'numba', 'onnxruntime', 'rich', 'av', 'PIL', 'sqlite3', 'ray'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert told.stdout.splitlines()[-1] == "[]", told.stderr
