"""`archive plan`: what it says before a run, measured on a sample, and that it changes nothing."""

from __future__ import annotations

from anonymize.archive.estimate import as_text, estimate


def test_a_plan_is_measured_and_changes_nothing(archive, monkeypatch):
    archive.add("a.jpg", "b.jpg", "c.jpg", "d.jpg", "v.mp4", "bad.mcap", "note.txt")
    monkeypatch.setenv("STANDIN_TAKES_S", "0.02")
    values = estimate(archive.request(), sample_s=20.0, check=lambda: None)
    assert values["standings"] == {"new": 6}
    assert values["todo"]["picture"]["files"] == 4
    assert values["rates"]["picture"]["bytes_per_s"] > 0
    assert values["rates"]["picture"]["complete"]
    assert values["rates"]["video"]["size_ratio"] > 1.0  # the stand-in adds its mark
    assert "log" not in values["rates"]  # the only one is bad: no rate, so no time for the whole
    assert values["seconds"] is None
    assert values["free_bytes"] > values["needed_bytes"] > 0
    assert not archive.output.exists()
    assert "time: not known" in as_text(values)
    (archive.source / "bad.mcap").unlink()
    values = estimate(archive.request(), sample_s=20.0, check=lambda: None)
    assert values["seconds"] > 0
    assert "a worker measured" in as_text(values)


def test_a_plan_knows_what_is_done_and_what_waits(archive):
    archive.add("a.jpg", "b.jpg", "unverified.jpg", "bad.jpg")
    archive.run()
    (archive.source / "a.jpg").write_bytes(b"other")
    values = estimate(archive.request(), sample_s=0.0, check=lambda: None)
    assert values["standings"] == {"changed": 1, "again": 1, "done": 1, "quarantined": 1}
    assert values["why"] == {"the source changed": 1}
    assert values["waiting_for_a_person"][0]["file"] == "unverified.jpg"
    assert "waits for a person: unverified.jpg" in as_text(values)
