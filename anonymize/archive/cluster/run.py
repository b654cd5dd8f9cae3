"""A run of the archive whose tasks a Ray cluster does: the same planner, driver and journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anonymize.archive.cluster.places import RemotePlace, list_addresses
from anonymize.archive.cluster.ray_crew import RayCrew
from anonymize.archive.driver import Watcher
from anonymize.archive.place import LocalPlace, is_remote
from anonymize.archive.run import Archive, Outcome, Request, run_archive
from anonymize.archive.state import StateFolder
from anonymize.errors import UsageError


def run_on_cluster(
    request: Request,
    watcher: Watcher,
    check: Callable[[], None],
    *,
    address: str,
    state: Path | None = None,
    staging: Path | None = None,
) -> Outcome:
    """What a run did; see `run_archive`.

    Parameters
    ----------
    address : str
        Of the cluster, or "local".
    state : Path or None
        Where the journal is; wanted where the output is an address.
    staging : Path or None
        Where workers put copies of remote files; None: RAM.

    Raises
    ------
    UsageError
        What a cluster cannot do: release false hits, delete sources behind addresses.
    """
    if any(one.said.corrections.released for one in request.review):
        raise UsageError(
            "a false hit is released on the machine that has the source; wanted the run without --cluster"
        )
    remote = is_remote(request.output) or any(map(is_remote, request.inputs))
    if request.delete_source and remote:
        raise UsageError("--delete-source is for sources on disks; wanted it without addresses")
    if is_remote(request.output) and state is None:
        raise UsageError(
            f"{request.output}: a journal cannot lie there; wanted --state FOLDER on this machine"
        )
    output = Path(request.output).resolve()
    folder = StateFolder(state.resolve()) if state is not None else StateFolder.of(output)
    place = RemotePlace(request.output) if is_remote(request.output) else LocalPlace(output, folder)
    archive = Archive(list_addresses(request.inputs, request.output), place, folder)

    def make_crew(_setup: object, _scratch: Path | None) -> RayCrew:
        return RayCrew(request.setup, address, request.workers, staging)

    return run_archive(request, watcher, check, make_crew, archive)
