"""Parts of a cell complex are complexes, and together they are the whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.geometry.cells import CellComplex

some = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def cut(cells: CellComplex, planes: np.ndarray) -> None:
    """Cut along hyperplanes: rows (normal, offset)."""
    values = cells.points @ planes[:, :-1].T - planes[:, -1]
    cells.begin_layer(len(planes))
    cells.cut(values, np.zeros(1), np.full(len(planes), 1e-12), 0, 10**6)


def random_planes(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    normals = rng.normal(size=(count, dim))
    return np.column_stack(
        [normals, np.einsum("hi,hi->h", normals, rng.uniform(-1, 1, (count, dim)))]
    )


def box_cut(rng: np.random.Generator, dim: int) -> CellComplex:
    cells = CellComplex(-np.ones(dim), np.ones(dim), 0)
    cut(cells, random_planes(rng, 5, dim))
    return cells


def faces(cells: CellComplex, numbers: np.ndarray) -> list[list[frozenset[int]]]:
    """The faces of each dimension, as sets of the vertices' numbers elsewhere."""
    found = [[frozenset([number]) for number in numbers.tolist()]]
    for k in range(1, cells.dim + 1):
        offsets, items = cells.lists(k)
        found.append(
            [frozenset().union(*(found[-1][i] for i in items[a:b]))
             for a, b in itertools.pairwise(offsets)]
        )  # fmt: skip
    return found


def volumes(cells: CellComplex) -> np.ndarray:
    """By cones over facets, from the middle of each face: [cells], for dimension up to 3."""
    loops = faces(cells, np.arange(len(cells.points)))
    centre = [np.array([cells.points[list(f)].mean(axis=0) for f in level]) for level in loops]

    def cones(k: int, face: int, apexes: list[np.ndarray]) -> float:
        if k == 0:
            corner = cells.points[face]
            spans = np.array([apex - corner for apex in apexes])
            return abs(np.linalg.det(spans)) / np.prod(np.arange(1, cells.dim + 1))
        offsets, items = cells.lists(k)
        below = items[offsets[face] : offsets[face + 1]]
        return sum(cones(k - 1, item, [*apexes, centre[k][face]]) for item in below)

    return np.array([cones(cells.dim, cell, []) for cell in range(len(loops[-1]))])


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
@some
@given(seed=SEEDS)
def test_a_part_keeps_its_faces(dim, seed):
    rng = np.random.default_rng(seed)
    whole = box_cut(rng, dim)
    before = faces(whole, np.arange(len(whole.points)))
    count = len(before[-1])
    chosen = np.sort(rng.choice(count, rng.integers(1, count + 1), replace=False))
    part, numbers = whole.part(rng.permutation(chosen))
    np.testing.assert_array_equal(part.points, whole.points[numbers])
    after = faces(part, numbers)
    assert after[-1] == [before[-1][cell] for cell in chosen]
    labels = dict(zip(before[-2], whole.label.tolist(), strict=True))
    assert [labels[facet] for facet in after[-2]] == part.label.tolist()
    for k, (mine, all_) in enumerate(zip(after, before, strict=True)):
        assert len(set(mine)) == len(mine)
        closure = {face for face in all_ if any(face <= cell for cell in after[-1])}
        assert set(mine) == closure or k == 0
    # The whole is as it was.
    assert faces(whole, np.arange(len(whole.points))) == before


@pytest.mark.parametrize("dim", [1, 2, 3])
@some
@given(seed=SEEDS)
def test_parts_that_are_cut_on(dim, seed):
    """Cut apart and cut together give the same cells, and the box is full."""
    rng = np.random.default_rng(seed)
    whole = box_cut(rng, dim)
    cells = rng.permutation(len(whole.patterns))
    blocks = np.array_split(cells, min(3, len(cells)))
    planes = random_planes(rng, 3, dim)
    parts = [whole.part(block)[0] for block in blocks]
    assert [len(part.patterns) for part in parts] == [len(block) for block in blocks]
    for part in parts:
        cut(part, planes)
    cut(whole, planes)
    found = np.concatenate([volumes(part) for part in parts])
    # Roundings of products of dim coordinates.
    np.testing.assert_allclose(np.sort(found), np.sort(volumes(whole)), rtol=0, atol=1e-13)
    assert found.sum() == pytest.approx(2**dim, rel=1e-12)
    # Patterns of the new layer say on which side the middle of each cell is.
    for part in parts:
        corners = faces(part, np.arange(len(part.points)))[-1]
        middles = np.array([part.points[list(cell)].mean(axis=0) for cell in corners])
        above = middles @ planes[:, :-1].T > planes[:, -1]
        bits = np.unpackbits(part.patterns, axis=1, count=len(planes)).astype(bool)
        np.testing.assert_array_equal(bits, above)


def test_more_cells_than_there_is_room_at_first():
    """A grid of 70 x 70, and its parts, cut once more."""
    steps = np.linspace(-1, 1, 71)[1:-1]
    planes = np.array([(*axis, step) for axis in np.eye(2) for step in steps])
    whole = CellComplex(-np.ones(2), np.ones(2), 0)
    cut(whole, planes)
    blocks = np.array_split(np.arange(len(whole.patterns)), 2)
    parts = [whole.part(block)[0] for block in [*blocks, np.arange(len(whole.patterns))]]
    for part in parts:
        cut(part, np.array([[1.0, 1.0, 0.0]]))
    counts = [len(part.patterns) for part in parts]
    assert counts[0] + counts[1] == counts[2] == 70 * 70 + 70
