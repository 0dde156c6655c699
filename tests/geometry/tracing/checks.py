"""What must be true of any trace, held against the network's own layers on the same line."""

from collections import Counter

import numpy as np
import pytest
import torch

from bandlimiter.geometry.tracing import LineTrace, count_flips
from tests.geometry.tracing.watching import Watched

# Closer breakpoints are taken together: within 1e-9 of the line, what a unit sees changes by
# 1e-9 of its scale, which is what is asked of a breakpoint.
MERGED = 1e-9
PRECISION = 1e-9
CHUNK = 1000


def holds(trace: LineTrace, line: Watched, scanned: int = 10_000) -> None:
    """All that holds whatever the network."""
    counts(trace, line)
    returns_outputs(trace, line)
    on_thresholds(trace, line)
    they_alone_flip(trace, line)
    affine_between(trace, line)
    nothing_between(trace, line, scanned)


def counts(trace: LineTrace, line: Watched) -> None:
    """Crossings are counts of breakpoints; flips are at most as many, of equal parity."""
    assert list(trace.crossings) == list(line.layers)
    assert Counter(trace.layer.tolist()) == Counter(trace.crossings)
    assert (np.diff(trace.t) >= 0).all()
    assert ((trace.t > 0) & (trace.t < 1)).all()
    assert trace.length == pytest.approx(float((line.end - line.start).norm()), rel=1e-14)
    _, given = line.at([0, 1])
    flips = count_flips(line.network, line.start[None], line.end[None])
    for name in line.layers:
        first, last = line.states(name, given[name]).chunk(2)
        differ = line.changes(name, first, last)[0]
        assert int(flips[name]) == int(differ.sum())
        assert trace.shapes[name] == tuple(line.layers[name].forward(given[name]).shape[1:])
        if not line.is_pool(name):
            events = torch.zeros(differ.shape, dtype=torch.long)
            at = breakpoints_of(trace, name)
            places = torch.from_numpy(trace.unit[at]), torch.from_numpy(trace.threshold[at])
            events.index_put_(places, torch.ones(len(at), dtype=torch.long), accumulate=True)
            assert ((events % 2 == 1) == differ).all()


def returns_outputs(trace: LineTrace, line: Watched) -> None:
    """The outputs are the network's own, computed in another order: a few hundred roundings."""
    expected = outputs_at(line, trace.knots)
    assert trace.outputs.shape == (len(trace) + 2, expected.shape[1])
    close(trace.outputs, expected, 1e-11 * np.abs(expected).max())
    between = np.linspace(0, 1, 50)
    close(trace.at(between), outputs_at(line, between), PRECISION * np.abs(expected).max())


def on_thresholds(trace: LineTrace, line: Watched) -> None:
    """The unit's number is its threshold; a window's two largest numbers are equal."""
    _, given = line.at(trace.knots)
    for name, numbers in given.items():
        at = breakpoints_of(trace, name)
        unit, rows = torch.from_numpy(trace.unit[at]), torch.from_numpy(at + 1)
        if not len(at):
            continue
        if line.is_pool(name):
            held = line.held(name, numbers)
            scale = held.abs().amax(dim=(0, 2))[unit]
            held = distinct(held[rows, unit], line.windows[name][unit])
            first, second = held.topk(2, dim=1).values.T
            error = first - second
        else:
            numbers = numbers.flatten(1)
            scale = numbers.abs().amax(dim=0)[unit]
            error = numbers[rows, unit] - line.thresholds(name)[trace.threshold[at]]
        assert (error.abs() <= PRECISION * scale).all(), name


def they_alone_flip(trace: LineTrace, line: Watched) -> None:
    """From piece to piece exactly the units change that the breakpoint between them names."""
    bounds, first = pieces_of(trace)
    _, given = line.at(middles(bounds))
    for name, numbers in given.items():
        states = line.states(name, numbers)
        changes = line.changes(name, states[:-1], states[1:])
        listed = torch.zeros(changes.shape, dtype=torch.long)
        at = breakpoints_of(trace, name)
        places = first[at], trace.unit[at], trace.threshold[at]
        listed.index_put_(
            tuple(map(torch.from_numpy, places)),
            torch.ones(len(at), dtype=torch.long),
            accumulate=True,
        )
        if line.is_pool(name):  # merged breakpoints of a window lead on to a third winner
            assert ((listed > 0) == changes).all(), name
        else:  # and those of a unit there and back
            assert ((listed % 2 == 1) == changes).all(), name


def affine_between(trace: LineTrace, line: Watched) -> None:
    """The network's own outputs inside a piece are interpolated from those at its ends."""
    bounds, _ = pieces_of(trace)
    ends = outputs_at(line, bounds)
    scale = np.abs(ends).max()
    for part in (0.1, 0.45, 0.8):
        inside = outputs_at(line, (1 - part) * bounds[:-1] + part * bounds[1:])
        close(inside, (1 - part) * ends[:-1] + part * ends[1:], PRECISION * scale)


def nothing_between(trace: LineTrace, line: Watched, points: int) -> None:
    """A dense scan meets no activation pattern but the one of the piece that it is in."""
    bounds, _ = pieces_of(trace)
    t = np.linspace(0, 1, points)
    piece = np.searchsorted(bounds, t).clip(1, len(bounds) - 1) - 1
    inside = np.abs(bounds[[piece, piece + 1]] - t).min(axis=0) > MERGED
    t, piece = t[inside], piece[inside]
    _, given = line.at(middles(bounds))
    expected = {name: line.states(name, numbers) for name, numbers in given.items()}
    for rows in np.array_split(np.arange(len(t)), -(-len(t) // CHUNK)):
        _, given = line.at(t[rows])
        for name, numbers in given.items():
            states = line.states(name, numbers)
            assert not line.changes(name, states, expected[name][piece[rows]]).any(), name


def same_breakpoints(first: LineTrace, second: LineTrace, t: np.ndarray, precision: float) -> None:
    """Two traces name the same units at the same places; ``t`` are the second's, converted."""
    rows = [np.lexsort((at, trace.threshold, trace.unit, trace.layer))
            for trace, at in ((first, first.t), (second, t))]  # fmt: skip
    for column in ("layer", "unit", "threshold"):
        a, b = (
            getattr(trace, column)[row] for trace, row in zip((first, second), rows, strict=True)
        )
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(first.t[rows[0]], t[rows[1]], rtol=0, atol=precision)


def pieces_of(trace: LineTrace) -> tuple[np.ndarray, np.ndarray]:
    """The bounds [P + 1] of pieces with those under `MERGED` merged, and for each breakpoint
    the number of the piece that ends with it."""
    new = np.diff(trace.t, prepend=-1.0) > MERGED
    return np.concatenate([[0.0], trace.t[new], [1.0]]), new.cumsum() - 1


def breakpoints_of(trace: LineTrace, name: str) -> np.ndarray:
    return np.flatnonzero(trace.layer == name)


def middles(bounds: np.ndarray) -> np.ndarray:
    return (bounds[1:] + bounds[:-1]) / 2


def outputs_at(line: Watched, t: np.ndarray) -> np.ndarray:
    return line.at(t)[0].numpy()


def distinct(held: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """Leave out the repetitions that fill up the windows at the border: [N, k]."""
    repeated = (windows[:, 1:] == windows[:, :1]).nonzero(as_tuple=True)
    held = held.clone()
    held[repeated[0], repeated[1] + 1] = -torch.inf
    return held


def close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
