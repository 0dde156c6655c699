"""Perceptrons come from their seed alone and learn their points."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.data import load_planar
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.models import ACTIVATIONS, build_perceptron, train_perceptron


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in left
    )


def points(count=50, dtype=torch.float32):
    return torch.linspace(-3, 3, 2 * count, dtype=dtype).reshape(2, count).T.contiguous()


def test_layers_and_law():
    network = build_perceptron((25, 400, 300, 3), dtype=torch.float64, activation="leaky_relu")
    kinds = [nn.Linear, nn.LeakyReLU, nn.Linear, nn.LeakyReLU, nn.Linear]
    assert [type(module) for module in network] == kinds
    assert not network.training
    for key, bound in {"0": 1 / 5, "2": 1 / 20}.items():
        weight = network.state_dict()[f"{key}.weight"]
        assert weight.dtype == torch.float64
        assert 0.999 * bound < weight.abs().max() <= bound
        assert abs(weight.mean()) < 5 * bound / math.sqrt(3 * weight.numel())
        assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.03)  # the uniform law's
        assert network.state_dict()[f"{key}.bias"].abs().max() <= bound


def test_it_is_pytorchs_own_law():
    torch.manual_seed(0)
    theirs, ours = nn.Linear(64, 500), build_perceptron((64, 500))[0]
    for name in ("weight", "bias"):
        expected, got = getattr(theirs, name).detach(), getattr(ours, name).detach()
        assert float(got.std()) == pytest.approx(float(expected.std()), rel=0.1)
        assert float(got.abs().max()) == pytest.approx(float(expected.abs().max()), rel=0.02)


def test_a_seed_gives_its_weights_and_leaves_the_global_ones_alone():
    state = torch.random.get_rng_state()
    first = build_perceptron((2, 5, 3), seed=4)
    torch.rand(3)
    assert same(first, build_perceptron((2, 5, 3), seed=4))
    assert not same(first, build_perceptron((2, 5, 3), seed=5))
    assert same(first, build_perceptron((2, 5, 3), seed=4, dtype=torch.float64).float())
    torch.random.set_rng_state(state)
    build_perceptron((2, 5, 3))
    assert torch.equal(state, torch.random.get_rng_state())


def test_without_bias_it_is_homogeneous():
    network = build_perceptron((2, 5, 3), bias=False, dtype=torch.float64)
    assert list(network.state_dict()) == ["0.weight", "2.weight"]
    x = points(dtype=torch.float64)
    torch.testing.assert_close(network(3 * x), 3 * network(x))


@pytest.mark.parametrize(
    ("widths", "options", "said"),
    [
        ((2,), {}, "at least two widths"),
        ((2, 0, 2), {}, r"at least 1; got \[2, 0, 2\]"),
        ((2, 2), {"activation": "tanh"}, "relu, leaky_relu, hardtanh; got 'tanh'"),
        ((2, 2), {"dtype": torch.int64}, "floating point dtype, got torch.int64"),
    ],
)
def test_refusals_to_build(widths, options, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        build_perceptron(widths, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["moons", "circles"])
def test_training_reaches_its_accuracy_and_is_deterministic(name):
    pytest.importorskip("sklearn")
    drawn = load_planar(name)
    state = torch.random.get_rng_state()
    networks = [build_perceptron((2, 16, 16, 2)) for _ in range(2)]
    accuracies = [train_perceptron(network, drawn.points, drawn.labels) for network in networks]
    assert same(*networks)
    assert accuracies[0] == accuracies[1] > 0.98
    x = torch.from_numpy(drawn.points).float()
    right = networks[0](x).argmax(dim=1).numpy() == drawn.labels
    assert accuracies[0] == np.mean(right)
    assert networks[0][0].weight.dtype == torch.float32
    assert not networks[0].training
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_training_in_any_form(activation, dtype):
    x = points(dtype=torch.float64)
    y = (x.sum(dim=1) > 0.7).to(torch.int32)
    network = build_perceptron((2, 8, 2), activation=activation, dtype=dtype).requires_grad_(False)
    with torch.no_grad():
        assert train_perceptron(network, x, y, epochs=150) > 0.95
    assert all(value.dtype == dtype and not value.requires_grad for value in network.parameters())


def test_refusals_to_train_leave_the_network_alone():
    network, x, y = build_perceptron((2, 4, 2)), points(), torch.arange(50) % 2
    wrong = [
        ((x, y), {"epochs": 0}, "at least 1 epoch"),
        ((x, y), {"learning_rate": 0.0}, "learning rate above 0"),
        ((x, y), {"learning_rate": float("nan")}, "learning rate above 0"),
        ((x, y), {"learning_rate": 1e60, "epochs": 5}, "left the range of torch.float32"),
        ((x[:, :1], y), {}, r"shape \[N, 2\], .* got \[50, 1\]"),
        ((x[:0], y[:0]), {}, r"got \[0, 2\]"),
        ((x / 0, y), {}, "finite"),
        ((x, y[:-1]), {}, "50 labels"),
        ((x, y + 1), {}, "labels from 0 to 1"),
        ((x, y.double()), {}, "integer labels"),
    ]
    for given, options, said in wrong:
        with pytest.raises((ConfigurationError, InputError), match=said) as caught:
            train_perceptron(network, *given, **options)
        assert "\n" not in str(caught.value)
    assert same(network, build_perceptron((2, 4, 2)))
