"""What the head of a video file says of it: enough to tell what continues it. No picture is decoded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from anonymize.errors import MediaError
from anonymize.media.video_av import open_input
from anonymize.media.video_read import main_video_stream


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """The main video stream; `created` is UTC, ISO 8601, or empty; `modified_s` is the file's, s since 1970."""

    codec: str
    width: int
    height: int
    time_base: Fraction
    duration_s: float
    created: str
    modified_s: float

    @property
    def kind(self) -> tuple[str, int, int, Fraction]:
        """What two parts of one film have in common."""
        return self.codec, self.width, self.height, self.time_base


def read_film_facts(path: Path) -> FilmFacts:
    """The facts of a file.

    Raises
    ------
    MediaError
        It cannot be opened, is no video, or does not say how long it is.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(f"{path}: cannot be opened: {os.strerror(error.errno or 0)}") from error
    try:
        with open_input(descriptor, path) as container:
            stream = main_video_stream(container, path)
            base, duration = stream.time_base, stream.duration
            if base is None or base <= 0:
                raise MediaError(f"{path}: has no time base; wanted frames with times")
            whole_s = float(duration * base) if duration else (container.duration or 0) / 1_000_000
            if whole_s <= 0:
                raise MediaError(f"{path}: does not say how long it is")
            codec = stream.codec_context
            created = container.metadata.get("creation_time", "") or stream.metadata.get("creation_time", "")
            return FilmFacts(
                codec.codec.canonical_name, codec.width, codec.height, base, whole_s, created,
                os.fstat(descriptor).st_mtime,
            )  # fmt: skip
    finally:
        os.close(descriptor)
