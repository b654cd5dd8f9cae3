"""The store of a vehicle: takes what the engine released, keeps it sealed for as long as was agreed, and proves it.

    store = Store.open(folder, KeyFile(path), made_by=made_by(engine))
    store.take(engine.process(captured))

Nothing is recorded without a purpose, a consent and a contact (`anonymize store init`). `take` never waits for the
disk and never raises for what a disk does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from anonymize.errors import UsageError
from anonymize.frames import Dropped, ReleasedFrame
from anonymize.media.segments import Coding
from anonymize.release import RELEASE
from anonymize.store.actions import RECEIPTS, answer_requests
from anonymize.store.coding import GroupMaker, Payload
from anonymize.store.errors import StoreBusyError, StoreError
from anonymize.store.events import JsonValue
from anonymize.store.index import NAME as INDEX_NAME
from anonymize.store.index import Entry, Index
from anonymize.store.keys import KeyHome
from anonymize.store.ledger import Ledger
from anonymize.store.ledger_verifier import set_digest
from anonymize.store.object_source import ObjectFacts
from anonymize.store.objects import Objects
from anonymize.store.repair import Repair, repair
from anonymize.store.settings import StoreSettings, read_settings, utc_day, write_settings
from anonymize.store.signing import Signer
from anonymize.store.vault import FAULTS, MadeBy, Segment, Vault
from anonymize.store.writing import Gap, Writer, named
from anonymize.zones.hold import ReleasedGroup

LEDGER_NAME: Final = "ledger.sqlite"
QUEUE_BYTES: Final = 192 << 20  # 2 s of 1080p NV12 at 30 frames/s
COUNTS_EVERY_S: Final = 600.0
TICK_EVERY_S: Final = 0.5
DROPS_KEPT_DAYS: Final = 400
CLOSE_PATIENCE_S: Final = 30.0


class Store:
    """One open store; made by `Store.open`. `take` belongs to the engine's thread, the rest to any.

    Attributes
    ----------
    folder : Path
    settings : StoreSettings
    repaired : Repair
        What the start found.
    """

    def __init__(self, folder: Path, vault: Vault, lock: int, *, clock: Callable[[], float]) -> None:
        self.folder, self.repaired = folder, Repair()
        self.settings = StoreSettings()
        self.vault = vault
        self.turn = threading.RLock()  # of everything that is on the disk
        self._lock, self._clock = lock, clock
        self._made_by: MadeBy | None = None
        self._coding = Coding()
        self._writer: Writer | None = None
        self._counting = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._unsaved: Counter[tuple[str, str, bool]] = Counter()
        self._stored = {"frames": 0, "segments": 0}
        self._counts_due_s = self._tick_due_s = 0.0
        self._day_done: date | None = None
        self._counts_told = ""
        self._refused_as = "closed"

    # -- opening and closing ------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        home: KeyHome,
        *,
        made_by: MadeBy | None = None,
        signer: Signer | None = None,
        coding: Coding | None = None,
        queue_bytes: int = QUEUE_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> Store:
        """The store of a folder that `anonymize store init` has made; it is repaired first, see `repaired`.

        Parameters
        ----------
        folder : path
        home : KeyHome
            Where the device's key lives.
        made_by : MadeBy or None
            What makes the frames; None: the store is opened for its owner, not to record.
        signer : Signer or None
            Signs the ledger's checkpoints (Ed25519). None: derived from a `KeyFile`.
        coding : Coding or None
            Of the segments; H.264 in groups of 1 s unless said.
        queue_bytes : int
            Of what waits to be coded and stored.
        clock : callable
            UTC, s since 1970.

        Raises
        ------
        StoreError
            There is no store, another process has it open, the key is another one's, or the disk takes nothing.
        LedgerError
            The ledger was altered.
        """
        path = Path(folder)
        settings = read_settings(path)
        if signer is None:
            signer = getattr(home, "signer", lambda: None)()
            if signer is None:
                raise UsageError(
                    f"a key home of kind {home.name} signs nothing; wanted a signer for the ledger"
                )
        with _words_for_faults(path), contextlib.ExitStack() as opening:
            lock = _lock(path)
            opening.callback(os.close, lock)
            for left_over in (*path.glob(".*.tmp"), *(path / RECEIPTS).glob(".*.tmp")):
                left_over.unlink()
            index = Index(path / INDEX_NAME)
            opening.callback(index.close)
            ledger = Ledger.open(path / LEDGER_NAME, signer, origin=settings.origin, clock=clock)
            opening.callback(ledger.close)
            objects = Objects(path / "objects")
            objects.folder.mkdir(mode=0o700, exist_ok=True)
            vault = Vault(objects, index, ledger, home=home, settings=lambda: store.settings, clock=clock)
            store = cls(path, vault, lock, clock=clock)
            store.settings = settings
            store.repaired = repair(vault)
            store._begin(made_by, coding or Coding(), queue_bytes)
            opening.pop_all()
        return store

    def _begin(self, made_by: MadeBy | None, coding: Coding, queue_bytes: int) -> None:
        self._made_by, self._coding = made_by, coding
        self.tick(now=True)
        if made_by is None:
            return
        self._writer = Writer(
            coding, deliver=self._deliver, drop=self._drop, tick=self.tick, class_of=self._class_of,
            queue_bytes=queue_bytes,
        )  # fmt: skip
        self._writer.start()

    def close(self) -> None:
        """Store what waits, close the last groups, write the counts and the last checkpoint.

        Raises
        ------
        StoreError
            The disk has not let the writer end within 30 s: what waits is lost.
        """
        if self._writer is not None and not self._writer.close(CLOSE_PATIENCE_S):
            raise StoreError(
                f"{self.folder}: the disk has not taken the last segments in {CLOSE_PATIENCE_S:.0f} s"
            )
        with self.turn:
            try:
                if self._made_by is not None and not self._refused_as:
                    self._end_row("closed")
                self._save_counts()
                self.vault.note_rows()
            finally:
                self._refused_as = "closed"
                with contextlib.suppress(Exception):
                    self.vault.ledger.close()
                self.vault.index.close()
                os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- recording ----------------------------------------------------------------------------------------

    def take(self, outcomes: Iterable[ReleasedFrame | Dropped]) -> None:
        """Store what was released, count what was dropped. The frames' memory is the engine's again after it.

        Raises
        ------
        TypeError
            Anything but these two came: nothing of it is stored.
        """
        for outcome in outcomes:
            if type(outcome) is Dropped:
                self._drop(str(outcome.reason), 1)
                self._offer(Gap(outcome.camera), 0)
            elif type(outcome) is ReleasedFrame:
                self._take_frame(outcome)
            else:
                raise TypeError(
                    f"the store was given a {type(outcome).__name__}; wanted a ReleasedFrame or Dropped"
                )

    def _take_frame(self, frame: ReleasedFrame) -> None:
        if refused := self.refusal():
            self._drop(refused, 1)
        elif frame.predicted_only:
            self._drop("predicted_only", 1)
            self._offer(Gap(frame.camera), 0)
        else:
            size = sum(plane.nbytes for plane in frame.planes)
            writer = self._writer
            if writer is None or not (
                writer.has_room(size) and writer.offer(writer.memory.keep(frame), size)
            ):
                self._drop("queue_full", 1)

    def take_groups(self, groups: Iterable[ReleasedGroup]) -> None:
        """Store groups that the gate has let go, coded by `group_encoder`; see `ZoneGate(encoders=...)`."""
        for group in groups:
            if type(group) is not ReleasedGroup:
                raise TypeError(f"the store was given a {type(group).__name__}; wanted a ReleasedGroup")
            if refused := self.refusal():
                self._drop(refused, len(group.pts))
            elif not self._offer(group, len(group.payload)):
                self._drop("queue_full", len(group.pts))

    def group_encoder(self, camera: str) -> GroupMaker:
        """An encoder for `ZoneGate(encoders=store.group_encoder)`: what waits for the gate is coded, not raw."""
        return GroupMaker(camera, self._coding, lambda why: self._drop(why, 1))

    def refusal(self) -> str:
        """Why nothing is recorded just now, one word; empty where something is."""
        if self._made_by is None:
            return "not_opened_to_record"
        if self._refused_as in ("closed", "store_full"):
            return self._refused_as
        return self.settings.refusal(utc_day(self._clock()))

    def count_withheld(self, day: date, reasons: Mapping[str, int]) -> None:
        """Fine reasons of the gate, as counts of a day (`gate.withheld.take_before(today)`): for the ledger alone."""
        with self._counting:
            for reason, frames in reasons.items():
                self._unsaved[day.isoformat(), str(reason), True] += frames

    def _offer(self, item: Gap | ReleasedGroup, size: int) -> bool:
        return self._writer is not None and self._writer.offer(item, size)

    def _drop(self, reason: str, frames: int) -> None:
        with self._counting:
            self._dropped[reason] += frames
            self._unsaved[utc_day(self._clock()).isoformat(), reason, False] += frames

    def _class_of(self, camera: str) -> str:
        return self.settings.class_of(camera)

    # -- the writer's thread ------------------------------------------------------------------------------

    def _deliver(self, segments: list[Segment]) -> Exception | None:
        assert self._made_by is not None
        with self.turn:
            frames = sum(segment.frames for segment in segments)
            if refused := self.refusal():  # withdrawn or expired while it waited
                self._drop(refused, frames)
                return None
            self.vault.put(segments, self._made_by)
            self._stored["frames"] += frames
            self._stored["segments"] += len(segments)
            try:
                self._keep_limit()
            except FAULTS as fault:  # they are stored all the same
                return fault
            return self.vault.rows_wait

    def _keep_limit(self) -> None:
        held, _ = self.vault.index.totals()
        if held <= self.settings.limit_bytes:
            return
        if self.settings.at_limit == "stop":
            self._refused_as = "store_full"
            self._end_row("store_full")
            self.vault.settle()
            return
        self.vault.ledger.append("store.over_limit", {"bytes": held})
        self.vault.delete(self.vault.over_limit(), "size_limit")

    def tick(self, *, now: bool = False) -> None:
        """What is due between two segments: what the owner asked for, a change of consent, retention, counts."""
        if not now and time.monotonic() < self._tick_due_s:
            return
        self._tick_due_s = time.monotonic() + TICK_EVERY_S
        with self.turn:
            if self._made_by is not None:
                answer_requests(self)
            self._watch_refusal()
            today = self.vault.today()
            if today != self._day_done:
                self._end_of_day(today)
                self._day_done = today
            if time.monotonic() >= self._counts_due_s:
                self._save_counts()
                self._counts_due_s = time.monotonic() + COUNTS_EVERY_S
            self.vault.settle()

    def _watch_refusal(self) -> None:
        """Rows for the beginning and the end of recording."""
        if self._made_by is None or self._refused_as == "store_full":
            return
        refused, before = self.settings.refusal(utc_day(self._clock())), self._refused_as
        self._refused_as = refused
        if before and not refused:
            self._begin_row(self._made_by)
        elif refused and before in ("", "closed"):
            if refused == "consent_expired" and not self._expiry_is_told():
                self.vault.ledger.append("consent.expired", {"purpose": self.settings.purpose})
            if not before:
                self._end_row(refused)

    def _expiry_is_told(self) -> bool:
        """Whether the last row on the consent says that it has expired."""
        last = deque(
            self.vault.ledger.find("consent.given", "consent.withdrawn", "consent.expired"), maxlen=1
        )
        return bool(last) and last[0]["event"] == "consent.expired"

    def _begin_row(self, made_by: MadeBy) -> None:
        fields: dict[str, JsonValue] = {
            "model": made_by.model, "exceptions": list(made_by.exceptions), "zone_list": made_by.zone_list,
            "policy": self.settings.digest(), "purpose": self.settings.purpose, "region": self.settings.region,
            "release": RELEASE,
        }  # fmt: skip
        self.vault.ledger.append("recording.begun", fields)

    def _end_row(self, reason: str) -> None:
        stored = self._stored
        self.vault.ledger.append(
            "recording.ended", {"count": stored["segments"], "frames": stored["frames"], "reason": reason}
        )

    def _end_of_day(self, today: date) -> None:
        """Retention, the keys of days of which nothing is left, and the counts of the days that are over."""
        self.vault.delete(self.vault.expired(), "retention")
        self.vault.destroy_empty_epochs()
        self._save_counts()
        index, day = self.vault.index, today.isoformat()
        if self._counts_told != day:  # else their rows wait since a fault
            for of_day, reason, fine, frames in index.drops(before=day, unwritten=True):
                word = f"gate_{reason}" if fine else reason
                self.vault.ledger.append(
                    "frames.dropped", {"of_day": of_day, "reason": word, "count": frames}
                )
            self._counts_told = day
        self.vault.settle()
        index.drops_are_written(day, (today - timedelta(days=DROPS_KEPT_DAYS)).isoformat())

    def _save_counts(self) -> None:
        """Counts by day go to the index; at long intervals, so that none of its old pages tells a time of a drop."""
        with self._counting:
            unsaved, self._unsaved = self._unsaved, Counter()
        index = self.vault.index
        try:
            index.begin()
            for (day, reason, fine), frames in unsaved.items():
                index.count_drop(day, reason, frames, fine=fine)
            index.commit()
        except BaseException:
            index.roll_back()
            with self._counting:
                self._unsaved.update(unsaved)
            raise

    # -- what is there ------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """For a watchdog: whether it records, why not, the present fault, counters. No time, no place."""
        fault = self._writer.present_fault() if self._writer else None
        with self._counting:
            dropped = dict(self._dropped)
        refused = self.refusal()
        return {
            "recording": not refused and fault is None,
            "not_recording_because": refused or None,
            "fault": None if fault is None else {"reason": fault.reason, "text": fault.text},
            "stored": dict(self._stored),
            "dropped": dropped,
            "waiting": dict(
                zip(("items", "bytes"), self._writer.waiting if self._writer else (0, 0), strict=True)
            ),
            "repaired": self.repaired.text or None,
        }

    def change(self, **changes: Any) -> None:
        """Replace settings, in the file and here."""
        with self.turn:
            changed = replace(self.settings, **changes)
            write_settings(self.folder, changed)
            self.settings = changed
            self._watch_refusal()
            self.vault.settle()

    def ids(self) -> Iterator[str]:
        """Digests of all segments that are held, oldest first."""
        with self.turn:
            return iter([entry.digest for entry in self.vault.index.entries()])

    def describe(self, object_id: str, /) -> ObjectFacts:
        """What is known of a segment without opening it; raises `StoreError` where there is none."""
        with self.turn:
            entry = self._entry(object_id)
            row = self.vault.row_of(entry)
            if row is None:
                raise StoreError(f"object {object_id[:16]}…: has no row in the ledger yet")
            return ObjectFacts(
                digest=entry.content, stored_bytes=entry.stored_bytes, data_class=entry.place.data_class,
                region=entry.place.region, retain_until=entry.retain_until, ledger_row=row,
            )  # fmt: skip

    def read(self, object_id: str, /, *, recipient: str = "program", purpose: str = "reading") -> bytes:
        """The film (MP4) of a segment, or its JPEGs one after another. A row says so before it is handed out.

        Raises
        ------
        StoreError
            There is none, or it does not open.
        """
        with self.turn:
            entry = self._entry(object_id)
            self.note_read([entry], recipient=recipient, purpose=purpose)
            return self.open_segment(object_id).media

    def note_read(self, entries: list[Entry], *, recipient: str, purpose: str) -> int:
        """The row that says who reads; its number. Committed when this returns."""
        with self.turn:
            fields: dict[str, JsonValue] = {
                "count": len(entries), "set": set_digest(entry.digest for entry in entries),
                "bytes": sum(entry.stored_bytes for entry in entries), "recipient": recipient, "purpose": purpose,
                "jurisdiction": self.settings.region or "CN",
                "classes": dict(Counter(entry.place.data_class for entry in entries)),
            }  # fmt: skip
            row = self.vault.ledger.append("segment.read", fields)
            self.vault.settle()
            return row

    def open_segment(self, digest: str) -> Payload:
        """For who has written the row with `note_read`."""
        with self.turn:
            return Payload.unpack(self.vault.reader.open(digest)[1])

    def _entry(self, digest: str) -> Entry:
        found = self.vault.index.find(digest)
        if found is None:
            raise StoreError(f"object {digest[:16]}…: is not held")
        return found[0]


@contextlib.contextmanager
def _words_for_faults(folder: Path) -> Iterator[None]:
    """A disk that is full, read-only or broken at the start is a `StoreError`."""
    try:
        yield
    except OSError as fault:
        fault_here = named(fault)
        raise StoreError(f"{folder}: cannot be opened: {fault_here.text}", reason=fault_here.reason) from None


def _lock(folder: Path) -> int:
    """A descriptor that holds the one right to change the store; it goes with the process."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreBusyError(f"{folder}: is open in another process; wanted one at a time") from None
    return descriptor
