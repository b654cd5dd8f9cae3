"""One task for one file, and the receipt of its result: what crosses between driver and workers. Never a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from anonymize.archive.work import ArchiveSettings, Corrections, FileResult, Kind

NO_CORRECTIONS: Final = Corrections()
Step = Literal["look", "file"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A packaged network by name, or a file with its hash and manifest: each worker loads and checks it itself."""

    name: str = ""
    file: str = ""
    sha256: str = ""
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told once: all its tasks are done with it.

    Parameters
    ----------
    jobs : str
        "module:Class" of the jobs; only tests and benchmarks name another.
    """

    settings: ArchiveSettings
    model: ModelChoice
    threads: int = 1
    jobs: str = "anonymize.archive.jobs:RealJobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a result is bound to; a done file with other words here is done again.

    Parameters
    ----------
    size, mtime_ns : int
        Of the source.
    settings_digest : str
        Over settings and model.
    corrections_digest : str
        Over what a person said of the file; empty where nothing was said.
    before, after : str
        Neighbours in the drive as "name size mtime", empty where there is none.
    """

    size: int
    mtime_ns: int
    settings_digest: str
    corrections_digest: str = ""
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One step of one file, with every path that it may touch.

    Parameters
    ----------
    key : str
        Relative path of the output, the journal's key.
    target : str
        The final name: of the output, or of the spool (`step` "look").
    temporary : str
        Where it is written until it is complete.
    may_replace : str
        Digest of a file of ours that may lie at `target`; empty: none may.
    source_digest : str
        What the source must hold, where it was read before; empty: not known yet.
    """

    key: str
    step: Step
    kind: Kind
    source: str
    target: str
    temporary: str
    bound: Bound
    receipt: str = ""
    spool: str = ""
    before: str | None = None
    after: str | None = None
    may_replace: str = ""
    source_digest: str = ""
    corrections: Corrections = NO_CORRECTIONS
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a worker has given its final name, or is about to."""

    key: str
    step: Step
    bound: Bound
    source_digest: str
    output_digest: str
    output_size: int
    output_mtime_ns: int
    seconds: float
    result: FileResult | None = None
