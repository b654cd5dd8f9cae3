"""A small store, an authority and a recipient for tests of territory and export."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anonymize.store.approval import Transfer, approval_note, facts_of_set
from anonymize.store.export import Authority, export
from anonymize.store.object_source import ObjectFacts
from anonymize.store.signing import verify_key
from anonymize.store.territory import read_policy, region_tag
from tests.store.ledgers import KEY, ORIGIN, Clock, opened, stored

AUTHORITY, APPROVER = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (3, 4))
AUTHORITY_NAME, APPROVER_NAME = "authority.example/regions", "office.example/approvals"
TAG_KEYS = [verify_key(AUTHORITY, AUTHORITY_NAME)]
APPROVERS = [verify_key(APPROVER, APPROVER_NAME)]
KNOWN = [verify_key(KEY, ORIGIN), *APPROVERS]
TODAY = date(2026, 11, 18)  # the day of the tests' clock

POLICY = """
home = "CN"

[sinks]
depot = "depot"
abroad = "abroad"

[classes.general]
CN = "allow"
DE = "allow"

[classes.personal]
CN = "allow"
DE = "approval"
FR = "deny"

[classes.sensitive]
DE = "approval"
"""


class Held:
    """Objects in memory, with their rows in a ledger: what a store is to export."""

    def __init__(self, ledger, classes=("personal", "personal"), *, persons=2, sensitive=0, region="CN"):
        self.contents, self.facts = {}, {}
        for number, data_class in enumerate(classes):
            content = b"hidden pictures, group %d" % number
            digest = hashlib.sha256(content).hexdigest()
            row = ledger.append(
                "segment.stored",
                stored(
                    number, digest=hashlib.sha256(b"x" + content).hexdigest(), content=digest, region=region
                )
                | {"class": data_class},
            )
            self.contents[f"id{number}"] = content
            self.facts[f"id{number}"] = ObjectFacts(
                digest=digest, stored_bytes=1000 + number, data_class=data_class, region=region,
                retain_until="2026-12-02", ledger_row=row, persons=persons, sensitive=sensitive,
            )  # fmt: skip
        ledger.commit()

    def ids(self):
        return list(self.facts)

    def describe(self, object_id):
        return self.facts[object_id]

    def read(self, object_id):
        return self.contents[object_id]

    def change(self, object_id, **changes):
        self.facts[object_id] = replace(self.facts[object_id], **changes)


GERMANY = Transfer(
    recipient="Example Works GmbH", jurisdiction="DE", purpose="accident_record", sink="abroad"
)
HOME = Transfer(recipient="Depot", jurisdiction="CN", purpose="archive", sink="depot")


class Scene:
    """A ledger, a held set, a policy, two sinks with tags; exports made with a few words."""

    def __init__(self, folder, **held):
        self.folder, self.clock = folder, Clock()
        (folder / "policy.toml").write_text(POLICY)
        self.policy = read_policy(folder / "policy.toml")
        for name, region in (("depot", "CN"), ("abroad", "DE")):
            (folder / name).mkdir()
            self.tag(name, region)
        self.ledger = opened(folder / "ledger", clock=self.clock)
        self.held = Held(self.ledger, **held)

    def tag(self, name, region, *, until=date(2027, 1, 1), signer=AUTHORITY, sink=None):
        (self.folder / name / "region.tag").write_text(
            region_tag(sink or name, region, until, signer, AUTHORITY_NAME)
        )

    def approval(self, transfer=GERMANY, *, expires=TODAY, signer=APPROVER, ids=None, **changes):
        facts = [self.held.describe(one) for one in ids or self.held.ids()]
        body = facts_of_set(facts, transfer, self.policy) | changes
        return approval_note(body, expires=expires, assessment="A 2026 17", signer=signer, name=APPROVER_NAME)

    def authority(self, approval=None, **changes):
        known = {"policy": self.policy, "tag_keys": TAG_KEYS, "approvers": APPROVERS}
        return Authority(**known | {"approval": approval} | changes)

    def export(self, transfer=GERMANY, approval=None, *, name="bundle", ids=None, **changes):
        return export(
            self.held,
            self.held.ids() if ids is None else ids,
            transfer,
            ledger=self.ledger,
            authority=self.authority(approval, **changes),
            name=name,
        )

    def rows(self, *events):
        return list(self.ledger.find(*events))

    def left(self, *sinks):
        """Everything that lies in the sinks but their tags."""
        found = [path for name in sinks or ("depot", "abroad") for path in (self.folder / name).iterdir()]
        return sorted(path.name for path in found if path.name != "region.tag")
