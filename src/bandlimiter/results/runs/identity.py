"""What names a run: canonical JSON of all that changes its results, and its hash."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bandlimiter.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SHOWN = 3
_ABSENT = object()


def run_name(kind: str, identity: Mapping[str, Any]) -> str:
    """Name a run by its kind and 12 hexadecimal digits of its identity's SHA-256.

    Parameters
    ----------
    kind
        Letters, digits, ``-``, ``_`` and ``.`` only: it becomes part of a folder's name.
    identity
        Whatever JSON can hold; the order of keys does not matter, tuples are lists.

    Raises
    ------
    ConfigurationError
        If JSON cannot hold the identity (NaN included), or the kind is no plain name.

    Examples
    --------
    >>> run_name("attacks", {"radius": 6.0, "seed": 0})
    'attacks-2489771eead3'
    """
    return f"{plain_name(kind, 'kind of run')}-{digest(identity)[:12]}"


def plain_name(name: str, what: str) -> str:
    """Return a name that is safe as a file's: no separator, no leading dot, at most 200 long.

    Raises
    ------
    ConfigurationError
        If it is not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"expected a {what} of letters, digits, '-', '_' and '.' that starts with neither "
            f"'-' nor '.', got {_short(name)}; rename it"
        )
    return name


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces, ASCII.

    Raises
    ------
    ConfigurationError
        If JSON cannot hold it.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"expected an identity that JSON can hold, got one that it cannot: {error}"
        ) from error


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in one line where two identities differ: the first few as ``name: old -> new``."""
    before, after = dict(_leaves(_plain(old))), dict(_leaves(_plain(new)))
    names = [
        name
        for name in dict.fromkeys([*after, *before])
        if before.get(name, _ABSENT) != after.get(name, _ABSENT)
    ]
    shown = [
        f"{name}: {_short(before.get(name, _ABSENT))} -> {_short(after.get(name, _ABSENT))}"
        for name in names[:_SHOWN]
    ]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(shown + more)


def _plain(value: Any) -> Any:
    return json.loads(canonical(value))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through nested mappings; lists are compared whole."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}" if path else key)


def _short(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
