"""Frozen dataclasses to what JSON holds, and back by their type hints: one codec for journal, pipes and files."""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")


def to_plain(value: Any) -> Any:
    """A value of dataclasses, mappings, sets, tuples and paths as what JSON holds; infinities as words."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(held) for key, held in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(str(held) for held in value)
    if isinstance(value, (tuple, list)):
        return [to_plain(held) for held in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    return value


def to_text(value: Any) -> str:
    """One line of JSON, the same for equal values."""
    return json.dumps(to_plain(value), sort_keys=True, allow_nan=False, ensure_ascii=False)


def digest_of(value: Any) -> str:
    """Hex SHA-256 of a value; equal values have equal digests."""
    return hashlib.sha256(to_text(value).encode()).hexdigest()


def from_plain(kind: type[Kind], plain: Any) -> Kind:
    """A value of `kind` made from what JSON held.

    Raises
    ------
    ValueError
        The words do not fit the type: unknown keys, a missing one, another type.
    """
    value: Kind = _as(kind, plain)
    return value


def from_text(kind: type[Kind], text: str) -> Kind:
    """A value of `kind` from one line of JSON; raises ValueError as `from_plain`."""
    return from_plain(kind, json.loads(text))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _as(kind: Any, plain: Any) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return plain
    if origin in (Union, types.UnionType):
        return _as_one_of(kind, plain)
    if origin is Literal:
        if plain not in get_args(kind):
            raise ValueError(f"{plain!r} came; wanted one of {get_args(kind)}")
        return plain
    if origin is tuple:
        return _as_tuple(get_args(kind), plain)
    if origin is frozenset:
        (held,) = get_args(kind)
        return frozenset(_as(held, one) for one in plain)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        key, held = get_args(kind)
        return {_as(key, name): _as(held, one) for name, one in plain.items()}
    if is_dataclass(kind):
        return _as_dataclass(kind, plain)
    return _as_scalar(kind, plain)


def _as_one_of(kind: Any, plain: Any) -> Any:
    if plain is None and type(None) in get_args(kind):
        return None
    (held,) = (one for one in get_args(kind) if one is not type(None))
    return _as(held, plain)


def _as_tuple(kinds: tuple[Any, ...], plain: Any) -> tuple[Any, ...]:
    if not isinstance(plain, list):
        raise ValueError(f"a {type(plain).__name__} came; wanted a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_as(kinds[0], one) for one in plain)
    if len(plain) != len(kinds):
        raise ValueError(f"{len(plain)} values came; wanted {len(kinds)}")
    return tuple(_as(kind, one) for kind, one in zip(kinds, plain, strict=True))


def _as_dataclass(kind: Any, plain: Any) -> Any:
    if not isinstance(plain, dict):
        raise ValueError(f"a {type(plain).__name__} came for {kind.__name__}; wanted an object")
    hints = _hints(kind)
    if unknown := set(plain) - {one.name for one in fields(kind)}:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return kind(**{name: _as(hints[name], held) for name, held in plain.items()})
    except TypeError as fault:
        raise ValueError(f"{kind.__name__}: {fault}") from None


def _as_scalar(kind: Any, plain: Any) -> Any:
    if kind is float and isinstance(plain, (int, float, str)) and not isinstance(plain, bool):
        return float(plain)
    if kind in (int, str, bool):
        if type(plain) is not kind:
            raise ValueError(f"{plain!r} came; wanted a {kind.__name__}")
        return plain
    if isinstance(kind, type) and issubclass(kind, (Enum, Path)):
        return kind(plain)
    raise ValueError(f"a {type(plain).__name__} came for {kind}")
