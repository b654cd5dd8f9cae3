"""What an authority does: keys, a threshold of them, and signed versions of its zone list in a folder.

The folder is a repository of The Update Framework (python-tuf): `metadata/` and `zones/`. All four roles are held by
the same Ed25519 keys with the same threshold, so no single key moves anything. What TUF calls the expiry is the end
of our grace period; the list's own date of expiry stands beside the list's hash, signed with it.

Key holders on different machines: one calls `sign_list` with the keys at hand, the others `cosign` the folder.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anonymize.errors import UsageError
from anonymize.zones.errors import ZoneTrustError
from anonymize.zones.index import LEAST_KEY_BYTES
from anonymize.zones.lists import parse_zones

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey
    from tuf.api.metadata import Metadata, Root

TARGET: Final = "zones.json"
ROLES: Final = ("root", "targets", "snapshot", "timestamp")
ROOT_DAYS: Final = 3650


@dataclass(frozen=True, slots=True)
class SignedVersion:
    """What stands in the folder after signing.

    Parameters
    ----------
    version : int
        Of the list; it only grows.
    signatures, threshold : int
        How many keys have signed all that vehicles check, and how many must.
    """

    version: int
    signatures: int
    threshold: int

    @property
    def complete(self) -> bool:
        """Whether vehicles take it."""
        return self.signatures >= self.threshold


def new_key(private_path: str | Path) -> Path:
    """Make an Ed25519 key: the private part (PEM, mode 0600, no passphrase) and beside it the public one (`.pub`).

    Raises
    ------
    UsageError
        The file is there already.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import CryptoSigner

    signer = CryptoSigner.generate_ed25519()
    path = Path(private_path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path.name} is there already; a key is never overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(signer.private_bytes)
    public = _private_key(path).public_key()
    public_path = path.with_name(path.name + ".pub")
    public_path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public_path


def found_authority(
    folder: str | Path,
    public_keys: Sequence[str | Path],
    private_keys: Sequence[str | Path],
    *,
    threshold: int,
    now_s: float,
) -> Path:
    """Begin a folder of signed lists. Returns the root file that every vehicle is given once and trusts.

    Parameters
    ----------
    public_keys : paths
        Of all key holders.
    private_keys : paths
        Those at hand; further holders `cosign`.
    threshold : int
        How many must sign.

    Raises
    ------
    UsageError
        The threshold does not fit the keys, or the folder is in use.
    """
    from tuf.api.metadata import Metadata, Root

    path = _metadata_path(folder, "root", 1)
    if path.exists():
        raise UsageError("the folder already has an authority; use rotate_keys to change its keys")
    root = Root(version=1, expires=_date(now_s, ROOT_DAYS), consistent_snapshot=True)
    _set_keys(root, [_public_key(key) for key in public_keys], threshold)
    Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds the margin key
    (Path(folder) / "zones").mkdir(exist_ok=True)
    _write(path, Metadata(root), [_signer(key) for key in private_keys])
    return path


def rotate_keys(
    folder: str | Path,
    public_keys: Sequence[str | Path],
    private_keys: Sequence[str | Path],
    *,
    threshold: int,
    now_s: float,
) -> SignedVersion:
    """Change the keys or the threshold: a new root, signed with enough of the old keys and enough of the new ones.

    The list must be signed anew after it. Vehicles follow by themselves.
    """
    old = _newest_root(folder)
    root = old.signed
    root.version += 1
    root.expires = _date(now_s, ROOT_DAYS)
    before = {keyid for name in ROLES for keyid in root.roles[name].keyids}
    _set_keys(root, [_public_key(key) for key in public_keys], threshold)
    signers = [_signer(key) for key in private_keys]
    path = _metadata_path(folder, "root", root.version)
    known = before | set(root.keys)
    _write(path, old, [signer for signer in signers if signer.public_key.keyid in known], append=False)
    return SignedVersion(root.version, _signatures(old, root), threshold)


def sign_list(
    list_path: str | Path,
    folder: str | Path,
    private_keys: Sequence[str | Path],
    *,
    now_s: float,
    valid_days: float = 90.0,
    grace_days: float = 30.0,
    margin_key: bytes | None = None,
) -> SignedVersion:
    """Sign the next version of a zone list. It is read first as a vehicle would: what cannot load is not signed.

    Parameters
    ----------
    now_s : float
        UTC, s since 1970: the date of issue.
    valid_days, grace_days : float
        After `valid_days` the list counts as degraded and is still enforced; `grace_days` later nothing is stored.
    margin_key : bytes or None
        Key of the secret margins. None: the one of the version before, or a new one. It cannot be changed later:
        margins that change wear off.

    Raises
    ------
    ZoneListError
        The list would not load.
    UsageError
        Times or keys do not fit.
    """
    from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

    if not (0.0 < valid_days <= 3650.0 and 0.0 <= grace_days <= 3650.0):
        raise UsageError("valid_days is more than 0, grace_days at least 0, both at most 3650")
    content = Path(list_path).read_bytes()
    parse_zones(content)
    root = _newest_root(folder).signed
    before = _newest(folder, "targets")
    version = 1 if before is None else before.signed.version + 1
    target = TargetFile.from_data(TARGET, content, ["sha256"])
    target.unrecognized_fields["custom"] = {
        "version": version,
        "issued": _date(now_s, 0.0).isoformat(),
        "expires": _date(now_s, valid_days).isoformat(),
        "ends": _date(now_s, valid_days + grace_days).isoformat(),
        "margin_key": _margin_key(before, margin_key).hex(),
    }
    end = _date(now_s, valid_days + grace_days)
    signers = [_signer(key) for key in private_keys]
    _write_bytes(Path(folder) / "zones" / f"{target.hashes['sha256']}.{TARGET}", content)
    # no hashes of metadata in metadata: they would change with every further signature
    written: list[Metadata[Any]] = [
        Metadata(Targets(version=version, expires=end, targets={TARGET: target})),
        Metadata(Snapshot(version=version, expires=end, meta={"targets.json": MetaFile(version)})),
        Metadata(Timestamp(version=version, expires=end, snapshot_meta=MetaFile(version))),
    ]
    for metadata in written:
        _write(_metadata_path(folder, metadata.signed.type, version), metadata, signers)
    return SignedVersion(
        version, min(_signatures(metadata, root) for metadata in written), root.roles["targets"].threshold
    )


