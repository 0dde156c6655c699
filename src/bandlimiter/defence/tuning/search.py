"""The largest radius that keeps a bound: up a grid, then by bisection."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bandlimiter.defence.tuning.measuring import Comparison
from bandlimiter.errors import ConfigurationError


@dataclass(frozen=True)
class RadiusPoint(Comparison):
    """A radius that was tried.

    Attributes
    ----------
    radius
        r, in the network's input space.
    radius_pixels
        The same length in pixels; see `PostAverage.pixel_radius`.
    refined
        Whether bisection tried it, rather than the grid.
    """

    radius: float
    radius_pixels: float
    refined: bool = False

    def keeps(self, most_loss: float) -> bool:
        """Whether the loss that was seen is at most this."""
        return (self.loss.value or 0.0) <= most_loss

    def surely_keeps(self, most_loss: float) -> bool:
        """Whether the whole 95 % interval of the loss is at most this."""
        return self.loss.high is not None and self.loss.high <= most_loss

    def surely_breaks(self, most_loss: float) -> bool:
        """Whether the whole 95 % interval of the loss lies above this."""
        return self.loss.low is not None and self.loss.low > most_loss


Measure = Callable[[float, bool], RadiusPoint]
"""Measures a radius; the second argument becomes ``refined``."""


def climb(
    measure: Measure, grid: Sequence[float], most_loss: float, refinements: int, plain: RadiusPoint
) -> list[RadiusPoint]:
    """Try a grid from below, then bisect between the last radius that keeps the bound and the next.

    The grid ends early at the first radius whose loss is above the bound for certain: what
    is larger costs most and is out of the question.

    Parameters
    ----------
    measure
        Measures.
    grid
        Ascending, above 0.
    most_loss
        The bound.
    refinements
        How many radii bisection tries.
    plain
        The point at radius 0, where nothing is lost.

    Returns
    -------
    list of RadiusPoint
        Ascending by radius, ``plain`` first.
    """
    points = [plain]
    for radius in grid:
        points.append(measure(radius, False))
        if points[-1].surely_breaks(most_loss):
            break
    low = last_to_keep(points, most_loss).radius
    above = [point.radius for point in points if point.radius > low]
    if above:
        high = above[0]
        for _ in range(refinements):
            points.append(measure((low + high) / 2, True))
            middle = points[-1].radius
            low, high = (middle, high) if points[-1].keeps(most_loss) else (low, middle)
    return sorted(points, key=lambda point: point.radius)


def last_to_keep(points: Sequence[RadiusPoint], most_loss: float) -> RadiusPoint:
    """Return the largest radius that keeps the bound together with all smaller ones tried."""
    return _last(points, lambda point: point.keeps(most_loss))


def last_to_surely_keep(points: Sequence[RadiusPoint], most_loss: float) -> RadiusPoint:
    """Return the largest radius of the grid up to which no interval reaches above the bound.

    A test at each radius of a grid that was fixed beforehand, in ascending order, up to the
    first that fails: so the chance that the returned radius truly loses more is that of one
    test, about 2.5 %, however many radii were tried. Bisection follows the data and is left
    out.
    """
    grid = [point for point in points if not point.refined]
    return _last(grid, lambda point: point.radius == 0 or point.surely_keeps(most_loss))


def require_grid(radii: Sequence[float]) -> list[float]:
    """Return the radii, ascending; refuse (ConfigurationError) none, and what is not above 0."""
    grid = sorted({float(radius) for radius in radii})
    if not grid or not all(math.isfinite(radius) and radius > 0 for radius in grid):
        raise ConfigurationError(f"expected radii above 0 to try, got {list(radii)}")
    return grid


def _last(points: Sequence[RadiusPoint], good: Callable[[RadiusPoint], bool]) -> RadiusPoint:
    """Return the last of the ascending points before the first that is not good."""
    ascending = sorted(points, key=lambda point: point.radius)
    kept = ascending[0]
    for point in ascending:
        if not good(point):
            break
        kept = point
    return kept
