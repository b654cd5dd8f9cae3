"""What may leave, under which rule it may not, and what a bundle proves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from anonymize.errors import UsageError
from anonymize.store import approval as approval_module
from anonymize.store import export as export_module
from anonymize.store.approval import Transfer, yearly_counts
from anonymize.store.errors import LedgerError, RefusedError
from anonymize.store.export import read_from
from anonymize.store.ledger import signed_note
from anonymize.store.ledger_verifier import statement_text, verify_bundle, verify_ledger
from anonymize.store.rules import Rule
from anonymize.store.territory import Verdict, open_sink, read_policy, region_tag, require_region
from tests.store.exports import (
    APPROVER,
    APPROVER_NAME,
    AUTHORITY,
    AUTHORITY_NAME,
    GERMANY,
    HOME,
    KNOWN,
    POLICY,
    TAG_KEYS,
    TODAY,
    Held,
    Scene,
)
from tests.store.ledgers import NOON_S, OTHER_KEY, digest, stored


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.ledger.close()


def refused(scene, rule, act):
    """The act is refused under this rule, the ledger says so, nothing lies in a sink and no export was begun."""
    begun = len(scene.rows("export.begun"))
    with pytest.raises(RefusedError) as caught:
        act()
    assert caught.value.rule == rule
    assert str(caught.value).startswith(f"{rule}: ")
    assert [row["rule"] for row in scene.rows("export.refused")][-1:] == [rule]
    assert scene.left() == []
    assert len(scene.rows("export.begun")) == begun


# --- what goes --------------------------------------------------------------------------------------------------------


def test_an_approved_export_makes_a_bundle_that_verifies(scene):
    made = scene.export(approval=scene.approval())
    assert made.path == scene.folder / "abroad" / "bundle"
    assert scene.left() == ["bundle"]
    assert verify_bundle(made.path, KNOWN).faults == []
    assert verify_bundle(made.path, KNOWN).notes == []
    contents = {path.read_bytes() for path in (made.path / "objects").iterdir()}
    assert contents == set(scene.held.contents.values())
    assert [row["event"] for row in scene.rows("export.begun", "export.made", "export.failed", "export.refused")] == [
        "export.begun", "export.made",
    ]  # fmt: skip
    begun = scene.rows("export.begun")[0]
    assert begun["classes"] == {"personal": 2}
    assert (begun["persons"], begun["recipient"], begun["jurisdiction"], begun["kind"]) == (
        4, "Example Works GmbH", "DE", "export",
    )  # fmt: skip
    manifest = json.loads((made.path / "manifest.json").read_bytes())
    assert scene.rows("export.made")[0]["bundle"] == made.manifest_digest
    assert hashlib.sha256((made.path / "manifest.json").read_bytes()).hexdigest() == made.manifest_digest
    assert {one["receipt"]["row"]["model"] for one in manifest["objects"]} == {digest(-1)}
    assert made.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.path.rglob("*") if path.is_file()} == {0o600}


def test_a_handover_at_home_needs_no_approval_where_the_policy_allows_it(scene):
    made = scene.export(HOME)
    assert verify_bundle(made.path, KNOWN).faults == []
    assert scene.rows("export.begun")[0]["kind"] == "handover"
    assert yearly_counts(scene.ledger, "Depot", 2026) == {"persons": 0, "sensitive": 0}


def test_the_row_is_on_the_disk_before_the_first_object_is_read(scene):
    seen = []
    read = scene.held.read

    def looking(object_id):
        found = verify_ledger(scene.ledger.path, KNOWN)
        seen.append((found.faults, found.rows, len(scene.rows("export.begun")), scene.left("abroad")))
        return read(object_id)

    scene.held.read = looking
    scene.export(approval=scene.approval())
    assert seen == [([], 3, 1, [".bundle.tmp"])] * 2


def test_the_row_of_the_bundle_is_there_before_its_name(scene, monkeypatch):
    rename = Path.rename

    def looking(path, target):
        assert len(scene.rows("export.made")) == 1
        assert verify_ledger(scene.ledger.path, KNOWN).faults == []
        assert not target.exists()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", looking)
    assert scene.export(HOME).path.is_dir()


# --- the matrix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_class", "jurisdiction", "verdict"),
    [
        ("general", "CN", Verdict.ALLOW),
        ("general", "CN-SH", Verdict.ALLOW),
        ("general", "US", None),
        ("personal", "DE", Verdict.APPROVAL),
        ("personal", "DE-BY", Verdict.APPROVAL),
        ("personal", "FR", Verdict.DENY),
        ("sensitive", "CN", None),
        ("important", "CN", Verdict.DENY),
        ("important", "DE", Verdict.DENY),
    ],
)
def test_the_matrix_says(scene, data_class, jurisdiction, verdict):
    assert scene.policy.verdict(data_class, jurisdiction) == verdict


def to(jurisdiction, **changes):
    return replace(GERMANY, jurisdiction=jurisdiction, **changes)


def test_what_the_policy_does_not_name_is_denied(scene):
    scene.tag("abroad", "US")
    refused(scene, Rule.POLICY_DEFAULT, lambda: scene.export(to("US"), scene.approval(to("US"))))


def test_what_the_policy_denies_no_approval_allows(scene):
    scene.tag("abroad", "FR")
    refused(scene, Rule.POLICY_DENY, lambda: scene.export(to("FR"), scene.approval(to("FR"))))


@pytest.mark.parametrize("transfer", [GERMANY, HOME])
def test_important_data_is_never_exported(tmp_path, transfer):
    scene = Scene(tmp_path, classes=("general", "important"))
    scene.policy.cells["important"] = {"DE": Verdict.ALLOW, "CN": Verdict.ALLOW}  # as no file can say
    refused(scene, Rule.IMPORTANT_NEVER, lambda: scene.export(transfer, scene.approval(transfer)))
    scene.ledger.close()


def test_one_class_that_may_not_go_holds_the_whole_set(tmp_path):
    scene = Scene(tmp_path, classes=("general", "sensitive"), sensitive=1)
    refused(scene, Rule.POLICY_DEFAULT, lambda: scene.export(HOME))
    scene.ledger.close()


@pytest.mark.parametrize(
    "text",
    [
        'home = "China"',
        "home = 5",
        "",
        'home = "CN"\n[classes.important]\nDE = "approval"',
        'home = "CN"\n[classes.personal]\nDE = "maybe"',
        'home = "CN"\n[classes.personal]\nde = "allow"',
        'home = "CN"\n[classes.other]\nDE = "allow"',
        'home = "CN"\n[clases.personal]\nDE = "allow"',
        'home = "CN"\n[sinks]\ndepot7 = "x"',
        'home = "CN"\n[sinks]\ndepot = 7',
        'home = "CN"\nclasses = 7',
        "no toml",
    ],
)
def test_a_policy_that_cannot_be_is_refused(tmp_path, text):
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(UsageError):
        read_policy(tmp_path / "policy.toml")
    with pytest.raises(UsageError):
        read_policy(tmp_path / "missing.toml")


# --- sinks ------------------------------------------------------------------------------------------------------------


def test_a_sink_without_a_good_tag_takes_nothing(scene):
    go = lambda: scene.export(approval=scene.approval())  # noqa: E731
    scene.tag("abroad", "FR")
    refused(scene, Rule.REGION_MISMATCH, go)
    scene.tag("abroad", "DE", until=date(2026, 11, 17))
    refused(scene, Rule.TAG_EXPIRED, go)
    scene.tag("abroad", "DE", sink="depot")  # the tag of another sink, copied here
    refused(scene, Rule.TAG_NAME, go)
    scene.tag("abroad", "DE", signer=OTHER_KEY)
    refused(scene, Rule.TAG_SIGNATURE, go)
    tag = scene.folder / "abroad" / "region.tag"
    scene.tag("abroad", "DE")
    tag.write_text(tag.read_text().replace('"DE"', '"FR"'))
    refused(scene, Rule.TAG_SIGNATURE, go)
    body = {"region": "DE", "sink": "abroad", "until": "2027-01-01"}
    tag.write_text(signed_note(statement_text("approval", body), AUTHORITY, AUTHORITY_NAME))
    refused(scene, Rule.TAG_SIGNATURE, go)
    tag.write_text(signed_note(statement_text("region", body | {"region": 5}), AUTHORITY, AUTHORITY_NAME))
    refused(scene, Rule.TAG_SIGNATURE, go)
    tag.write_text(signed_note(statement_text("region", body | {"until": 5}), AUTHORITY, AUTHORITY_NAME))
    refused(scene, Rule.TAG_EXPIRED, go)
    tag.unlink()
    refused(scene, Rule.TAG_MISSING, go)
    refused(scene, Rule.SINK_UNKNOWN, lambda: scene.export(replace(GERMANY, sink="other"), scene.approval()))
    scene.tag("abroad", "DE", until=TODAY)
    assert go().objects == 2


def test_a_countrys_tag_does_not_stand_for_its_parts(scene):
    sink = open_sink(scene.policy, "abroad", TAG_KEYS, TODAY)
    require_region(sink, "DE")
    for region in ("DE-BY", "D", "CN"):
        with pytest.raises(RefusedError):
            require_region(sink, region)
    scene.tag("abroad", "DE-BY")
    require_region(open_sink(scene.policy, "abroad", TAG_KEYS, TODAY), "DE")
    for words in (("a7", "DE"), ("abroad", "Germany")):
        with pytest.raises(UsageError):
            region_tag(*words, TODAY, AUTHORITY, AUTHORITY_NAME)


# --- approvals --------------------------------------------------------------------------------------------------------


def test_without_an_approval_nothing_goes(scene):
    refused(scene, Rule.APPROVAL_MISSING, scene.export)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (Rule.APPROVAL_KIND, {"kind": "read"}),
        (Rule.APPROVAL_SET, {"set": digest(1)}),
        (Rule.APPROVAL_CLASSES, {"classes": {"personal": 1}}),
        (Rule.APPROVAL_CLASSES, {"classes": {"general": 2}}),
        (Rule.APPROVAL_COUNTS, {"persons": 5}),
        (Rule.APPROVAL_COUNTS, {"persons": 3}),
        (Rule.APPROVAL_COUNTS, {"sensitive": 1}),
        (Rule.APPROVAL_RECIPIENT, {"recipient": "Example Works"}),
        (Rule.APPROVAL_JURISDICTION, {"jurisdiction": "FR"}),
        (Rule.APPROVAL_PURPOSE, {"purpose": "training"}),
        (Rule.APPROVAL_EXPIRED, {"expires": date(2026, 11, 17)}),
        (Rule.APPROVAL_SIGNATURE, {"signer": OTHER_KEY}),
        (Rule.APPROVAL_SIGNATURE, {"signer": AUTHORITY}),
    ],
)
def test_an_approval_for_something_else_allows_nothing(scene, rule, changes):
    refused(scene, rule, lambda: scene.export(approval=scene.approval(**changes)))
    assert scene.export(approval=scene.approval()).objects == 2  # and the refusal has used nothing up


def test_an_approval_of_a_part_or_of_more_allows_nothing(scene):
    refused(scene, Rule.APPROVAL_SET, lambda: scene.export(approval=scene.approval(ids=["id0"]), ids=["id1"]))
    refused(scene, Rule.APPROVAL_SET, lambda: scene.export(approval=scene.approval(), ids=["id1"]))


def test_an_approval_that_was_altered_allows_nothing(scene):
    good = scene.approval()
    for old, new in (
        ("2026-11-18", "2099-11-18"),
        ('"persons":4', '"persons":0'),
        ("approval/v1", "region/v1"),
    ):
        assert old in good
        refused(
            scene,
            Rule.APPROVAL_SIGNATURE,
            lambda old=old, new=new: scene.export(approval=good.replace(old, new)),
        )
    refused(scene, Rule.APPROVAL_SIGNATURE, lambda: scene.export(approval="none"))
    no_number = approval_module.approval_note(
        approval_module.facts_of_set([scene.held.describe(one) for one in scene.held.ids()], GERMANY, scene.policy),
        expires=TODAY, assessment="", signer=APPROVER, name=APPROVER_NAME,
    )  # fmt: skip
    refused(scene, Rule.APPROVAL_SIGNATURE, lambda: scene.export(approval=no_number))


def test_one_approval_is_good_for_one_use(scene):
    token = scene.approval()
    scene.export(approval=token, name="first")
    shutil.rmtree(scene.folder / "abroad" / "first")
    refused(scene, Rule.APPROVAL_USED, lambda: scene.export(approval=token))
    # one more signature under the same words makes no other approval of it
    more = token + signed_note("x\n", OTHER_KEY, "other.example").split("\n\n")[1]
    refused(scene, Rule.APPROVAL_USED, lambda: scene.export(approval=more))
    assert scene.export(approval=scene.approval()).objects == 2  # a second approval of the same set


def test_an_approval_is_used_up_by_an_export_that_failed(scene):
    token = scene.approval()
    scene.held.contents["id1"] = b"other pictures"
    with pytest.raises(RefusedError, match="object-altered"):
        scene.export(approval=token)
    assert scene.left() == []
    assert [row["reason"] for row in scene.rows("export.failed")] == ["refused"]
    refused(scene, Rule.APPROVAL_USED, lambda: scene.export(approval=token))


def test_of_two_at_once_one_approval_lets_one_go(scene):
    token, outcomes = scene.approval(), []

    def work(name):
        try:
            outcomes.append(scene.export(approval=token, name=name).objects)
        except RefusedError as fault:
            outcomes.append(fault.rule)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["2", "approval-used", "approval-used"]
    assert len(scene.rows("export.begun")) == 1


# --- sets and objects -------------------------------------------------------------------------------------------------


def test_two_segments_of_equal_content_go_together(scene):
    """Groups of frames that were hidden as a whole are equal, byte for byte."""
    scene.held.contents["id1"] = scene.held.contents["id0"]
    first = scene.held.describe("id0")
    row = scene.ledger.append("segment.stored", stored(7, content=first.digest))
    scene.held.change("id1", digest=first.digest, ledger_row=row)
    made = scene.export(HOME)
    assert (made.objects, len(list((made.path / "objects").iterdir()))) == (2, 1)
    assert verify_bundle(made.path, KNOWN).faults == []


def test_a_set_is_not_empty_and_names_nothing_twice(scene):
    refused(scene, Rule.OBJECTS_NONE, lambda: scene.export(HOME, ids=[]))
    refused(scene, Rule.OBJECTS_TWICE, lambda: scene.export(HOME, ids=["id0", "id0"]))
    with pytest.raises(RefusedError, match="object-unknown"):
        scene.export(HOME, ids=["id7"])


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": digest(5)},
        {"data_class": "general"},
        {"region": "CN-SH"},
        {"retain_until": "2027-12-02"},
        {"ledger_row": 0},
        {"ledger_row": 99},
    ],
)
def test_an_object_that_its_row_does_not_know_stays(scene, changes):
    scene.held.change("id1", **changes)
    refused(scene, Rule.OBJECT_UNKNOWN, lambda: scene.export(HOME, ids=["id1"]))


def test_a_row_of_another_event_is_no_proof(scene):
    scene.held.change("id1", ledger_row=scene.ledger.append("owner.asked", {}))
    refused(scene, Rule.OBJECT_UNKNOWN, lambda: scene.export(HOME))


def test_fewer_persons_than_the_row_says_are_not_believed(scene):
    one = Held(scene.ledger, persons=None)
    row = next(scene.ledger.rows(one.describe("id0").ledger_row, one.describe("id0").ledger_row + 1))
    fields = {name: value for name, value in row.items() if name not in ("row", "day", "event")}
    number = scene.ledger.append("segment.stored", fields | {"persons": 3, "sensitive": 1})
    for persons, sensitive, fits in ((None, 1, False), (2, 1, False), (3, 0, False), (3, 1, True)):
        scene.held.change("id0", ledger_row=number, persons=persons, sensitive=sensitive)
        transfer = replace(HOME, persons=0, sensitive=0)
        if fits:
            assert scene.export(transfer).objects == 2
        else:
            refused(scene, Rule.OBJECT_UNKNOWN, lambda transfer=transfer: scene.export(transfer))


def test_what_should_have_been_deleted_does_not_go(scene):
    scene.clock.now_s += 15 * 86_400
    refused(scene, Rule.OBJECT_EXPIRED, lambda: scene.export(HOME))


def test_persons_that_nobody_counted_must_be_stated(tmp_path):
    scene = Scene(tmp_path, persons=None, sensitive=None)
    refused(scene, Rule.PERSONS_UNKNOWN, lambda: scene.export(HOME))
    refused(scene, Rule.PERSONS_UNKNOWN, lambda: scene.export(replace(HOME, persons=9)))
    scene.export(replace(HOME, persons=9, sensitive=1))
    assert (scene.rows("export.begun")[0]["persons"], scene.rows("export.begun")[0]["sensitive"]) == (9, 1)
    scene.ledger.close()


def test_sensitive_data_is_of_somebody(tmp_path):
    scene = Scene(tmp_path, classes=("sensitive",), persons=0, sensitive=0)
    refused(
        scene,
        Rule.PERSONS_UNKNOWN,
        lambda: scene.export(GERMANY, scene.approval(replace(GERMANY, sensitive=1))),
    )
    transfer = replace(GERMANY, sensitive=3)
    scene.export(transfer, scene.approval(transfer))
    assert yearly_counts(scene.ledger, "Example Works GmbH", 2026) == {"persons": 3, "sensitive": 3}
    scene.ledger.close()


def test_stating_fewer_than_were_counted_does_not_help(scene):
    scene.export(replace(HOME, persons=1))
    assert scene.rows("export.begun")[0]["persons"] == 4


# --- the year ---------------------------------------------------------------------------------------------------------


def many(scene, persons, sensitive=0, *, recipient="Example Works GmbH", name):
    transfer = replace(GERMANY, persons=persons, sensitive=sensitive, recipient=recipient)
    return scene.export(transfer, scene.approval(transfer, expires=date(2099, 1, 1)), name=name)


def scene_day(scene):
    return date(1970, 1, 1).fromordinal(date(1970, 1, 1).toordinal() + int(scene.clock() // 86_400))


def cleared(scene):
    for path in (scene.folder / "abroad").iterdir():
        if path.is_dir():
            shutil.rmtree(path)


@pytest.mark.parametrize(
    ("rule", "most", "counts"),
    [
        (Rule.YEAR_PERSONS, 1_000_000, lambda number: (number, 0)),
        (Rule.YEAR_SENSITIVE, 10_000, lambda number: (number, number)),
    ],
)
def test_a_recipient_is_warned_at_80_percent_and_blocked_at_the_limit(scene, rule, most, counts):
    assert many(scene, *counts(most * 8 // 10 - 1), name="a").warnings == ()
    warned = many(scene, *counts(4), name="b").warnings
    assert len(warned) == 1
    assert warned[0].startswith(rule)
    assert [row["rule"] for row in scene.rows("export.warned")] == [rule]
    left = most - 1 - (most * 8 // 10 - 1) - 4
    cleared(scene)
    refused(scene, rule, lambda: many(scene, *counts(left + 1), name="c"))
    many(scene, *counts(left), name="d")
    assert yearly_counts(scene.ledger, "Example Works GmbH", 2026)["persons"] == most - 1


def test_each_recipient_has_its_own_count_whatever_the_spelling(scene):
    many(scene, 999_999, name="a")
    many(scene, 999_999, recipient="Another Works", name="b")
    cleared(scene)
    for spelling in ("Example Works GmbH", "example works gmbh", "Example-Works.GmbH", "ExampleWorksGmbH"):
        refused(
            scene, Rule.YEAR_PERSONS, lambda spelling=spelling: many(scene, 5, recipient=spelling, name="c")
        )


def test_the_count_begins_anew_on_1_january(scene):
    scene.held.change("id0", retain_until="2026-12-02")
    many(scene, 999_999, name="a")
    assert yearly_counts(scene.ledger, "Example Works GmbH", 2026)["persons"] == 999_999
    assert yearly_counts(scene.ledger, "Example Works GmbH", 2027)["persons"] == 0
    scene.clock.now_s = 1_798_761_600.0 - 1.0  # the last second of 2026, UTC
    assert scene_day(scene) == date(2026, 12, 31)
    scene.held = Held(scene.ledger)
    for one in scene.held.ids():
        row = scene.held.describe(one).ledger_row
        fields = {
            k: v for k, v in next(scene.ledger.rows(row, row + 1)).items() if k not in ("row", "day", "event")
        }
        scene.held.change(
            one,
            ledger_row=scene.ledger.append("segment.stored", fields | {"retain_until": "2027-02-01"}),
            retain_until="2027-02-01",
        )
    scene.tag("abroad", "DE", until=date(2028, 1, 1))
    cleared(scene)
    refused(scene, Rule.YEAR_PERSONS, lambda: many(scene, 5, name="b"))
    scene.clock.now_s += 2.0
    assert many(scene, 5, name="c").warnings == ()


def test_a_clock_that_was_set_back_lets_nothing_go(scene):
    scene.clock.now_s -= 365 * 86_400
    for _ in range(2):  # the refusal's own row is of the old day, and does not make it right
        refused(scene, Rule.CLOCK_BEHIND, lambda: scene.export(HOME))
    scene.clock.now_s += 365 * 86_400
    assert scene.export(HOME).objects == 2


def test_an_altered_ledger_lets_nothing_go(scene):
    """Counters and used approvals are read from it."""
    import sqlite3
    from contextlib import closing

    token = scene.approval()
    scene.export(approval=token, name="first")
    cleared(scene)
    begun = scene.rows("export.begun")[0]
    with closing(sqlite3.connect(scene.ledger.path)) as ledger, ledger:
        body = json.dumps({**begun, "approval": digest(0)}, sort_keys=True, separators=(",", ":"))
        ledger.execute("UPDATE ledger_rows SET body = ? WHERE row = ?", (body.encode(), begun["row"]))
    refused(scene, Rule.LEDGER_ALTERED, lambda: scene.export(approval=token))


def test_without_a_signer_nothing_goes(tmp_path):
    from tests.store.ledgers import opened

    scene = Scene(tmp_path)
    scene.ledger.close()
    scene.ledger = opened(tmp_path / "unsigned", None, clock=scene.clock)
    scene.held = Held(scene.ledger)
    with pytest.raises(LedgerError, match="no key"):
        scene.export(HOME)
    assert scene.left() == []
    scene.ledger.close()


# --- reading ----------------------------------------------------------------------------------------------------------


def reading(jurisdiction):
    return Transfer(
        recipient="Example Works GmbH", jurisdiction=jurisdiction, purpose="support", reading=True
    )


def read(scene, transfer, approval=None):
    return list(
        read_from(
            scene.held, scene.held.ids(), transfer, ledger=scene.ledger, authority=scene.authority(approval)
        )
    )


def test_a_read_from_abroad_is_an_export(scene):
    refused(scene, Rule.APPROVAL_MISSING, lambda: read(scene, reading("DE")))
    refused(scene, Rule.APPROVAL_KIND, lambda: read(scene, reading("DE"), scene.approval()))
    refused(scene, Rule.POLICY_DEFAULT, lambda: read(scene, reading("US")))
    contents = read(scene, reading("DE"), scene.approval(reading("DE")))
    assert contents == list(scene.held.contents.values())
    assert scene.rows("export.begun")[0]["kind"] == "read"
    assert yearly_counts(scene.ledger, "Example Works GmbH", 2026) == {"persons": 4, "sensitive": 0}
    assert scene.rows("segment.read") == []


def test_a_read_at_home_has_its_row_before_the_first_object(scene):
    parts = read_from(scene.held, ["id0"], reading("CN"), ledger=scene.ledger, authority=scene.authority())
    assert scene.rows("segment.read")[0]["recipient"] == "Example Works GmbH"
    assert list(parts) == [scene.held.contents["id0"]]
    assert yearly_counts(scene.ledger, "Example Works GmbH", 2026)["persons"] == 0
    with pytest.raises(UsageError):
        read_from(scene.held, ["id0"], HOME, ledger=scene.ledger, authority=scene.authority())


def test_a_thing_taken_abroad_crosses_a_border_on_its_way_home(tmp_path):
    scene = Scene(tmp_path, region="DE")
    assert scene.export(HOME).objects == 2
    assert scene.rows("export.begun")[0]["kind"] == "export"
    scene.ledger.close()


# --- faults on the way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("_write_objects", "disk"),
        ("_manifest", "disk"),
        ("_write_manifest", "disk"),
        ("_require_whole_bundle", "disk"),
    ],
)
def test_a_fault_at_any_step_leaves_nothing(scene, monkeypatch, step, reason):
    def fails(*words, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, step, fails)
    with pytest.raises(OSError, match="No space"):
        scene.export(HOME)
    assert scene.left() == []
    assert [row["reason"] for row in scene.rows("export.failed")] == [reason]
    assert scene.rows("export.made") == []


def test_a_disk_that_keeps_other_bytes_makes_no_bundle(scene, monkeypatch):
    write = export_module._write

    def rotting(path, content):
        write(path, content + b"x" * (path.parent.name == "objects"))

    monkeypatch.setattr(export_module, "_write", rotting)
    with pytest.raises(RefusedError) as caught:
        scene.export(HOME)
    assert caught.value.rule == Rule.BUNDLE_ALTERED
    assert scene.left() == []
    assert scene.rows("export.made") == []


def test_a_stop_while_writing_leaves_nothing(scene):
    def stopped(object_id):
        raise KeyboardInterrupt

    scene.held.read = stopped
    with pytest.raises(KeyboardInterrupt):
        scene.export(HOME)
    assert scene.left() == []
    assert [row["reason"] for row in scene.rows("export.failed")] == ["stopped"]


def test_a_ledger_that_takes_no_row_lets_nothing_go(scene, monkeypatch):
    token, asked = scene.approval(), []
    scene.held.read = asked.append

    def full():
        raise LedgerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(scene.ledger, "_write_queue", full)
        for act in (lambda: scene.export(approval=token), lambda: read(scene, reading("CN"))):
            with pytest.raises(LedgerError, match="full"):
                act()
    assert (asked, scene.left()) == ([], [])
    scene.ledger.commit()  # what waited says that it failed, and the approval counts as used
    assert [row["reason"] for row in scene.rows("export.failed")] == ["ledger"]
    refused(scene, Rule.APPROVAL_USED, lambda: scene.export(approval=token))


def test_names_and_what_is_there_already(scene):
    (scene.folder / "depot" / "there").mkdir()
    for name in ("there", "", ".", "..", "a/b", ".hidden"):
        with pytest.raises(UsageError):
            scene.export(HOME, name=name)
    for transfer in (replace(HOME, sink=None), replace(HOME, reading=True)):
        with pytest.raises(UsageError):
            scene.export(transfer)
    assert scene.rows("export.begun") == []


def test_a_full_sink_uses_no_approval_up(scene):
    token = scene.approval()
    scene.held.change("id1", stored_bytes=1 << 60)
    with pytest.raises(UsageError, match="bytes are free"):
        scene.export(approval=token)
    scene.held.change("id1", stored_bytes=1001)
    assert scene.export(approval=token).objects == 2


def test_what_a_killed_run_left_is_removed_and_what_another_writes_is_not(scene):
    import fcntl

    left = scene.folder / "depot" / ".bundle.tmp"
    (left / "objects").mkdir(parents=True)
    (left / "objects" / "old").write_bytes(b"x")
    lock = os.open(left, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another run"):
        scene.export(HOME)
    os.close(lock)
    assert verify_bundle(scene.export(HOME).path, KNOWN).faults == []
    (scene.folder / "depot" / ".other.tmp").write_text("no folder")
    with pytest.raises(UsageError, match="in the way"):
        scene.export(HOME, name="other")


# --- the rules --------------------------------------------------------------------------------------------------------


def test_every_rule_is_tested_and_explained():
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    tests = Path(__file__).read_text("utf-8")
    for rule in Rule:
        assert f"`{rule}`" in page, rule
        assert f"Rule.{rule.name}" in tests or rule in tests, rule


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": "Works 7"}, {"recipient": ""}, {"jurisdiction": "Germany"}, {"purpose": "Two words"},
        {"persons": -1}, {"sensitive": 1.5}, {"sink": "a/b"}, {"recipient": None},
    ],
)  # fmt: skip
def test_a_transfer_in_another_form_is_refused(changes):
    with pytest.raises(UsageError):
        replace(GERMANY, **changes)


def test_the_policy_of_the_docs_is_one(tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY)
    assert read_policy(tmp_path / "policy.toml").home == "CN"
    assert (TODAY - date(1970, 1, 1)).days == NOON_S // 86_400
