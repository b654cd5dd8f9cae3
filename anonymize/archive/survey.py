"""Where an archive stands: every input against the journal and the output, and the work that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from anonymize.archive.corrections import InForce, in_force
from anonymize.archive.driver import FileWork
from anonymize.archive.journal import Journal
from anonymize.archive.place import Place
from anonymize.archive.planning import Contents, Item, Standing, bind, stand
from anonymize.archive.receipts import Bound, Task

LOOK_SHARE = 0.5  # of a video's bytes in progress bars: two passes over the same file


@dataclass(slots=True)
class Survey:
    """What is to be done, and how every file stands."""

    contents: Contents
    by_key: dict[str, Item] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    bounds: dict[str, Bound] = field(default_factory=dict)
    said: dict[str, InForce] = field(default_factory=dict)

    @property
    def todo(self) -> list[Item]:
        """The items that are to be done."""
        return [item for key, item in self.by_key.items() if self.standings[key].todo]

    def neighbours(self, key: str) -> tuple[str, str]:
        """Before and after it in its drive; one that kills workers is left alone, as if it was not there."""
        item = self.by_key[key]
        before, after = (
            "" if near and self.standings[near].word == "set aside" else near
            for near in (item.before, item.after)
        )
        return before, after

    @property
    def notes(self) -> list[str]:
        """What became of earlier corrections."""
        return [one.note for one in self.said.values() if one.note]


def survey(
    contents: Contents,
    journal: Journal | None,
    place: Place,
    settings_digest: str,
    *,
    retry: bool = False,
    check: Callable[[], None] = lambda: None,
) -> Survey:
    """How every item stands. Without a journal, as if nothing was done."""
    found = Survey(contents, {item.key: item for item in contents.items})
    for key, item in found.by_key.items():
        check()
        row = journal.file(key) if journal is not None else None
        said = (
            in_force(journal, row, item.size, item.mtime_ns, settings_digest)
            if journal is not None
            else InForce()
        )
        found.said[key] = said
        found.bounds[key] = bind(item, found.by_key, settings_digest, said.digest)
        found.standings[key] = stand(found.bounds[key], row, place, key, retry=retry)
    return found


def make_work(found: Survey, journal: Journal, place: Place, settings_digest: str) -> list[FileWork]:
    """The tasks of all that is to be done, the looks that neighbours need included."""
    looks = _Looks(found, journal, place, settings_digest)
    wanted = {item.key for item in found.todo}
    looked_at = wanted | {near for key in wanted for near in found.neighbours(key)}
    work = []
    for key in found.by_key:
        look = looks.task(key) if key in looked_at else None
        file = _file_task(found, journal, place, key) if key in wanted else None
        if file is not None and look is None and file.kind == "video":
            file = looks.with_digest(file)
        if file is not None or look is not None:
            waits = (key, *found.neighbours(key)) if file is not None and file.kind == "video" else ()
            work.append(FileWork(file, look, waits))
    return work


def _file_task(found: Survey, journal: Journal, place: Place, key: str) -> Task:
    item, row, said = found.by_key[key], journal.file(key), found.said[key]
    video = item.kind == "video"
    before, after = found.neighbours(key)
    return Task(
        key=key, step="file", kind=item.kind, source=item.source, target=place.address(key), temporary="",
        bound=found.bounds[key], receipt=place.receipt(key),
        spool=place.spool(key) if video else "",
        before=place.spool(before) if before else None,
        after=place.spool(after) if after else None,
        may_replace=row.output_digest if row is not None else "",
        source_digest=said.source_digest, corrections=said.corrections,
        weight=item.size - _look_weight(item.size) if video else item.size,
    )  # fmt: skip


def _look_weight(size: int) -> int:
    return int(size * LOOK_SHARE)


class _Looks:
    """Which videos have their boxes already, and the tasks of those that have not."""

    def __init__(self, found: Survey, journal: Journal, place: Place, settings_digest: str) -> None:
        self._found, self._journal, self._place, self._settings = found, journal, place, settings_digest

    def task(self, key: str) -> Task | None:
        item = self._found.by_key[key]
        if item.kind != "video" or self._lies_there(item):
            return None
        said = self._found.said[key]
        return Task(
            key=key, step="look", kind="video", source=item.source, target=self._place.spool(key),
            temporary="", bound=self._bound(item), source_digest=said.source_digest, corrections=said.corrections,
            weight=_look_weight(item.size),
        )  # fmt: skip

    def with_digest(self, task: Task) -> Task:
        """The task, which must meet the source that was looked at."""
        look = self._journal.look(task.key)
        return replace(task, source_digest=look.source_digest) if look is not None else task

    def _bound(self, item: Item) -> Bound:
        return Bound(size=item.size, mtime_ns=item.mtime_ns, settings_digest=self._settings)

    def _lies_there(self, item: Item) -> bool:
        row = self._journal.look(item.key)
        if row is None or row.bound != self._bound(item):
            return False
        return self._place.spool_digest(item.key) == row.spool_digest


def refuse(found: Survey, journal: Journal) -> list[str]:
    """Enter what cannot be done, with its reason; the lines."""
    lines: Sequence[tuple[str, Standing]] = [
        (key, one) for key, one in found.standings.items() if one.word == "refused"
    ]
    for key, one in lines:
        item = found.by_key[key]
        journal.enter(key, item.source, item.kind, found.bounds[key])
        journal.failed(key, one.why)
    return [one.why for _, one in lines]
