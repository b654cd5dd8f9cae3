"""Signed lists: what a vehicle takes, and all that it refuses."""

from __future__ import annotations

import json
import shutil
import time

import pytest

pytest.importorskip("tuf", reason="the extra `zones` is not installed")

from cryptography.hazmat.primitives import serialization

from anonymize.errors import UsageError
from anonymize.zones.authority import cosign, found_authority, new_key, rotate_keys, sign_list
from anonymize.zones.errors import ZoneListError, ZoneTrustError
from anonymize.zones.signed import load_signed_zones

NOW_S = 1_800_000_000.0
DAY_S = 86_400.0


def write_list(path, side_deg=0.01):
    ring = [[10.0, 50.0], [10.0 + side_deg, 50.0], [10.0 + side_deg, 50.01], [10.0, 50.0]]
    feature = {
        "type": "Feature",
        "properties": {"id": "a"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.fixture
def keys(tmp_path):
    names = [tmp_path / f"key{k}" for k in range(4)]
    for name in names:
        new_key(name)
    return names


def public(keys):
    return [f"{key}.pub" for key in keys]


@pytest.fixture
def folder(tmp_path, keys):
    """Three holders of whom two must sign; version 1 is signed."""
    path = tmp_path / "signed"
    found_authority(path, public(keys[:3]), keys[:2], threshold=2, now_s=NOW_S)
    assert sign_list(write_list(tmp_path / "a.json"), path, keys[:2], now_s=NOW_S).complete
    return path


@pytest.fixture
def root(folder):
    return (folder / "metadata" / "1.root.json").read_bytes()


def refused(folder, root, state, now_s=NOW_S):
    with pytest.raises(ZoneTrustError) as caught:
        load_signed_zones(folder, root, state, now_s=now_s)
    return caught.value.reason


def test_a_signed_list_loads(folder, root, tmp_path):
    signed = load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S + 5)
    assert (signed.version, len(signed.zone_list), len(signed.margin_key)) == (1, 1, 32)
    assert signed.issued_s == NOW_S
    assert signed.expires_s == NOW_S + 90 * DAY_S
    assert signed.store_nothing_after_s == NOW_S + 120 * DAY_S
    assert repr(signed) == "<SignedZones version 1>"


def test_expired_is_degraded_then_refused(folder, root, tmp_path):
    """Enforced, marked, and past the grace period refused."""
    signed = load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S + 100 * DAY_S)
    assert signed.is_degraded(NOW_S + 100 * DAY_S)
    assert not signed.is_degraded(NOW_S + 90 * DAY_S)
    assert refused(folder, root, tmp_path / "state", NOW_S + 121 * DAY_S) == "expired"


def test_a_clock_before_the_issue_is_wrong(folder, root, tmp_path):
    assert refused(folder, root, tmp_path / "state", NOW_S - 2 * DAY_S) == "clock"


def test_rollback_is_refused_after_a_restart(folder, root, tmp_path, keys):
    """The old folder is put back; each call is a fresh start of the vehicle."""
    shutil.copytree(folder, tmp_path / "old")
    sign_list(write_list(tmp_path / "b.json", 0.02), folder, keys[1:3], now_s=NOW_S)
    assert load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S).version == 2
    assert refused(tmp_path / "old", root, tmp_path / "state") == "old_version"
    assert load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S).version == 2


@pytest.mark.parametrize("damage", ["empty cache", "no cache", "broken note", "no note"])
def test_a_damaged_state_lets_no_older_list_in(folder, root, tmp_path, keys, damage):
    shutil.copytree(folder, tmp_path / "old")
    sign_list(write_list(tmp_path / "b.json", 0.02), folder, keys[1:3], now_s=NOW_S)
    state = tmp_path / "state"
    load_signed_zones(folder, root, state, now_s=NOW_S)
    if damage == "empty cache":
        for name in ("timestamp", "snapshot", "targets"):
            (state / "tuf" / f"{name}.json").write_bytes(b"")
    elif damage == "no cache":
        shutil.rmtree(state / "tuf")
    elif damage == "broken note":
        (state / "newest.json").write_text("{")
    else:
        (state / "newest.json").unlink()
    assert refused(tmp_path / "old", root, state) in ("old_version", "state")


def test_altered_content_is_refused(folder, root, tmp_path):
    (listed,) = (folder / "zones").iterdir()
    listed.write_bytes(listed.read_bytes().replace(b"10.0", b"11.0"))
    assert refused(folder, root, tmp_path / "state") == "altered"


