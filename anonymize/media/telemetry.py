"""The telemetry track of a video file, as packets with their times: GoPro's `gpmd`, told by its content.

What is in them is read by `anonymize.zones.feeds.gpmf`. Nothing of it ever reaches an output.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anonymize.errors import MediaError
from anonymize.media.output import FileIdentity
from anonymize.media.video_av import foreign_errors, load_av, open_input

GPMF_BEGINS: Final = b"DEVC"
MOST_BYTES: Final = 1 << 29  # some 6 kB/s: a day


@dataclass(frozen=True, slots=True, repr=False)
class Telemetry:
    """Packets of a telemetry track.

    Attributes
    ----------
    identity : FileIdentity
        Of the file.
    packets : tuple of (start, content)
        Start in s of the film's time, as the frames' `pts` count it.
    """

    identity: FileIdentity
    packets: tuple[tuple[float, bytes], ...]

    def __repr__(self) -> str:
        return f"<Telemetry of {len(self.packets)} packets>"


def is_film(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as MP4 and MOV do; False where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    except OSError:
        return False


def read_telemetry(path: str | os.PathLike[str]) -> Telemetry:
    """The packets of the one GPMF track of a video.

    Raises
    ------
    MediaError
        PyAV is not installed, the file is no video, or holds no such track, or several, or one of more than 512 MB.
    """
    path = Path(path)
    av = load_av()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(f"{path}: cannot be opened: {error.strerror}") from None
    try:
        container = open_input(descriptor, path)
        wanted = [stream for stream in container.streams if stream.type == "data"]
        for stream in container.streams:
            if stream.type != "data":
                stream.discard = av.stream.Discard.all
        found: dict[int, list[tuple[float, bytes]]] = {}
        size = 0
        with foreign_errors(path, "its telemetry cannot be read"), container:
            for packet in container.demux(*wanted) if wanted else ():
                content = bytes(packet)
                if packet.pts is None or not content.startswith(GPMF_BEGINS):
                    continue
                size += len(content)
                if size > MOST_BYTES:
                    raise MediaError(f"{path}: telemetry of more than {MOST_BYTES >> 20} MB; split the file")
                found.setdefault(packet.stream_index, []).append(
                    (float(packet.pts * packet.time_base), content)
                )
        identity = FileIdentity.of(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    if len(found) != 1:
        raise MediaError(
            f"{path}: {len(found)} telemetry tracks of the kind that is read (GPMF, action cameras); wanted one. "
            "Positions of other cameras: export them as GPX, NMEA or CSV"
        )
    return Telemetry(identity, tuple(next(iter(found.values()))))
