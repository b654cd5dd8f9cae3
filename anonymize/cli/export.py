"""`anonymize export`: a bundle of what a store holds, for somebody; every refusal names its rule."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from anonymize.cli.store_errors import in_our_words
from anonymize.errors import UsageError
from anonymize.process_guard import forbid_core_dumps

if TYPE_CHECKING:
    from anonymize.store.approval import Transfer
    from anonymize.store.object_source import ObjectFacts
    from anonymize.store.store import Store


def execute(options: argparse.Namespace) -> int:
    """Print what was done, and every warning."""
    forbid_core_dumps()  # keys and pictures are in its memory
    with in_our_words():
        done = _ask(options) if options.ask else _export(options)
    if options.json:
        print(json.dumps(done, indent=2))
    else:
        print("\n".join([f"warning: {line}" for line in done.pop("warnings", [])] + [done["said"]]))
    return 0


class Leaving:
    """A store's objects as export takes them: the row that it writes is the export's own, not a read's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ids(self) -> Iterable[str]:
        """Of all segments."""
        return self._store.ids()

    def describe(self, object_id: str, /) -> ObjectFacts:
        """See `ObjectSource`."""
        return self._store.describe(object_id)

    def read(self, object_id: str, /) -> bytes:
        """The film or pictures of a segment, in the clear."""
        return self._store.open_segment(object_id).media


def _export(options: argparse.Namespace) -> dict[str, Any]:
    from anonymize.store.export import Authority, export
    from anonymize.store.signing import public_keys
    from anonymize.store.territory import read_policy

    authority = Authority(
        policy=read_policy(options.policy),
        tag_keys=public_keys(options.tag_key),
        approval=None if options.approval is None else options.approval.read_text("utf-8", errors="replace"),
        approvers=public_keys(options.approver_key),
    )
    transfer = _transfer(options)
    with _opened(options) as store:
        made = export(
            Leaving(store), _chosen(store, options), transfer,
            ledger=store.vault.ledger, authority=authority, name=options.name,
        )  # fmt: skip
    said = f"{made.path}: {made.objects} objects, manifest {made.manifest_digest}"
    return {
        "said": said, "path": str(made.path), "objects": made.objects, "manifest": made.manifest_digest,
        "warnings": list(made.warnings),
    }  # fmt: skip


def _ask(options: argparse.Namespace) -> dict[str, Any]:
    """Write what an approval must say; nothing is exported and no row is written."""
    from anonymize.media.output import write_whole
    from anonymize.store.approval import facts_of_set
    from anonymize.store.territory import read_policy

    transfer, policy = _transfer(options), read_policy(options.policy)
    with _opened(options) as store:
        facts = [store.describe(one) for one in _chosen(store, options)]
    asked = facts_of_set(facts, transfer, policy)
    write_whole(options.ask, (json.dumps(asked, indent=1, sort_keys=True) + "\n").encode())
    return {"said": f"{options.ask}: asks for {len(facts)} objects; nothing was exported", **asked}


def _transfer(options: argparse.Namespace) -> Transfer:
    from anonymize.store.approval import Transfer

    return Transfer(
        recipient=options.recipient, jurisdiction=options.jurisdiction, purpose=options.purpose,
        persons=options.persons, sensitive=options.sensitive, sink=options.sink,
    )  # fmt: skip


def _opened(options: argparse.Namespace) -> Store:
    from anonymize.store.making import key_home
    from anonymize.store.store import Store

    return Store.open(options.folder, key_home(options.folder, options.key))


def _chosen(store: Store, options: argparse.Namespace) -> list[str]:
    from anonymize.store.actions import Choice

    choice = Choice(
        options.data_class, options.region, options.from_day, options.until_day, tuple(options.id)
    )
    if (choice == Choice()) != options.all:
        raise UsageError("wanted either --all, or which segments: --class, --region, --from, --until, --id")
    choice.check()
    found = [entry.digest for entry in choice.of(store)]
    if missing := set(options.id) - set(found):
        raise UsageError(
            f"{len(missing)} of the segments named with --id are not held, or do not fit the choice"
        )
    return found
