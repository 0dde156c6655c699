"""Judges that share nothing with the library: the torch network, summed point by point."""

import math

import numpy as np
from scipy import integrate
from torch import nn

from tests.spectrum.networks import evaluate


def gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


# One dimension.


def breakpoints(network: nn.Sequential, lower: float, upper: float, scan: int = 8001):
    """The ends and all points between where a unit passes a threshold, by bisection."""
    x = np.linspace(lower, upper, scan)
    above = _above(network, x)
    cell, unit = np.nonzero(above[1:] != above[:-1])
    left, right = x[cell], x[cell + 1]
    for _ in range(60):
        middle = (left + right) / 2
        same = _above(network, middle)[np.arange(len(cell)), unit] == above[cell, unit]
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    # Units that bend at one point are found an ulp apart.
    return np.unique(np.round(np.concatenate([[lower], right, [upper]]), 14))


def _above(network: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """Which units exceed which thresholds: [N, H]."""
    found, points = [np.zeros((len(x), 0), dtype=bool)], x[:, None]
    for layer in network:
        if not isinstance(layer, nn.Linear):
            levels = (-1.0, 1.0) if isinstance(layer, nn.Hardtanh) else (0.0,)
            found += [points > level for level in levels]
        points = evaluate(layer, points)
    return np.concatenate(found, axis=1)


def line_transform(function, edges: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Transform x -> [m] between breakpoints: [F, m], to about 1e-12."""

    def integrand(x: float) -> np.ndarray:
        return np.exp(-1j * waves[:, :1] * x) * function(x)

    total, _ = integrate.quad_vec(
        integrand, edges[0], edges[-1], points=edges[1:-1], epsabs=1e-12, epsrel=1e-12
    )
    return total / math.sqrt(2 * math.pi)


# A box.


def box_grid(lower, upper, cells: int, per_cell: int):
    """Nodes and weights along each axis of a composite Gauss rule (per_cell 1: midpoint)."""
    nodes, weights = gauss(per_cell)
    axes = []
    for low, high in zip(lower, upper, strict=True):
        step = (high - low) / cells
        places = low + step * (np.arange(cells)[:, None] + nodes).ravel()
        axes.append((places, step * np.tile(weights, cells)))
    return axes


def box_values(network: nn.Module, axes) -> np.ndarray:
    """The network on the grid: [N, ..., N, m]; slice by slice along the first axis."""
    first, *others = [nodes for nodes, _ in axes]
    if not others:
        return evaluate(network, first[:, None])
    rest = np.stack(np.meshgrid(*others, indexing="ij"), axis=-1).reshape(-1, len(others))
    slices = []
    for x in first:
        points = np.concatenate([np.full((len(rest), 1), x), rest], axis=1)
        slices.append(evaluate(network, points))
    shape = [len(nodes) for nodes, _ in axes]
    return np.stack(slices).reshape(*shape, -1)


def grid_transform(values: np.ndarray, axes, waves: np.ndarray) -> np.ndarray:
    """Transform values on a grid, [N, ..., N, m], by its rule: [F, m]."""
    total = np.broadcast_to(values, (len(waves), *values.shape))
    for axis, (nodes, weights) in enumerate(axes):
        phases = weights * np.exp(-1j * waves[:, axis, None] * nodes)
        total = np.stack(
            [np.tensordot(row, one, axes=1) for row, one in zip(phases, total, strict=True)]
        )
    return total * (2 * math.pi) ** (-len(axes) / 2)


def transform_by_product_rule(
    network: nn.Module, lower, upper, waves, *, cells: int, per_cell: int = 2
):
    """Transform a network on a box by a product rule that knows nothing of its regions."""
    axes = box_grid(lower, upper, cells, per_cell)
    return grid_transform(box_values(network, axes), axes, waves)


# Simplices.


def duffy(dim: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric nodes [P, n + 1] and weights [P]: a Gauss rule on a cube folded to a simplex."""
    nodes, weights = gauss(count)
    cube = np.stack(np.meshgrid(*[nodes] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    shares = np.stack(np.meshgrid(*[weights] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    left, columns, rule = np.ones(len(cube)), [], shares.prod(axis=1)
    for axis in range(dim):
        rule = rule * left
        columns.append(left * cube[:, axis])
        left = left * (1 - cube[:, axis])
    return np.stack([*columns, left], axis=1), rule


def simplices_transform(function, vertices: np.ndarray, waves, *, count: int) -> np.ndarray:
    """Transform a function [N, n] -> [N, m] over simplices [Q, n + 1, n] by cubature: [F, m]."""
    dim = vertices.shape[2]
    places, rule = duffy(dim, count)
    total = 0
    for corners in vertices:
        volume = abs(np.linalg.det(corners[1:] - corners[0]))
        points = places @ corners
        phases = np.exp(-1j * points @ waves.T)
        total = total + (volume * rule * phases.T) @ function(points)
    return total * (2 * math.pi) ** (-dim / 2)


# Directions.


def circle(highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions in the plane and weights, exact for waves of up to ``highest`` turns of phase.

    |F(rho theta)|^2 is a mixture of exp(i rho theta.y), |y| at most the box's diagonal, whose
    Fourier coefficients vanish like J_k(rho |y|) beyond k = rho |y|. Opposite directions are
    equal, so half a circle is enough.
    """
    count = math.ceil(highest / 2) + 30
    angles = np.pi * np.arange(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1), np.full(count, 2 * np.pi / count)


def sphere(highest: float) -> tuple[np.ndarray, np.ndarray]:
    """The same in space: Gauss rule along the axis, half of it, and trapezoids around."""
    degree = math.ceil(highest) + 30
    heights, weights = gauss(degree // 2 + 1)
    heights, weights = 2 * heights - 1, 2 * weights
    upper = heights > 0 if len(heights) % 2 == 0 else heights >= 0
    heights, weights = heights[upper], weights[upper] * np.where(heights[upper] > 0, 2, 1)
    angles = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    across = np.sqrt(1 - heights**2)
    directions = np.stack(
        [
            np.outer(across, np.cos(angles)),
            np.outer(across, np.sin(angles)),
            np.outer(heights, np.ones_like(angles)),
        ],
        axis=-1,
    )
    return directions.reshape(-1, 3), np.repeat(weights * 2 * np.pi / len(angles), len(angles))
