"""The release, as it stands in pyproject.toml; asking the installed wheel (importlib.metadata) would load `socket`."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "0.1.0"
