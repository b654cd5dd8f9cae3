"""Files come into being whole or not at all, and never in place of what must stay."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from anonymize.errors import MediaError
from anonymize.media.output import (
    FileIdentity,
    check_target,
    identity_of,
    new_file,
    temporary_name,
    write_whole,
)


def test_a_complete_file_gets_its_name_and_the_mode_of_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    before = os.umask(0o027)
    try:
        with new_file(target) as stream:
            assert not target.exists()
            assert temporary_name(target).exists()
            stream.write(b"hidden")
    finally:
        os.umask(before)
    assert target.read_bytes() == b"hidden"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.stat().st_nlink == 1
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit, MediaError])
def test_any_fault_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    target = tmp_path / "a.jpg"
    with pytest.raises(fault), new_file(target) as stream:
        stream.write(b"half")
        raise fault("fault")
    assert list(tmp_path.iterdir()) == []


def test_any_fault_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), new_file(target, overwrite=True) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_target_is_refused_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    target.write_bytes(b"old")
    with pytest.raises(MediaError, match="exists already"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    write_whole(target, b"new", overwrite=True)
    assert target.read_bytes() == b"new"


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(MediaError, match="exists already"):
        write_whole(target, b"new")
    assert not (tmp_path / "nowhere").exists()


def test_a_target_that_came_into_being_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    with pytest.raises(MediaError, match="meanwhile"), new_file(target) as stream:
        stream.write(b"ours")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("way", ["same", "dotted", "link", "hard link", "folder link"])
def test_the_source_is_never_written(tmp_path: Path, way: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = folder / "a.jpg"
    source.write_bytes(b"raw")
    target = {
        "same": source,
        "dotted": folder / ".." / "in" / "a.jpg",
        "link": tmp_path / "link.jpg",
        "hard link": tmp_path / "hard.jpg",
        "folder link": tmp_path / "other" / "a.jpg",
    }[way]
    if way == "link":
        target.symlink_to(source)
    elif way == "hard link":
        os.link(source, target)
    elif way == "folder link":
        (tmp_path / "other").symlink_to(folder)
    with pytest.raises(MediaError, match="source itself"):
        write_whole(target, b"hidden", overwrite=True, source=identity_of(source))
    assert source.read_bytes() == b"raw"
    assert not temporary_name(target).exists()


def test_the_source_put_in_place_of_the_target_meanwhile_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "raw.jpg", tmp_path / "a.jpg"
    source.write_bytes(b"raw")
    with (
        pytest.raises(MediaError, match="source itself"),
        new_file(target, overwrite=True, source=identity_of(source)) as stream,
    ):
        stream.write(b"hidden")
        os.link(source, target)
    assert target.read_bytes() == b"raw"


def test_a_folder_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is a folder"):
        check_target(tmp_path, overwrite=True)
    with pytest.raises(MediaError, match="is not a folder"):
        check_target(tmp_path / "none" / "a.jpg")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MediaError, match="is not a folder"):
        check_target(tmp_path / "file" / "a.jpg")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MediaError, match="device or pipe"):
        check_target(tmp_path / "pipe", overwrite=True)


def test_a_name_too_long_says_so(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="too long"):
        write_whole(tmp_path / ("a" * 252 + ".jpg"), b"hidden")
    with pytest.raises(MediaError, match="too long"):
        write_whole(tmp_path / ("a" * 253), b"hidden")


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
def test_a_full_disk_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step != "write":
        monkeypatch.setattr(os, step, full)
    with (
        pytest.raises(MediaError, match=r"a\.jpg: cannot be written: No space left.*bytes free in") as caught,
        new_file(tmp_path / "a.jpg") as stream,
    ):
        stream.write(b"hidden")
        if step == "write":
            full()
    assert isinstance(caught.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        with pytest.raises(MediaError, match="No space left"):
            write_whole(disk / "a.jpg", bytes(1 << 20))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_may_not_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", denied)  # root may write everywhere, so the refusal is played
    with pytest.raises(MediaError, match=r"a\.jpg: cannot be written: Permission denied; wanted a writable"):
        write_whole(tmp_path / "a.jpg", b"hidden")


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no hard links")

    monkeypatch.setattr(os, "link", unsupported)
    write_whole(tmp_path / "a.jpg", b"hidden")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_what_a_killed_run_left_is_replaced_but_not_what_another_writes(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    temporary_name(target).write_bytes(b"left behind")
    write_whole(target, b"hidden")
    assert target.read_bytes() == b"hidden"
    assert list(tmp_path.iterdir()) == [target]
    with new_file(target, overwrite=True) as stream:
        stream.write(b"first")
        with pytest.raises(MediaError, match="another run"):
            write_whole(target, b"second", overwrite=True)
    assert target.read_bytes() == b"first"


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    temporary_name(tmp_path / "a.jpg").symlink_to(precious)
    with pytest.raises(MediaError, match="lies in the way"):
        write_whole(tmp_path / "a.jpg", b"hidden")
    assert precious.read_bytes() == b"precious"


def test_a_temporary_file_that_was_exchanged_is_not_named(tmp_path: Path) -> None:
    target = tmp_path / "a.jpg"
    with pytest.raises(MediaError, match="taken away"), new_file(target) as stream:
        stream.write(b"hidden")
        temporary_name(target).unlink()
        temporary_name(target).write_bytes(b"foreign")
    assert not target.exists()


def test_ctrl_c_in_a_real_process_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
        import os, signal, time
        from pathlib import Path
        from anonymize.media.output import new_file
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
        with new_file(Path({str(tmp_path / "a.jpg")!r})) as stream:
            stream.write(b"half"); stream.flush()
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=False, capture_output=True, timeout=60
    )
    assert b"KeyboardInterrupt" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_identity_is_that_of_the_file_behind_links(tmp_path: Path) -> None:
    assert identity_of(tmp_path / "none") is None
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert (
        identity_of(tmp_path / "b") == identity_of(tmp_path / "a") == FileIdentity.of((tmp_path / "a").stat())
    )


def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    temporary_name(tmp_path / "a.jpg").write_bytes(b"left behind")
    write_whole(tmp_path / "a.jpg", b"hidden")
    assert (tmp_path / "a.jpg").read_bytes() == b"hidden"


@pytest.mark.parametrize(("fault", "raised"), [(errno.EIO, True), (errno.EINVAL, False)])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int, raised: bool
) -> None:
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(fault, os.strerror(fault))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MediaError, match="cannot be synced") if raised else contextlib.nullcontext():
        write_whole(tmp_path / "a.jpg", b"hidden")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_a_target_without_a_name_is_refused() -> None:
    with pytest.raises(MediaError, match="wanted the name of a file"):
        check_target(Path("/"))
    with pytest.raises(MediaError, match="wanted the name of a file"):
        check_target(Path(".."))
