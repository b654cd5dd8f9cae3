"""Remote files on a worker: copied into a folder of its own in RAM, done there, and put back whole (fsspec)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from anonymize.archive.errors import ArchiveError, SourceChangedError
from anonymize.archive.place import is_remote
from anonymize.archive.receipts import Bound, Receipt, Task
from anonymize.errors import MediaError

RAM: Final = Path("/dev/shm")  # noqa: S108  what is made in it is 0700 and removed after the task
Finish = Callable[[Receipt], Receipt]


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address and the path in it, without caches of listings.

    Raises
    ------
    ArchiveError
        fsspec, or what it needs for this kind of address, is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise ArchiveError(
            "fsspec is not installed; wanted the extra: pip install vehicle-anonymize[cluster]"
        ) from None
    try:
        found, path = fsspec.core.url_to_fs(address, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as fault:
        raise ArchiveError(f"{address}: cannot be reached: {fault}") from None
    return found, path


def facts_of(address: str) -> tuple[int, int] | None:
    """Size in bytes and time of change in ns of a remote file; None where there is none."""
    system, path = file_system(address)
    try:
        info = system.info(path)
    except FileNotFoundError:
        return None
    return int(info["size"]), changed_ns(info)


def changed_ns(info: dict[str, Any]) -> int:
    """When a remote file changed, ns, by whatever name its file system calls that; 0 where it does not say."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        seconds = value.timestamp() if isinstance(value, datetime) else value
        if isinstance(seconds, (int, float)):
            return round(seconds * 1_000_000) * 1000  # lists and single answers agree to the microsecond
    return 0


@contextlib.contextmanager
def staged(task: Task, folder: Path | None) -> Iterator[tuple[Task, Finish]]:
    """The task with near files in place of remote ones, and what puts its output where it belongs.

    The near folder is of mode 0700 and removed with the block, whatever happens in it. A task without a remote file
    is given back as it is.
    """
    spools = {
        name: words for name in ("spool", "before", "after") if is_remote(words := getattr(task, name) or "")
    }
    if not spools and not is_remote(task.source) and not is_remote(task.target):
        yield task, lambda receipt: receipt
        return
    with tempfile.TemporaryDirectory(
        prefix="anonymize-stage-", dir=folder or (RAM if RAM.is_dir() else None)
    ) as place:
        near, bound = task, task.bound
        if is_remote(task.source):
            _check_unchanged(task)
            copy = Path(place, "source", PurePosixPath(task.source).name)
            copy.parent.mkdir()
            system, path = file_system(task.source)
            system.get_file(path, str(copy))
            status = copy.stat()
            bound = replace(bound, size=status.st_size, mtime_ns=status.st_mtime_ns)
            near = replace(near, source=str(copy), bound=bound)
        for name, words in spools.items():
            system, path = file_system(words)
            system.get_file(path, str(Path(place, name)))
            near = replace(near, **{name: str(Path(place, name))})  # type: ignore[arg-type]  # three of its paths
        if is_remote(task.target):
            suffix = Path(task.target).suffix
            near = replace(
                near, target=str(Path(place, f"target{suffix}")), temporary=str(Path(place, f"unfinished{suffix}")),
                receipt="", may_replace="",
            )  # fmt: skip
        yield near, lambda receipt: _finish(task, near, receipt, task.bound)


def _check_unchanged(task: Task) -> None:
    facts = facts_of(task.source)
    if facts is None:
        raise MediaError(f"{task.source}: cannot be read: it is gone")
    if facts != (task.bound.size, task.bound.mtime_ns):
        raise SourceChangedError(f"{task.source}: is not what was planned, or changed while it was read")


def _finish(task: Task, near: Task, receipt: Receipt, bound: Bound) -> Receipt:
    """The receipt of the remote output, put there in one step once its bytes are complete here."""
    if is_remote(task.source):
        _check_unchanged(task)
    if not is_remote(task.target):
        return replace(receipt, bound=bound)
    system, path = file_system(task.target)
    with contextlib.suppress(OSError, NotImplementedError):
        system.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120  a path of another system
    unfinished = f"{path}.{os.getpid()}.tmp" if _is_folder_like(system) else path
    system.put_file(near.target, unfinished)
    if unfinished != path:
        system.mv(unfinished, path)
    facts = facts_of(task.target)
    if facts is None or facts[0] != receipt.output_size:
        with contextlib.suppress(OSError):
            system.rm_file(path)
        raise MediaError(f"{task.target}: was not stored whole; wanted {receipt.output_size:,} bytes")
    return replace(receipt, bound=bound, output_mtime_ns=facts[1])


def _is_folder_like(system: Any) -> bool:
    """Whether a half-written file would be seen there: an object store shows an object when it is complete."""
    names = (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)
    return not {"s3", "s3a", "gs", "gcs", "abfs", "az", "adl"} & set(names)
