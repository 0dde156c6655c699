"""Defences that are points of a sweep: averages that differ in one number alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bandlimiter.results import OURS

_LETTERS = {"radius": "r", "directions": "K", "sigma": "sigma"}
"""What may be swept, and how readers know it."""

_FIXED = ("sampler", "vote", "randomness", "defence_seed")
"""What must be the same at all points."""


class Sweep(NamedTuple):
    """What is varied, and each defence's value of it, in rising order."""

    parameter: str
    values: Mapping[str, float]


def sweep_of(names: Sequence[str], settings: Mapping[str, Any]) -> Sweep | None:
    """Return the sweep that these defences are, or None.

    Parameters
    ----------
    names
        Of defences. The run's own may be among them.
    settings
        Of the run: those of its own defence, and under ``variants`` those of others by name.

    Examples
    --------
    >>> variants = {"wide": {"radius": 12, "directions": 15}}
    >>> settings = {"radius": 6, "directions": 15, "variants": variants}
    >>> sweep_of(["post-averaging", "wide"], settings)
    Sweep(parameter='r', values={'post-averaging': 6.0, 'wide': 12.0})
    >>> sweep_of(["wide", "gaussian"], settings) is None
    True
    """
    variants = settings.get("variants") or {}
    points = {name: settings if name == OURS else variants.get(name) for name in names}
    given = [point for point in points.values() if point is not None]
    if len(given) < max(2, len(names)):
        return None
    if any(len({str(point.get(key)) for point in given}) > 1 for key in _FIXED):
        return None
    varied = [key for key in _LETTERS if len({point.get(key) for point in given}) > 1]
    if len(varied) != 1 or not all(isinstance(p.get(varied[0]), int | float) for p in given):
        return None
    values = {name: float(point[varied[0]]) for name, point in points.items() if point is not None}
    if len(set(values.values())) < len(values):
        return None
    return Sweep(_LETTERS[varied[0]], dict(sorted(values.items(), key=lambda item: item[1])))
