import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry import read_network
from bandlimiter.sampling import BoundaryDirections, InputSampler, Sampler, build_sampler
from tests.sampling.boundaries import all_boundaries

# Float64 gradients of a few layers, summed in another order.
CLOSE = {"atol": 1e-12, "rtol": 1e-10}


class Residual(nn.Module):
    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x):
        return x + self.inner(x)


def mlp(*widths: int, activation=nn.ReLU, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for enter, leave in itertools.pairwise(widths):
        layers += [nn.Linear(enter, leave), activation()]
    return nn.Sequential(*layers[:-1]).double().eval()


def convolutional() -> nn.Module:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        Residual(nn.Conv2d(4, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(4, 4, 1)),
        nn.ReLU6(),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).double()
    network[1].running_mean.uniform_(-0.2, 0.2)
    network[1].running_var.uniform_(0.2, 2)
    return network.eval()


def inputs(n: int, *shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).double()


CHANNELS = torch.tensor([0.2, 0.5, 2.0], dtype=torch.float64).view(3, 1, 1)
NETWORKS = {
    "relu": (lambda: mlp(5, 9, 7, 3), (5,), 0.3),
    "leaky": (lambda: mlp(5, 9, 7, 3, activation=nn.LeakyReLU), (5,), 1.0),
    "hardtanh": (lambda: mlp(5, 9, 7, 3, activation=nn.Hardtanh), (5,), 4.0),
    "convolutional": (convolutional, (3, 4, 4), CHANNELS),
    "shortlisted": (lambda: mlp(8, 200, 150, 3), (8,), 0.7),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_equals_a_loop_over_units(kind):
    build, shape, scale = NETWORKS[kind]
    network, x = build(), inputs(3, *shape)
    found = BoundaryDirections(network, candidates=64).nearest(x, 6, scale)
    for i, row in enumerate(x):
        distances, directions = all_boundaries(network, row, scale)
        order = distances.argsort()[:6]
        assert found.units[i].tolist() == order.tolist()
        torch.testing.assert_close(found.distances[i], distances[order], **CLOSE)
        torch.testing.assert_close(found.directions[i], directions[order], **CLOSE)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Hardtanh])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_step_just_beyond_the_closest_boundary_flips_its_unit_alone(activation, scale):
    network = mlp(4, 12, 10, 2, activation=activation)
    patterns = read_network(network).patterns
    per_unit = 2 if activation is nn.Hardtanh else 1
    x = inputs(20, 4)
    found = BoundaryDirections(network).nearest(x, 1, scale)
    step = scale * found.distances[:, :, None] * found.directions
    here, before, beyond = (
        patterns((x + factor * step[:, 0]).numpy()) for factor in (0, 1 - 1e-6, 1 + 1e-6)
    )
    np.testing.assert_array_equal(before, here)
    rows, bits = (beyond != here).nonzero()
    assert rows.tolist() == list(range(20))
    assert (bits // per_unit).tolist() == found.units[:, 0].tolist()


def test_one_layer_s_boundaries_are_exact_at_any_distance():
    network = mlp(4, 30, 2)
    patterns = read_network(network).patterns
    x = inputs(5, 4)
    found = BoundaryDirections(network).nearest(x, 30)
    for k in range(30):
        step = found.distances[:, k, None] * found.directions[:, k]
        before, beyond = (patterns((x + f * step).numpy()) for f in (1 - 1e-6, 1 + 1e-6))
        assert (before != beyond).nonzero()[1].tolist() == found.units[:, k].tolist()


@pytest.mark.parametrize("units", ["all", "last", "norm", "random"])
def test_batches_and_passes_change_nothing(units):
    network, x = convolutional(), inputs(5, 3, 4, 4)
    sampler = BoundaryDirections(network, units, candidates=12)
    whole = sampler.nearest(x, 4, CHANNELS)
    for i in (3, 0):
        one = sampler.nearest(x[i : i + 1], 4, CHANNELS)
        assert all(torch.equal(a[0], b[i]) for a, b in zip(one, whole, strict=True))
    small = BoundaryDirections(network, units, candidates=12, chunk=5).nearest(x, 4, CHANNELS)
    assert torch.equal(small.units, whole.units)
    torch.testing.assert_close(small.directions, whole.directions, **CLOSE)


def test_only_the_last_layer_s():
    network, x = mlp(5, 40, 20, 3), inputs(4, 5)
    found = BoundaryDirections(network, "last").nearest(x, 5)
    for i, row in enumerate(x):
        distances, _ = all_boundaries(network, row)
        assert found.units[i].tolist() == (40 + distances[40:].argsort()[:5]).tolist()


def test_only_those_with_the_largest_weights():
    """The second layer's large rows are among the candidates, and so are none of their like."""
    network = mlp(5, 40, 20, 3)
    large = [1, 7, 12, 19]
    with torch.no_grad():
        network[2].weight[large] *= 20
        network[0].weight[3] *= 20
    x = inputs(10, 5)
    found = BoundaryDirections(network, "norm", candidates=5).nearest(x, 3)
    assert set(found.units.flatten().tolist()) <= {3, *(40 + unit for unit in large)}
    for i, row in enumerate(x):
        distances, _ = all_boundaries(network, row)
        among = torch.tensor([3, *(40 + unit for unit in large)])
        assert found.units[i].tolist() == among[distances[among].argsort()[:3]].tolist()


def test_the_first_layer_s_weights_are_weighed_in_normalised_space():
    network = mlp(5, 40, 3)
    with torch.no_grad():
        network[0].weight[:10] = 0.1
        network[0].weight[:10, 4] += 2  # large in pixels, small where this pixel counts little
        network[0].weight[10:] = 0.5 + 0.1 * torch.rand(30, 5)
    x, little = inputs(4, 5), torch.tensor([1.0, 1.0, 1.0, 1.0, 1e-3])
    sampler = BoundaryDirections(network, "norm", candidates=10)
    assert int(sampler.nearest(x, 3, 1.0).units.max()) < 10
    assert int(sampler.nearest(x, 3, little).units.min()) >= 10


def test_random_units_are_the_generator_s():
    network, x = mlp(5, 60, 40, 3), inputs(1, 5).repeat(2, 1)
    sampler = BoundaryDirections(network, "random", candidates=8)

    def units(*seeds):
        rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
        return sampler.nearest(x, 8, rngs=rngs).units

    same, different = units(1, 1), units(1, 2)
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], different[0])
    assert set(different[0].tolist()) != set(different[1].tolist())
    assert int(units(3, 4).max()) >= 60  # the deeper layer's too


