"""The opponent of transforms.py: the textbook formula for a simplex's transform, in numpy.

Without coinciding nodes t_l = w.v_l the divided difference is a plain sum, and its derivative
along the values of an affine f gives the transform::

    F(w) = i^n (2 pi)^(-n/2) sum over simplices of |det|
           sum_l exp(-i t_l) / prod_k (t_l - t_k) * (f_l + i sum_k (f_k - f_l) / (t_l - t_k))

Written to be fast: reciprocals once a pair, real arithmetic in place, blocks that fit the
cache, and sines and cosines either as such or from one tangent of the half angle, which numpy
has in vector instructions on some processors. It loses digits as nodes come close.
"""

import numpy as np
from numpy.typing import NDArray
from timing import median, take_turns

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

BLOCKS = (2048, 4096, 8192, 16384, 65536)
"""Simplices times frequencies at a time: the sizes to choose from."""


def textbook_transform(
    vertices: Floats, values: Floats, waves: Floats, block: int = 8192, half_angle: bool = False
) -> Complexes:
    """Return F [F] for vertices [Q, n + 1, n], values [Q, n + 1] and frequencies [F, n]."""
    count, dim = len(vertices), vertices.shape[2]
    jacobians = np.abs(np.linalg.det(vertices[:, 1:] - vertices[:, :1]))
    heights = np.ascontiguousarray((values * jacobians[:, None]).T)
    corners = np.ascontiguousarray(vertices.transpose(1, 2, 0))
    total = np.zeros(len(waves), dtype=np.complex128)
    across = min(count, block)
    down = max(1, block // across)
    for q in range(0, count, across):
        corner = np.ascontiguousarray(corners[..., q : q + across])
        height = np.ascontiguousarray(heights[:, q : q + across])
        for f in range(0, len(waves), down):
            total[f : f + down] += _block(corner, height, waves[f : f + down], half_angle)
    result: Complexes = total * (1j**dim * (2 * np.pi) ** (-dim / 2))
    return result


def _block(corner: Floats, height: Floats, waves: Floats, half_angle: bool) -> Complexes:
    size = len(corner)
    nodes = [waves @ corner[j] for j in range(size)]
    # products[l] becomes prod_k 1 / (t_l - t_k), slopes[l] sum_k (f_k - f_l) / (t_l - t_k).
    products: list[Floats] = []
    slopes: list[Floats] = []
    for k in range(size):
        for j in range(k):
            inverse = nodes[j] - nodes[k]
            np.reciprocal(inverse, out=inverse)
            slope = (height[k] - height[j]) * inverse
            _gather(products, j, np.multiply, inverse)
            _gather(slopes, j, np.add, slope)
            _gather(products, k, np.multiply, np.negative(inverse))
            _gather(slopes, k, np.add, slope)
    real = imag = 0.0
    for j in range(size):
        cos, sin = (_from_half_angle if half_angle else _cos_sin)(nodes[j])
        even = height[j] * products[j]
        odd = np.multiply(slopes[j], products[j], out=slopes[j])
        real = real + np.vecdot(even, cos) + np.vecdot(odd, sin)
        imag = imag + np.vecdot(odd, cos) - np.vecdot(even, sin)
    return real + 1j * imag


def _gather(rows: list[Floats], j: int, operation: np.ufunc, part: Floats) -> None:
    """Apply the operation to row j in place; the first part makes the row."""
    if j < len(rows):
        operation(rows[j], part, out=rows[j])
    else:
        rows.append(part.copy())


def _cos_sin(angle: Floats) -> tuple[Floats, Floats]:
    return np.cos(angle), np.sin(angle)


def _from_half_angle(angle: Floats) -> tuple[Floats, Floats]:
    tangent = np.tan(0.5 * angle)
    scale = tangent * tangent
    scale += 1.0
    np.divide(2.0, scale, out=scale)
    np.multiply(tangent, scale, out=tangent)
    scale -= 1.0
    return scale, tangent


def best_block(vertices: Floats, values: Floats, waves: Floats, half_angle: bool) -> int:
    """Return the block that is fastest on these inputs."""
    calls = {
        str(block): lambda b=block: textbook_transform(vertices, values, waves, b, half_angle)
        for block in BLOCKS
    }
    times = take_turns(calls, 3)
    return int(min(times, key=lambda block: median(times[block])))
