"""Frames between processes: the same bytes, no copy on the way in, nothing raw on the way out, nothing left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anonymize.errors import FrameError, UsageError
from anonymize.frames import (
    LAYOUTS,
    CapturedFrame,
    FrameMemory,
    PixelFormat,
    Reason,
    _seal_anonymized,
    _seal_released,
)
from anonymize.live import shared_header
from anonymize.live.shared_header import HIDDEN, RAW, header_of, needed_bytes, read_header, write_header

pytest.importorskip("iceoryx2", reason="iceoryx2 (the extra shared-memory) is not installed")
from anonymize.live.shared_frames import SHARED_MEMORY, Link

ROOT = Path(__file__).resolve().parents[2]
PATTERN = b"raw pixels of a killed camera "

PUBLISHER = """
import sys, time
from pathlib import Path
from fractions import Fraction
import numpy as np
from anonymize.frames import LAYOUTS, CapturedFrame, PixelFormat
from anonymize.live.shared_frames import Link
from anonymize.live.shared_header import needed_bytes
folder, what = Path(sys.argv[1]), sys.argv[2]
link = Link(folder)
publisher = link.publish_raw("front", needed_bytes("nv12", 642, 48))
print("ready", flush=True)
sys.stdin.readline()
for number in range(3):
    random = np.random.default_rng(number)
    planes = tuple(random.integers(0, 256, s).astype(np.uint8) for s in LAYOUTS[PixelFormat.NV12].shapes(642, 48))
    if what == "die":
        planes[0].reshape(-1)[:30000] = np.frombuffer(b"raw pixels of a killed camera " * 1000, np.uint8)
    frame = CapturedFrame(planes, "nv12", pts=number, time_base=Fraction(1, 30), captured_at_s=0.5,
                          rotation_deg=90, mirrored=True, color_range="full", color_matrix="bt601")
    publisher.publish(frame)
    print("sent", time.perf_counter_ns(), flush=True)
    sys.stdin.readline()
