"""A run of the archive with stand-in jobs: what is done, what is not done twice, and what becomes of bad files."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anonymize.archive.adopt import PROOF
from anonymize.archive.crew import LocalCrew
from anonymize.archive.driver import Tally, Watcher
from anonymize.archive.errors import ArchiveError
from anonymize.archive.journal import Journal
from anonymize.archive.plain import to_text
from anonymize.archive.run import run_archive
from anonymize.archive.state import name_of, temporary_name
from anonymize.archive.work import ArchiveSettings
from anonymize.errors import UsageError
from anonymize.settings import Settings

from .standin import MARK


def test_every_kind_is_done_once_and_drives_know_their_neighbours(archive):
    archive.add("a.jpg", "day/b.PNG", "c.mcap", "v1.mp4", "v2.mp4", "v3.mp4", "note.txt")
    outcome = archive.run()
    assert (outcome.done, outcome.failures) == (6, [])
    assert outcome.left_out == [str(archive.source / "note.txt")]
    assert archive.outputs() == {"a.jpg", "day/b.PNG", "c.mcap", "v1.mp4", "v2.mp4", "v3.mp4"}
    middle = (archive.output / "v2.mp4").read_bytes()
    assert middle == MARK + b"[boxes of v1.mp4][boxes of v3.mp4]content of v2.mp4"
    assert archive.left_over() == []
    assert {row.state for row in archive.rows().values()} == {"done"}
    before = archive.begun()
    again = archive.run()
    assert (again.done, again.already_done) == (0, 6)
    assert archive.begun() == before


def test_bad_files_fail_alone_and_poison_is_set_aside(archive):
    archive.add(
        "good.jpg", "bad.jpg", "bug.jpg", "crash.jpg", "crashonce.jpg", "unverified.jpg", "growing.jpg"
    )
    outcome = archive.run()
    rows = archive.rows()
    assert {name: row.state for name, row in rows.items()} == {
        "good.jpg": "done", "crashonce.jpg": "done", "bad.jpg": "failed", "growing.jpg": "failed",
        "bug.jpg": "set aside", "crash.jpg": "set aside", "unverified.jpg": "quarantined",
    }  # fmt: skip
    assert len(outcome.failures) == 5
    assert archive.outputs() == {"good.jpg", "crashonce.jpg"}
    assert archive.left_over() == []
    assert rows["crash.jpg"].tries == 3
    assert "SIGSEGV" in rows["crash.jpg"].error
    assert "changed while it was read" in rows["growing.jpg"].error
    assert "pixels" not in rows["bug.jpg"].error  # a foreign error is named by its kind and place alone
    assert "ZeroDivisionError" in rows["bug.jpg"].error
    counts = {
        name: archive.begun().count(f"picture {name}") for name in ("bug.jpg", "crash.jpg", "crashonce.jpg")
    }
    assert counts == {"bug.jpg": 3, "crash.jpg": 3, "crashonce.jpg": 2}
    (archive.source / "bad.jpg").rename(archive.source / "fine.jpg")
    archive.run()  # what is set aside or in quarantine waits for a person
    assert archive.begun().count("picture crash.jpg") == 3
    assert archive.begun().count("picture unverified.jpg") == 1
    archive.run(retry=True)
    assert archive.begun().count("picture unverified.jpg") == 2


def test_a_hung_worker_is_replaced(archive):
    archive.add("hang.jpg", "a.jpg")
    request = archive.request()
    outcome = run_archive(
        request, Watcher(), lambda: None, lambda setup, place: LocalCrew(setup, 2, scratch=place, stall_s=0.7)
    )
    assert outcome.done == 1
    row = archive.rows()["hang.jpg"]
    assert (row.state, row.tries) == ("set aside", 3)
    assert "silent" in row.error
    assert archive.left_over() == []


def test_changed_settings_sources_and_outputs_are_done_again_or_refused(archive):
    archive.add("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    archive.run()
    (archive.source / "a.jpg").write_bytes(b"another")
    (archive.output / "b.jpg").unlink()
    (archive.output / "c.jpg").write_bytes(b"edited by someone")
    os.utime(archive.output / "d.jpg", ns=(1, 1))
    outcome = archive.run()
    assert (outcome.done, outcome.already_done) == (2, 1)
    assert len(outcome.failures) == 1
    assert "was changed by another program" in outcome.failures[0]
    assert (archive.output / "a.jpg").read_bytes() == MARK + b"another"
    assert (archive.output / "c.jpg").read_bytes() == b"edited by someone"
    (archive.output / "c.jpg").unlink()
    outcome = archive.run(settings=ArchiveSettings(video=Settings(cautious=True)))
    assert outcome.done == 4


def test_a_file_that_is_not_ours_is_never_replaced(archive):
    archive.add("a.jpg")
    archive.output.mkdir()
    (archive.output / "a.jpg").write_bytes(b"someone's")
    outcome = archive.run()
    assert "not this archive's" in outcome.failures[0]
    assert (archive.output / "a.jpg").read_bytes() == b"someone's"


def test_a_new_neighbour_joins_the_drive(archive):
    archive.add("v1.mp4", "v2.mp4")
    archive.run()
    archive.add("v3.mp4")
    outcome = archive.run()
    assert outcome.done == 2  # the new one, and its neighbour; the first has the neighbours that it had
    assert b"[boxes of v3.mp4]" in (archive.output / "v2.mp4").read_bytes()
    assert archive.begun().count("look v2.mp4") == 1  # its boxes were kept


def test_a_video_that_cannot_be_looked_at_does_not_hold_its_neighbours(archive):
    archive.add("v1.mp4", "v2-blind.mp4", "v3.mp4")
    outcome = archive.run()
    assert outcome.done == 2
    assert archive.rows()["v2-blind.mp4"].state == "failed"


def test_two_runs_on_one_output_refuse_each_other(archive):
    archive.add("a.jpg")
    archive.state.make()
    with archive.state.locked(), pytest.raises(ArchiveError, match="another run works on this output"):
        archive.run()
    assert archive.outputs() == set()


def test_the_output_inside_an_input_and_twins_are_refused(archive):
    archive.add("a.jpg", "x/a.jpg")
    with pytest.raises(UsageError, match="lies in the input folder"):
        archive.run(output=str(archive.source / "out"))
    with pytest.raises(UsageError, match="would both become"):
        archive.run(inputs=[str(archive.source), str(archive.source / "x")])


def test_ctrl_c_leaves_nothing_unfinished_and_the_next_run_goes_on(archive, monkeypatch):
    monkeypatch.setenv("STANDIN_TAKES_S", "0.05")
    archive.add(*(f"p{number}.jpg" for number in range(12)), "slow.jpg")
    seen: list[int] = []

    class Counting(Watcher):
        def ended(self, key, receipt, tally):
            seen.append(tally.done_files)

    def check() -> None:
        if len(seen) >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.run(Counting(), check)
    assert archive.left_over() == []
    done = {name for name, row in archive.rows().items() if row.state == "done"}
    assert 3 <= len(done) < 13
    # what a worker finished while it was asked to stop is taken by its receipt, nothing more
    assert archive.outputs() >= done
    assert not [row for row in archive.rows().values() if row.state == "doing"]
    (archive.source / "slow.jpg").unlink()
    archive.run()
    assert archive.outputs() >= {f"p{number}.jpg" for number in range(12)}
    assert not [name for name in done if archive.begun().count(f"picture {name}") > 1]


def test_a_complete_output_without_its_row_is_taken_by_its_receipt(archive):
    archive.add("a.jpg", "b.jpg")
    archive.run()
    taken, altered = (archive.rows()[name] for name in ("a.jpg", "b.jpg"))
    with contextlib.closing(Journal(archive.state.journal)) as journal:
        from anonymize.archive.receipts import Receipt

        for row in (taken, altered):
            journal._do("UPDATE files SET output_digest = '', result = ''")
            receipt = Receipt(
                key=row.key, step="file", bound=row.bound, source_digest=row.source_digest,
                output_digest=row.output_digest, output_size=row.output_size,
                output_mtime_ns=row.output_mtime_ns, seconds=1.0, result=row.result,
            )  # fmt: skip
            archive.state.receipt(row.key).write_text(to_text(receipt))
            temporary = temporary_name(archive.output / row.key)
            temporary.write_bytes(b"half")
            journal.begin(row.key, str(temporary))
    (archive.output / "b.jpg").write_bytes(b"not these bytes")
    outcome = archive.run()
    assert outcome.adopted == 1
    assert archive.rows()["a.jpg"].proof == PROOF
    assert archive.begun().count("picture a.jpg") == 1
    assert "not this archive's" in outcome.failures[0]  # b.jpg: its bytes are not the receipt's
    assert archive.left_over() == []


def test_a_full_disk_ends_the_run_with_nothing_half_written(archive):
    archive.add("a.jpg", "full.jpg", *(f"p{number}.jpg" for number in range(30)))
    with pytest.raises(ArchiveError, match="the disk is full: free space and run the same command again"):
        archive.run(workers=1)
    assert archive.left_over() == []
    assert archive.rows()["a.jpg"].state == "done"
    assert archive.rows()["full.jpg"].state == "waiting"
    (archive.source / "full.jpg").rename(archive.source / "space.jpg")
    assert archive.run().failures == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own can be mounted by root alone")
def test_a_small_disk_that_fills_up(archive, monkeypatch):
    archive.output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(archive.output)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip(
            "mounting is not permitted here: the small disk is left out, /dev/full stands for it above"
        )
    try:
        for number in range(8):
            (archive.source / f"p{number}.jpg").write_bytes(bytes(100_000))
        with pytest.raises(ArchiveError, match=r"full|journal"):
            archive.run(workers=1)
        whole = {name: (archive.output / name).stat().st_size for name in archive.outputs()}
        assert set(whole.values()) <= {100_000 + len(MARK)}
        assert archive.left_over() == []
    finally:
        subprocess.run(["umount", "-l", str(archive.output)], check=True)


def test_a_source_is_deleted_only_when_asked_and_its_whole_drive_is_done(archive):
    archive.add("a.jpg", "bad.jpg", "v1.mp4", "v2-blind.mp4", "w.jpg")
    archive.run()
    assert len(list(archive.source.iterdir())) == 5
    outcome = archive.run(
        delete_source=True
    )  # what was done before goes too, after both sides were read again
    assert outcome.deleted == 2
    assert {path.name for path in archive.source.iterdir()} == {"bad.jpg", "v1.mp4", "v2-blind.mp4"}
    (archive.source / "v2-blind.mp4").rename(archive.source / "v2.mp4")
    outcome = archive.run(delete_source=True)
    assert {path.name for path in archive.source.iterdir()} == {"bad.jpg"}
    assert archive.outputs() >= {"a.jpg", "v1.mp4", "v2.mp4", "w.jpg"}


def test_a_source_is_kept_where_its_output_is_not_what_was_written(archive):
    archive.add("a.jpg")
    archive.run()
    content = bytearray((archive.output / "a.jpg").read_bytes())
    times = (archive.output / "a.jpg").stat()
    content[-1] ^= 1
    (archive.output / "a.jpg").write_bytes(content)
    os.utime(archive.output / "a.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    outcome = archive.run(delete_source=True)
    assert outcome.deleted == 0
    assert "does not have the journal's digest" in outcome.notes[-1]
    assert (archive.source / "a.jpg").exists()


def test_workers_die_with_their_driver(archive):
    archive.add("hang.jpg", "hang2.jpg")
    program = (
        "import sys\nfrom bench.archive_kills import drive\nfrom pathlib import Path\n"
        f"drive(Path({str(archive.source)!r}), Path({str(archive.output)!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, "-c", program], env=environment)
    from bench.archive_kills import children, wait_for_end

    end_s = time.monotonic() + 20
    while len(archive.begun()) < 2 and time.monotonic() < end_s:
        time.sleep(0.02)
    workers = children(driver.pid)
    assert len(workers) == 2
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert wait_for_end(workers) == 0
    shutil.rmtree(archive.source)
    archive.add("a.jpg")
    archive.run()
    assert archive.left_over() == []


def test_progress_is_over_bytes(archive):
    archive.add("a.jpg", "v.mp4")
    told: list[Tally] = []

    class Telling(Watcher):
        def tick(self, tally):
            assert tally.seen_bytes <= tally.total_bytes
            told.append(tally)

    archive.run(Telling())
    assert told[-1].total_bytes == sum(path.stat().st_size for path in archive.source.iterdir())
    assert told[-1].seen_bytes == told[-1].total_bytes


@pytest.mark.parametrize("name", ["journal.sqlite", "lock"])
def test_the_state_is_this_users_alone(archive, name):
    archive.add("a.jpg")
    archive.run()
    assert archive.state.path.stat().st_mode & 0o777 == 0o700
    assert (archive.state.path / name).stat().st_mode & 0o777 == 0o600
    assert not list(Path("/dev/shm").glob(f"anonymize-*-{name_of(str(archive.state.path))}"))


def test_a_worker_that_is_asked_to_end_by_someone_else_is_replaced(archive):
    archive.add("slow.jpg", *(f"p{number}.jpg" for number in range(5)))
    crews: list[LocalCrew] = []
    asked: list[int] = []

    def make(setup, place):
        crews.append(LocalCrew(setup, 1, scratch=place))
        return crews[0]

    def check() -> None:
        if not asked and "picture slow.jpg" in archive.begun():
            asked.extend(crews[0].pids)
            os.kill(asked[0], signal.SIGTERM)

    outcome = run_archive(archive.request(workers=1), Watcher(), check, make)
    assert asked
    assert outcome.done == 6
    assert archive.begun().count("picture slow.jpg") == 2


def test_a_video_that_kills_workers_is_left_alone_by_its_neighbours(archive):
    archive.add("v1.mp4", "v2-lookcrash.mp4", "v3.mp4")
    outcome = archive.run()
    assert outcome.done == 2
    assert archive.rows()["v2-lookcrash.mp4"].state == "set aside"
    (archive.source / "v1.mp4").write_bytes(b"another")
    assert archive.run().done == 1
    assert archive.begun().count("look v2-lookcrash.mp4") == 3


def test_a_look_for_a_neighbours_sake_leaves_a_done_file_done(archive):
    archive.add("v1.mp4", "v2.mp4")
    archive.run()
    archive.state.spool("v2.mp4").unlink()
    (archive.output / "v1.mp4").unlink()
    outcome = archive.run()
    assert (outcome.done, outcome.already_done) == (1, 1)
    assert archive.begun().count("look v2.mp4") == 2
    assert archive.begun().count("hide v2.mp4") == 1
    assert archive.rows()["v2.mp4"].state == "done"
