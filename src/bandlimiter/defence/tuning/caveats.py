"""What a choice on so many clean images does not show, in words and numbers."""

import math
from collections.abc import Sequence

from bandlimiter.defence.tuning.measuring import Comparison
from bandlimiter.defence.tuning.search import RadiusPoint

# The square of the two-sided 95 % point of the normal law.
_Z2 = 3.841458820694124

CAUTION = (
    "A larger radius is no promise of more robustness: it was chosen by what it costs on clean "
    "images alone, and attackers who know the defence break it at any of these radii "
    "(docs/threat-model.md)."
)


def needed_images(point: Comparison, most_loss: float) -> int | None:
    """Return about how many images it takes until the loss is known to within ``most_loss``.

    The paired interval reaches z sqrt(d / n) to either side where a share d of the images
    is lost or gained, and z^2 / (n + z^2) where none is (Tango 1998), with z = 1.96. None
    for a bound of 0, which no number of images can show.
    """
    if most_loss == 0:
        return None
    differing = (point.lost + point.gained) / point.images
    none_differs = _Z2 * (1 - most_loss) / most_loss
    return math.ceil(max(none_differs, _Z2 * differing / most_loss**2))


def radius_caveats(
    curve: Sequence[RadiusPoint], chosen: RadiusPoint, most_loss: float
) -> tuple[str, ...]:
    """Return what a reader of the chosen radius should know."""
    larger = [point for point in curve if point.radius > chosen.radius]
    caveats = [
        _none_kept(curve, chosen),
        _too_few(chosen, most_loss),
        "" if larger else _at_the_end(chosen),
        _not_monotone(larger, most_loss),
    ]
    return tuple(caveat for caveat in caveats if caveat)


def _none_kept(curve: Sequence[RadiusPoint], chosen: RadiusPoint) -> str:
    if chosen.radius > 0:
        return ""
    return (
        f"No radius that was tried keeps the bound; the smallest was {curve[1].radius:.3g}. "
        "Radius 0 is the plain model."
    )


def _too_few(chosen: RadiusPoint, most_loss: float) -> str:
    """Warn where the interval leaves room for a loss above the bound."""
    if chosen.surely_keeps(most_loss):
        return ""
    low, high = _ends(chosen)
    where = f"at r = {chosen.radius:.4g}" if chosen.radius else "even where none is lost"
    said = (
        f"{chosen.images} images are too few to tell a loss of {most_loss:g}: {where} it may be "
        f"anything from {low:+.3f} to {high:+.3f} (95 %)"
    )
    needed = needed_images(chosen, most_loss)
    return f"{said}." if needed is None else f"{said}; it takes about {_rounded(needed)}."


def _at_the_end(chosen: RadiusPoint) -> str:
    return (
        f"The largest radius that was tried, {chosen.radius:.4g}, keeps the bound: larger ones may."
    )


def _not_monotone(larger: Sequence[RadiusPoint], most_loss: float) -> str:
    again = [point.radius for point in larger if point.keeps(most_loss)]
    if not again:
        return ""
    return (
        f"The loss does not grow steadily: r = {again[-1]:.4g} keeps the bound too, but a smaller "
        "radius does not, so it was not chosen."
    )


def _ends(point: Comparison) -> tuple[float, float]:
    loss = point.loss
    return (loss.low or 0.0, loss.high or 0.0)


def _rounded(count: int) -> str:
    """Two digits: it is an estimate."""
    digits = max(0, len(str(count)) - 2)
    return f"{math.ceil(count / 10**digits) * 10**digits:,}"
