"""Table, page and what the machine says: complete, self-contained and fit to be passed on."""

from __future__ import annotations

import getpass
import json
import re
import socket
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from anonymize.bench import machine
from anonymize.bench.charts import time_chart
from anonymize.bench.page import as_page
from anonymize.bench.report import all_dropped, read_report, size_words
from anonymize.bench.text import as_text, limit_line
from anonymize.errors import UsageError
from tests.bench.reports import mode, noisy_ms, report


@pytest.fixture(scope="module")
def whole() -> dict:
    rng = np.random.default_rng(1)
    paced = mode(noisy_ms(rng, 2000, 18.0), never=12)
    paced["control"] = {
        "work_ms": 14.0,
        "late": 3,
        "misses_while_on_time": 2,
        "durations_ms": {"p50": 14.5, "p99": 18.9},
    }
    paced["misses"] = 14
    made = report({"flat": mode(noisy_ms(rng, 300, 16.0), whole="service"), "paced": paced})
    made["runs"][0]["last_fault"] = "DetectorError: <b>"
    made["warnings"] = ["the governor is powersave"]
    return made


def test_the_table_says_what_was_lost_and_whose_fault_it_was(whole):
    text = as_text(whole)
    assert "14 of 2000 frames missed 33.3 ms, 2 of them while the control loop" in text
    assert "it was late 3 times, its p50 14.5 and p99 18.9 ms (1.30 times)" in text
    assert "LOST         paced: dropped: 12 as queue_full" in text
    assert "warning: the governor is powersave" in text
    assert "drawn were 4 faces, 4 plates" in text
    assert "drive abababababab on CPUExecutionProvider" in text
    row = next(line for line in text.splitlines() if "whole, from due" in line)
    assert row.split()[-1] == "never"
    flat = next(line for line in text.splitlines() if "whole, from begun" in line)
    assert flat.split()[-2] == "–"  # p99.9 of 300 frames is no p99.9


class Parser(HTMLParser):
    """Collects tags and their attributes, and whether all are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "rect", "line", "polyline", "circle", "p"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag != "p":
            assert self.open.pop() == tag


def test_the_page_needs_nothing_and_runs_nothing(whole):
    page = as_page(whole)
    parser = Parser()
    parser.feed(page)
    assert parser.open == []
    tags = {tag for tag, _ in parser.seen}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?://|url\(|@import", page)
    assert not [a for _, attrs in parser.seen for a in attrs if a in ("src", "href") or a.startswith("on")]
    assert sum(tag == "svg" for tag, _ in parser.seen) == 4
    assert "A &lt;processor&gt;" in page
    assert "DetectorError: &lt;b&gt;" in page
    assert not re.search(r'"-?(nan|inf)', page)


def test_a_run_of_losses_alone_has_a_page_too():
    lost = report({"paced": mode(np.full(60, 20.0), never=60)})
    lost["runs"][0]["modes"]["paced"]["delivered"] = 0
    assert all_dropped(lost)
    assert "never" in as_page(lost)
    assert "never" in as_text(lost)


def test_a_stretch_in_which_nothing_came_is_marked():
    durations = np.full(240, 20.0)
    some = mode(durations, never=200)
    chart = time_chart("t", some, "latency", 33.3)
    assert chart.count("<circle") >= 25
    assert "red: missed or lost" in chart
    assert "<circle" not in time_chart("t", mode(durations), "latency", 33.3)


def test_nothing_names_the_owner_of_the_machine():
    words = json.dumps([machine.facts(), machine.state()])
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", words)
    assert str(Path.home()) not in words
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", words)
    facts = machine.facts()
    assert facts["cores"] >= 1
    assert facts["versions"]["onnxruntime"]


def test_warnings_on_a_doubtful_machine():
    calm = {"governor": "performance", "load_average": 0.1}
    known = {"cores": 4, "virtual": False}
    assert machine.warnings(calm, known) == []
    assert "powersave" in machine.warnings({**calm, "governor": "powersave"}, known)[0]
    assert "load average 3" in machine.warnings({**calm, "load_average": 3.0}, known)[0]
    assert "virtual" in machine.warnings(calm, {**known, "virtual": True})[0]


def test_watts_are_read_where_there_are_any(tmp_path):
    assert machine.Energy(tmp_path).watts(1.0) is None
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package: counted with it
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("5")
    (zone / "max_energy_range_uj").write_text("100000000")
    (zone / "energy_uj").write_text("90000000")
    energy = machine.Energy(tmp_path)
    (zone / "energy_uj").write_text("96000000")
    assert energy.watts(2.0) == 3.0
    (zone / "energy_uj").write_text("10000000")  # it began anew
    assert energy.watts(2.0) == 10.0
    (zone / "energy_uj").unlink()
    assert energy.watts(2.0) is None


def test_peak_memory_is_that_of_what_follows():
    if not machine.reset_peak_memory():
        pytest.skip("this system does not let the peak of memory begin anew")
    before = machine.peak_memory_mb()
    block = np.ones(60_000_000 // 8)
    after = machine.peak_memory_mb()
    del block
    assert 50 < after - before < 80


def test_the_limit_in_one_line():
    found = {"cameras": 3, "fps": 30.0, "latency_ms": {"p99": 21.06}, "watts": None}
    assert limit_line(found, 1920, 1080, 30.0) == (
        "this machine sustains 3 cameras of 1080p at 30 frames/s, p99 21.1 ms"
    )
    slower = limit_line({**found, "cameras": 1, "fps": 10.0, "watts": 9.5}, 1920, 1080, 30.0)
    assert "does not sustain one camera of 1080p at 30 frames/s; it sustains one at 10 frames/s" in slower
    assert slower.endswith("9.5 W")
    assert "no camera of 2160p" in limit_line(None, 3840, 2160, 30.0)
    assert size_words(800, 600) == "800 × 600"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[]", "is no report"),
        ('{"kind": "anonymize bench", "schema": 2}', "schema 2"),
        ('{"kind": "anonymize bench", "schema": 1, "runs": []}', "holds no run"),
    ],
)
def test_files_that_are_no_report_are_refused(tmp_path, words, said):
    file = tmp_path / "a.json"
    if words is not None:
        file.write_text(words)
    with pytest.raises(UsageError, match=said):
        read_report(file)
