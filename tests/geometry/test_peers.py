"""Region counts against a program of others, and against a fine grid of points."""

import numpy as np
import pytest
import torch

from bandlimiter.geometry import enumerate_regions, read_network
from tests.geometry.checks import depths, half_spaces
from tests.geometry.networks import every_kind, perceptron


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "widths", [(2, 16, 16), (2, 32, 32, 32), (2, 8, 8, 8, 8)], ids=lambda w: "-".join(map(str, w))
)
def test_regioncam_finds_as_many(widths, seed):
    """Regioncam computes in float32, so that weights must be float32 for both."""
    regioncam = pytest.importorskip("regioncam")
    network = perceptron(*widths, 1, seed=seed)[:-1].float()  # it cuts no further after a ReLU
    camera = regioncam.Regioncam(size=1)
    camera.add(network)
    regions = enumerate_regions(network, -1, 1)
    assert len(regions) == camera.num_faces
    assert regions.face_counts[:2] == (camera.num_vertices, camera.num_edges)


def grid(dim: int, steps: int) -> np.ndarray:
    """Cell centres of a grid on [-1, 1]^n."""
    ticks = (np.arange(steps) + 0.5) * 2 / steps - 1
    return np.stack(np.meshgrid(*[ticks] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


@pytest.mark.parametrize(("dim", "steps"), [(1, 20000), (2, 700), (3, 90), (4, 24)])
@pytest.mark.parametrize("build", ["perceptron", "every kind"])
def test_patterns_on_a_grid(dim, steps, build):
    """Each pattern that is seen is a region; each region that holds a grid cell is seen."""
    widths = {1: (20, 20), 2: (8, 8), 3: (6, 5), 4: (5, 4)}[dim]
    network = perceptron(dim, *widths, 1, seed=5) if build == "perceptron" else every_kind(dim, 3)
    regions = enumerate_regions(network, -1, 1)
    points = grid(dim, steps)
    pieces = read_network(network)
    seen = np.unique(np.packbits(pieces.patterns(points), axis=1), axis=0)
    known = {row.tobytes() for row in regions.packed_patterns}
    missed = known - {row.tobytes() for row in seen}
    assert {row.tobytes() for row in seen} <= known
    assert len(regions) >= (15 if dim == 1 else 30)
    # A ball of the radius of half a cell's diagonal holds a centre.
    radius = np.sqrt(dim) / steps
    middles = np.array([regions.vertices[regions.vertices_of(r)].mean(axis=0)
                        for r in range(len(regions))])  # fmt: skip
    roomy = np.diagonal(depths(half_spaces(regions), middles)) > radius
    for region in np.flatnonzero(roomy):
        assert regions.packed_patterns[region].tobytes() not in missed
    if dim < 3:
        assert len(missed) <= 0.05 * len(regions)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_volumes_by_counting_random_points(dim):
    """Shares of 200,000 random points: within five standard deviations, for each region."""
    network = every_kind(dim, 0)
    regions = enumerate_regions(network, -1, 1)
    count = 200_000
    points = np.random.default_rng(dim).uniform(-1, 1, size=(count, dim))
    found = np.bincount(regions.locate(points), minlength=len(regions))
    share = regions.volumes / 2**dim
    # Rare events are Poisson: five standard deviations and five more points.
    assert (np.abs(found - count * share) <= 5 * np.sqrt(count * share * (1 - share)) + 5).all()


def test_a_gradient_step_agrees_with_torch():
    """weights[r] is what automatic differentiation gives in the region, for each output."""
    network = every_kind(3, 1)
    regions = enumerate_regions(network, -1, 1)
    points = np.random.default_rng(0).uniform(-1, 1, size=(50, 3))
    owners = regions.locate(points)
    for x, owner in zip(torch.from_numpy(points), owners, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x[None])[0], x)
        np.testing.assert_allclose(regions.weights[owner], jacobian, rtol=1e-12, atol=1e-12)
