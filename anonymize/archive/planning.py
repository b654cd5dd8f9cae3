"""Which files an archive holds, what each becomes, and which of them are to be done."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from anonymize.archive.journal import FileRow
from anonymize.archive.place import Place, is_remote
from anonymize.archive.receipts import Bound
from anonymize.archive.state import STATE_FOLDER, is_unfinished
from anonymize.archive.work import Kind
from anonymize.errors import UsageError

SUFFIXES: Final[dict[str, Kind]] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp"), "picture"),
    **dict.fromkeys(
        (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".3gp", ".mpg", ".mpeg"), "video"
    ),
    **dict.fromkeys((".mcap", ".bag", ".db3"), "log"),
}  # fmt: skip
Group = Callable[[list[Path]], list[list[Path]]]


@dataclass(frozen=True, slots=True)
class Item:
    """One file to do: `key` is its place under the output, `before` and `after` its neighbours' in the drive."""

    key: str
    source: str
    kind: Kind
    size: int
    mtime_ns: int
    before: str = ""
    after: str = ""


@dataclass(slots=True)
class Contents:
    """All that the inputs hold; `unreadable` is named and fails, `left_out` are files of kinds not known."""

    items: list[Item] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, source: Path, key: str) -> None:
        """Enter one file by its kind."""
        kind = SUFFIXES.get(source.suffix.lower())
        if kind is None:
            self.left_out.append(str(source))
            return
        try:
            key.encode(), str(source).encode()
            status = source.stat()
        except UnicodeEncodeError:
            shown = str(source).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            self.unreadable.append(f"{shown}: the name is not UTF-8; wanted a name that a journal can hold")
            return
        except OSError as fault:
            self.unreadable.append(f"{source}: cannot be read: {fault.strerror}")
            return
        if not stat.S_ISREG(status.st_mode):
            self.unreadable.append(f"{source}: is no plain file; wanted a file")
            return
        self.items.append(Item(key, str(source), kind, status.st_size, status.st_mtime_ns))


def list_inputs(inputs: Iterable[Path], output: Path | None) -> Contents:
    """All files of the inputs; folders are walked and their tree is kept under `output`.

    Raises
    ------
    UsageError
        An input does not exist, the output lies in an input folder, or two inputs would become one file.
    """
    found = Contents()
    for path in inputs:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: no such file or folder")
        if path.is_dir():
            if output is not None and path.resolve() in (output.resolve(), *output.resolve().parents):
                raise UsageError(f"output {output} lies in the input folder {path}; wanted another place")
            _walk(path, found)
        else:
            found.add(path, path.name)
    refuse_twins(found.items)
    return found


def _walk(folder: Path, found: Contents) -> None:
    def remember(fault: OSError) -> None:
        found.unreadable.append(f"{fault.filename}: the folder cannot be read: {fault.strerror}")

    for place, folders, names in os.walk(folder, onerror=remember):
        folders[:] = sorted(name for name in folders if name != STATE_FOLDER)
        for name in sorted(names):
            if not is_unfinished(name):
                source = Path(place, name)
                found.add(source, source.relative_to(folder).as_posix())


def refuse_twins(items: Sequence[Item]) -> None:
    """Raise UsageError where two inputs would become one file."""
    seen: dict[str, str] = {}
    for item in items:
        first = seen.setdefault(item.key, item.source)
        if first != item.source:
            raise UsageError(f"{first} and {item.source} would both become {item.key}; run them apart")


def join_drives(items: Sequence[Item], group: Group) -> list[Item]:
    """The items with their neighbours: which consecutive videos are one drive is `group`'s answer.

    Videos behind addresses stand alone: `group` may want to look into files.
    """
    by_source = {item.source: item for item in items}
    joined = dict(by_source)
    for drive in group(
        [Path(item.source) for item in items if item.kind == "video" and not is_remote(item.source)]
    ):
        keys = ["", *(by_source[str(path)].key for path in drive), ""]
        for path, before, after in zip(drive, keys, keys[2:], strict=False):
            item = by_source[str(path)]
            joined[str(path)] = Item(
                item.key, item.source, item.kind, item.size, item.mtime_ns, before, after
            )
    return [joined[item.source] for item in items]


def bind(item: Item, by_key: dict[str, Item], settings_digest: str, corrections_digest: str = "") -> Bound:
    """What the result of this item depends on."""

    def words(key: str) -> str:
        return f"{key} {by_key[key].size} {by_key[key].mtime_ns}" if key else ""

    return Bound(
        size=item.size, mtime_ns=item.mtime_ns, settings_digest=settings_digest,
        corrections_digest=corrections_digest, before=words(item.before), after=words(item.after),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a file is to be done (`todo`), what it is in a word, and what is wrong with it where it cannot be.

    `word`: new, done, changed, again (failed or interrupted before), missing (the output is gone), quarantined,
    set aside, refused.
    """

    word: str
    todo: bool
    why: str = ""
    touched_mtime_ns: int = 0


def stand(bound: Bound, row: FileRow | None, place: Place, key: str, *, retry: bool = False) -> Standing:
    """How a file stands, by its row and by what lies there; the output is read only where its time is another."""
    lies, target = place.lies(key), place.address(key)
    if row is None or not row.output_digest:
        if lies is not None:
            return Standing(
                "refused", False, f"{target}: exists already and is not this archive's; move it away"
            )
        if row is None:
            return Standing("new", True)
    elif lies is not None and lies != (row.output_size, row.output_mtime_ns):
        if place.digest(key) != row.output_digest:
            return Standing("refused", False, f"{target}: was changed by another program; move it away")
        return _known(bound, row, there=True, retry=retry, touched_mtime_ns=lies[1])
    return _known(bound, row, there=lies is not None, retry=retry)


def _known(bound: Bound, row: FileRow, *, there: bool, retry: bool, touched_mtime_ns: int = 0) -> Standing:
    """The standing of a file that has a row, and whose output, if there, is the row's."""
    same_file = row.bound is not None and (row.size, row.mtime_ns) == (bound.size, bound.mtime_ns)
    if row.state == "set aside" and (row.size, row.mtime_ns) == (bound.size, bound.mtime_ns) and not retry:
        return Standing("set aside", False, row.error)
    if row.state == "quarantined" and row.bound == bound and not retry:
        return Standing("quarantined", False, row.error)
    if row.state != "done":
        return Standing("again" if row.error or row.state == "doing" else "new", True, row.error)
    if not there:
        return Standing("missing", True, "the output is gone")
    if not same_file or row.bound is None:
        return Standing("changed", True, "the source changed")
    if bound.settings_digest != row.bound.settings_digest:
        return Standing("changed", True, "other settings or another network")
    if bound.corrections_digest != row.bound.corrections_digest:
        return Standing("changed", True, "corrections by a person")
    if any(now and now != then for now, then in _neighbours(bound, row.bound)):
        return Standing("changed", True, "another file of its drive came or changed")
    return Standing("done", False, touched_mtime_ns=touched_mtime_ns)


def _neighbours(now: Bound, then: Bound) -> tuple[tuple[str, str], tuple[str, str]]:
    """A neighbour that is gone (its source deleted when done) is no reason to do a file again."""
    return (now.before, then.before), (now.after, then.after)
