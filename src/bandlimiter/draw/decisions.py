"""Which class is on top, exactly, where outputs are affine: on lines and on polygons."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bandlimiter.geometry.tracing import PlaneTrace

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def label_changes(knots: Floats, outputs: Floats) -> list[tuple[float, int, int]]:
    """Return where the largest output changes along a line.

    Parameters
    ----------
    knots
        [P] places, not decreasing.
    outputs
        [P, m] there; affine between them.

    Returns
    -------
    list of tuple
        (place, class before, class after) in order, exact up to rounding: also a class that
        leads between two knots and at neither of them.
    """
    labels = outputs.argmax(axis=1)
    current, found = int(labels[0]), []
    for piece in np.flatnonzero(labels[1:] != labels[:-1]):
        start, rise = outputs[piece], outputs[piece + 1] - outputs[piece]
        width = knots[piece + 1] - knots[piece]
        while current != labels[piece + 1]:
            gain, lead = rise - rise[current], start[current] - start
            with np.errstate(divide="ignore", invalid="ignore"):
                when = np.where(gain > 0, lead / gain, np.inf).clip(min=0)
            at = min(1.0, when.min())
            # Of those that take the lead together, the steepest keeps it.
            ahead = np.where(when <= at, rise, -np.inf)
            following = int(ahead.argmax()) if at < 1 else int(labels[piece + 1])
            found.append((float(knots[piece] + at * width), current, following))
            current = following
    return found


def cell_labels(trace: PlaneTrace) -> Ids:
    """Return [C] the class on top all over each cell, -1 where a cell has several.

    Outputs are affine, so that a class that leads at all corners of a cell leads inside.
    """
    at_corners = trace.outputs.argmax(axis=1)[trace.cell_vertices]
    firsts = trace.cell_offsets[:-1]
    low, high = np.minimum.reduceat(at_corners, firsts), np.maximum.reduceat(at_corners, firsts)
    labels: Ids = np.where(low == high, low, -1)
    for cell in np.flatnonzero(labels < 0):  # a class that leads everywhere may tie at corners
        _, outputs = _corners(trace, cell)
        leads = (outputs >= outputs.max(axis=1, keepdims=True)).all(axis=0)
        if leads.any():
            labels[cell] = leads.argmax()
    return labels


def divided_cells(
    trace: PlaneTrace, labels: Ids
) -> Iterator[tuple[int, int, Floats, list[Floats]]]:
    """Divide the cells that have several classes on top, exactly.

    Parameters
    ----------
    trace
        A plane.
    labels
        Of `cell_labels`.

    Yields
    ------
    tuple
        A cell's number, a class, the polygon [k, 2] of the cell where it leads, and the
        polygon's sides [2, 2] that lie between it and a class of higher number: so that
        each piece of the decision boundary comes once.
    """
    for cell in np.flatnonzero(labels < 0):
        points, outputs = _corners(trace, cell)
        # Who is everywhere below another's smallest number leads nowhere.
        candidates = np.flatnonzero(outputs.max(axis=0) >= outputs.min(axis=0).max())
        for label in candidates:
            shape, runners_up = _where_leading(points, outputs, int(label), candidates)
            if len(shape) > 2:
                sides = zip(shape, np.roll(shape, -1, axis=0), runners_up, strict=True)
                borders = [np.stack([a, b]) for a, b, other in sides if other > label]
                yield int(cell), int(label), shape, borders


def _corners(trace: PlaneTrace, cell: np.intp) -> tuple[Floats, Floats]:
    """Return a cell's corners [k, 2] and the outputs there [k, m]."""
    corners = trace.cell_vertices[trace.cell_offsets[cell] : trace.cell_offsets[cell + 1]]
    return trace.vertices[corners], trace.outputs[corners]


def _where_leading(
    points: Floats, outputs: Floats, label: int, candidates: Ids
) -> tuple[Floats, list[int]]:
    """Clip a convex polygon to where a class leads; name who shares each side, else -1."""
    runners_up = [-1] * len(points)
    for other in candidates:
        if other == label:
            continue
        lead = outputs[:, label] - outputs[:, other]
        if (lead >= 0).all():
            continue
        kept: list[tuple[Floats, Floats, int]] = []
        for i in range(len(points)):
            j = (i + 1) % len(points)
            if lead[i] >= 0:
                kept.append((points[i], outputs[i], runners_up[i]))
            if lead[i] * lead[j] < 0:
                at = lead[i] / (lead[i] - lead[j])
                point, output = (p[i] + at * (p[j] - p[i]) for p in (points, outputs))
                # The side that begins where the polygon is left lies along the other class.
                kept.append((point, output, int(other) if lead[i] > 0 else runners_up[i]))
            elif lead[i] == 0 and lead[j] < 0:
                kept[-1] = (points[i], outputs[i], int(other))
        if len(kept) < 3:
            return np.zeros((0, 2)), []
        points, outputs = np.stack([k[0] for k in kept]), np.stack([k[1] for k in kept])
        runners_up = [k[2] for k in kept]
    return points, runners_up
