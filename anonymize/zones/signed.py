"""What a vehicle does: take a signed zone list from a folder, if it may be relied on.

python-tuf checks signatures, their threshold, versions and key changes, with a fetcher that reads the folder and
nothing else. Its cache stands in `state`, and beside it our own note of the newest version: python-tuf passes over a
damaged cache in silence and would then take an older list. A state that is damaged or half gone is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anonymize.zones.authority import TARGET
from anonymize.zones.errors import ZoneTrustError
from anonymize.zones.lists import MOST_FILE_BYTES, parse_zones
from anonymize.zones.shapes import ZoneList
from anonymize.zones.windows import instant_s

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile
    from tuf.ngclient import Updater

NEWEST: Final = "newest.json"
CLOCK_SLACK_S: Final = 86_400.0  # a clock more than a day before the date of issue is wrong
MOST_METADATA_BYTES: Final = 4 * 1024 * 1024
FOLDER_URL: Final = "folder:/metadata/"
_HEX_KEY: Final = re.compile(r"([0-9a-f]{2}){16,}")
_METADATA_NAME: Final = re.compile(r"(\d+\.)?(root|targets|snapshot|timestamp)\.json")


@dataclass(frozen=True, slots=True, repr=False)
class SignedZones:
    """A list whose signatures, version and dates were checked.

    Parameters
    ----------
    zone_list : ZoneList
    version : int
    issued_s, expires_s : float
        UTC, s since 1970. From `expires_s` on the list is enforced but degraded.
    store_nothing_after_s : float
        End of the grace period, UTC.
    margin_key : bytes
        For `ZoneIndex`: the authority's key of secret margins.
    """

    zone_list: ZoneList
    version: int
    issued_s: float
    expires_s: float
    store_nothing_after_s: float
    margin_key: bytes

    def __repr__(self) -> str:
        return f"<SignedZones version {self.version}>"

    def is_degraded(self, now_s: float) -> bool:
        """Whether the list is past its expiry: a newer one is due."""
        return not now_s <= self.expires_s

    def warnings(self, now_s: float) -> tuple[str, ...]:
        """What whoever uses the list should be told."""
        if self.is_degraded(now_s):
            return ("the zone list is past its expiry: still enforced, a newer one is due",)
        return ()


def load_signed_zones(
    folder: str | Path, trusted_root: bytes, state: str | Path, *, now_s: float | None = None
) -> SignedZones:
    """Check the newest signed list in a folder and load it.

    Parameters
    ----------
    folder : path
        As `sign_list` wrote it; a copy on a stick or from a download.
    trusted_root : bytes
        Content of the root file that the vehicle was given with its software.
    state : path
        Folder of this vehicle on a disk that lasts. It remembers the newest version seen; empty at the first use.
    now_s : float or None
        UTC, s since 1970; None reads the clock.

    Raises
    ------
    ZoneTrustError
        Altered, signed by too few, older than the newest seen, past its grace, or the state is damaged.
    ZoneListError
        The list itself is refused.
    """
    folder, state = Path(folder), Path(state)
    newest = _newest_seen(state)
    if (
        newest is None
    ):  # before python-tuf fills its cache, so that a power cut in between leaves no half state
        state.mkdir(parents=True, exist_ok=True)
        newest = (0, "")
        _remember(state, *newest)
    with _told_as_ours():
        updater = _updater(folder, trusted_root, state, now_s)
        target = updater.get_targetinfo(TARGET)
        if target is None:
            raise ZoneTrustError("the signed folder holds no zone list", "missing")
        content = _checked_content(folder, target)
    signed = _signed_zones(target, content)
    now_s = time.time() if now_s is None else now_s
    if not now_s >= signed.issued_s - CLOCK_SLACK_S:
        raise ZoneTrustError("the clock stands before the list's date of issue", "clock")
    if not now_s <= signed.store_nothing_after_s:
        raise ZoneTrustError("the zone list is past its expiry and its grace period", "expired")
    digest = hashlib.sha256(content).hexdigest()
    if (signed.version, digest) != newest and signed.version <= newest[0]:
        raise ZoneTrustError(
            f"zone list version {signed.version}, but version {newest[0]} was seen before", "old_version"
        )
    if (signed.version, digest) != newest:
        _remember(state, signed.version, digest)
    return signed


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """One process at a time in a vehicle's state."""
    import fcntl

    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (state / ".lock").open("w")
    except OSError as error:
        raise ZoneTrustError(f"the state folder cannot be used: {error.strerror}", "state") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _updater(folder: Path, trusted_root: bytes, state: Path, now_s: float | None) -> Updater:
    from tuf.ngclient import Updater

    cache = state / "tuf"
    cache.mkdir(parents=True, exist_ok=True)
    fetcher = _folder_fetcher(folder / "metadata")
    updater = Updater(str(cache), FOLDER_URL, fetcher=fetcher, bootstrap=trusted_root)
    if now_s is not None:
        # python-tuf has no other way to be told the time
        trusted_set: Any = updater._trusted_set
        if not isinstance(trusted_set.reference_time, datetime):
            raise ZoneTrustError("this version of python-tuf cannot be told the time", "clock")
        trusted_set.reference_time = datetime.fromtimestamp(now_s, UTC)
    updater.refresh()
    return updater