def test_longer_and_missing_content_is_refused(folder, root, tmp_path):
    (listed,) = (folder / "zones").iterdir()
    listed.write_bytes(listed.read_bytes() + b" ")
    assert refused(folder, root, tmp_path / "state") == "altered"
    listed.unlink()
    assert refused(folder, root, tmp_path / "state") == "missing"


@pytest.mark.parametrize("role", ["1.targets", "1.snapshot", "timestamp"])
def test_altered_metadata_is_refused(folder, root, tmp_path, role):
    path = folder / "metadata" / f"{role}.json"
    document = json.loads(path.read_bytes())
    document["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_text(json.dumps(document))
    assert refused(folder, root, tmp_path / "state") == "unsigned"


def test_an_empty_folder_and_a_wrong_root(folder, root, tmp_path, keys):
    assert refused(tmp_path / "nothing", root, tmp_path / "state") == "missing"
    found_authority(tmp_path / "other", public(keys[2:]), keys[2:], threshold=2, now_s=NOW_S)
    other = (tmp_path / "other" / "metadata" / "1.root.json").read_bytes()
    assert refused(folder, other, tmp_path / "state2") == "unsigned"
    assert refused(folder, b"{}", tmp_path / "state3") == "altered"


def test_one_key_is_not_enough_until_another_signs(folder, root, tmp_path, keys):
    half = sign_list(write_list(tmp_path / "b.json", 0.02), folder, keys[:1], now_s=NOW_S)
    assert (half.version, half.signatures, half.threshold, half.complete) == (2, 1, 2, False)
    assert refused(folder, root, tmp_path / "state") == "unsigned"
    assert not cosign(folder, keys[:1]).complete  # the same key twice counts once
    assert not cosign(folder, keys[3:]).complete  # a stranger's does not count
    assert cosign(folder, keys[2:3]).complete
    assert load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S).version == 2


def test_rotated_keys(folder, root, tmp_path, keys):
    """Vehicles with the first root follow to new keys; the retired key signs no more."""
    load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S)
    rotate_keys(folder, public(keys[1:]), [*keys[:2], keys[3]], threshold=2, now_s=NOW_S)
    assert not sign_list(tmp_path / "a.json", folder, [keys[0], keys[1]], now_s=NOW_S).complete
    assert refused(folder, root, tmp_path / "state") == "unsigned"
    assert sign_list(tmp_path / "a.json", folder, keys[2:], now_s=NOW_S).complete
    assert load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S).version == 3


def test_new_keys_alone_cannot_take_over(folder, root, tmp_path, keys):
    rotate_keys(folder, public(keys[2:]), keys[2:], threshold=1, now_s=NOW_S)
    sign_list(tmp_path / "a.json", folder, keys[3:], now_s=NOW_S)
    assert refused(folder, root, tmp_path / "state") == "unsigned"


def test_the_margin_key_stays(folder, root, tmp_path, keys):
    first = load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S).margin_key
    sign_list(tmp_path / "a.json", folder, keys[:2], now_s=NOW_S + DAY_S)
    assert load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S + DAY_S).margin_key == first
    with pytest.raises(UsageError, match="wear off"):
        sign_list(tmp_path / "a.json", folder, keys[:2], now_s=NOW_S, margin_key=b"x" * 32)


def test_what_would_not_load_is_not_signed(folder, tmp_path, keys):
    bad = tmp_path / "bad.json"
    bad.write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(ZoneListError, match="no zone"):
        sign_list(bad, folder, keys[:2], now_s=NOW_S)


def test_keys_and_thresholds_that_do_not_fit(tmp_path, keys):
    with pytest.raises(UsageError, match="never overwritten"):
        new_key(keys[0])
    assert keys[0].stat().st_mode & 0o777 == 0o600
    for threshold in (0, 3):
        with pytest.raises(UsageError, match="threshold"):
            found_authority(tmp_path / "x", public(keys[:2]), keys[:2], threshold=threshold, now_s=NOW_S)
    with pytest.raises(UsageError, match="no private key"):
        sign_list(write_list(tmp_path / "a.json"), made(tmp_path, keys), [f"{keys[0]}.pub"], now_s=NOW_S)
    with pytest.raises(UsageError, match="valid_days"):
        sign_list(tmp_path / "a.json", tmp_path / "y", keys[:1], now_s=NOW_S, valid_days=-1.0)
    with pytest.raises(UsageError, match="already"):
        found_authority(tmp_path / "y", public(keys[:1]), keys[:1], threshold=1, now_s=NOW_S)
    with pytest.raises(ZoneTrustError, match="no authority"):
        sign_list(tmp_path / "a.json", tmp_path / "nowhere", keys[:1], now_s=NOW_S)


def made(tmp_path, keys):
    found_authority(tmp_path / "y", public(keys[:1]), keys[:1], threshold=1, now_s=NOW_S)
    return tmp_path / "y"


