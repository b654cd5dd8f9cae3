"""What a person says of an archive: shown, saved, bound to digests, applied, and reported."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from anonymize.archive.corrections import read_review
from anonymize.archive.plain import from_text, to_text
from anonymize.archive.report import as_text, whole_report
from anonymize.archive.report_page import as_page, ticks
from anonymize.archive.review import review_page
from anonymize.archive.status import as_text as status_text
from anonymize.archive.status import status
from anonymize.archive.work import AddedBox, ArchiveSettings, FileResult, Moment
from anonymize.errors import UsageError
from anonymize.settings import Settings

ADDED = {"label": "plate", "xyxy": [1.0, 2.0, 30.0, 40.0], "from_s": 0.5, "until_s": 1.5}


def review_file(archive, tmp_path: Path, **changed) -> Path:
    row = archive.rows()["v.mp4"]
    one = {
        "key": "v.mp4", "source_digest": row.source_digest, "settings_digest": row.bound.settings_digest,
        "added": [], "released": [],
    }  # fmt: skip
    path = tmp_path / "review.json"
    path.write_text(json.dumps({"schema": 1, "files": [{**one, **changed}]}))
    return path


def test_an_added_box_is_hidden_now_and_in_later_runs(archive, tmp_path):
    archive.add("v.mp4", "a.jpg")
    archive.run()
    review = read_review(review_file(archive, tmp_path, added=[ADDED]))
    outcome = archive.run(review=review)
    assert (outcome.done, outcome.already_done) == (1, 1)
    box = AddedBox("plate", (1.0, 2.0, 30.0, 40.0), 0.5, 1.5)
    assert repr(box).encode() in (archive.output / "v.mp4").read_bytes()
    assert archive.run().already_done == 2  # a run without the review takes nothing back
    outcome = archive.run(settings=ArchiveSettings(video=Settings(cautious=True)))
    assert repr(box).encode() in (archive.output / "v.mp4").read_bytes()
    (archive.source / "v.mp4").write_bytes(b"another drive")
    outcome = archive.run()
    assert "the source changed, so earlier corrections of it are void" in outcome.notes[0]
    assert repr(box).encode() not in (archive.output / "v.mp4").read_bytes()


def test_false_hits_want_a_second_word_and_hold_for_their_settings_alone(archive, tmp_path):
    archive.add("v.mp4")
    archive.run()
    review = read_review(review_file(archive, tmp_path, released=[ADDED]))
    with pytest.raises(UsageError, match="add --release-false-hits to confirm it"):
        archive.run(review=review)
    assert archive.run().already_done == 1  # nothing was kept of it
    assert archive.run(review=review, release=True).done == 1
    report = whole_report(archive.output)
    assert "v.mp4: 1 false hits are not hidden" in report["exceptions"]
    outcome = archive.run(settings=ArchiveSettings(video=Settings(cautious=True)))
    assert "released false hits are hidden again" in outcome.notes[0]
    assert archive.rows()["v.mp4"].bound.corrections_digest == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"source_digest": "f" * 64}, "of another source"),
        ({"settings_digest": "f" * 64}, "of other settings"),
        ({"key": "w.mp4"}, "no file that this archive has done"),
    ],
)
def test_a_review_of_something_else_is_refused_whole(archive, tmp_path, changed, words):
    archive.add("v.mp4")
    archive.run()
    review = read_review(review_file(archive, tmp_path, added=[ADDED], **changed))
    with pytest.raises(UsageError, match=words):
        archive.run(review=review)
    assert archive.run().already_done == 1


@pytest.mark.parametrize(
    "box",
    [
        {"xyxy": [5, 5, 5, 9]}, {"xyxy": [0, 0, float("nan"), 9]}, {"label": "cat"}, {"until_s": 0.0},
        {"xyxy": [1, 2, 3]}, {"more": 1}, {"from_s": None},
    ],
)  # fmt: skip
def test_a_broken_review_is_refused(archive, tmp_path, box):
    archive.add("v.mp4")
    archive.run()
    with pytest.raises(UsageError, match="review"):
        read_review(review_file(archive, tmp_path, added=[{**ADDED, **box}]))


def test_what_is_in_quarantine_can_be_judged(archive, tmp_path):
    archive.add("unverified.jpg")
    archive.run()
    row = archive.rows()["unverified.jpg"]
    assert row.state == "quarantined"
    assert row.source_digest
    path = tmp_path / "review.json"
    one = {"key": row.key, "source_digest": row.source_digest, "settings_digest": row.bound.settings_digest}
    path.write_text(json.dumps({"schema": 1, "files": [{**one, "added": [ADDED], "released": []}]}))
    archive.run(review=read_review(path))
    assert archive.begun().count("picture unverified.jpg") == 2


def test_the_report_names_what_wants_a_look_and_needs_nothing_beside_it(archive):
    archive.add("a.jpg", "b<script>.jpg", "v.mp4", "bad.jpg", "note.txt")
    archive.run(exceptions=["threshold for faces set to 0.9"])
    report = whole_report(archive.output)
    assert report["files"] == {"all": 4, "done": 3, "failed": 1, "unreadable": 0, "of other kinds": 1}
    assert report["objects"] == {"face": 3, "plate": 6}
    assert report["origins"] == {"detected": {"boxes": 9, "share": 1.0}}
    assert [one["file"] for one in report["wants_a_look"]] == ["bad.jpg"]
    assert report["exceptions"] == ["threshold for faces set to 0.9"]
    page = as_page(report)
    assert "b&lt;script&gt;.jpg" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<svg") == 2
    assert "exception: threshold for faces set to 0.9" in as_text(report)
    assert json.loads(json.dumps(report)) == report


def test_status_reads_beside_a_run(archive):
    archive.add("a.jpg", "bad.jpg")
    archive.run()
    values = status(archive.output)
    assert values["files"] == {"done": 1, "failed": 1}
    assert not values["running"]
    assert "failed: bad.jpg" in status_text(values)
    with archive.state.locked():
        assert status(archive.output)["running"]
        assert status_text(status(archive.output)).startswith("running: ")


def test_a_result_survives_the_journal():
    result = FileResult(
        kind="log", boxes={"face": 1}, certainty=(Moment(1.5, 3, "face", (1.0, 2.0, 3.0, 4.0), 0.25, "held", "/c"),),
        notes=("ü",),
    )  # fmt: skip
    assert from_text(FileResult, to_text(result)) == result
    settings = ArchiveSettings(video=Settings(never=((0.0, 0.0, 5.0, 5.0),)), keep_channels=("/a",))
    assert from_text(ArchiveSettings, to_text(settings)) == settings
    for broken in (
        '{"kind": "cat"}',
        '{"frames": 1}',
        '{"kind": "log", "more": 1}',
        '{"kind": "log", "frames": "1"}',
    ):
        with pytest.raises(ValueError, match=r"came|no more|kind"):
            from_text(FileResult, broken)
    assert asdict(replace(result, frames=2))["frames"] == 2


@pytest.mark.parametrize("highest", [0.0, 0.004, 1.0, 7.0, 99.0, 12345.0])
def test_ticks_reach_the_highest_point(highest):
    steps = ticks(highest)
    assert steps[0] == 0.0
    assert steps[-1] >= highest
    assert 2 <= len(steps) <= 6


def test_an_archive_without_moments_gives_an_empty_page(archive):
    archive.add("bad.jpg")
    archive.run()
    page, shown, left_out = review_page(archive.output, 10)
    assert (shown, left_out) == (0, [])
    assert "Nothing is uncertain." in page
