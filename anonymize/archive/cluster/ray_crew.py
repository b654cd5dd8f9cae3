"""A crew on a Ray cluster: tasks go out, receipts come back, never a pixel. Retries are the driver's, not Ray's."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from anonymize.archive.cluster.staging import staged
from anonymize.archive.crew import Ended, Event, Failed, failed
from anonymize.archive.errors import ArchiveError
from anonymize.archive.plain import from_plain, to_plain, to_text
from anonymize.archive.receipts import Receipt, Setup, Task

LOCAL: Final = "local"  # an address that starts a cluster of this machine alone
STORE_BYTES: Final = 80 << 20  # Ray's least: receipts are small and go beside it
START_LIMIT_S: Final = 900.0
SLOWEST_BYTES_PER_S: Final = 20_000.0  # a task slower than this is hung
LOOK_EVERY_S: Final = 5.0


def load_ray(address: str) -> ModuleType:
    """The library, told to report nothing to its makers, and to stay on loopback where the cluster is local.

    Raises
    ------
    ArchiveError
        It is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        # its switch for loopback, on Linux too; read at import
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        if (
            "RAY_AUTH_MODE" not in os.environ
        ):  # else it writes a token into the home folder, for everyone to read
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise ArchiveError(
            "Ray is not installed; wanted the extra: pip install vehicle-anonymize[cluster]"
        ) from None
    module: ModuleType = ray
    return module


@dataclass(slots=True)
class _InFlight:
    task: Task
    begun_s: float


class RayCrew:
    """Workers of a Ray cluster, which see inputs and output under the same paths as this machine.

    Parameters
    ----------
    setup : Setup
    address : str
        HOST:PORT of a cluster, or "local": one of this machine alone, on loopback, without dashboard, usage
        statistics and spilling.
    workers : int
        Processes of a local cluster.
    staging : Path or None
        Where workers put copies of remote files; None: RAM.
    """

    def __init__(self, setup: Setup, address: str, workers: int, staging: Path | None = None) -> None:
        self._ray, self._setup, self._staging = load_ray(address), setup, str(staging or "")
        self._place: str | None = None
        self._in_flight: dict[Any, _InFlight] = {}
        self._connect(address, workers)
        self._do: Any = self._ray.remote(num_cpus=setup.threads, max_retries=0)(_do)
        self._slots, self._looked_s = 0, -LOOK_EVERY_S

    def _connect(self, address: str, workers: int) -> None:
        try:
            if address != LOCAL:
                self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
                return
            self._place = tempfile.mkdtemp(prefix="anonymize-ray-")  # mode 0700
            self._ray.init(
                num_cpus=workers, include_dashboard=False, log_to_driver=False, object_store_memory=STORE_BYTES,
                logging_level=logging.ERROR, _temp_dir=self._place,
                _system_config={"automatic_object_spilling_enabled": False},
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as fault:
            raise ArchiveError(
                f"{address}: no Ray cluster answers: {type(fault).__name__}: {fault}"
            ) from None
        if not str(self._ray.util.get_node_ip_address()).startswith("127."):
            self.stop()
            raise ArchiveError("the local cluster is not on loopback; wanted Ray not to be imported before")

    @property
    def free(self) -> int:
        """Slots of the cluster as it is now, less the tasks in flight."""
        if time.monotonic() - self._looked_s > LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            cores = self._ray.cluster_resources().get("CPU", 0.0)
            self._slots = max(1, int(cores // self._setup.threads))
        return self._slots - len(self._in_flight)

    def begin(self, task: Task) -> None:
        """Send it out."""
        reference = self._do.remote(to_text(self._setup), to_plain(task), self._staging)
        self._in_flight[reference] = _InFlight(task, time.monotonic())

    def events(self, wait_s: float) -> list[Event]:
        """Receipts and failures that came in."""
        if not self._in_flight:
            time.sleep(wait_s)
            return []
        ready, _ = self._ray.wait(list(self._in_flight), num_returns=1, timeout=wait_s)
        found = [self._event(reference) for reference in ready]
        for reference, flight in list(self._in_flight.items()):
            limit_s = START_LIMIT_S + flight.task.bound.size / SLOWEST_BYTES_PER_S
            if time.monotonic() - flight.begun_s > limit_s:
                self._ray.cancel(reference, force=True)
                del self._in_flight[reference]
                found.append(Failed(flight.task, f"no answer for {limit_s:.0f} s; it was ended", "again"))
        return found

    def stop(self) -> list[Task]:
        """Cancel what is in flight (its temporary files go), and leave the cluster."""
        for reference in self._in_flight:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference)
        if self._in_flight:
            self._ray.wait(list(self._in_flight), num_returns=len(self._in_flight), timeout=10.0)
        self._ray.shutdown()
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)
        tasks = [flight.task for flight in self._in_flight.values()]
        self._in_flight.clear()
        return tasks

    def _event(self, reference: Any) -> Event:
        task = self._in_flight.pop(reference).task
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as fault:
            return Failed(task, f"the worker was lost: {type(fault).__name__}", "again")
        if "done" in answer:
            return Ended(task, from_plain(Receipt, answer["done"]))
        return failed(task, answer["failed"])


def _do(setup: str, task: dict[str, Any], staging: str) -> dict[str, Any]:
    """What a worker of the cluster does with one task."""
    from anonymize.archive.carry_out import carry_out
    from anonymize.archive.worker import failure_of

    whole = from_plain(Task, task)
    source = whole.source
    try:
        jobs, tools = _equipment(setup)
        with staged(whole, Path(staging) if staging else None) as (near, finish):
            source = near.source
            return {"done": to_plain(finish(carry_out(near, jobs, tools)))}
    except Exception as fault:  # noqa: BLE001  named by type and words, never with its values
        words = failure_of(fault)
        return {"failed": {**words, "error": words["error"].replace(source, whole.source)}}


@lru_cache(maxsize=1)
def _equipment(setup: str) -> tuple[Any, Any]:
    """Jobs and tools of this worker process, the network loaded once."""
    from anonymize.archive.jobs import make_jobs
    from anonymize.archive.plain import from_text
    from anonymize.archive.work import Tools
    from anonymize.process_guard import forbid_core_dumps

    forbid_core_dumps()
    chosen = from_text(Setup, setup)
    jobs = make_jobs(chosen)
    tools = Tools(settings=chosen.settings, model=jobs.load_model(chosen.model), threads=chosen.threads)
    return jobs, tools
