"""What goes in and what does not, and that what went in comes out again."""

from __future__ import annotations

import errno
import io
import os
import threading
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from anonymize.frames import CapturedFrame, Dropped, FrameMemory, Reason, _seal_anonymized
from anonymize.media.segments import Coding
from anonymize.media.video import open_video
from anonymize.store import writing
from anonymize.store.errors import StoreBusyError, StoreError
from anonymize.store.keys import KeyFile
from anonymize.store.store import Store
from anonymize.zones.hold import ReleasedGroup
from anonymize.zones.zone_gate import ZoneGate
from tests.store.stores import DAY_S, JPEG, MADE_BY, START_S, Clock, frame, make_store, put, recording
from tests.zones.places import fix, signed

H264 = Coding()


def events(folder, home) -> list[dict]:
    with Store.open(folder, home) as store:
        return list(store.vault.ledger.rows(0, store.vault.ledger.size))


def test_frames_come_out_as_they_went_in(tmp_path):
    folder, home = make_store(tmp_path)
    with recording(folder, home, H264) as store:
        for number in range(75):
            store.take([frame(number, value=60 + number, rotation_deg=90)])
    with Store.open(folder, home) as store:
        films = [store.read(one) for one in store.ids()]
        assert [store.describe(one).data_class for one in store.ids()] == ["personal"] * 3
    seen = []
    for film in films:
        path = tmp_path / "film.mp4"
        path.write_bytes(film)
        with open_video(path) as video:
            seen += [(one.rotation_deg, int(one.planes[0].mean())) for one in video]
    assert [turn for turn, _ in seen] == [90] * 75
    assert max(abs(grey - (60 + number)) for number, (_, grey) in enumerate(seen)) <= 3


def test_a_group_is_closed_and_at_most_a_second(tmp_path):
    folder, home = make_store(tmp_path)
    with recording(folder, home, H264) as store:
        for number in range(65):
            store.take([frame(number)])
    with Store.open(folder, home) as store:
        groups = [store.open_segment(one) for one in store.ids()]
    assert [len(group.pts) for group in groups] == [30, 30, 5]
    for group in groups:
        assert (group.end_pts - group.pts[0]) * group.time_base < 1
        path = folder / "one.mp4"
        path.write_bytes(group.media)
        with open_video(path) as video:  # alone, each can be decoded
            assert len(list(video)) == len(group.pts)


@pytest.mark.parametrize(("pixel_format", "rotation_deg"), [("nv12", 0), ("bgr24", 180), ("yuv420p10le", 0)])
def test_jpegs(tmp_path, pixel_format, rotation_deg):
    folder, home = make_store(tmp_path)
    value = 400 if pixel_format == "yuv420p10le" else 128
    with recording(folder, home, Coding(encoding="jpeg")) as store:
        for number in range(3):
            store.take([frame(number, value=value, pixel_format=pixel_format, rotation_deg=rotation_deg)])
    with Store.open(folder, home) as store:
        (group,) = [store.open_segment(one) for one in store.ids()]
    assert len(group.pictures()) == 3
    picture = Image.open(io.BytesIO(group.pictures()[2]))
    assert picture.size == (64, 48)
    assert picture.info == {}  # no comment, no JFIF, no EXIF


def test_only_what_was_released_goes_in(tmp_path):
    folder, home = make_store(tmp_path)
    captured = CapturedFrame((np.zeros((48, 64), np.uint8),), "gray8", 0, Fraction(1, 30))
    hidden = _seal_anonymized(captured, captured.planes, FrameMemory())
    with recording(folder, home) as store:
        for wrong in (captured, hidden, None, b"pixels"):
            with pytest.raises(TypeError, match="wanted a ReleasedFrame or Dropped"):
                store.take([wrong])
        with pytest.raises(TypeError, match="wanted a ReleasedGroup"):
            store.take_groups([frame()])
        with pytest.raises(TypeError, match="wanted a ReleasedGroup"):
            store.take_groups([hidden])
        store.take([frame(), frame(1, predicted_only=True)])
    assert store.status()["dropped"] == {"predicted_only": 1}
    assert sum(row["event"] == "segment.stored" for row in events(folder, home)) == 1