def test_a_unit_on_its_threshold_bends_on_the_way_up():
    network = mlp(2, 1, 2)
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0, 4.0]]))
        network[0].bias.zero_()
    found = BoundaryDirections(network).nearest(torch.zeros(1, 2).double(), 1)
    assert found.distances.tolist() == [[0.0]]
    torch.testing.assert_close(
        found.directions[0, 0], torch.tensor([0.6, 0.8], dtype=torch.float64), **CLOSE
    )


def test_precision_and_modes():
    network, x = convolutional(), inputs(2, 3, 4, 4)
    exact = BoundaryDirections(network).nearest(x, 4, CHANNELS)
    single = BoundaryDirections(copy.deepcopy(network).float())
    plain = single.nearest(x.float(), 4, CHANNELS)
    assert plain.directions.dtype == torch.float32
    # Pre-activations of order one are right to 1e-6 in float32, gradients to as much of theirs.
    torch.testing.assert_close(plain.distances, exact.distances, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        inside = single.nearest(x.float(), 4, CHANNELS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        cast = single.nearest(x.float(), 4, CHANNELS)
    for other in (inside, cast):
        assert torch.equal(other.directions, plain.directions)
    low = BoundaryDirections(copy.deepcopy(network).bfloat16())
    assert low.nearest(x.bfloat16(), 4, CHANNELS).directions.dtype == torch.float32


def test_no_gradient_comes_through():
    x = inputs(2, 5).requires_grad_()
    found = BoundaryDirections(mlp(5, 9, 3)).nearest(x, 2)
    assert not any(part.requires_grad for part in found)
    assert x.grad is None


@pytest.mark.parametrize("change", ["in place", "loaded", "cast", "data"])
def test_a_change_of_weights_is_noticed_or_told(change):
    network, other, x = mlp(5, 9, 3), mlp(5, 9, 3, seed=8), inputs(2, 5)
    sampler = BoundaryDirections(network)
    sampler.nearest(x, 3)
    if change == "in place":
        with torch.no_grad():
            for own, new in zip(network.parameters(), other.parameters(), strict=True):
                own.copy_(new)
    elif change == "loaded":
        network.load_state_dict(other.state_dict())
    elif change == "cast":
        network.bfloat16()
        other = copy.deepcopy(network).double()
    else:
        for own, new in zip(network.parameters(), other.parameters(), strict=True):
            own.data.copy_(new.data)
        sampler.refresh()
    expected = BoundaryDirections(other).nearest(x, 3)
    torch.testing.assert_close(sampler.nearest(x, 3).distances, expected.distances, **CLOSE)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies(duplicate):
    sampler, x = BoundaryDirections(mlp(5, 9, 3)), inputs(2, 5)
    found = sampler.nearest(x, 3)
    assert torch.equal(duplicate(sampler).nearest(x, 3).directions, found.directions)


@pytest.mark.parametrize("units", ["all", "last", "norm", "random"])
def test_on_a_real_network(sample, photos, units):
    x, std = photos.images(0, 2), sample.module[0].std
    found = BoundaryDirections(sample.module, units, candidates=32).nearest(x, 15, std)
    assert found.directions.shape == (2, 15, 3, 32, 32)
    lengths = found.directions.flatten(2).norm(dim=2)
    # Rounded to float32 once.
    torch.testing.assert_close(lengths, torch.ones_like(lengths), atol=1e-6, rtol=0)
    assert (found.distances.diff(dim=1) >= 0).all()


def test_the_shortlist_holds_the_closest_of_a_real_network(sample, photos):
    """Those of 8 vectors are the same as those of four times as many candidates."""
    x, std = photos.images(2, 3), sample.module[0].std
    some = BoundaryDirections(sample.module, candidates=128).nearest(x, 15, std)
    more = BoundaryDirections(sample.module, candidates=512).nearest(x, 15, std)
    assert torch.equal(some.units, more.units)


def test_it_looks_at_inputs_and_keeps_the_cost():
    network = mlp(5, 9, 3)
    sampler = build_sampler("boundary", network)
    assert isinstance(sampler, InputSampler)
    assert not isinstance(sampler, Sampler)
    for k in (1, 4):
        vectors = sampler.vectors_at(inputs(2, 5), k, 1.0, [torch.Generator()] * 2)
        assert vectors.shape == (2, k, 5)
        assert k * len(sampler.steps) + sampler.centre == 6 * k + 1
    assert isinstance(build_sampler("ball", network), Sampler)


def test_refusals():
    network, x = mlp(5, 9, 3), inputs(2, 5)
    with pytest.raises(ConfigurationError, match="all, last, norm, random"):
        BoundaryDirections(network, "some")
    with pytest.raises(ConfigurationError, match="at least one candidate"):
        BoundaryDirections(network, candidates=0)
    with pytest.raises(ConfigurationError, match="1 to 4 directions"):
        BoundaryDirections(network, candidates=4).nearest(x, 5)
    with pytest.raises(ConfigurationError, match="1 to 256 directions"):
        BoundaryDirections(network).nearest(x, 0)
    with pytest.raises(ConfigurationError, match="at least 10 units with a boundary.*got 9 of 9"):
        BoundaryDirections(network).nearest(x, 10)
    with pytest.raises(ConfigurationError, match="got 0 of 0"):
        BoundaryDirections(nn.Linear(5, 2).eval()).nearest(x.float(), 1)
    with torch.no_grad():
        network[0].weight[:7] = 0  # their gradient is zero everywhere
    with pytest.raises(ConfigurationError, match="got 2 of 9"):
        BoundaryDirections(network).nearest(x, 3)
    with pytest.raises(ConfigurationError, match="GELU"):
        BoundaryDirections(mlp(5, 9, 3, activation=nn.GELU)).nearest(x, 3)
    with pytest.raises(ConfigurationError, match="looks at inputs"):
        build_sampler("boundary")
    with pytest.raises(ConfigurationError, match="gaussian, boundary; got 'cube'"):
        build_sampler("cube", network)