"""


def start(folder: Path, what: str = "send") -> subprocess.Popen[str]:
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "kernels", "models"))
    return subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(folder), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout.readline().startswith(word)


def go_on(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def frame(number: int = 0, pixel_format: str = "nv12", size=(642, 48), **more) -> CapturedFrame:
    layout = LAYOUTS[PixelFormat(pixel_format)]
    random = np.random.default_rng(number)
    planes = tuple(
        random.integers(0, 1 << layout.bits, shape).astype(layout.dtype) for shape in layout.shapes(*size)
    )
    return CapturedFrame(planes, pixel_format, pts=number, time_base=Fraction(1, 30), **more)


def segments(link: Link) -> list[Path]:
    return sorted(SHARED_MEMORY.glob(f"{link._prefix}*"))


@pytest.fixture
def link(tmp_path):
    with Link(tmp_path / "link", guard_process=False) as made:
        yield made
    for file in segments(made):
        file.unlink()


@pytest.fixture
def publisher_process(link):
    processes = []

    def make(what: str = "send") -> subprocess.Popen[str]:
        processes.append(start(link.folder, what))
        tell(processes[-1], "ready")
        return processes[-1]

    yield make
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_frames_cross_to_another_process_with_all_they_are(link, publisher_process):
    process = publisher_process()
    subscriber = link.raw_frames("front")
    go_on(process)
    for number in range(3):
        captured = subscriber.receive(20.0)
        expected = frame(number)
        assert type(captured) is CapturedFrame
        assert all(np.array_equal(a, b) for a, b in zip(captured.planes, expected.planes, strict=True))
        assert (captured.pts, captured.time_base, captured.captured_at_s) == (number, Fraction(1, 30), 0.5)
        assert (captured.rotation_deg, captured.mirrored) == (90, True)
        assert (captured.color_range, captured.color_matrix, captured.camera) == ("full", "bt601", "front")
        del captured
        go_on(process)
    assert (subscriber.refused, subscriber.missed) == (0, 0)


def test_the_planes_are_the_shared_memory_itself_and_cannot_be_written(link, publisher_process):
    process = publisher_process()
    subscriber = link.raw_frames("front")
    go_on(process)
    captured = subscriber.receive(20.0)
    spans = [
        (int(low, 16), int(high, 16))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.rstrip().endswith(".data") and link._prefix in line
        for low, high in [line.split()[0].split("-")]
    ]
    for plane in captured.planes:
        first = plane.__array_interface__["data"][0]
        assert any(low <= first < high for low, high in spans)
        with pytest.raises(ValueError, match="read-only"):
            plane[0, 0] = 1


def test_a_frame_that_is_held_is_not_overwritten_and_two_may_be_held(link):
    publisher = link.publish_raw("front", needed_bytes("nv12", 642, 48))
    subscriber = link.raw_frames("front")
    publisher.publish(frame(1))
    first = subscriber.receive(1.0)
    luma = first.planes[0]
    del first  # a view alone holds it
    for number in range(2, 30):
        publisher.publish(frame(number))
        assert subscriber.receive(1.0).pts == number
    assert np.array_equal(luma, frame(1).planes[0])
    publisher.publish(frame(30))
    second = subscriber.receive(1.0)
    publisher.publish(frame(31))
    with pytest.raises(UsageError, match="at most 2 held"):
        subscriber.receive(1.0)
    del second
    assert subscriber.receive(1.0).pts == 31
    assert np.array_equal(luma, frame(1).planes[0])


def test_who_is_slow_gets_the_newest_and_counts_the_rest(link):
    publisher = link.publish_raw("front", needed_bytes("nv12", 642, 48))
    subscriber = link.raw_frames("front")
    publisher.publish(frame(0))
    assert subscriber.receive(1.0).pts == 0
    for number in range(1, 8):
        publisher.publish(frame(number))
    assert [subscriber.receive(1.0).pts for _ in range(2)] == [6, 7]
    assert subscriber.missed == 5
    assert subscriber.receive(0.01) is None


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_every_format_comes_as_it_went(link, pixel_format):
    publisher = link.publish_raw("front", needed_bytes(pixel_format, 33, 17))
    subscriber = link.raw_frames("front")
    sent = frame(3, pixel_format, (33, 17), interlaced=True)
    publisher.publish(sent)
    came = subscriber.receive(1.0)
    assert came.pixel_format == pixel_format
    assert came.interlaced
    assert came.captured_at_s is None
    assert all(np.array_equal(a, b) for a, b in zip(came.planes, sent.planes, strict=True))


def test_only_released_frames_are_published_as_hidden(link, released):
    publisher = link.publish_hidden("front", needed_bytes("nv12", 642, 48))
    subscriber = link.hidden_frames("front")
    raw = frame(0)
    let_go = released(raw)
    for wrong in (raw, let_go._hidden, let_go.planes, None):
        with pytest.raises(UsageError, match="wanted a ReleasedFrame"):
            publisher.publish(wrong)
    assert subscriber.receive(0.05) is None
    publisher.publish(let_go)
    came = subscriber.receive(1.0)
    assert came.header.kind == HIDDEN
    assert np.array_equal(came.planes[0], raw.planes[0])
    raw_publisher = link.publish_raw("front", needed_bytes("nv12", 642, 48))
    with pytest.raises(UsageError, match="wanted a CapturedFrame"):
        raw_publisher.publish(let_go)


@pytest.mark.parametrize("name", ["hidden_whole", "predicted_only"])
def test_how_a_frame_was_hidden_travels_with_it(link, name):
    """A store must refuse what was hidden by prediction alone (SAFETY 7), whichever process it lives in."""
    publisher = link.publish_hidden("front", needed_bytes("nv12", 642, 48))
    subscriber = link.hidden_frames("front")
    raw = frame(0)
    for facts in ({}, {name: True, "reason": Reason.LATE}):
        publisher.publish(_seal_released(_seal_anonymized(raw, raw.planes, FrameMemory(), **facts)))
        header = subscriber.receive(1.0).header
        flags = {"hidden_whole": header.hidden_whole, "predicted_only": header.predicted_only}
        assert [flag for flag, is_set in flags.items() if is_set] == [name] * bool(facts)


def test_an_expired_frame_is_not_published(link, released):
    publisher = link.publish_hidden("front", needed_bytes("nv12", 642, 48))
    subscriber = link.hidden_frames("front")
    let_go = released(frame(0))
    let_go._hidden._memory.revoke()
    with pytest.raises(FrameError, match="taken back"):
        publisher.publish(let_go)
    assert subscriber.receive(0.05) is None
    publisher.publish(released(frame(1)))  # the loan of the refused one was given back
    assert subscriber.receive(1.0).header.pts == 1


def test_the_type_checker_refuses_a_raw_frame_too(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from anonymize import CapturedFrame\nfrom anonymize.live.shared_frames import HiddenPublisher\n"
        "def send(publisher: HiddenPublisher, frame: CapturedFrame) -> None:\n    publisher.publish(frame)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert 'incompatible type "CapturedFrame"; expected "ReleasedFrame"' in done.stdout, done.stdout


def test_a_frame_larger_than_agreed_is_refused(link):
    publisher = link.publish_raw("front", needed_bytes("nv12", 64, 48))
    with pytest.raises(UsageError, match="wanted most_bytes or less"):
        publisher.publish(frame(0))
    publisher.publish(frame(0, size=(64, 48)))


def test_memory_is_this_users_alone(link):
    publisher = link.publish_raw("front", needed_bytes("nv12", 642, 48))
    publisher.publish(frame(0))
    files = segments(link)
    assert any(file.name.endswith(".data") for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(link.folder.stat().st_mode) == 0o700


def test_a_folder_that_others_enter_is_refused(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    shared.chmod(0o755)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path)
    for folder in (shared, linked):
        with pytest.raises(UsageError, match="wanted a folder of mode 700"):
            Link(folder, guard_process=False)


def test_no_folder_at_all_is_said(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with pytest.raises(UsageError, match="wanted a folder"):
        Link(guard_process=False)


def test_a_killed_publisher_hangs_nobody_and_leaves_no_pixel(link, publisher_process):
    process = publisher_process("die")
    subscriber = link.raw_frames("front")
    go_on(process)
    held = subscriber.receive(20.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert PATTERN in held.planes[0].tobytes()  # what is held stays readable
    assert any(PATTERN in file.read_bytes() for file in segments(link))  # the test can fail
    begun_s = time.monotonic()
    assert subscriber.receive(2.5) is None  # and tidies up meanwhile
    assert time.monotonic() - begun_s < 10
    assert not [file for file in segments(link) if PATTERN in file.read_bytes()]
    held.planes[0].tobytes()
    del held
    again = publisher_process()  # a new camera process is heard by the same subscriber
    go_on(again)
    assert subscriber.receive(20.0).pts == 0


def test_the_next_start_removes_what_a_killed_process_left(tmp_path):
    folder = tmp_path / "link"
    process = start(folder, "die")
    tell(process, "ready")
    go_on(process)
    tell(process, "sent")
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with Link(folder, guard_process=False) as link:
        assert not [file for file in segments(link) if PATTERN in file.read_bytes()]
        assert not [file for file in segments(link) if file.name.endswith(".data")]
    for file in segments(link):
        assert file.stat().st_size == 16  # counters of iceoryx2, no pixels
        file.unlink()


# -- the header ---------------------------------------------------------------------------------------------------


def packed(**more) -> bytearray:
    header = header_of(frame(0), 5)
    memory = bytearray(header.size_bytes)
    write_header(memoryview(memory), replace(header, **more))
    return memory


FIELDS = {
    "magic": (0, b"NOPE"), "version": (4, b"\2\0"), "header size": (6, b"\1\0"), "kind": (8, b"\2"),
    "pixel format": (9, b"\x63"), "color range": (10, b"\0"), "color matrix": (11, b"\x09"),
    "flags": (12, b"\0\0\0\x80"), "width 0": (16, bytes(4)), "width": (16, b"\xff" * 4), "height": (20, b"\xff" * 4),
    "rotation": (24, b"\x2d\0"), "planes": (26, b"\4\0"), "no planes": (26, b"\0\0"), "stride": (28, b"\1\0\0\0"),
    "large stride": (28, b"\xff" * 4), "offset in the header": (40, bytes(8)), "offset": (48, b"\xff" * 8),
    "time base above": (72, bytes(4)), "time base below": (76, bytes(4)), "NaN": (80, b"\0\0\0\0\0\0\xf8\x7f"),
    "infinity": (80, b"\0\0\0\0\0\0\xf0\x7f"), "size": (96, b"\xff" * 8), "small size": (96, bytes(8)),
    "camera": (104, bytes(32)), "camera bytes": (104, b"\xff\xfe"), "camera controls": (104, b"\x1b[2J"),
}  # fmt: skip


def test_a_good_header_is_read():
    header = read_header(memoryview(packed()), RAW)
    assert header == header_of(frame(0), 5)
    assert header.layout.strides == (704, 704)


@pytest.mark.parametrize("name", FIELDS)
def test_a_header_that_cannot_be_true_is_refused(name):
    memory = packed()
    at, content = FIELDS[name]
    memory[at : at + len(content)] = content
    with pytest.raises(FrameError, match=r"shared frame|wanted"):
        read_header(memoryview(memory), RAW)


@pytest.mark.parametrize("size", [0, 1, 191, 192, 1000])
def test_a_frame_that_was_cut_is_refused(size):
    with pytest.raises(FrameError):
        read_header(memoryview(packed())[:size], RAW)


def test_any_bytes_are_refused_or_lie_inside_the_memory():
    random = np.random.default_rng(1)
    good = packed()
    read = 0
    for _ in range(3000):
        memory = bytearray(good)
        for at in random.integers(0, 136, random.integers(1, 4)):
            memory[at] = random.integers(0, 256)
        try:
            header = read_header(memoryview(memory), RAW)
        except FrameError:
            continue
        read += 1
        planes = header.layout.planes(memory)
        assert sum(plane.nbytes for plane in planes) <= len(memory) - shared_header.HEADER_BYTES
    assert 100 < read < 2900  # times, numbers and names may be anything


def test_what_a_subscriber_refuses_is_counted_and_the_next_frame_comes(link):
    publisher = link.publish_raw("front", needed_bytes("nv12", 642, 48))
    subscriber = link.raw_frames("front")
    real = shared_header.write_header
    try:
        shared_header.write_header = lambda memory, header: real(memory, replace(header, kind=HIDDEN))
        publisher.publish(frame(0))
    finally:
        shared_header.write_header = real
    publisher.publish(frame(1))
    assert subscriber.receive(1.0).pts == 1
    assert subscriber.refused == 1
    assert "kind" in subscriber.last_fault


@pytest.mark.parametrize("camera", ["", "x" * 33, "a\0b"])
def test_names_that_do_not_fit_are_said(camera):
    with pytest.raises(UsageError, match="wanted 1 to 32 bytes"):
        packed(camera=camera)


def test_times_that_do_not_fit_are_said():
    with pytest.raises(UsageError, match="pts"):
        packed(pts=2**63)
