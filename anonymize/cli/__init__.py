"""The command `anonymize`; each subcommand's module is loaded when it is called."""

from anonymize.cli.main import main

__all__ = ["main"]
