"""An action on a store of which nobody knows whether a recorder has it open just now."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from anonymize.store.actions import REQUESTS, Choice, carry_out
from anonymize.store.errors import StoreBusyError, StoreError
from anonymize.store.keys import KeyHome
from anonymize.store.settings import replace_file
from anonymize.store.store import Store

PATIENCE_S: Final = 30.0


def act(
    folder: Path, home: Callable[[], KeyHome], action: str, choice: Choice, *, patience_s: float = PATIENCE_S
) -> dict[str, Any]:
    """Do it in a store, by itself or by asking the recorder that has it open. Returns the receipt.

    Raises
    ------
    StoreError
        It cannot be done, or the recorder does not answer.
    """
    choice.check()
    try:
        with Store.open(folder, home()) as store:
            return carry_out(store, action, choice)
    except StoreBusyError:
        return _ask(folder, action, choice, patience_s)


def _ask(folder: Path, action: str, choice: Choice, patience_s: float) -> dict[str, Any]:
    requests = folder / REQUESTS
    requests.mkdir(mode=0o700, exist_ok=True)
    name = secrets.token_hex(8)
    question, answer = requests / f"{name}.ask.json", requests / f"{name}.answer.json"
    replace_file(question, json.dumps({"action": action, "choice": asdict(choice)}).encode(), lasting=False)
    until_s = time.monotonic() + patience_s
    try:
        while time.monotonic() < until_s:
            if answer.exists():
                said: dict[str, Any] = json.loads(answer.read_text("utf-8"))
                if "fault" in said:
                    raise StoreError(f"{folder}: the recorder answers: {said['fault']}")
                return said
            time.sleep(0.05)
        raise StoreBusyError(
            f"{folder}: the recorder that has it open has not answered in {patience_s:.0f} s"
        )
    finally:
        for path in (question, answer):
            path.unlink(missing_ok=True)
