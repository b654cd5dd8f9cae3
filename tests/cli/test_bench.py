"""`anonymize bench` as a user has it: a real run in a process of its own, the reports, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anonymize.bench import launch
from anonymize.bench.plan import RunPlan
from anonymize.cli import bench as command
from anonymize.cli import main
from anonymize.cli.parser import make_parser
from anonymize.errors import UsageError
from tests.bench.reports import mode, noisy_ms, report

pytestmark = pytest.mark.timeout(900)  # the first run compiles every kernel, which a busy machine makes slow


def plans(*words: str) -> list[RunPlan]:
    return command.chosen_plans(make_parser().parse_args(["bench", *words]))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path, Path]:
    folder = tmp_path_factory.mktemp("bench")
    files = folder / "a.json", folder / "a.html"
    words = ["--size", "640x360", "--seconds", "2", "--fps", "4", "--load", "1", "--quiet"]
    code = main(["bench", *words, "--json", str(files[0]), "--html", str(files[1])])
    return code, *files


def test_a_real_run_hides_what_was_drawn_and_says_what_ran_it(measured):
    code, file, page = measured
    assert code == 0
    values = json.loads(file.read_text("utf-8"))
    (run,) = values["runs"]
    assert run["provider"] == "CPUExecutionProvider"
    assert len(run["model"]["sha256"]) == 64
    assert run["scene"]["objects"] == {"face": 4, "plate": 4}
    assert (run["network"]["width"], run["network"]["height"]) == (640, 384)
    flat, paced = run["modes"]["flat"], run["modes"]["paced"]
    assert flat["delivered"] == flat["frames"] > 0
    hidden = flat["boxes_hidden_per_frame"]
    assert 2 <= hidden["plate"] <= 8  # the network ran: nothing else finds plates
    assert flat["durations_ms"]["network_ms"]["p50"] > 0.5
    assert flat["cpu_ms_per_frame"] > 1
    assert paced["frames"] == 8
    assert paced["control"] is not None  # it rides on the burnt core
    assert run["start"]["to_first_hidden_frame_ms"] > run["start"]["first_call_ms"]
    assert run["memory"]["peak_mb"] > 50
    assert run["allocations"]["rounds"] >= 1
    assert "<svg" in page.read_text("utf-8")


def test_a_report_is_not_written_over_another(measured, capsys):
    _, file, _ = measured
    before = file.read_bytes()
    assert main(["bench", "--json", str(file), "--quiet"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_a_run_without_a_network_that_sees_is_no_success(monkeypatch, capsys, tmp_path):
    values = report({"paced": mode(np.full(60, 20.0), never=60)})
    values["runs"][0]["modes"]["paced"]["delivered"] = 0
    monkeypatch.setattr("anonymize.bench.report.make_report", lambda *_, **__: values)
    assert main(["bench", "--quiet"]) == 1
    shown = capsys.readouterr()
    assert "60 as queue_full" in shown.out
    assert "no frame came out" in shown.err


def test_a_process_that_dies_is_told(monkeypatch, capsys):
    monkeypatch.setattr(launch.sys, "executable", "/bin/false")
    assert main(["bench", "--quiet", "--size", "640x360"]) == 1
    assert "without figures" in capsys.readouterr().err


def test_a_process_that_hangs_is_ended(monkeypatch, tmp_path, capsys):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o700)
    monkeypatch.setattr(launch.sys, "executable", str(sleeper))
    monkeypatch.setattr(launch, "limit_s", lambda plan: 0.5)
    assert main(["bench", "--quiet", "--size", "640x360"]) == 1
    assert "did not end in time" in capsys.readouterr().err


def test_an_altered_model_is_wrong_usage(tmp_path, capsys):
    for name in ("a.onnx", "m.toml"):
        (tmp_path / name).write_text("x")
    words = [
        "--model",
        str(tmp_path / "a.onnx"),
        "--model-sha256",
        "0" * 64,
        "--manifest",
        str(tmp_path / "m.toml"),
    ]
    assert main(["bench", "--quiet", "--size", "640x360", *words]) == 2
    assert "anonymize bench:" in capsys.readouterr().err


def test_a_clip_that_is_none_is_wrong_usage(tmp_path, capsys):
    clip = tmp_path / "a.mp4"
    clip.write_text("ffconcat version 1.0\nfile b.mp4\n")
    assert main(["bench", "--quiet", "--clip", str(clip), "--seconds", "0.5"]) == 2
    assert "a.mp4" in capsys.readouterr().err


def test_a_plain_run_is_two_sizes_and_short():
    chosen = plans()
    assert [(plan.width, plan.height) for plan in chosen] == [(1280, 720), (1920, 1080)]
    assert all((plan.pixel_format, plan.threads) == ("nv12", 1) for plan in chosen)
    assert sum(plan.flat_s + plan.paced_s for plan in chosen) <= 40
    assert chosen[0].deadline_ms == pytest.approx(1000 / 30)


def test_options_become_plans(monkeypatch):
    monkeypatch.setattr(command, "cores", lambda: 6)
    assert [plan.threads for plan in plans("--size", "640x360", "--threads", "all")] == [1, 2, 4, 6]
    assert len(plans("--all")) == 4 * 3 * 4
    (soak,) = plans("--size", "640x360", "--minutes", "10", "--mode", "paced", "--fps", "25")
    assert (soak.flat_s, soak.paced_s, soak.deadline_ms) == (0.0, 600.0, 40.0)
    (limit,) = plans("--find-limit")
    assert (limit.task, limit.width, limit.height) == ("limit", 1920, 1080)


@pytest.mark.parametrize(
    "words",
    [
        ["--size", "12"], ["--size", "1x1"], ["--size", "9000x9000"], ["--threads", "0"], ["--threads", "1,x"],
        ["--fps", "0"], ["--seconds", "nan"], ["--load", "-1"], ["--objects", "65"], ["--clip", "nope.mp4"],
        ["--all", "--size", "640x360"], ["--minutes", "1", "--mode", "flat"], ["--find-limit", "--all"],
        ["--find-limit", "--size", "640x360", "--size", "1280x720"], ["--model", "a.onnx"],
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_wrong_usage(words, capsys):
    assert main(["bench", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("anonymize bench: --")
    assert said.count("\n") == 1


@pytest.fixture
def files(tmp_path):
    """Writes two reports of one run, the second slower by a factor."""

    def write(shift: float, **changes: object) -> list[str]:
        rng = np.random.default_rng(2)
        names = []
        for name, factor in (("a", 1.0), ("b", shift)):
            values = report({"paced": mode(noisy_ms(rng, 240, 18.0 * factor))})
            if name == "b":
                values["machine"].update(changes)
            file = tmp_path / f"{name}.json"
            file.write_text(json.dumps(values))
            names.append(str(file))
        return names

    return write


def test_compare_has_the_exit_codes_that_ci_needs(files, capsys, tmp_path):
    assert main(["bench", "compare", *files(1.0)]) == 0
    assert "no figure is slower by more than 5%" in capsys.readouterr().out
    assert main(["bench", "compare", *files(1.2)]) == 1
    assert "REGRESSION" in capsys.readouterr().out
    assert main(["bench", "compare", *files(1.2), "--margin", "40"]) == 0
    assert main(["bench", "compare", *files(1.0, cpu="another")]) == 2
    assert "--other-machine" in capsys.readouterr().err
    assert main(["bench", "compare", *files(1.0, cpu="another"), "--other-machine"]) == 0
    assert main(["bench", "compare", files(1.0)[0], str(tmp_path / "none.json")]) == 2
    assert main(["bench", "compare", *files(1.0), "--margin", "-1"]) == 2


def test_compare_refuses_a_damaged_report(files, capsys):
    a, b = files(1.0)
    values = json.loads(Path(b).read_text("utf-8"))
    del values["runs"][0]["modes"]["paced"]["windows"]
    Path(b).write_text(json.dumps(values))
    assert main(["bench", "compare", a, b]) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("found", "code"), [(True, 0), (False, 1)])
def test_the_limit_is_the_last_line(found, code, monkeypatch, capsys, tmp_path):
    step = {"cameras": 2, "fps": 30.0, "latency_ms": {"p99": 30.0}, "watts": None} if found else None
    asked = []

    def answer(plan: RunPlan, **_: object) -> dict[str, object]:
        asked.append(plan)
        return {"steps": [], "limit": step, "width": 1920, "height": 1080}

    monkeypatch.setattr(launch, "launch", answer)
    file = tmp_path / "limit.json"
    assert main(["bench", "--find-limit", "--json", str(file)]) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("this machine sustains ")
    assert ("2 cameras of 1080p at 30 frames/s, p99 30.0 ms" in last) is found
    assert json.loads(file.read_text("utf-8"))["line"] == last
    assert asked[0].task == "limit"


def test_a_plan_survives_its_way_to_the_process():
    plan = RunPlan(model=("a", "b", "c"), clip="x.mp4", control="off")
    assert RunPlan.from_json(plan.as_json()) == plan
    with pytest.raises(UsageError, match="99 objects"):
        launch.launch(RunPlan(objects=99, width=640, height=360))
