"""From the words of a command line to an exit code: 0 all done, 1 some input failed, 2 wrong usage, 130 Ctrl-C."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module

from anonymize.cli import stop
from anonymize.cli.parser import make_parser
from anonymize.errors import AnonymizeError, UsageError
from anonymize.kernel_cache import use_kernel_cache, why_compiled

COMPILING = ("evaluate", "run")
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = make_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leaving:  # argparse has printed the reason, or the help
        return int(leaving.code or 0)
    try:
        warnings.simplefilter("ignore")  # of libraries, on damaged files: our own messages say what matters
        if options.command in COMPILING:
            _prepare_kernels(quiet=options.quiet)
        command = import_module(f"anonymize.cli.{options.command}")
        with stop.listening():
            return int(command.execute(options))
    except UsageError as fault:
        print(f"anonymize {options.command}: {fault}", file=sys.stderr)
        return USAGE
    except AnonymizeError as fault:
        print(f"anonymize {options.command}: {fault}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("anonymize: stopped; nothing unfinished is left", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away
        sys.stderr.close()
        return FAILED
    except Exception as fault:  # a bug: named, and where, but never with the values of its variables
        last = traceback.extract_tb(fault.__traceback__)[-1]
        where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
        print(
            f"anonymize {options.command}: internal error at {where}: {type(fault).__name__}", file=sys.stderr
        )
        return FAILED


def _prepare_kernels(*, quiet: bool) -> None:
    """Name the kernels' cache before they are imported, and say so where they must be compiled first."""
    cache = use_kernel_cache()
    if not quiet and why_compiled() and (cache is None or not any(cache.iterdir())):
        print(
            "compiling the kernels for this processor, some 20 s" + ", once" * (cache is not None),
            file=sys.stderr,
        )