def test_a_dropped_frame_begins_a_new_group_and_is_counted_by_day(tmp_path):
    folder, home = make_store(tmp_path)
    clock = Clock()
    with recording(folder, home, H264, clock=clock) as store:
        store.take([frame(0), frame(1), Dropped(Reason.WITHHELD), frame(3)])
        store.take([Dropped(Reason.LATE)] * 4)
        store.count_withheld(store.vault.today(), {"inside_zone": 1})
    with Store.open(folder, home, clock=clock) as store:
        assert [len(store.open_segment(one).pts) for one in store.ids()] == [2, 1]
        rows = list(store.vault.ledger.find("frames.dropped"))
        assert rows == []  # the day is not over
    clock.now_s += DAY_S
    with Store.open(folder, home, clock=clock) as store:
        rows = [
            (row["of_day"], row["reason"], row["count"]) for row in store.vault.ledger.find("frames.dropped")
        ]
    day = "2027-01-15"
    assert rows == [(day, "late", 4), (day, "withheld", 1), (day, "gate_inside_zone", 1)]
    clock.now_s += DAY_S
    with Store.open(folder, home, clock=clock) as store:
        assert len(list(store.vault.ledger.find("frames.dropped"))) == 3  # once


def test_the_frames_memory_is_the_engines_again(tmp_path):
    folder, home = make_store(tmp_path)
    one = frame(value=200)
    with recording(folder, home) as store:
        store.take([one])
        for plane in one.planes:
            plane.fill(20)
    with Store.open(folder, home) as store:
        (group,) = [store.open_segment(digest) for digest in store.ids()]
    assert np.asarray(Image.open(io.BytesIO(group.pictures()[0])).convert("YCbCr"))[..., 0].mean() > 180


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"purpose": ""}, "not_configured"),
        ({"contact": ""}, "not_configured"),
        ({"consent_until": ""}, "not_configured"),
        ({"consent_until": "2027-01-14"}, "consent_expired"),
        ({"consent_from": "2027-01-16"}, "clock_before_consent"),
        ({"withdrawn": True}, "consent_withdrawn"),
        ({"stopped": True}, "stopped"),
    ],
)
def test_without_a_consent_nothing_is_recorded(tmp_path, changes, reason):
    folder, home = make_store(tmp_path, **changes)
    with recording(folder, home, clock=Clock()) as store:
        store.take([frame(number) for number in range(3)])
        assert store.status()["not_recording_because"] == reason
        assert not store.status()["recording"]
    assert store.status()["dropped"] == {reason: 3}
    assert not list((folder / "objects").rglob("*"))


def test_a_consent_ends_while_recording(tmp_path):
    folder, home = make_store(tmp_path, consent_until="2027-01-15")
    clock = Clock()
    with recording(folder, home, clock=clock) as store:
        store.take([frame()])
        assert store.status()["recording"]
        store._writer.close(10.0)
        clock.now_s += DAY_S
        store.take([frame(1)])
        store.tick(now=True)
        assert store.refusal() == "consent_expired"
    kinds = [row["event"] for row in events(folder, home)]
    assert kinds.count("consent.expired") == 1
    assert kinds.index("recording.ended") > kinds.index("consent.expired") > kinds.index("segment.stored")
    assert store.status()["dropped"] == {"consent_expired": 1}


def test_groups_from_the_gate_are_stored(tmp_path):
    folder, home = make_store(tmp_path)
    clock = Clock()
    with recording(folder, home, H264, clock=clock) as store:
        gate = ZoneGate(signed(), encoders=store.group_encoder, clock=clock)
        for number in range(450):
            clock.now_s = START_S + number / 30
            if number % 30 == 0:
                gate.fix(fix(number / 30, north_m=number / 10))
            captured = frame(number, captured_at_s=clock.now_s, predicted_only=number == 200)
            if gate.admit(captured._hidden):
                store.take(gate.release(captured._hidden))
            store.take_groups(gate.take_groups())
    assert store.status()["fault"] is None
    assert store.status()["dropped"]["predicted_only"] == 1
    with Store.open(folder, home, clock=clock) as store:
        pts = [time for digest in store.ids() for time in store.open_segment(digest).pts]
    assert len(pts) > 150
    assert pts == sorted(pts)
    assert 199 in pts
    assert 200 not in pts  # the network has not looked at it (SAFETY 7)


def test_a_foreign_group_is_refused(tmp_path):
    folder, home = make_store(tmp_path)
    from anonymize.zones import hold

    group = ReleasedGroup(
        hold._GROUP_SEAL, "front", (0, 1), Fraction(1, 30), b"\x00\x00\x00\x05hello raw bytes"
    )
    with recording(folder, home) as store:
        store.take_groups([group])
    assert store.status()["dropped"] == {"foreign_group": 2}
    assert not list((folder / "objects").rglob("*"))


