"""A run of the archive from the lock to the last row: recover, survey, drive, delete sources where asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anonymize.archive.adopt import recover
from anonymize.archive.corrections import Spoken, apply_review
from anonymize.archive.crew import Crew, LocalCrew
from anonymize.archive.driver import Driver, FileWork, Watcher
from anonymize.archive.journal import Journal
from anonymize.archive.place import LocalPlace, Place
from anonymize.archive.plain import to_plain
from anonymize.archive.planning import Contents, Group, join_drives, list_inputs
from anonymize.archive.receipts import Setup
from anonymize.archive.sources import SourceRemover
from anonymize.archive.state import StateFolder
from anonymize.archive.survey import Survey, make_work, refuse, survey

CrewMaker = Callable[[Setup, Path | None], Crew]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run is asked to do.

    Parameters
    ----------
    setup : Setup
        Settings, network and jobs of the workers.
    model_sha256 : str
        Of the network, for the settings' digest.
    review : sequence of Spoken
        Corrections by a person; `release` confirms the false hits among them.
    delete_source : bool
        Delete a source when its output is verified and its row is committed.
    retry : bool
        Try files again that were set aside.
    group : callable
        Which consecutive videos are one drive.
    """

    inputs: Sequence[str]
    output: str
    setup: Setup
    model_sha256: str
    group: Group
    workers: int = 1
    review: Sequence[Spoken] = ()
    release: bool = False
    delete_source: bool = False
    retry: bool = False
    exceptions: Sequence[str] = ()

    @property
    def settings_digest(self) -> str:
        """Over settings and network."""
        return self.setup.settings.digest(self.model_sha256)


@dataclass(frozen=True, slots=True)
class Archive:
    """What is to be done, where its outputs lie, and where the journal is."""

    contents: Contents
    place: Place
    state: StateFolder


def local_archive(request: Request) -> Archive:
    """Inputs and output as folders of this machine; raises UsageError as `list_inputs`."""
    output = Path(request.output).resolve()
    contents = list_inputs([Path(words) for words in request.inputs], output)
    state = StateFolder.of(output)
    return Archive(contents, LocalPlace(output, state), state)


@dataclass(slots=True)
class Outcome:
    """What a run did. `failures` are lines, one a file that has no valid output now."""

    done: int = 0
    already_done: int = 0
    adopted: int = 0
    deleted: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def run_archive(
    request: Request,
    watcher: Watcher,
    check: Callable[[], None],
    make_crew: CrewMaker | None = None,
    archive: Archive | None = None,
) -> Outcome:
    """Bring the output up to date with the inputs; what cannot be done is in the outcome and in the journal.

    Parameters
    ----------
    request : Request
    watcher : Watcher
        Told of progress.
    check : callable
        Asked several times a second; what it raises ends the run, with nothing unfinished left.
    make_crew : callable or None
        Who carries the tasks out; None: worker processes of this machine.
    archive : Archive or None
        None: the request's inputs and output are folders of this machine.

    Raises
    ------
    ArchiveError
        Another run works on this output, the disk is full, the journal is damaged.
    UsageError
        Inputs or the review cannot be used.
    """
    archive = archive or local_archive(request)
    contents, place, state = archive.contents, archive.place, archive.state
    contents.items = join_drives(contents.items, request.group)
    state.make()
    with state.locked(), contextlib.closing(Journal(state.journal)) as journal:
        outcome = Outcome(left_out=contents.left_out)
        outcome.adopted = recover(journal, state, place)
        apply_review(journal, request.review, release=request.release)
        found = survey(contents, journal, place, request.settings_digest, retry=request.retry, check=check)
        outcome.notes += found.notes
        refuse(found, journal)
        remover = SourceRemover(journal, found.by_key, place) if request.delete_source else None
        if remover is not None:
            watcher = remover.watching(watcher)
        work = make_work(found, journal, place, request.settings_digest)
        run = _enter(request, found, journal, work)
        try:
            if work:
                with state.scratch() as scratch:
                    make = make_crew or (lambda setup, near: LocalCrew(setup, request.workers, scratch=near))
                    Driver(journal, make(request.setup, scratch), run, watcher).run(work, check)
        finally:
            journal.end_run(run)
        _account(found, journal, outcome)
        if remover is not None:
            remover.sweep()
            outcome.deleted, outcome.notes = remover.deleted, [*outcome.notes, *remover.notes]
    return outcome


def _enter(request: Request, found: Survey, journal: Journal, work: Sequence[FileWork]) -> int:
    """The number of the run, whose files now stand in the journal as waiting."""
    with journal.together():
        for key, standing in found.standings.items():
            item = found.by_key[key]
            if standing.todo:
                journal.enter(key, item.source, item.kind, found.bounds[key])
            elif standing.touched_mtime_ns:
                journal.output_touched(key, standing.touched_mtime_ns)
        weight = sum(task.weight for one in work for task in (one.look, one.file) if task is not None)
        return journal.begin_run(_facts(request, found), weight, sum(one.file is not None for one in work))


def _facts(request: Request, found: Survey) -> dict[str, object]:
    return {
        "inputs": list(request.inputs),
        "settings": to_plain(request.setup.settings),
        "settings_digest": request.settings_digest,
        "model": to_plain(request.setup.model),
        "model_sha256": request.model_sha256,
        "workers": request.workers,
        "exceptions": list(request.exceptions),
        "unreadable": found.contents.unreadable,
        "left_out": found.contents.left_out,
    }


def _failure(source: str, state: str, why: str) -> str:
    """One line that names the source once; most errors begin with it."""
    said = why.removeprefix(f"{source}: ")
    return f"{source}: {said}" if state == "failed" else f"{source}: {state}: {said}"


def _account(found: Survey, journal: Journal, outcome: Outcome) -> None:
    """Count what came of this survey's files."""
    for key, standing in found.standings.items():
        row = journal.file(key)
        if row is None or row.state != "done":
            state, error = (row.state, row.error) if row is not None else ("waiting", "")
            outcome.failures.append(_failure(str(found.by_key[key].source), state, error or standing.why))
        elif standing.todo:
            outcome.done += 1
        else:
            outcome.already_done += 1
    outcome.failures += found.contents.unreadable
