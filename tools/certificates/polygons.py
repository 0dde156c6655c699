"""Exact averages of a two-input network's votes over normal noise.

A region of the plane where the network is affine, cut by where two logits are equal, is a polygon
of one label. The standard normal mass of the triangle (0, a, b), counted negative if b is to the
right of a, is::

    (atan(t2 / d) - atan(t1 / d)) / 2 pi - (T(d, t2 / d) - T(d, t1 / d)),

T being Owen's function, d the distance of the line through a and b, t1 and t2 where they lie on it.
A polygon is the sum over its edges, and of all a label's polygons only those edges count where
another label begins, or the box ends: the others are passed twice, both ways.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import owens_t
from torch import nn

from bandlimiter.geometry import enumerate_regions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def edges_of_labels(network: nn.Module, reach: float) -> list[Floats]:
    """Return the edges around each label's area in the box [-reach, reach]^2: [E, 2, 2] each.

    Anticlockwise; an edge is its two ends.
    """
    regions = enumerate_regions(network, lower=-reach, upper=reach)
    classes = regions.biases.shape[1]
    edges: list[list[Floats]] = [[] for _ in range(classes)]
    for region, (weight, bias) in enumerate(zip(regions.weights, regions.biases, strict=True)):
        corners = regions.vertices[regions.vertices_of(region)]
        at_side = np.isclose(np.abs(corners), reach) * np.sign(corners)
        # On the box's border: both ends on the same side of it.
        outside = (at_side * np.roll(at_side, -1, axis=0) > 0).any(axis=1)
        for label in range(classes):
            polygon, counts = corners, outside
            for other in set(range(classes)) - {label}:
                side = polygon @ (weight[label] - weight[other]) + bias[label] - bias[other]
                polygon, counts = cut(polygon, counts, side)
            around = np.stack([polygon, np.roll(polygon, -1, axis=0)], axis=1)
            edges[label].append(around[counts])
    return [np.concatenate(parts) for parts in edges]


def cut(polygon: Floats, counts: Bools, side: Floats) -> tuple[Floats, Bools]:
    """Return the part of a convex polygon where ``side`` >= 0, and which edges count.

    Edge i leads from corner i to the next; that along the cut counts.
    """
    corners, marks = [], []
    for i, (here, there) in enumerate(zip(side, np.roll(side, -1), strict=True)):
        if here >= 0:
            corners.append(polygon[i])
            marks.append(bool(counts[i]))
        if (here >= 0) != (there >= 0):
            share = here / (here - there)
            corners.append(polygon[i] + share * (polygon[(i + 1) % len(polygon)] - polygon[i]))
            marks.append(True if here >= 0 else bool(counts[i]))
    return np.array(corners).reshape(-1, 2), np.array(marks, dtype=bool)


def mass(edges: Floats, centres: Floats, sigma: float) -> Floats:
    """Return the mass that normal noise around each centre has within the edges: [M]."""
    found = [
        _triangles((edges - centre[:, None, None]) / sigma).sum(axis=1)
        for centre in np.array_split(centres, max(1, len(centres) * len(edges) >> 18))
    ]
    return np.concatenate(found)


def masses(areas: list[Floats], centres: Floats, sigma: float) -> Floats:
    """Return each label's share of the votes around each centre: [M, classes]."""
    return np.stack([mass(edges, centres, sigma) for edges in areas], axis=1)


def _triangles(edges: Floats) -> Floats:
    """Return the signed mass of the triangles from 0 to edges [..., 2, 2]: [...]."""
    a, b = edges[..., 0, :], edges[..., 1, :]
    along = b - a
    length = np.hypot(along[..., 0], along[..., 1])
    flat = length == 0
    along = along / np.where(flat, 1, length)[..., None]
    distance = a[..., 0] * along[..., 1] - a[..., 1] * along[..., 0]
    flat |= distance == 0
    distance = np.where(flat, 1, distance)
    first, second = ((along * end).sum(axis=-1) / distance for end in (a, b))
    angle = (np.arctan(second) - np.arctan(first)) / (2 * math.pi)
    return np.where(flat, 0, angle - owens_t(distance, second) + owens_t(distance, first))


def distance_to_change(
    areas: list[Floats], x: Floats, sigma: float, *, limit: float, angles: int = 64
) -> float:
    """Return how far from x [2] the averaged label changes, or infinity if beyond ``limit``.

    The nearest of some directions, each found by bisection after 24 steps outwards; then twice
    between the neighbours of the best direction.
    """
    label = masses(areas, x[None], sigma)[0].argmax()

    def lost(way: Floats, far: Floats) -> Bools:
        points = x + far[..., None] * np.stack([np.cos(way), np.sin(way)], axis=-1)
        found = masses(areas, points.reshape(-1, 2), sigma).argmax(axis=1)
        return np.asarray(found != label).reshape(far.shape)

    best, width, steps = 0.0, math.pi, np.linspace(0, limit, 25)
    nearest = math.inf
    for count in (angles, 17, 17):
        ways = best + np.linspace(-width, width, count, endpoint=count != angles)
        changed = lost(ways[:, None], np.broadcast_to(steps, (count, len(steps))))
        ways, changed = ways[changed.any(axis=1)], changed[changed.any(axis=1)]
        if not len(ways):
            return nearest
        high = steps[changed.argmax(axis=1)]
        low = high - steps[1]
        for _ in range(36):
            middle = (low + high) / 2
            beyond = lost(ways, middle)
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        if high.min() < nearest:
            nearest, best = float(high.min()), float(ways[high.argmin()])
        width = 2 * width / count if count == angles else width / 8
    return nearest