def test_the_camera_never_waits_for_the_disk(tmp_path, monkeypatch):
    folder, home = make_store(tmp_path)
    held = threading.Event()
    monkeypatch.setattr(writing, "MOST_TOGETHER", 1)
    with recording(folder, home, queue_bytes=20_000) as store:
        put_before = store.vault.put

        def slow(*arguments):
            held.wait(20.0)
            return put_before(*arguments)

        monkeypatch.setattr(store.vault, "put", slow)
        for number in range(40):
            store.take([frame(number)])
        store._writer._busy_since_s = 0.0  # since long ago
        assert store.status()["fault"]["reason"] == "slow_disk"
        assert not store.status()["recording"]
        held.set()
    dropped, stored = store.status()["dropped"], store.status()["stored"]["frames"]
    assert dropped["queue_full"] > 20
    assert dropped["queue_full"] + stored == 40


def test_a_store_belongs_to_one_process_and_one_key(tmp_path):
    folder, home = make_store(tmp_path)
    with recording(folder, home), pytest.raises(StoreBusyError, match="another process"):
        Store.open(folder, home)
    with pytest.raises(Exception, match="another key"):
        Store.open(folder, KeyFile.create(tmp_path / "other.key"))
    with Store.open(folder, home):
        pass  # the failed try has let go of it


def test_an_altered_or_moved_object_does_not_open(tmp_path):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        first, second = put(store, 2)
        objects = store.vault.objects
        path = objects.path("2026-11-26", first)
        path = next((folder / "objects").rglob(first))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(StoreError, match="was altered"):
            store.read(first)
        entry, wrapped = store.vault.index.find(second)
        import dataclasses

        from anonymize.store.keys import open_segment

        stored = objects.read(entry.place.epoch, second)
        key = store.vault._key_of(entry.place.epoch)
        assert open_segment(stored, entry.place, wrapped, key)
        for change in ({"data_class": "general"}, {"region": "DE"}, {"index": 7}, {"epoch": "2020-01-01"}):
            with pytest.raises(StoreError, match="does not open"):
                open_segment(stored, dataclasses.replace(entry.place, **change), wrapped, key)


def test_reading_leaves_a_row_before_the_bytes(tmp_path):
    folder, home = make_store(tmp_path)
    with recording(folder, home) as store:
        store.take([frame()])
    with Store.open(folder, home) as store:
        (digest,) = store.ids()
        assert store.read(digest, recipient="workshop", purpose="repair")[:2] == b"\xff\xd8"
        (row,) = store.vault.ledger.find("segment.read")
        assert (row["recipient"], row["purpose"], row["count"]) == ("workshop", "repair", 1)
        before = store.vault.ledger.size
        with pytest.raises(StoreError, match="is not held"):
            store.read("0" * 64)
        assert store.vault.ledger.size == before
        import hashlib

        facts = store.describe(digest)
        assert facts.digest == hashlib.sha256(store.read(digest)).hexdigest()
        stored = next(store.vault.ledger.find("segment.stored"))
        assert (stored["content"], stored["digest"], stored["row"]) == (
            facts.digest,
            digest,
            facts.ledger_row,
        )


def test_nothing_tells_a_time_or_a_place(tmp_path):
    folder, home = make_store(tmp_path)
    with recording(folder, home, JPEG, clock=Clock(START_S + 4321.0)) as store:
        store.take([frame(captured_at_s=START_S + 4321.0, camera="front-left")])
    names = [path.relative_to(folder).as_posix() for path in (folder / "objects").rglob("*")]
    assert sorted(map(len, names)) == [len("objects/2027-01-15"), len("objects/2027-01-15/") + 64]
    (path,) = [path for path in (folder / "objects").rglob("*") if path.is_file()]
    assert path.stat().st_mtime == 1_799_971_200.0  # midnight of the day
    for written in folder.rglob("*"):
        if written.is_file():
            assert written.stat().st_mode & 0o077 == 0
            for secret in (b"front-left", b"1800004321", b"captured"):
                assert secret not in written.read_bytes()


def test_an_expiry_is_told_once_whatever_starts_follow(tmp_path):
    folder, home = make_store(tmp_path, consent_until="2027-01-14")
    for _ in range(3):
        with recording(folder, home, clock=Clock()):
            pass
    assert [row["event"] for row in events(folder, home)] == ["consent.expired"]


def test_a_disk_that_takes_nothing_at_the_start_is_named(tmp_path, monkeypatch):
    folder, home = make_store(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr("anonymize.store.store.repair", full)
        with pytest.raises(StoreError, match="No space left") as fault:
            Store.open(folder, home, made_by=MADE_BY)
    assert fault.value.reason == "disk_full"
    with recording(folder, home):
        pass  # the failed try has let go of it
