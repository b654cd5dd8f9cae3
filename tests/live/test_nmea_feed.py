"""A receiver on a FIFO: fixes as they come, one word when they end, and no thread left."""

from __future__ import annotations

import os
import threading
import time

import pytest

pytest.importorskip("pynmea2")

from anonymize.errors import UsageError
from anonymize.live.nmea_feed import NmeaFeed


def sentence(body: str) -> bytes:
    check = 0
    for letter in body:
        check ^= ord(letter)
    return f"${body}*{check:02X}\r\n".encode()


def epoch(second: int) -> bytes:
    at = f"1200{second:02d}.00"
    return sentence(f"GNRMC,{at},A,4800.0,N,01130.0,E,0.0,0.0,261126,,,A") + sentence(
        f"GNGGA,{at},4800.0,N,01130.0,E,1,12,0.7,500.0,M,47.0,M,,"
    )


class Receiver:
    def __init__(self, path):
        os.mkfifo(path)
        self.fixes, self.words = [], []
        self.feed = NmeaFeed(str(path), self.fixes.append, self.words.append)
        self.file = None
        self.path = path

    def write(self, content: bytes) -> None:
        self.file = self.file or self.path.open("wb", buffering=0)
        self.file.write(content)

    def wait(self, done) -> bool:
        until_s = time.monotonic() + 5.0
        while not done() and time.monotonic() < until_s:
            time.sleep(0.01)
        return done()


@pytest.fixture
def receiver(tmp_path):
    one = Receiver(tmp_path / "fifo")
    yield one
    if one.file:
        one.file.close()
    one.feed.stop()


def test_a_fix_comes_with_the_pause_behind_it(receiver):
    receiver.write(epoch(1))
    assert receiver.wait(lambda: len(receiver.fixes) == 1)
    assert (receiver.fixes[0].lat_deg, receiver.fixes[0].lon_deg) == (48.0, 11.5)
    receiver.write(epoch(2)[:40])
    time.sleep(0.5)
    assert len(receiver.fixes) == 1  # half a sentence is no pause
    receiver.write(epoch(2)[40:] + epoch(3) + b"\xff\x00noise" * 2000 + b"\n" + epoch(4))
    assert receiver.wait(lambda: len(receiver.fixes) == 4)
    assert receiver.words == []


def test_its_end_is_told_once_without_a_place(receiver):
    receiver.write(epoch(1))
    receiver.file.close()
    assert receiver.wait(lambda: receiver.words)
    assert receiver.words == ["the receiver has ended; no fix comes any more, and every frame is withheld"]
    assert len(receiver.fixes) == 1


def test_a_fault_of_whoever_takes_the_fix_ends_it_in_words_without_a_place(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    words = []

    def broken(fix):
        raise ValueError(f"{fix.lat_deg}")

    feed = NmeaFeed(str(tmp_path / "fifo"), broken, words.append)
    with (tmp_path / "fifo").open("wb", buffering=0) as file:
        file.write(epoch(1))
        until_s = time.monotonic() + 5.0
        while not words and time.monotonic() < until_s:
            time.sleep(0.01)
    feed.stop()
    assert words == [
        "the receiver's reader failed: ValueError; no fix comes any more, and every frame is withheld"
    ]


def test_a_stop_ends_the_thread_and_says_nothing(receiver):
    before = threading.active_count()
    receiver.feed.stop()
    assert threading.active_count() == before - 1
    assert receiver.words == []


def test_a_log_is_no_receiver(tmp_path):
    log = tmp_path / "drive.nmea"
    log.write_bytes(epoch(1))
    with pytest.raises(UsageError, match="not a log"):
        NmeaFeed(str(log), print, print)
    with pytest.raises(UsageError, match="cannot be opened"):
        NmeaFeed(str(tmp_path / "missing"), print, print)
