"""Defences that are points of a sweep, told by names such as ``r=6`` and ``K=15``."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bandlimiter.results import OURS

_POINT = re.compile(r"([A-Za-z][A-Za-z0-9 _-]*?) ?= ?([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)")
_SETTINGS = {"r": "radius", "K": "directions"}


class Sweep(NamedTuple):
    """What is varied, and each defence's value of it, in rising order."""

    parameter: str
    values: Mapping[str, float]


def sweep_of(names: Sequence[str], settings: Mapping[str, Any]) -> Sweep | None:
    """Return the sweep that these defences are, or None.

    Parameters
    ----------
    names
        Of defences. The run's own may be among them: it is a point where ``settings`` tell its
        value.
    settings
        Of the run: ``radius`` belongs to a sweep over r, ``directions`` to one over K.

    Examples
    --------
    >>> sweep_of(["post-averaging", "r=12"], {"radius": 6})
    Sweep(parameter='r', values={'post-averaging': 6.0, 'r=12': 12.0})
    >>> sweep_of(["r=12", "gaussian"], {}) is None
    True
    """
    found = {name: _POINT.fullmatch(name) for name in names if name != OURS}
    points = {name: match for name, match in found.items() if match}
    parameters = {match[1] for match in points.values()}
    if not points or len(points) < len(found) or len(parameters) != 1:
        return None
    (parameter,) = parameters
    values = {name: float(match[2]) for name, match in points.items()}
    if OURS in names:
        own = settings.get(_SETTINGS.get(parameter, ""))
        if not isinstance(own, int | float):
            return None
        values[OURS] = float(own)
    if len(values) < 2:
        return None
    return Sweep(parameter, dict(sorted(values.items(), key=lambda item: item[1])))
