"""The plane of ``bandlimiter trace --plane``: its axes, and the window that is looked at."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.cli.trace.endpoints import Point
from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import Graph
from bandlimiter.geometry.tracing import count_flips
from bandlimiter.tensors import generator

Floats = NDArray[np.float64]

_MARGIN = 1.3
_TRIES = 30
_PLENTY = 10_000
"""Regions that a window of default size is to have at most: a minute's work for a ResNet."""


@dataclass(frozen=True)
class Slice:
    """A plane through three points, with axes of length one in normalised units.

    Attributes
    ----------
    origin
        [...] the image, in pixels.
    u, v
        [...] the axes in pixels: origin + a u + b v lies (a, b) in normalised units away.
    marks
        The three points' names and coordinates [2].
    scale
        From normalised offsets to pixels.
    """

    origin: torch.Tensor
    u: torch.Tensor
    v: torch.Tensor
    marks: dict[str, Floats]
    scale: torch.Tensor

    def project(self, x: torch.Tensor) -> Floats:
        """Return the coordinates of points [N, ...] projected on the plane: [N, 2]."""
        offsets = ((x - self.origin) / self.scale).flatten(1)
        axes = torch.stack([(axis / self.scale).flatten() for axis in (self.u, self.v)])
        return (offsets @ axes.T).numpy()


def build_slice(
    start: Point, end: Point, third: Point | None, scale: torch.Tensor, seed: int
) -> Slice:
    """Span a plane: a towards the end, b at right angles towards the third point.

    Without a third point: a random direction at right angles, as far away as the end.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a third point on the line through the other two.
    """
    ahead = (end.x - start.x) / scale
    length = ahead.norm()
    ahead = ahead / length
    if third is None:
        stream = generator(seed, "trace", "third", start.key)
        aside = torch.randn(start.x.shape, generator=stream, dtype=torch.float64)
    else:
        aside = (third.x - start.x) / scale
    share = (aside * ahead).sum()
    across = aside - share * ahead
    height = across.norm()
    # Rounding leaves 1e-16 of a point that lies on the line.
    if not height > 1e-9 * aside.norm():
        raise ConfigurationError(
            "expected a --third point off the line through the other two, got one on it"
        )
    across = across / height
    place = (0.0, float(length)) if third is None else (float(share), float(height))
    places = np.zeros(2), np.array([float(length), 0.0]), np.array(place)
    points = [start, end] if third is None else [start, end, third]
    names = [point.name for point in points]
    if len(set(names)) < len(names):  # files of one name in two folders
        names = [point.what for point in points]
    marks = dict(zip([*names, "random direction"], places, strict=False))
    return Slice(start.x, ahead * scale, across * scale, marks, scale)


def choose_window(
    graph: Graph, plane: Slice, around: str, extent: float | None, limit: int
) -> tuple[tuple[float, float, float, float], dict[str, float] | None]:
    """Return the window, and what one that holds both images would take if it is smaller.

    Parameters
    ----------
    graph
        The network.
    plane
        Where.
    around
        ``"image"``, ``"end"`` or ``"boundary"``: where the label changes between them.
    extent
        Half the window's width; None takes in both images with a margin, unless far more
        than ten thousand regions are expected: then less.
    limit
        The most regions that are allowed.
    """
    length = float(list(plane.marks.values())[1][0])
    share = {"image": 0.0, "end": 1.0}.get(around)
    centre = length * (_label_change(graph, plane, length) if share is None else share)
    whole = _MARGIN * length
    reach, expected = whole, None
    if extent is not None:
        reach = extent
    else:
        most = max(1.0, min(_PLENTY, limit / 2))
        count = _expected_regions(graph, plane, centre, reach)
        for _ in range(_TRIES):  # a centre on a border has two regions at any size
            if count <= most:
                break
            reach *= 0.9 * (most / count) ** 0.5
            count = _expected_regions(graph, plane, centre, reach)
        if reach < whole:
            reach = float(f"{reach:.2g}")
            expected = {"extent": whole, "expected_regions": count * (whole / reach) ** 2}
    return (centre - reach, centre + reach, -reach, reach), expected


def _label_change(graph: Graph, plane: Slice, length: float) -> float:
    """Return how far along the way from the image the label changes, by bisection."""

    def label(share: float) -> int:
        x = (plane.origin + share * length * plane.u)[None].to(graph.device)
        with torch.inference_mode():
            return int(graph(x).flatten(1).argmax())

    low, high = 0.0, 1.0
    if label(low) == label(high):
        raise ConfigurationError(
            "expected two labels for --around boundary, but both images have the same one"
        )
    before = label(low)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if label(middle) == before else (low, middle)
    return (low + high) / 2


def _expected_regions(graph: Graph, plane: Slice, centre: float, reach: float) -> float:
    """Estimate from the units that differ between the ends of the window's two axes.

    Straight lines that cross a square and each other as often as random ones do make half
    as many regions as the product of those that cross its two axes, within a factor of two.
    """
    middle = plane.origin + centre * plane.u
    axes = reach * torch.stack([plane.u, plane.v])
    flips = count_flips(graph, middle - axes, middle + axes)
    along, across = (sum(int(count[axis]) for count in flips.values()) for axis in (0, 1))
    return float(1 + along + across + along * across / 2)