def _folder_fetcher(metadata_folder: Path) -> Any:
    """A fetcher that reads metadata files of a folder; there is no network."""
    from tuf.api.exceptions import DownloadHTTPError, DownloadLengthMismatchError
    from tuf.ngclient import FetcherInterface

    class FolderFetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            name = url.removeprefix(FOLDER_URL)
            if _METADATA_NAME.fullmatch(name) is None:
                raise DownloadHTTPError("not a metadata file", 404)
            try:
                with (metadata_folder / name).open("rb") as file:
                    content = file.read(MOST_METADATA_BYTES + 1)
            except FileNotFoundError:
                raise DownloadHTTPError("no such metadata file", 404) from None
            if len(content) > MOST_METADATA_BYTES:
                raise DownloadLengthMismatchError("metadata too large")
            return iter([content])

    return FolderFetcher()


def _checked_content(folder: Path, target: TargetFile) -> bytes:
    """The list's bytes, read once: what is checked is what is parsed."""
    if target.length > MOST_FILE_BYTES:
        raise ZoneTrustError("the signed zone list is too large", "altered")
    path = folder / "zones" / f"{target.hashes['sha256']}.{TARGET}"
    try:
        with path.open("rb") as file:
            content = file.read(target.length + 1)
    except OSError:
        raise ZoneTrustError("the signed zone list is missing from its folder", "missing") from None
    target.verify_length_and_hashes(content)
    return content


def _signed_zones(target: TargetFile, content: bytes) -> SignedZones:
    """The list with what is signed beside its hash."""
    custom = target.unrecognized_fields.get("custom")
    fields = custom if isinstance(custom, dict) else {}
    version, key = fields.get("version"), fields.get("margin_key")
    issued_s, expires_s, end_s = (instant_s(fields.get(name)) for name in ("issued", "expires", "ends"))
    margin_key = bytes.fromhex(key) if isinstance(key, str) and _HEX_KEY.fullmatch(key) else None
    if (
        not isinstance(version, int)
        or margin_key is None
        or issued_s is None
        or expires_s is None
        or end_s is None
    ):
        raise ZoneTrustError("what is signed with the list is not understood", "altered")
    return SignedZones(parse_zones(content), version, issued_s, expires_s, end_s, margin_key)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """python-tuf's errors as ours. Their texts hold file names and versions, no places."""
    from tuf.api import exceptions as tuf

    try:
        yield
    except tuf.ExpiredMetadataError as error:
        raise ZoneTrustError("the zone list is past its expiry and its grace period", "expired") from error
    except tuf.BadVersionNumberError as error:
        raise ZoneTrustError("the zone list is older than the newest one seen", "old_version") from error
    except tuf.LengthOrHashMismatchError as error:
        raise ZoneTrustError("the zone list was altered after it was signed", "altered") from error
    except tuf.UnsignedMetadataError as error:
        raise ZoneTrustError("signed by fewer trusted keys than the threshold", "unsigned") from error
    except tuf.DownloadError as error:
        raise ZoneTrustError("the signed folder is incomplete", "missing") from error
    except (tuf.RepositoryError, OSError, ValueError, KeyError) as error:
        if isinstance(error, ZoneTrustError):
            raise
        raise ZoneTrustError(
            f"the signed folder cannot be relied on ({type(error).__name__})", "altered"
        ) from error


def _newest_seen(state: Path) -> tuple[int, str] | None:
    """Version and hash of the newest list seen; None at the very first use."""
    path = state / NEWEST
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))
        version, digest = seen["version"], seen["sha256"]
        if isinstance(version, int) and isinstance(digest, str):
            return version, digest
    except FileNotFoundError:
        if (state / "tuf" / "timestamp.json").exists():
            raise ZoneTrustError(
                "the note of the newest zone list is gone, its cache is not", "state"
            ) from None
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ZoneTrustError("the note of the newest zone list is damaged", "state")


def _remember(state: Path, version: int, digest: str) -> None:
    """Note the newest version so that it survives a power cut."""
    temporary = state / f".{NEWEST}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump({"version": version, "sha256": digest}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(state / NEWEST)
    descriptor = os.open(state, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
