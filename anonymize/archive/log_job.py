"""One robot log of an archive: pictures hidden, channels passed by allow-list, verified, or nothing is written.

The source is read twice: first for its channels, their counts and the first picture of each, which decide what becomes
of them; then message by message, in memory that does not grow with the log. What was written is read once more and
compared with what was meant, message by message.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from anonymize.archive.log_pictures import LogPictures, check_readable
from anonymize.archive.log_rules import NO_KNOWN_PICTURE, Verdict, judge, why_not_attached
from anonymize.archive.work import FileResult, Tools
from anonymize.errors import MediaError
from anonymize.media.log_records import (
    Channel,
    LogAttachment,
    LogMessage,
    LogNote,
    LogReader,
    LogWriter,
)
from anonymize.media.logs import create_log, open_log
from anonymize.media.output import check_target, identity_of, sync_folder

PROGRESS_MESSAGES = 50  # between two words on the progress


@dataclass(slots=True)
class _Survey:
    """What a log holds, and what becomes of it."""

    channels: dict[int, Channel] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    messages: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def fated(self, fate: str) -> list[Channel]:
        """The channels of one fate, in the order of the log."""
        return [self.channels[number] for number, verdict in self.verdicts.items() if verdict.fate == fate]

    def kept(self) -> list[Channel]:
        """The channels that are written."""
        return self.fated("hide") + self.fated("pass")


class _Digest:
    """What a log says: every message of every channel, and the order of all. Equal only where all of it is."""

    def __init__(self) -> None:
        self._all = hashlib.blake2b()
        self.counts: Counter[int] = Counter()
        self._places: dict[int, int] = {}

    def add_channel(self, channel: Channel) -> None:
        self._places[channel.number] = len(self._places)
        for text in (channel.topic, channel.schema_name, channel.schema_encoding, channel.message_encoding):
            self._add(text.encode())
        self._add(channel.schema)

    def add_message(self, message: LogMessage) -> None:
        place = self._places[message.channel]
        self.counts[place] += 1
        numbers = (place, message.time_ns, message.published_ns, message.sequence)
        self._add(repr(numbers).encode())
        self._add(message.data)

    def _add(self, content: bytes) -> None:
        self._all.update(len(content).to_bytes(8, "little"))
        self._all.update(content)

    def value(self) -> bytes:
        return self._all.digest()


def reprocess_log(source: Path, target: Path, tools: Tools) -> FileResult:
    """Hide the pictures of one robot log; `target` is there, complete and verified, when this returns.

    Parameters
    ----------
    source : Path
        MCAP, a ROS 1 bag, or the SQLite file of a ROS 2 bag.
    target : Path
    tools : Tools

    Raises
    ------
    MediaError
        The log cannot be read whole, a picture in it was dropped, or what was written is not what was wanted.
    SecondLookError
        The second look found what is not hidden.
    """
    check_target(target, source=identity_of(source))
    try:
        with open_log(source) as reader, _staged(target) as part:
            survey = _survey(reader, tools)
            pictures = LogPictures(tools, survey.fated("hide"), (survey.last_ns - survey.first_ns))
            meant = _rewrite(reader, create_log(part, reader), survey, pictures, tools)
            if sum(meant.counts.values()) != sum(survey.counts[c.number] for c in survey.kept()):
                raise MediaError("changed while it was read; nothing was kept")
            _check_written(part, meant)
        return _result(survey, pictures, meant)
    except MediaError as fault:
        raise MediaError(f"{source}: {fault}") from fault.__cause__
    except OSError as fault:
        raise MediaError(f"{target}: cannot be written: {os.strerror(fault.errno or 0)}") from fault


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A path beside the target that gets its name when the block ends well, and is removed when it does not."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        check_target(target)
        part.rename(target)
        sync_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def _survey(reader: LogReader, tools: Tools) -> _Survey:
    """Read the log once, checksums included, and decide about each channel."""
    survey = _Survey()
    for record in reader.records():
        if isinstance(record, Channel):
            survey.channels[record.number] = record
            survey.verdicts[record.number] = judge(record, tools.settings.keep_channels)
        elif isinstance(record, LogMessage):
            if not survey.counts[record.channel] and survey.verdicts[record.channel].fate == "hide":
                _ask_first(record, survey)
            survey.first_ns = min(survey.first_ns, record.time_ns) if survey.messages else record.time_ns
            survey.last_ns = max(survey.last_ns, record.time_ns) if survey.messages else record.time_ns
            survey.counts[record.channel] += 1
            survey.messages += 1
            if survey.messages % PROGRESS_MESSAGES == 0:
                tools.check_stop()
    return survey


def _ask_first(message: LogMessage, survey: _Survey) -> None:
    """A channel whose first picture is in no form that is known is left out as a whole."""
    try:
        check_readable(message, survey.verdicts[message.channel])
    except MediaError as fault:
        survey.verdicts[message.channel] = Verdict("drop", f"{NO_KNOWN_PICTURE}: {fault}")


def _rewrite(
    reader: LogReader, writer: LogWriter, survey: _Survey, pictures: LogPictures, tools: Tools
) -> _Digest:
    """Write every record that may stay, the pictures hidden; returns what the file has to say."""
    meant = _Digest()
    for number, record in enumerate(reader.records()):
        if number % PROGRESS_MESSAGES == 0:
            tools.check_stop()
            tools.progress(reader.position)
        if isinstance(record, (Channel, LogMessage)):
            channel = record.number if isinstance(record, Channel) else record.channel
            verdict = survey.verdicts[channel]
            if verdict.fate == "drop":
                continue
            if isinstance(record, Channel):
                meant.add_channel(record)
            else:
                if verdict.codec is not None:
                    record = replace(record, data=pictures.hide(record, verdict.codec))
                meant.add_message(record)
        elif isinstance(record, LogAttachment):
            if reason := why_not_attached(record, tools.settings.keep_channels):
                pictures.removed[f"attachment {record.name}: {reason}"] = None
                continue
            pictures.notes[f"attachment {record.name!r} passes because it was asked for"] = None
        elif isinstance(record, LogNote):
            pictures.notes[f"metadata {record.name!r} is kept as it is"] = None
        writer.add(record)
    writer.close()
    tools.progress(reader.position)
    return meant


def _check_written(part: Path, meant: _Digest) -> None:
    """Read the file again: the same channels, messages, times, numbers and order."""
    found = _Digest()
    with open_log(part) as reader:
        for record in reader.records():
            if isinstance(record, Channel):
                found.add_channel(record)
            elif isinstance(record, LogMessage):
                found.add_message(record)
    if found.counts != meant.counts or found.value() != meant.value():
        raise MediaError("was written with other messages than were meant; nothing was kept")


def _result(survey: _Survey, pictures: LogPictures, meant: _Digest) -> FileResult:
    dropped: Counter[str] = Counter()
    names = []
    for channel in survey.fated("drop"):
        reason = survey.verdicts[channel.number].reason
        dropped[reason] += survey.counts[channel.number]
        names.append(f"channel {channel.topic} ({channel.schema_name or 'no schema'}): {reason}")
    asked = [c.topic for c in survey.fated("pass") if survey.verdicts[c.number].reason]
    frames = sum(pictures.frames.values())
    checks = [
        f"reopened: {sum(meant.counts.values()):,} messages, their times, numbers and order are what was meant",
        "each picture was read back from its message and holds its fills",
        f"a second look at {pictures.looks} of {frames} pictures found nothing outside the hidden areas",
    ]
    return FileResult(
        kind="log",
        frames=frames,
        duration_s=(survey.last_ns - survey.first_ns) * 1e-9,
        boxes=dict(pictures.boxes),
        objects=dict(pictures.objects),
        origins=dict(pictures.origins),
        confidence_histogram=tuple(pictures.confidences[place] for place in range(10)),
        dropped=dict(dropped),
        removed=(*names, *pictures.removed),
        certainty=pictures.moments(),
        verified=tuple(checks if frames else checks[:1]),
        notes=(*(f"channel {topic} passes because it was asked for" for topic in asked), *pictures.notes),
    )
