"""On which side of a hyperplane each face lies, and whether a hyperplane can lie so.

The side of a vertex is told from its value, that of a face from its facets' sides; arrays are
those of `cutting`.
"""

import numpy as np
from numpy.typing import NDArray

from bandlimiter.tensors.compiled import compiled

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Shorts = NDArray[np.int32]
Sides = NDArray[np.int8]

ON, NEGATIVE, POSITIVE, CUT = 0, 1, 2, 3
"""Where a face lies: in the hyperplane, on one side (it may touch it), or across it. The
side of a face is the union of its facets' sides, bit by bit."""

DOUBT = 4
"""A bit for a hyperplane of which it is not sure whether it meets a vertex."""


@compiled
def tell_vertices(
    values: Floats, unit: int, threshold: float, tolerance: float, vertices: int, side: Sides
) -> int:
    """Tell the side of each vertex, on within ``tolerance``; return the union of all sides.

    With `DOUBT` where a vertex is neither as close to the hyperplane as rounding leaves what
    lies on it, nor clearly apart.
    """
    union = ON
    for vertex in range(vertices):
        gap = values[vertex, unit] - threshold
        if tolerance / 100 < abs(gap) < 1000 * tolerance:
            union |= DOUBT
        if gap > tolerance:
            side[vertex] = POSITIVE
        elif gap < -tolerance:
            side[vertex] = NEGATIVE
        else:
            side[vertex] = ON
        union |= side[vertex]
    return union


@compiled
def move_onto(threshold: float, side: Sides, vertices: int, values: Floats) -> None:
    """Set the values of the vertices that lie on the hyperplane to its threshold."""
    for vertex in range(vertices):
        if side[vertex] == ON:
            values[vertex] = threshold


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
def is_torn(
    cuts: Ids, side: Sides, start: Ids, count: Shorts, items: Shorts, size: Ids, seen: Sides
) -> bool:
    """Whether no hyperplane can lie among the faces as their sides say.

    Rounding alone does that, where vertices lie as close together as the tolerance: those
    that count as on the hyperplane are then more than one that cuts the others can meet.
    """
    touches = (side[0, : size[0]] == ON).any()
    for k in range(2, len(size)):
        if cuts[k] == 0 or (k > 2 and not touches):
            continue
        seen[: size[k - 2]] = ON
        for face in range(size[k]):
            if side[k, face] == CUT and is_face_torn(k, face, side, start, count, items, seen):
                return True
    return False


@compiled
def is_face_torn(
    k: int, face: int, side: Sides, start: Ids, count: Shorts, items: Shorts, seen: Sides
) -> bool:
    """Whether no hyperplane can cut a face of dimension k as the sides of its facets say.

    It contains no facet; what lies in it two dimensions below separates a negative facet
    from a positive one; and it leaves a polygon in exactly two places. ``seen`` holds the
    sides of facets met so far that still lack their neighbour.
    """
    crossings = 0
    for i in range(start[k, face], start[k, face] + count[k, face]):
        facet = items[k, i]
        here = side[k - 1, facet]
        if here == ON:
            return True
        crossings += here == CUT
        for j in range(start[k - 1, facet], start[k - 1, facet] + count[k - 1, facet]):
            ridge = items[k - 1, j]
            if side[k - 2, ridge] != ON:
                continue
            if seen[ridge] == ON:
                seen[ridge] = here
            elif seen[ridge] | here == CUT:
                seen[ridge] = ON
                crossings += 1
            else:
                return True
    return k == 2 and crossings != 2
