"""From an experiment's points to one series for each attack and protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bandlimiter.errors import InputError
from bandlimiter.results.attack_names import attack_name

Interval = tuple[float, float]

_NONE = (float("nan"), float("nan"))


@dataclass
class Series:
    """What an attack did under one protocol, point by point.

    Attributes
    ----------
    name, protocol, colour
        The attack's name for people, ``minimal`` or ``fixed``, and its colour in all panels.
    places
        [P]: where the points stand.
    rates, rate_intervals
        [P]: the defence rate and its interval; None, and NaN twice, where nothing was found.
    adversarial_shares
        [P]: #Adv of the images that were attacked.
    lengths
        [P]: mean L2 length in pixels, or None.
    """

    name: str
    protocol: str
    colour: str
    places: list[float] = field(default_factory=list)
    rates: list[float | None] = field(default_factory=list)
    rate_intervals: list[Interval] = field(default_factory=list)
    adversarial_shares: list[float] = field(default_factory=list)
    lengths: list[float | None] = field(default_factory=list)


def series_of(
    points: Sequence[dict[str, Any]], place: Callable[[dict[str, Any]], float]
) -> list[Series]:
    """Sort the results of attacks on the plain model into series, one colour an attack.

    Parameters
    ----------
    points
        Of an experiment's document.
    place
        Where a point stands on the horizontal axis.

    Raises
    ------
    InputError
        (a ValueError) where there is no such result.
    """
    found: dict[tuple[str, str], Series] = {}
    colours: dict[str, str] = {}
    for point in points:
        for result in point["results"]:
            attack, protocol = result["attack"], result["protocol"]
            if protocol not in ("minimal", "fixed") or result["threat"] == "adaptive":
                continue
            colour = colours.setdefault(attack, f"C{len(colours)}")
            series = found.setdefault(
                (attack, protocol), Series(attack_name(attack), protocol, colour)
            )
            series.places.append(place(point))
            series.rates.append(result["defence_rate"])
            low, high = result["defence_rate_interval"] or _NONE
            series.rate_intervals.append((low, high))
            series.adversarial_shares.append(result["adversarials"] / max(1, result["images"]))
            series.lengths.append(result["mean_l2"])
    if not found:
        raise InputError("expected a result of an attack on the plain model to draw, got none")
    return list(found.values())