def cosign(folder: str | Path, private_keys: Sequence[str | Path]) -> SignedVersion:
    """Add signatures to the newest version in a folder, and to its newest root.

    Whoever signs should run `check` on the list in the folder first: a signature says that it was looked at.
    """
    signers = [_signer(key) for key in private_keys]
    root = _newest_root(folder)
    _write(_metadata_path(folder, "root", root.signed.version), root, signers, append=True)
    counts = [_signatures(root, root.signed)]
    version = 0
    for role in ROLES[1:]:
        metadata = _newest(folder, role)
        if metadata is not None:
            version = metadata.signed.version
            _write(_metadata_path(folder, role, version), metadata, signers, append=True)
            counts.append(_signatures(metadata, root.signed))
    return SignedVersion(version, min(counts), root.signed.roles["targets"].threshold)


def _margin_key(before: Metadata[Any] | None, given: bytes | None) -> bytes:
    custom = {} if before is None else before.signed.targets[TARGET].unrecognized_fields["custom"]
    kept = bytes.fromhex(custom["margin_key"]) if "margin_key" in custom else None
    if kept is not None and given not in (None, kept):
        raise UsageError("another margin key than before: margins that change wear off")
    key = kept or given or secrets.token_bytes(32)
    if len(key) < LEAST_KEY_BYTES:
        raise UsageError(f"margin key has {len(key)} bytes; wanted at least {LEAST_KEY_BYTES}")
    return key


def _set_keys(root: Root, keys: list[SSlibKey], threshold: int) -> None:
    """Give all roles to these keys and to no other."""
    if not 1 <= threshold <= len({key.keyid for key in keys}):
        raise UsageError(
            f"threshold is {threshold}; wanted 1 to {len({key.keyid for key in keys})}, the number of keys"
        )
    for role in ROLES:
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        for key in keys:
            root.add_key(key, role)
        root.roles[role].threshold = threshold


def _signatures(metadata: Metadata[Any], root: Root) -> int:
    """How many keys of the role have validly signed."""
    result = root.get_verification_result(metadata.signed.type, metadata.signed_bytes, metadata.signatures)
    return len(result.signed)


def _write(
    path: Path, metadata: Metadata[Any], signers: Iterable[CryptoSigner], *, append: bool = True
) -> None:
    """Sign and write; `append=False` drops older signatures, which belong to other content."""
    if not append:
        metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    _write_bytes(path, metadata.to_bytes())


def _write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a vehicle never reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _metadata_path(folder: str | Path, role: str, version: int) -> Path:
    name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
    return Path(folder) / "metadata" / name


def _newest_root(folder: str | Path) -> Metadata[Root]:
    root = _newest(folder, "root")
    if root is None:
        raise ZoneTrustError("the folder has no authority yet", "missing")
    return root


def _newest(folder: str | Path, role: str) -> Metadata[Any] | None:
    """Newest metadata of a role in the folder, unverified; None where there is none."""
    from tuf.api.metadata import Metadata

    metadata_folder = Path(folder) / "metadata"
    if role == "timestamp":
        paths = [metadata_folder / "timestamp.json"]
    else:
        found = metadata_folder.glob(f"*.{role}.json")
        paths = sorted(found, key=lambda path: int(path.name.split(".")[0]) if path.name[0].isdigit() else -1)
    if not paths or not paths[-1].exists():
        return None
    return Metadata.from_file(str(paths[-1]))


def _date(now_s: float, days: float) -> datetime:
    return (datetime.fromtimestamp(now_s, UTC) + timedelta(days=days)).replace(microsecond=0)


def _private_key(path: str | Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{Path(path).name} is no private key without passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{Path(path).name} is no Ed25519 key")
    return key


def _signer(path: str | Path) -> CryptoSigner:
    from securesystemslib.signer import CryptoSigner

    return CryptoSigner(_private_key(path))


def _public_key(path: str | Path) -> SSlibKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        key = load_pem_public_key(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{Path(path).name} is no public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{Path(path).name} is no Ed25519 key")
    return SSlibKey.from_crypto(key)
