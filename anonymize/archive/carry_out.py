"""One task done by a worker: read beside a watch, written under a temporary name, named when complete."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from anonymize.archive.errors import SourceChangedError, UnverifiedError
from anonymize.archive.jobs import Jobs
from anonymize.archive.plain import to_text
from anonymize.archive.receipts import Receipt, Task
from anonymize.archive.source_watch import SourceWatch, digest_file
from anonymize.archive.work import FileResult, Moment, Tools
from anonymize.errors import MediaError, SecondLookError, VerificationError

NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES})


def carry_out(task: Task, jobs: Jobs, tools: Tools) -> Receipt:
    """The receipt of a task whose output now has its final name. Nothing is left of one that fails.

    Order: job, digest of the source, sync, digest of the output, receipt on disk, rename, sync of the folder.
    A worker that is killed after the rename has left its receipt: the next run takes the output by it.

    Raises
    ------
    SourceChangedError
        The source is not the planned one, or changed while it was read.
    UnverifiedError
        What was written failed its verification or its second look.
    Exception
        What else the job raised.
    """
    begun_s = time.monotonic()
    source, target, temporary = Path(task.source), Path(task.target), Path(task.temporary)
    if target.exists() and target.samefile(source):
        raise MediaError(f"{target}: is the source itself (perhaps by a link); wanted another output")
    tools = replace(tools, corrections=task.corrections)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with SourceWatch(source, task.bound, task.source_digest) as watch:
            try:
                result = _do(task, jobs, tools)
            except (VerificationError, SecondLookError) as fault:
                raise UnverifiedError(str(fault), watch.digest(), _found(fault)) from None
            source_digest = watch.digest()
        receipt = _seal(task, temporary, source_digest, result, time.monotonic() - begun_s)
        tools.check_stop()
        if task.receipt:
            write_text(Path(task.receipt), to_text(receipt))
        if task.step == "look":
            temporary.replace(target)
        else:
            give_name(temporary, target, task.may_replace, receipt.output_digest)
    finally:
        temporary.unlink(missing_ok=True)
    return receipt


def _found(fault: Exception) -> Moment | None:
    """What the second look found, where that is what failed."""
    if not isinstance(fault, SecondLookError):
        return None
    return Moment(
        fault.pts_s, fault.frame, fault.label, fault.xyxy, fault.confidence, "second look", fault.topic
    )


def _do(task: Task, jobs: Jobs, tools: Tools) -> FileResult | None:
    source, temporary = Path(task.source), Path(task.temporary)
    if task.step == "look":
        jobs.look(source, temporary, tools)
        return None
    if task.kind == "picture":
        return jobs.picture(source, temporary, tools)
    if task.kind == "log":
        return jobs.log(source, temporary, tools)
    before, after = (Path(spool) if spool else None for spool in (task.before, task.after))
    return jobs.hide(source, temporary, Path(task.spool), before, after, tools=tools)


def _seal(
    task: Task, temporary: Path, source_digest: str, result: FileResult | None, seconds: float
) -> Receipt:
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if task.step == "look":
            os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return Receipt(
        key=task.key, step=task.step, bound=task.bound, source_digest=source_digest,
        output_digest=digest_file(temporary), output_size=status.st_size, output_mtime_ns=status.st_mtime_ns,
        seconds=round(seconds, 3), result=result,
    )  # fmt: skip


def give_name(temporary: Path, target: Path, may_replace: str, digest: str) -> None:
    """Rename in one step; a file that is not ours is never replaced, and one with the same bytes is ours.

    Raises
    ------
    SourceChangedError
        Something else came to lie at `target` meanwhile.
    """
    try:
        os.link(temporary, target)
    except FileExistsError:
        lies = digest_file(target) if target.is_file() and not target.is_symlink() else ""
        if lies not in (digest, may_replace) or not lies:
            raise SourceChangedError(
                f"{target}: came into being meanwhile and is not ours; move it away"
            ) from None
        os.replace(temporary, target)
    except OSError as fault:
        if fault.errno not in NO_HARD_LINKS:
            raise
        if target.exists() and digest_file(target) not in (digest, may_replace):
            raise SourceChangedError(f"{target}: is not ours; move it away") from None
        os.replace(temporary, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make new names last through a power cut, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """A small file of mode 0600, whole or not at all, on the disk when this returns."""
    unfinished = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(
        unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)
