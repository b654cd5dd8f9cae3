"""The order of a write and of a deletion, as STORAGE.md has it: what a power cut can leave is decided by it alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anonymize.store import objects as objects_module
from anonymize.store.store import Store
from tests.store.stores import make_store, put


@pytest.fixture
def steps(monkeypatch):
    """What the store asks of the disk, in order."""
    seen: list[str] = []
    inside: dict[int, str] = {}

    def spy(name, real, told):
        def call(*arguments, **more):
            result = real(*arguments, **more)
            line = told(result, *arguments)
            if line:
                seen.append(line)
            return result

        monkeypatch.setattr(objects_module.os, name, call)

    def opened(result, path, *_):
        inside[result] = Path(path).name
        return f"open {kind(path)}"

    def kind(path) -> str:
        name = Path(path).name
        return "temporary" if name.endswith(".tmp") else "object" if len(name) == 64 else "folder"

    spy("open", os.open, opened)
    spy("fsync", os.fsync, lambda _, descriptor: f"fsync {kind(inside.get(descriptor, ''))}")
    spy("rename", os.rename, lambda _, old, new: f"rename {kind(old)} to {kind(new)}")
    spy("unlink", os.unlink, lambda _, path: f"unlink {kind(path)}")
    return seen


def watch(store: Store, steps: list[str], monkeypatch) -> None:
    for part, names in (
        (store.vault.index, ("add", "commit", "destroy_keys", "remove", "remove_epoch", "empty_log")),
        (store.vault.ledger, ("append", "commit")),
    ):
        for name in names:
            real = getattr(part, name)

            told = f"{type(part).__name__.lower()} {name}"

            def call(*arguments, real=real, told=told, **more):
                steps.append(f"{told} {arguments[0]}" if told.endswith("append") else told)
                return real(*arguments, **more)

            monkeypatch.setattr(part, name, call)


def test_order_of_a_write(tmp_path, steps, monkeypatch):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        put(store, 1)
        watch(store, steps, monkeypatch)
        steps.clear()
        put(store, 2)
        took = list(steps)
    one = ["open temporary", "fsync temporary", "rename temporary to object", "index add"]
    assert took == [
        "ledger commit", *one, *one, "open folder", "fsync folder", "index commit",
        "ledger append segment.stored", "ledger append segment.stored", "ledger commit",
    ]  # fmt: skip


def test_order_of_a_deletion(tmp_path, steps, monkeypatch):
    folder, home = make_store(tmp_path)
    with Store.open(folder, home) as store:
        put(store, 2)
        watch(store, steps, monkeypatch)
        steps.clear()
        store.vault.delete(list(store.vault.index.entries()), "owner")
        store.vault.destroy_empty_epochs(today_too=True)
        took = list(steps)
    assert took == [
        "ledger commit", "index destroy_keys", "index commit", "unlink object", "unlink object", "open folder",
        "fsync folder", "ledger append segment.deleted", "ledger append segment.deleted", "ledger commit",
        "index remove", "index commit", "index empty_log",
        "index remove_epoch", "ledger append epoch.destroyed", "ledger commit",
    ]  # fmt: skip
