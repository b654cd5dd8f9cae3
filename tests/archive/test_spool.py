"""Spools: what comes out is what went in, to the bit; what is cut off or altered is refused; nobody else reads them."""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anonymize.archive.spool import SpoolHeader, SpoolReader, first_of, last_of, new_spool
from anonymize.boxes import MAX_BOXES
from anonymize.errors import MediaError
from anonymize.frames import Reason
from anonymize.track.seen_frame import SeenFrame

HEADER = SpoolHeader(
    source_sha256="a" * 64,
    settings_sha256="b" * 64,
    time_base=Fraction(1001, 30000),
    width=1280,
    height=720,
    thresholds={0: 0.4, 1: 0.57},
)


def seen(count: int, *, seed: int = 0, reason: Reason | None = None) -> SeenFrame:
    random = np.random.default_rng(seed)
    return SeenFrame(
        0,
        0.0,
        random.uniform(-5, 1280, (count, 4)).astype(np.float32),
        random.integers(0, 2, count).astype(np.int32),
        random.random(count).astype(np.float32),
        random.random(count) < 0.5,
        (float(np.float32(random.normal())), 0.25),
        reason,
    )


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "film.spool"
    with new_spool(path, HEADER) as out:
        for number in range(40):
            reason = Reason.TOO_MANY if number == 7 else None
            out.add(seen(0 if reason else number % 5, seed=number, reason=reason), 1000 + 3 * number)
    return path


def test_what_comes_out_is_what_went_in(spool):
    with SpoolReader(spool) as reader:
        assert reader.header == HEADER
        assert reader.frames == 40
        assert reader.first_s == float(1000 * HEADER.time_base)
        assert reader.longest_step_s == pytest.approx(0.1001)
        frames = list(reader)
        assert len(list(reader)) == 40
    for number, frame in enumerate(frames):
        wanted = seen(0 if number == 7 else number % 5, seed=number)
        assert (frame.number, frame.time_s) == (number, float((1000 + 3 * number) * HEADER.time_base))
        assert frame.reason is (Reason.TOO_MANY if number == 7 else None)
        assert frame.shift_px == wanted.shift_px
        for name in ("boxes", "class_ids", "scores", "strong"):
            came = getattr(frame, name)
            assert came.dtype == getattr(wanted, name).dtype
            assert (came == getattr(wanted, name)).all()


def test_two_may_read_one_spool_at_once(spool):
    with SpoolReader(spool) as reader:
        assert all(a.time_s == b.time_s for a, b in zip(reader, reader, strict=True))


def test_only_the_owner_reads_it(spool):
    assert stat.S_IMODE(spool.stat().st_mode) == 0o600


@pytest.mark.parametrize("at", [0, 20, 200, -33, -1])
def test_an_altered_byte_is_refused(spool, at):
    content = bytearray(spool.read_bytes())
    content[at] ^= 1
    spool.write_bytes(content)
    with pytest.raises(MediaError, match=r"film\.spool: is .*wanted the look repeated"):
        SpoolReader(spool)


def test_a_spool_that_is_cut_off_anywhere_is_refused(spool):
    content = spool.read_bytes()
    for length in {0, 5, 30, 100, len(content) // 2, len(content) - 32, len(content) - 1}:
        spool.write_bytes(content[:length])
        with pytest.raises(MediaError, match="cut off"):
            SpoolReader(spool)
    spool.write_bytes(content + b"\0")
    with pytest.raises(MediaError, match="cut off or altered"):
        SpoolReader(spool)
    with pytest.raises(MediaError, match="cannot be opened"):
        SpoolReader(spool.with_name("none"))


def test_one_that_shrinks_while_it_is_read_is_noticed(spool):
    with SpoolReader(spool) as reader:
        frames = iter(reader)
        next(frames)
        first = reader._frames_at
        os.truncate(spool, first + 25)
        with pytest.raises(MediaError, match="altered while"):
            list(reader)


def test_a_look_that_fails_leaves_nothing(tmp_path):
    path = tmp_path / "film.spool"
    with pytest.raises(RuntimeError), new_spool(path, HEADER) as out:
        out.add(seen(3), 0)
        raise RuntimeError("the network failed")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("count", "pts"), [(MAX_BOXES + 1, 9), (1, 0), (1, -1)])
def test_what_cannot_be_is_refused(tmp_path, count, pts):
    with pytest.raises(MediaError, match="frame 1"), new_spool(tmp_path / "film.spool", HEADER) as out:
        out.add(seen(1), 0)
        out.add(seen(count), pts)


def test_both_ends_of_a_spool(spool):
    with SpoolReader(spool) as reader:
        tail = last_of(reader, 1.0)
        head = first_of(reader, 1.0)
    assert [frame.number for frame in tail] == list(range(30, 40))
    assert [frame.number for frame in head] == list(range(10))
