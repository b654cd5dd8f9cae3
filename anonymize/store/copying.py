"""The owner's copy: segments opened, joined to films and written where the owner wants them, in plain."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from anonymize.errors import UsageError
from anonymize.media.output import new_file, write_whole
from anonymize.media.segment_copy import JoinedFilm, oriented_jpeg
from anonymize.store.coding import Payload
from anonymize.store.index import NAME as INDEX_NAME
from anonymize.store.index import Index
from anonymize.store.keys import KeyHome
from anonymize.store.objects import Objects
from anonymize.store.reading import Reader


def copy_out(folder: Path, home: KeyHome, digests: Sequence[str], target: Path) -> list[Path]:
    """Write the segments, which are in the order they were stored, as MP4 films and JPEGs; the files.

    A film of each camera and day goes on for as long as its frames are coded alike and their times rise.

    Raises
    ------
    UsageError
        The target is there already and is not an empty folder.
    StoreError, MediaError
        A segment does not open, or the disk does not take it. Complete films are kept.
    """
    check_empty(target)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.closing(Index(folder / INDEX_NAME, read_only=True)) as index:
        reader = Reader(Objects(folder / "objects"), index, home)
        with Copy(target) as copy:
            for digest in digests:
                entry, plain = reader.open(digest)
                copy.add(Payload.unpack(plain), entry.place.epoch)
        return copy.files


def check_empty(target: Path) -> None:
    """Raise `UsageError` unless a copy can be written there: before anything is noted as read."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: is there already; wanted a new name, or an empty folder")


class Copy:
    """The files of one copy in the making; use it with `with`."""

    def __init__(self, target: Path) -> None:
        self.files: list[Path] = []
        self._target = target
        self._films: dict[tuple[str, str], tuple[JoinedFilm, Callable[[], None]]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._open_files = contextlib.ExitStack()

    def __enter__(self) -> Copy:
        self._open_files.__enter__()
        return self

    def __exit__(self, *fault: object) -> None:
        try:
            if fault[0] is None:
                for film, _ in self._films.values():
                    film.close()
        finally:
            self._open_files.__exit__(*fault)  # type: ignore[arg-type]

    def add(self, payload: Payload, day: str) -> None:
        """Write a group into its film, or its pictures."""
        key = (safe_name(payload.camera), day)
        if payload.encoding == "jpeg":
            self._add_pictures(payload, key)
            return
        film, finish = self._films.get(key, (None, None))
        if film is None or not film.takes(payload.media, payload.pts, payload.time_base):
            if film is not None and finish is not None:
                film.close()
                finish()
            film = self._begin_film(payload, key)
        film.add(payload.media, payload.pts)

    def _begin_film(self, payload: Payload, key: tuple[str, str]) -> JoinedFilm:
        number = self._numbers[key] = self._numbers.get(key, 0) + 1
        path = self._target / f"{key[0]}-{key[1]}-{number:03}.mp4"
        one = contextlib.ExitStack()
        file: BinaryIO = one.enter_context(new_file(path))
        self._open_files.push(one)
        film = JoinedFilm(file, payload.media, payload.time_base)
        self._films[key] = film, one.close
        self.files.append(path)
        return film

    def _add_pictures(self, payload: Payload, key: tuple[str, str]) -> None:
        folder = self._target / f"{key[0]}-{key[1]}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for picture in payload.pictures():
            number = self._numbers[key] = self._numbers.get(key, 0) + 1
            path = folder / f"{number:06}.jpg"
            write_whole(path, oriented_jpeg(picture, payload.rotation_deg, mirrored=payload.mirrored))
            self.files.append(path)


def safe_name(camera: str) -> str:
    """A camera's name as part of a file's."""
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in camera)
    return kept[:64] or "camera"
