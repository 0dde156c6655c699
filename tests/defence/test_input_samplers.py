"""A defended model whose offsets depend on the input."""

import copy
import pickle

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import BoundaryDirections
from bandlimiter.tensors import Normalise, generator
from tests.defence.written_out import neighbours, post_average
from tests.sampling.boundaries import all_boundaries

# Sums of a few dozen float64 numbers of order one, formed in another order.
TOLERANCE = {"atol": 1e-12, "rtol": 0}
UNITS = ("all", "last", "norm", "random")


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 4)]
    return nn.Sequential(*layers).double().eval()


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def closest(model, row, k, scale):
    distances, directions = all_boundaries(model, row, scale)
    return directions[distances.argsort()[:k]]


def test_equals_the_written_out_average(network, x):
    defended = PostAverage(network, 0.8, directions=4, sampler="boundary", scale=0.3)
    expected = [
        post_average(network, row[None], closest(network, row, 4, 0.3), 0.8, 0.3) for row in x
    ]
    torch.testing.assert_close(defended(x), torch.cat(expected), **TOLERANCE)
    torch.testing.assert_close(defended.predict(x).probabilities, defended(x).exp(), **TOLERANCE)
    points = torch.stack(neighbours(x[2], closest(network, x[2], 4, 0.3), 0.8, 0.3))
    torch.testing.assert_close(defended.neighbours(x[2]), points, **TOLERANCE)


def test_images_with_a_scale_for_each_channel(convnet):
    model = nn.Sequential(Normalise([0.4, 0.5, 0.6], [0.2, 0.25, 0.5]), convnet).double()
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    std = model[0].std
    expected = [post_average(model, row[None], closest(model, row, 3, std), 1.5, std) for row in x]
    scores = PostAverage(model, 1.5, directions=3, sampler="boundary")(x)
    torch.testing.assert_close(scores, torch.cat(expected), **TOLERANCE)


@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
@pytest.mark.parametrize("units", UNITS)
def test_batches_and_chunks_change_nothing(network, x, units, randomness):
    def defended(chunk):
        sampler = BoundaryDirections(network, units, candidates=6)
        given = {"directions": 4, "sampler": sampler, "scale": 1.0, "randomness": randomness}
        return PostAverage(network, 0.5, chunk=chunk, **given)

    whole, one = defended("auto")(x), defended("auto")
    torch.testing.assert_close(torch.cat([one(row[None]) for row in x]), whole, **TOLERANCE)
    torch.testing.assert_close(defended(7)(x), whole, **TOLERANCE)


def test_random_units_are_one_choice_or_one_for_each_key(network, x):
    same = x[:1].repeat(2, 1)

    def probabilities(randomness, keys, seed=0):
        sampler = BoundaryDirections(network, "random", candidates=4)
        defended = PostAverage(
            network, 0.5, directions=4, sampler=sampler, scale=1.0, seed=seed, randomness=randomness
        )
        return defended.predict(same, keys=keys).probabilities

    fixed = probabilities("fixed", ["a", "b"])
    # Close, not equal: a kernel may round the rows of a batch in different ways.
    torch.testing.assert_close(fixed[0], fixed[1], **TOLERANCE)
    assert not torch.equal(fixed, probabilities("fixed", ["a", "b"], seed=1))
    fresh = probabilities("fresh", ["a", "b"])
    assert not torch.equal(fresh[0], fresh[1])
    turned = probabilities("fresh", ["b", "a"])
    torch.testing.assert_close(fresh.flip(0), turned, **TOLERANCE)


def test_the_gradient_holds_the_directions_constant(network, x):
    defended = PostAverage(network, 0.5, directions=3, sampler="boundary", scale=0.7)
    x = x.requires_grad_()
    weights = torch.linspace(-1, 1, 4, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((defended(x) * weights).sum(), x)
    looped = [
        post_average(network, row[None], closest(network, row.detach(), 3, 0.7), 0.5, 0.7)
        for row in x
    ]
    (expected,) = torch.autograd.grad((torch.cat(looped) * weights).sum(), x)
    torch.testing.assert_close(gradient, expected, **TOLERANCE)


def test_there_is_no_draw_and_no_filter(network):
    defended = PostAverage(network, 0.5, directions=3, sampler="boundary", scale=1.0)
    with pytest.raises(ConfigurationError, match="no single draw or filter"):
        defended.draw([6])
    with pytest.raises(ConfigurationError, match="no single draw or filter"):
        defended.transfer(torch.zeros(2, 6))


def test_state_dicts(network, x):
    def new(radius, sampler="boundary", seed=0):
        return PostAverage(network, radius, directions=3, sampler=sampler, scale=1.0, seed=seed)

    defended = new(0.5, seed=4)
    scores = defended(x)
    state = defended.state_dict()
    assert "directions" not in state
    other = new(2.0)
    other.load_state_dict(state)
    assert (other.radius, other.seed) == (0.5, 4)
    assert torch.equal(other(x), scores)

    drawn = new(0.5, "directions")
    drawn(x)
    with pytest.raises(ConfigurationError, match="finds them at each input"):
        other.load_state_dict(drawn.state_dict())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_look_at_their_own_model(network, x, duplicate):
    defended = PostAverage(network, 0.5, directions=3, sampler="boundary", scale=1.0)
    scores = defended(x)
    twin = duplicate(defended)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(-1)
    assert torch.equal(twin(x), scores)
    assert not torch.equal(defended(x), scores)


def test_lower_precision_searches_in_float32(network, x):
    defended = PostAverage(network, 0.5, directions=3, sampler="boundary", scale=1.0)
    half = copy.deepcopy(defended).bfloat16()
    low = x.bfloat16()
    exact = BoundaryDirections(copy.deepcopy(half.model).float()).nearest(low.float(), 3)
    vectors = half.sampler.vectors_at(low, 3, 1.0, [generator(0)] * 5)
    assert vectors.dtype == torch.float32
    assert torch.equal(vectors, exact.directions)
    assert half(low).dtype == torch.float32


def test_another_number_of_vectors_is_refused(network, x):
    class Cheap:
        name, steps, centre = "cheap", (1.0,), False

        def vectors_at(self, x, directions, scale, rngs):
            return torch.zeros(len(x), directions, *x.shape[1:])

    with pytest.raises(ConfigurationError, match="expected 25 points .* got 4"):
        PostAverage(network, 0.5, directions=4, scale=1.0, sampler=Cheap())(x)


def test_a_scale_that_does_not_broadcast_is_told(network, x):
    defended = PostAverage(network, 1.0, directions=1, sampler="boundary", scale=torch.ones(4))
    with pytest.raises(ConfigurationError, match="broadcasts"):
        defended(x)


def test_by_name_on_the_packaged_model(sample, photos):
    defended = PostAverage(sample.module, 6, directions=2, sampler="boundary")
    prediction = defended.predict(photos.images(0, 2))
    assert prediction.samples.tolist() == [13, 13]
    assert defended.settings["sampler"] == "boundary"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_cpu(network, x):
    def scores(device):
        defended = PostAverage(
            copy.deepcopy(network), 0.5, directions=4, sampler="boundary", scale=1.0
        )
        return defended.to(device)(x.to(device)).cpu()

    torch.testing.assert_close(scores("cpu"), scores("cuda"), atol=1e-10, rtol=0)