def test_a_state_that_cannot_be_written(folder, root, tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(folder, root, tmp_path / "file") == "state"


def test_metadata_without_end_is_not_read(folder, root, tmp_path):
    with (folder / "metadata" / "timestamp.json").open("ab") as file:
        file.truncate(5_000_000)
    assert refused(folder, root, tmp_path / "state") == "missing"


def test_an_unchanged_list_writes_nothing(folder, root, tmp_path):
    """A start a minute must not wear out the disk."""
    state = tmp_path / "state"
    load_signed_zones(folder, root, state, now_s=NOW_S)
    before = (state / "newest.json").stat().st_mtime_ns
    load_signed_zones(folder, root, state, now_s=NOW_S)
    assert (state / "newest.json").stat().st_mtime_ns == before


def test_another_list_of_the_same_version_is_refused(folder, root, tmp_path, keys):
    """Two folders signed as version 2: the second one seen is not taken."""
    shutil.copytree(folder, tmp_path / "twin")
    sign_list(write_list(tmp_path / "b.json", 0.02), folder, keys[:2], now_s=NOW_S)
    sign_list(write_list(tmp_path / "c.json", 0.03), tmp_path / "twin", keys[:2], now_s=NOW_S)
    load_signed_zones(folder, root, tmp_path / "state", now_s=NOW_S)
    shutil.rmtree(tmp_path / "state" / "tuf")
    assert refused(tmp_path / "twin", root, tmp_path / "state") == "old_version"


def test_the_clock_is_read_where_no_time_is_given(tmp_path, keys):
    found_authority(tmp_path / "now", public(keys[:1]), keys[:1], threshold=1, now_s=time.time())
    sign_list(write_list(tmp_path / "a.json"), tmp_path / "now", keys[:1], now_s=time.time())
    root = (tmp_path / "now" / "metadata" / "1.root.json").read_bytes()
    assert load_signed_zones(tmp_path / "now", root, tmp_path / "state").version == 1


def sign_again(folder, keys, change):
    """Change the signed targets and sign them anew with the authority's own keys."""
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata

    path = folder / "metadata" / "1.targets.json"
    metadata = Metadata.from_file(str(path))
    change(metadata.signed.targets)
    metadata.signatures.clear()
    for key in keys:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        metadata.sign(CryptoSigner(private), append=True)
    path.write_bytes(metadata.to_bytes())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", None),
        ("version", "2"),
        ("issued", "yesterday"),
        ("expires", None),
        ("ends", 5),
        ("margin_key", "ff" * 15),
        ("margin_key", "no hex" * 16),
    ],
)
def test_signed_fields_that_are_not_understood(folder, root, tmp_path, keys, field, value):
    sign_again(
        folder,
        keys[:2],
        lambda targets: targets["zones.json"].unrecognized_fields["custom"].update({field: value}),
    )
    assert refused(folder, root, tmp_path / "state") == "altered"


def test_a_signed_folder_without_a_list(folder, root, tmp_path, keys):
    sign_again(folder, keys[:2], dict.clear)
    assert refused(folder, root, tmp_path / "state") == "missing"


def test_a_list_too_large_to_be_read(folder, root, tmp_path, monkeypatch):
    monkeypatch.setattr("anonymize.zones.signed.MOST_FILE_BYTES", 10)
    assert refused(folder, root, tmp_path / "state") == "altered"


def test_keys_that_are_none(tmp_path, keys):
    from cryptography.hazmat.primitives.asymmetric import ed448

    other = ed448.Ed448PrivateKey.generate()
    no_password = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "other").write_bytes(other.private_bytes(pem, pkcs8, no_password))
    public_format = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "other.pub").write_bytes(other.public_key().public_bytes(pem, public_format))
    for public_key, private_key, why in [
        (keys[0], keys[0], "no public key"),
        (tmp_path / "other.pub", keys[0], "no Ed25519 key"),
        (f"{keys[0]}.pub", tmp_path / "other", "no Ed25519 key"),
        (tmp_path / "none", keys[0], "no public key"),
    ]:
        with pytest.raises(UsageError, match=why):
            found_authority(tmp_path / "z", [public_key], [private_key], threshold=1, now_s=NOW_S)


def test_a_short_margin_key_is_refused(folder, tmp_path, keys):
    found_authority(tmp_path / "z", public(keys[:1]), keys[:1], threshold=1, now_s=NOW_S)
    with pytest.raises(UsageError, match="15 bytes"):
        sign_list(tmp_path / "a.json", tmp_path / "z", keys[:1], now_s=NOW_S, margin_key=b"x" * 15)
