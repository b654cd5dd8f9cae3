"""The owner's commands and page, run as a person would."""

from __future__ import annotations

import json
import re
import shlex
import threading
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from anonymize.cli.main import main
from anonymize.frames import Dropped, Reason
from anonymize.media.segments import Coding
from anonymize.media.video import open_video
from anonymize.store.actions import Choice
from anonymize.store.asking import act
from anonymize.store.errors import StoreBusyError
from anonymize.store.ledger_verifier import read_key, verify
from anonymize.store.making import key_home
from anonymize.store.report import whole_report
from anonymize.store.settings import read_settings
from anonymize.store.store import Store
from tests.store.stores import INIT, frame, make_store, put, recording

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "store-report.schema.json").read_text())


def made(tmp_path) -> Path:
    folder = tmp_path / "my store"
    assert main(["store", "init", str(folder), *INIT, "--key", str(tmp_path / "device.key")]) == 0
    return folder


def recorded(folder: Path, frames: int = 65, coding: Coding | None = None) -> None:
    with recording(folder, key_home(folder), coding or Coding()) as store:
        store.take([frame(number) for number in range(frames)])
        store.take([Dropped(Reason.WITHHELD)] * 3)


def test_init_asks_for_what_is_missing_and_makes_nothing_without(tmp_path, capsys):
    folder = tmp_path / "store"
    assert main(["store", "init", str(folder)]) == 2
    assert "purpose, contact, region, consent_until" in capsys.readouterr().err
    assert not folder.exists()
    assert main(["store", "init", str(folder), *INIT[:-1], "0", "--purpose", "Two Words"]) == 2


