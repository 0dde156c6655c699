"""The loops that cut a cell complex with a layer's hyperplanes.

A complex holds faces of every dimension, from vertices to cells; a face is the list of its
facets, one dimension below. Which faces are cut follows from the signs of the vertices
alone, so the result is a complex whatever the rounding: nothing is decided twice.

In all arrays row k belongs to the faces of dimension k: ``start[k, f]`` and ``count[k, f]``
tell where in ``items[k]`` the facets of face f are listed; ``size[k]`` and ``used[k]`` say
how much of each row is in use.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Shorts = NDArray[np.int32]
Sides = NDArray[np.int8]
Bytes = NDArray[np.uint8]

ON, NEGATIVE, POSITIVE, CUT = 0, 1, 2, 3
"""Where a face lies: in the hyperplane, on one side (it may touch it), or across it. The
side of a face is the union of its facets' sides, bit by bit."""


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
    items; or when there are more cells than ``limit``.

    Returns
    -------
    int
        The hyperplane to go on with; all are done when it is their number.
    """
    dim = len(size) - 1
    side = np.empty((dim + 1, start.shape[1]), dtype=np.int8)
    upper = np.empty((dim + 1, start.shape[1]), dtype=np.int64)
    section = np.empty((dim + 1, start.shape[1]), dtype=np.int64)
    cuts = np.zeros(dim + 2, dtype=np.int64)
    listed = np.zeros(dim + 2, dtype=np.int64)
    for hyperplane in range(begin, len(tolerances)):
        unit = hyperplane // len(thresholds)
        threshold = thresholds[hyperplane % len(thresholds)]
        everywhere = tell_vertices(
            values, unit, threshold, tolerances[hyperplane], size[0], side[0]
        )
        if everywhere == NEGATIVE:
            continue
        torn = 0
        while torn >= 0:
            for k in range(1, dim + 1):
                cuts[k], listed[k] = tell_faces(
                    side[k - 1], start[k], count[k], items[k], size[k], side[k]
                )
            torn = -1
            if dim > 1 and cuts[2] > 0:
                torn = torn_vertex(values, unit, threshold, side, start, count, items, size)
                if torn >= 0:
                    side[0, torn], values[torn, unit] = ON, threshold

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
def tell_vertices(
    values: Floats, unit: int, threshold: float, tolerance: float, vertices: int, side: Sides
) -> int:
    """Tell the side of each vertex and move those within ``tolerance`` onto the threshold.

    Returns the union of all sides.
    """
    union = ON
    for vertex in range(vertices):
        gap = values[vertex, unit] - threshold
        if gap > tolerance:
            side[vertex] = POSITIVE
        elif gap < -tolerance:
            side[vertex] = NEGATIVE
        else:
            side[vertex] = ON
            values[vertex, unit] = threshold
        union |= side[vertex]
    return union


@compiled
def tell_faces(
    below: Sides, start: Ids, count: Shorts, items: Shorts, faces: int, side: Sides
) -> tuple[int, int]:
    """Tell the side of each face from those of its facets.

    Returns how many faces are cut, and how many facets those have.
    """
    cuts = listed = 0
    for face in range(faces):
        union = ON
        for i in range(start[face], start[face] + count[face]):
            union |= below[items[i]]
        side[face] = union
        if union == CUT:
            cuts += 1
            listed += count[face]
    return cuts, listed


@compiled
def torn_vertex(
    values: Floats,
    unit: int,
    threshold: float,
    side: Sides,
    start: Ids,
    count: Shorts,
    items: Shorts,
    size: Ids,
) -> int:
    """Find a cut polygon that the hyperplane does not cross in exactly two places.

    Only rounding does that, in a polygon as thin as the tolerance. Returns the vertex of
    it that is closest to the hyperplane but not on it, or -1 where there is no such polygon.
    """
    for polygon in range(size[2]):
        if side[2, polygon] != CUT:
            continue
        cuts, ends_on = 0, 0
        nearest, closest = -1, np.inf
        for i in range(start[2, polygon], start[2, polygon] + count[2, polygon]):
            edge = items[2, i]
            cuts += side[1, edge] == CUT
            for j in range(start[1, edge], start[1, edge] + 2):
                vertex = items[1, j]
                ends_on += side[0, vertex] == ON  # each vertex ends two edges
                gap = abs(values[vertex, unit] - threshold)
                if side[0, vertex] != ON and gap < closest:
                    nearest, closest = vertex, gap
        if 2 * cuts + ends_on != 4:
            return nearest
    return -1


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
