"""The loops that cut a cell complex with a layer's hyperplanes.

A complex holds faces of every dimension, from vertices to cells; a face is the list of its
facets, one dimension below. Which faces are cut follows from the signs of the vertices
alone: nothing is decided twice. So the result is a complex whatever the rounding, if only
the signs are some that a hyperplane can give; where rounding gives others, they are told
again to another tolerance (see `sides.is_torn`).

In all arrays row k belongs to the faces of dimension k: ``start[k, f]`` and ``count[k, f]``
tell where in ``items[k]`` the facets of face f are listed; ``size[k]`` and ``used[k]`` say
how much of each row is in use.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.geometry.sides import (
    CUT,
    DOUBT,
    NEGATIVE,
    ON,
    POSITIVE,
    is_torn,
    move_onto,
    tell_faces,
    tell_vertices,
)
from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Shorts = NDArray[np.int32]
Sides = NDArray[np.int8]
Bytes = NDArray[np.uint8]

FACTORS = (1.0, 1 / 8, 1 / 64, 1 / 512, 8.0, 64.0, 512.0)
"""Multiples of the tolerance, tried in turn until a hyperplane can give the sides."""


@compiled
def cut_by_layer(
    points: Floats,
    values: Floats,
    thresholds: Floats,
    tolerances: Floats,
    first_bit: int,
    begin: int,
    limit: int,
    start: Ids,
    count: Shorts,
    items: Shorts,
    size: Ids,
    used: Ids,
    label: Ids,
    patterns: Bytes,
    need: Ids,
) -> int:
    """Cut with the hyperplanes ``begin`` and following of a layer.

    Hyperplane h of the layer is where the column ``h // len(thresholds)`` of ``values`` (one
    row a vertex) passes the threshold ``h % len(thresholds)``. Stops before a hyperplane for
    which there is no room, and writes to ``need`` how much there must be: faces, list
    items; or when there are more cells than ``limit``. The third number of ``need`` is set
    to 1 where a vertex is neither clearly on a hyperplane nor clearly apart.

    Returns
    -------
    int
        The hyperplane to go on with; all are done when it is their number. Negative,
        -1 - h, where hyperplane h tears cells whatever the tolerance.
    """
    dim = len(size) - 1
    side = np.empty((dim + 1, start.shape[1]), dtype=np.int8)
    upper = np.empty((dim + 1, start.shape[1]), dtype=np.int64)
    section = np.empty((dim + 1, start.shape[1]), dtype=np.int64)
    seen = np.empty(start.shape[1], dtype=np.int8)
    cuts = np.zeros(dim + 2, dtype=np.int64)
    listed = np.zeros(dim + 2, dtype=np.int64)
    for hyperplane in range(begin, len(tolerances)):
        unit = hyperplane // len(thresholds)
        threshold = thresholds[hyperplane % len(thresholds)]
        everywhere, torn, attempt = CUT, True, 0
        while torn and attempt < len(FACTORS):
            tolerance = FACTORS[attempt] * tolerances[hyperplane]
            union = tell_vertices(values, unit, threshold, tolerance, size[0], side[0])
            if union & DOUBT:
                need[2] = 1
            everywhere = union & CUT
            if everywhere == NEGATIVE:
                break
            for k in range(1, dim + 1):
                cuts[k], listed[k] = tell_faces(
                    side[k - 1], start[k], count[k], items[k], size[k], side[k]
                )
            torn = is_torn(cuts, side, start, count, items, size, seen)
            attempt += 1
        if everywhere != NEGATIVE and torn:
            return -1 - hyperplane
        move_onto(threshold, side[0], size[0], values[:, unit])
        if everywhere == NEGATIVE:
            continue

        if cuts[dim] > 0:
            need[0] = need[1] = 0
            for k in range(dim + 1):
                need[0] = max(need[0], size[k] + cuts[k] + cuts[k + 1])
                need[1] = max(need[1], used[k] + 2 * listed[k] + 2 * cuts[k] + listed[k + 1])
            if need[0] > start.shape[1] or need[1] > items.shape[1]:
                return hyperplane
            add_vertices(points, values, unit, threshold, side[1], start[1], items[1], size)
            for k in range(1, dim + 1):
                old = size[k]
                cut_faces(k, side, start, count, items, size, used, upper, section)
                if k == dim - 1:
                    for face in range(old):
                        if side[k, face] == CUT:
                            label[upper[k, face]] = label[face]
            for cell in range(size[dim] - cuts[dim]):
                if side[dim, cell] == CUT:
                    label[section[dim, cell]] = first_bit + hyperplane
                    patterns[upper[dim, cell]] = patterns[cell]

        byte, bit = (first_bit + hyperplane) // 8, 128 >> (first_bit + hyperplane) % 8
        for cell in range(size[dim] - cuts[dim]):
            if side[dim, cell] == POSITIVE:
                patterns[cell, byte] |= bit
            elif side[dim, cell] == CUT:
                patterns[upper[dim, cell], byte] |= bit
        if size[dim] > limit:
            return hyperplane
    return len(tolerances)


@compiled
def add_vertices(
    points: Floats,
    values: Floats,
    unit: int,
    threshold: float,
    side: Sides,
    start: Ids,
    items: Shorts,
    size: Ids,
) -> None:
    """Write the point and the values where each cut edge meets the hyperplane."""
    new = size[0]
    for edge in range(size[1]):
        if side[edge] != CUT:
            continue
        a, b = items[start[edge]], items[start[edge] + 1]
        gap_a, gap_b = values[a, unit] - threshold, values[b, unit] - threshold
        t = gap_a / (gap_a - gap_b)
        for i in range(points.shape[1]):
            points[new, i] = (1 - t) * points[a, i] + t * points[b, i]
        for i in range(values.shape[1]):
            values[new, i] = (1 - t) * values[a, i] + t * values[b, i]
        values[new, unit] = threshold
        new += 1


@compiled
def cut_faces(
    k: int,
    side: Sides,
    start: Ids,
    count: Shorts,
    items: Shorts,
    size: Ids,
    used: Ids,
    upper: Ids,
    section: Ids,
) -> None:
    """Cut all faces of dimension k; those of dimension k - 1 have been cut already.

    A cut face becomes its negative part and keeps its number; its positive part is
    appended, and the section between them is appended a dimension below. ``upper`` and
    ``section`` receive their numbers.
    """
    new, between = size[k], size[k - 1]
    end, end_below = used[k], used[k - 1]
    for face in range(size[k]):
        if side[k, face] != CUT:
            continue
        first, last = start[k, face], start[k, face] + count[k, face]

        # The negative part: facets on that side, negative parts of cut ones, the section.
        low = end
        for i in range(first, last):
            facet = items[k, i]
            if side[k - 1, facet] & NEGATIVE:
                items[k, end] = facet
                end += 1
        items[k, end] = between
        end += 1

        high = end
        for i in range(first, last):
            facet = items[k, i]
            if side[k - 1, facet] == POSITIVE:
                items[k, end] = facet
                end += 1
            elif side[k - 1, facet] == CUT:
                items[k, end] = upper[k - 1, facet]
                end += 1
        items[k, end] = between
        end += 1

        # The section's own facets: sections of cut facets, and faces that lie in the
        # hyperplane already. Each of those joins a negative and a positive facet, so that
        # looking at negative ones finds it once.
        start[k - 1, between] = end_below
        for i in range(first, last):
            facet = items[k, i]
            if side[k - 1, facet] == CUT:
                items[k - 1, end_below] = section[k - 1, facet]
                end_below += 1
            elif side[k - 1, facet] == NEGATIVE and k > 1:
                for j in range(start[k - 1, facet], start[k - 1, facet] + count[k - 1, facet]):
                    if side[k - 2, items[k - 1, j]] == ON:
                        items[k - 1, end_below] = items[k - 1, j]
                        end_below += 1
        count[k - 1, between] = end_below - start[k - 1, between]

        start[k, face], count[k, face] = low, high - low
        start[k, new], count[k, new] = high, end - high
        upper[k, face], section[k, face] = new, between
        new += 1
        between += 1
    size[k], size[k - 1] = new, between
    used[k], used[k - 1] = end, end_below