def test_init_asks_on_a_terminal(tmp_path, monkeypatch):
    answers = iter(["accident-evidence", "owner@example.org", "CN-SH", "2099-01-01"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    assert main(["store", "init", str(tmp_path / "store")]) == 0
    settings = read_settings(tmp_path / "store")
    assert (settings.purpose, settings.region, settings.consent_until) == (
        "accident-evidence",
        "CN-SH",
        "2099-01-01",
    )
    assert settings.classes == {"default": "personal"}


def test_a_key_beside_the_data_is_warned_of(tmp_path, capsys):
    assert main(["store", "init", str(tmp_path / "store"), *INIT]) == 0
    assert "protects nothing against a stolen disk" in capsys.readouterr().out
    assert whole_report(tmp_path / "store")["key"]["beside_the_data"]
    made(tmp_path)
    assert "protects nothing" not in capsys.readouterr().out
    assert not whole_report(tmp_path / "my store")["key"]["beside_the_data"]


def test_the_report_fits_its_schema(tmp_path, capsys):
    folder = made(tmp_path)
    recorded(folder)
    with Store.open(folder, key_home(folder)) as store:
        store.read(next(store.ids()), recipient="workshop", purpose="repair")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    target = tmp_path / "report.json"
    assert main(["store", "report", str(folder), "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert not list(folder.glob("*-wal"))  # looking leaves nothing beside it
    jsonschema.validate(report, SCHEMA)
    (held,) = report["held"]
    assert (held["class"], held["segments"], held["frames"], held["retention_days"]) == (
        "personal",
        3,
        65,
        14,
    )
    assert report["dropped"] == [{"day": report["made_on"], "reason": "withheld", "frames": 3}]
    assert [(one["what"], one["recipient"]) for one in report["seen_by"]] == [("segment.read", "workshop")]
    assert report["consent"]["history"][0]["what"] == "given"
    assert main(["store", "report", str(folder), "--json", str(target)]) == 1  # never over a file that exists


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.outside += [value for name, value in attributes if name in ("src", "href", "action")]


def test_the_page_is_whole_and_says_it_in_both_languages(tmp_path):
    folder = made(tmp_path)
    recorded(folder)
    page = tmp_path / "page.html"
    assert main(["store", "report", str(folder), "--html", str(page)]) == 0
    text = page.read_text()
    seen = _Page()
    seen.feed(text)
    assert not seen.outside
    assert not {"script", "img", "link", "iframe", "form"} & set(seen.tags)
    assert len(re.findall("[一-鿿]", text)) > 200
    for words in ("What is held", "保存了什么", "personal", "个人信息", "near a place where recording is forbidden",
                  "accident-evidence", "owner@example.org", "withdraw", "撤回"):  # fmt: skip
        assert words in text
    assert "<b>" not in _page_of(folder, contact="<b>x</b>")


def _page_of(folder: Path, **changes) -> str:
    from anonymize.store.page import as_page

    return as_page(whole_report(folder) | changes)


def test_the_commands_on_the_page_work(tmp_path, capsys, monkeypatch):
    folder = made(tmp_path)
    recorded(folder)
    monkeypatch.chdir(tmp_path)
    report = whole_report(folder)
    (held,) = report["held"]

    def run(line: str) -> None:
        words = shlex.split(line)
        assert words[0] == "anonymize"
        assert main(words[1:]) == 0, capsys.readouterr().err

    run(held["commands"]["copy"])
    (film,) = (tmp_path / "COPY").iterdir()
    with open_video(film) as video:
        assert len(list(video)) == 65  # one film of three segments
    run(report["commands"]["stop"])
    assert whole_report(folder)["not_recording_because"] == "stopped"
    run(report["commands"]["start"])
    assert whole_report(folder)["allowed_to_record"]
    run(held["commands"]["delete"])
    assert whole_report(folder)["held"] == []
    recorded(folder)
    run(report["commands"]["delete"])
    recorded(folder)
    run(report["commands"]["withdraw"])
    after = whole_report(folder)
    assert (after["held"], after["not_recording_because"]) == ([], "consent_withdrawn")
    assert [one["cause"] for one in after["deleted"]] == ["owner", "withdrawn"]
    recorded(folder, 5)
    assert whole_report(folder)["held"] == []  # withdrawn: nothing is recorded any more
    key = read_key(folder / "ledger.pub")
    for receipt in sorted((folder / "receipts").iterdir()):
        assert not verify(receipt, [key]).faults
    assert len(list((folder / "receipts").iterdir())) == 6
    assert not verify(folder / "ledger.sqlite", [key]).faults
    assert main(["store", "init", str(folder), "--consent-days", "10"]) == 0  # a new consent
    assert whole_report(folder)["allowed_to_record"]


def test_copies_of_pictures_stand_upright(tmp_path):
    from PIL import Image

    folder = made(tmp_path)
    with recording(folder, key_home(folder), Coding(encoding="jpeg")) as store:
        store.take([frame(number, rotation_deg=90, camera="left/rear") for number in range(3)])
    assert main(["store", "copy", str(folder), str(tmp_path / "out")]) == 0
    files = sorted((tmp_path / "out").rglob("*.jpg"))
    assert [file.name for file in files] == ["000001.jpg", "000002.jpg", "000003.jpg"]
    assert files[0].parent.name.startswith("left_rear-20")
    assert Image.open(files[0]).getexif() == {0x0112: 6}
    assert (
        main(["store", "copy", str(folder), str(tmp_path / "out")]) == 2
    )  # never into a folder that is in use


def test_a_running_recorder_answers_the_owner(tmp_path):
    folder, home = make_store(tmp_path)
    with recording(folder, home) as store:
        put(store, 3)
        done: list[dict] = []
        asking = threading.Thread(
            target=lambda: done.append(act(folder, lambda: home, "withdraw", Choice(), patience_s=20.0))
        )
        asking.start()
        asking.join(20.0)
        assert done[0]["segments"] == 3
        assert store.status()["not_recording_because"] == "consent_withdrawn"
        assert not list(store.ids())
        assert not list((folder / "requests").iterdir())
    with Store.open(folder, home), pytest.raises(StoreBusyError, match="has not answered"):
        act(folder, lambda: home, "stop", Choice(), patience_s=0.3)  # opened by its owner: nobody listens
    assert not list((folder / "requests").iterdir())


def test_wrong_words_are_usage_errors(tmp_path, capsys):
    folder = made(tmp_path)
    place = str(folder)
    assert main(["store", "delete", place]) == 2
    assert main(["store", "delete", place, "--all", "--class", "personal"]) == 2
    assert main(["store", "init", place, "--retain", "personal"]) == 2
    assert main(["store", "init", place, "--retain", "personal=15"]) == 2
    assert main(["store", "init", place, "--consent-until", "soon"]) == 2
    assert main(["store", "delete", place, "--from", "yesterday"]) == 2
    assert main(["store", "report", str(tmp_path / "nothing")]) == 1
    assert "anonymize store init" in capsys.readouterr().err
