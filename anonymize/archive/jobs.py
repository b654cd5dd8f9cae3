"""What is done to one file, as workers see it: a seam, so that the running of tasks is tested without a network."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from anonymize.archive.receipts import ModelChoice, Setup
from anonymize.archive.work import FileResult, Tools
from anonymize.detect import Model, load_foreign, load_packaged
from anonymize.kernel_cache import use_kernel_cache


class Jobs(Protocol):
    """The four jobs. Each writes its target whole, verified and under the name given, or raises."""

    def load_model(self, choice: ModelChoice) -> Model:
        """The network, read and checked once a worker."""

    def look(self, source: Path, spool: Path, tools: Tools) -> None:
        """Pass 1 over a video: boxes into `spool`, no pixel."""

    def hide(
        self,
        source: Path,
        target: Path,
        spool: Path,
        before: Path | None,
        after: Path | None,
        *,
        tools: Tools,
    ) -> FileResult:
        """Pass 2 over a video, with the spools of its neighbours in the drive."""

    def picture(self, source: Path, target: Path, tools: Tools) -> FileResult:
        """One picture."""

    def log(self, source: Path, target: Path, tools: Tools) -> FileResult:
        """One robot log."""


class RealJobs:
    """The jobs of this package; each part is imported when the first file needs it."""

    def load_model(self, choice: ModelChoice) -> Model:
        """The packaged network of this name, or the file whose hash was given; kernels are not loaded before."""
        use_kernel_cache()
        if choice.file:
            return load_foreign(Path(choice.file), choice.sha256, Path(choice.manifest))
        return load_packaged(choice.name)

    def look(self, source: Path, spool: Path, tools: Tools) -> None:
        """See `video_job.look`."""
        from anonymize.archive.video_job import look

        look(source, spool, tools)

    def hide(
        self,
        source: Path,
        target: Path,
        spool: Path,
        before: Path | None,
        after: Path | None,
        *,
        tools: Tools,
    ) -> FileResult:
        """See `video_job.hide`."""
        from anonymize.archive.video_job import hide

        return hide(source, target, spool, before, after, tools=tools)

    def picture(self, source: Path, target: Path, tools: Tools) -> FileResult:
        """See `picture_job.reprocess_picture`."""
        from anonymize.archive.picture_job import reprocess_picture

        return reprocess_picture(source, target, tools)

    def log(self, source: Path, target: Path, tools: Tools) -> FileResult:
        """See `log_job.reprocess_log`."""
        from anonymize.archive.log_job import reprocess_log

        return reprocess_log(source, target, tools)


def make_jobs(setup: Setup) -> Jobs:
    """The jobs that `setup` names."""
    module, _, name = setup.jobs.partition(":")
    made: Any = getattr(import_module(module), name)()
    jobs: Jobs = made
    return jobs
