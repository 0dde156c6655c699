"""A network that is read is the module's own function; whatever cannot be read is named."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry import matrices, read_network
from tests.geometry.checks import refuses
from tests.geometry.networks import (
    ACTIVATIONS,
    Residual,
    evaluate,
    every_kind,
    linear,
    networks,
    perceptron,
    random_weights,
)

pytestmark = pytest.mark.filterwarnings("error")
some = settings(max_examples=40, deadline=None)


def points(dim: int, count: int = 200) -> np.ndarray:
    return 2 * np.random.default_rng(dim).normal(size=(count, dim))


def is_read(module: nn.Module, dim: int = 3) -> None:
    """To 1e-13: sums of a few numbers of order ten at most, in another order."""
    expected = evaluate(module, points(dim))
    found = read_network(module, dim)(points(dim))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


class Written(nn.Module):
    """A layer of three units, and a forward of one's own: ``body(self, x)``."""

    def __init__(self, body) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(3, 3), nn.Linear(3, 3)
        self.relu, self.shaken = nn.ReLU(), nn.Dropout(0.2)
        self.overwriting = nn.ReLU(inplace=True)
        self.product = nn.Bilinear(3, 3, 3)
        self.body = body
        random_weights(self, 5)

    def forward(self, x):
        return self.body(self, x)


LAYERS = {
    "linear": lambda: nn.Linear(3, 4),
    "linear without bias": lambda: nn.Linear(3, 4, bias=False),
    "batch norm": lambda: nn.BatchNorm1d(3),
    "batch norm without weights": lambda: nn.BatchNorm1d(3, affine=False),
    "batch norm of its own eps": lambda: nn.BatchNorm1d(3, eps=0.3),
    "flatten": nn.Flatten,
    "identity": nn.Identity,
    "dropout": lambda: nn.Dropout(0.9),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.ReLU()), nn.Sequential()),
    "residual": lambda: Residual(3),
    "convolution": lambda: nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Flatten()),
    "batch norm, average pooling and padding": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)),
        nn.ConstantPad1d(2, 0.5),
        nn.AvgPool1d(2),
        nn.BatchNorm1d(1),
        nn.Flatten(),
    ),
    "prelu": nn.PReLU,
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
    **ACTIVATIONS,
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_by_itself(name):
    layer = LAYERS[name]()
    is_read(random_weights(nn.Sequential(nn.Linear(3, 3), layer), 1))


@some
@given(data=st.data())
def test_random_networks(data):
    is_read(data.draw(networks(3)))


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_every_kind_of_layer_at_once(dim):
    for seed in range(5):
        is_read(every_kind(dim, seed), dim)


FORMS = {
    "relu": lambda self, x: F.relu(self.enter(x)),
    "torch.relu": lambda self, x: torch.relu(self.enter(x)),
    ".relu()": lambda self, x: self.enter(x).relu(),
    "leaky_relu": lambda self, x: F.leaky_relu(self.enter(x)),
    "leaky_relu with a slope": lambda self, x: F.leaky_relu(self.enter(x), 0.4),
    "leaky_relu with a named slope": lambda self, x: F.leaky_relu(
        self.enter(x), negative_slope=-0.4
    ),
    "hardtanh": lambda self, x: F.hardtanh(self.enter(x)),
    "hardtanh with bounds": lambda self, x: F.hardtanh(self.enter(x), -0.1, max_val=2.5),
    "relu6": lambda self, x: F.relu6(self.enter(x)),
    "torch.flatten": lambda self, x: self.enter(torch.flatten(x, 1)),
    ".flatten()": lambda self, x: self.enter(x.flatten(start_dim=1)),
    "+": lambda self, x: self.enter(x) + x,
    "torch.add": lambda self, x: torch.add(self.enter(x), x),
    ".add()": lambda self, x: self.enter(x).add(x),
    "twice": lambda self, x: self.enter(x) + self.relu(x) + x,
    "a tensor and itself": lambda self, x: x + x + self.enter(x),
    "a layer used twice": lambda self, x: self.enter(self.relu(self.enter(x))),
    "an unused layer": lambda self, x: (self.relu(x), self.enter(x))[1],
    "the input alone": lambda self, x: x,
    "a dropout": lambda self, x: self.shaken(self.enter(x)),
    "a factor": lambda self, x: self.enter(x) * 2,
    "a difference": lambda self, x: self.enter(x) - x,
    "a constant": lambda self, x: 1 - self.relu(self.enter(x) + 1),
    "a weighted sum": lambda self, x: torch.add(self.enter(x), x, alpha=2),
    "a sum of three": lambda self, x: torch.stack([self.enter(x), x, self.relu(x)], 2).sum(2),
    "torch.cat": lambda self, x: torch.cat([self.enter(x), x.abs()], dim=1),
    "a slice": lambda self, x: self.relu(self.enter(x)[:, :2]) + x[:, 1:],
    "a view": lambda self, x: self.enter(x).view(-1, 3),
    "a batch of sequences": lambda self, x: self.enter(self.relu(x).view(-1, 1, 3)).flatten(1),
    "a parameter": lambda self, x: self.enter(x) * self.leave.weight[0] + self.enter.bias,
    "a length": lambda self, x: self.enter(x) if len(x) else x,
    "a loop": lambda self, x: sum(self.relu(x[:, n : n + 1]) for n in range(x.size(1))),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_forward(form):
    is_read(Written(FORMS[form]))


def iadd(self, x):
    y = alias = self.enter(x)
    y += self.leave(self.relu(x))
    return self.leave(alias) + y


def iadd_on_the_input(self, x):
    y = x
    y += self.enter(x)
    return self.leave(x)


IN_PLACE = {
    "a module": lambda self, x: self.leave(self.overwriting(h := self.enter(x))) + h,
    "a module on the input": lambda self, x: self.leave(self.overwriting(x)) + x,
    "a function": lambda self, x: self.leave(F.relu(h := self.enter(x), inplace=True)) + h,
    "a function, by position": lambda self, x: self.leave(F.relu6(h := self.enter(x), True)) + h,
    "leaky_relu": lambda self, x: self.leave(F.leaky_relu(h := self.enter(x), 0.1, True)) + h,
    "relu_": lambda self, x: self.leave(torch.relu_(h := self.enter(x))) + h,
    ".relu_()": lambda self, x: self.leave((h := self.enter(x)).relu_()) + h,
    ".add_()": lambda self, x: self.leave((h := self.enter(x)).add_(x)) + h,
    "behind a dropout": lambda self, x: (
        self.leave(self.overwriting(self.shaken(h := self.enter(x)))) + h
    ),
    "twice": lambda self, x: (
        self.leave(F.hardtanh(F.relu(h := self.enter(x), True), 0.0, 0.5, True)) + h
    ),
    "+=": iadd,
    "+= on the input": iadd_on_the_input,
}


@pytest.mark.parametrize("form", IN_PLACE)
def test_what_is_overwritten_is_read_as_it_is_then(form):
    """A sum past a layer that works in place adds what the layer left behind."""
    is_read(Written(IN_PLACE[form]))


def test_in_place_layers_in_a_module_within_another():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(3, 3))

        def forward(self, x):
            return self.inner(x) + x

    is_read(random_weights(nn.Sequential(nn.Linear(3, 3), Outer()), 2))


def test_one_layer_object_in_several_places():
    act, shared = nn.ReLU(), nn.Linear(3, 3)
    module = random_weights(nn.Sequential(shared, act, nn.Linear(3, 3), act, shared, act), 3)
    is_read(module)
    assert [layer.name for layer in read_network(module).layers] == ["1", "1#2", "1#3"]


def test_subclasses_that_keep_forward_and_those_that_do_not():
    class Named(nn.Linear):
        pass

    class Skipping(nn.Sequential):
        def forward(self, x):
            return super().forward(x) + x

    class Squeezing(nn.Linear):
        def forward(self, x):
            return torch.tanh(super().forward(x))

    is_read(random_weights(nn.Sequential(Named(3, 3), nn.ReLU()), 1))
    is_read(random_weights(Skipping(nn.Linear(3, 3), nn.ReLU()), 1))
    with refuses(ConfigurationError, "1"):
        read_network(nn.Sequential(nn.Linear(3, 3), Squeezing(3, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_other_types_are_read_exactly(dtype):
    module = every_kind(3, 0).to(dtype)
    pieces = read_network(module)
    expected = evaluate(copy.deepcopy(module).double(), points(3))
    np.testing.assert_allclose(pieces(points(3)), expected, rtol=1e-13, atol=1e-13)
    assert next(module.parameters()).dtype == dtype


def test_the_module_is_left_alone():
    module = every_kind(3, 0).float()
    module[5].p = 0.0  # a dropout that does nothing may stay in training
    module[5].train()
    before = copy.deepcopy(module.state_dict())
    flags = [layer.training for layer in module.modules()]
    read_network(module)
    after = module.state_dict()
    assert list(before) == list(after)
    for name, value in before.items():
        assert value.dtype == after[name].dtype
        assert torch.equal(value, after[name])
    assert flags == [layer.training for layer in module.modules()]
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert not any(layer._forward_hooks for layer in module.modules())


def test_later_changes_of_the_module_do_not_change_what_was_read():
    module = every_kind(3, 0)
    pieces = read_network(module)
    found = pieces(points(3))
    with torch.no_grad():
        for value in module.state_dict().values():
            value.zero_()
    np.testing.assert_array_equal(pieces(points(3)), found)


def test_patterns_by_hooks():
    """Unit by unit, threshold by threshold, layer by layer in the order of evaluation."""
    module = nn.Sequential(
        nn.Linear(3, 4),
        nn.Hardtanh(-0.4, 0.6),
        Residual(4),
        nn.LeakyReLU(0.1),
        nn.Linear(4, 3),
        nn.ReLU6(),
        nn.Linear(3, 1),
    )
    random_weights(module, 0)
    with torch.no_grad():
        module[4].weight *= 5
    pieces = read_network(module)  # before there are hooks
    thresholds = {"1": (-0.4, 0.6), "2.bend": (0.0,), "3": (0.0,), "5": (0.0, 6.0)}
    bits = []
    for name, levels in thresholds.items():

        def keep(_, given, levels=levels):
            bits.extend(given[0][:, unit] > level for unit in range(given[0].shape[1])
                        for level in levels)  # fmt: skip

        module.get_submodule(name).register_forward_pre_hook(keep)
    evaluate(module, points(3))
    expected = torch.stack(bits, dim=1).numpy()
    assert pieces.hyperplanes == expected.shape[1] == 4 * 2 + 2 + 4 + 3 * 2
    assert [layer.name for layer in pieces.layers] == list(thresholds)
    np.testing.assert_array_equal(pieces.patterns(points(3)), expected)
    varies = expected.any(axis=0) & ~expected.all(axis=0)
    assert varies.sum() >= 19  # of 20, so that no two columns could be exchanged unnoticed
    assert len(np.unique(expected[:, varies], axis=1).T) == varies.sum()


def test_hooks_are_followed():
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    before = evaluate(module, points(3))
    handle = module[1].register_forward_hook(lambda layer, given, result: 2 * result - 1)
    module[0].register_forward_pre_hook(lambda layer, given: given[0].abs())
    assert not np.allclose(evaluate(module, points(3)), before)
    is_read(module)
    assert len(module[1]._forward_hooks) == 1
    handle.remove()
    is_read(module)


def test_a_forward_put_in_place_of_a_layers_own_is_followed():
    module = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    module[0].forward = lambda x: x - 0.5
    is_read(module)
    assert [layer.name for layer in read_network(module).layers] == ["1"]


def test_the_order_of_running_counts_not_that_of_registering():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 2)
            self.body = nn.Linear(2, 8)

        def forward(self, x):
            return self.head(F.relu(self.body(x)))

    is_read(Backwards().double(), 2)


def test_each_use_of_a_module_is_a_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 4), nn.Linear(4, 4)
            self.bend = nn.ReLU()

        def forward(self, x):
            return self.bend(self.second(self.bend(self.first(x))))

    assert [layer.name for layer in read_network(Twice()).layers] == ["bend", "bend#2"]


def test_a_number_on_its_threshold_does_not_exceed_it():
    module = nn.Sequential(linear([[1.0]]), nn.Hardtanh(0.0, 1.0))
    found = read_network(module).patterns(np.array([[-1.0], [0.0], [0.5], [1.0], [2.0]]))
    assert found.tolist() == [[False, False]] * 2 + [[True, False]] * 2 + [[True, True]]


@pytest.mark.parametrize("dim", [1, 3])
def test_affine_maps_by_automatic_differentiation(dim):
    module = every_kind(dim, 1)
    pieces = read_network(module)
    weights, biases = pieces.affine_maps(pieces.patterns(points(dim, 50)))
    assert weights.shape == (50, 2, dim)
    for x, weight, bias in zip(torch.from_numpy(points(dim, 50)), weights, biases, strict=True):
        value = module(x[None])[0].detach().numpy()
        jacobian = torch.autograd.functional.jacobian(lambda x: module(x[None])[0], x)
        # Both are products of the same few matrices of order one to five.
        np.testing.assert_allclose(weight, jacobian.numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(weight @ x.numpy() + bias, value, rtol=1e-12, atol=1e-12)


def test_a_network_on_a_plane():
    pieces = read_network(every_kind(4, 0))
    rng = np.random.default_rng(0)
    directions, offset, y = rng.normal(size=(4, 2)), rng.normal(size=4), points(2)
    on_plane = pieces.restricted(directions, offset)
    assert (on_plane.dim, on_plane.outputs, on_plane.hyperplanes) == (2, 2, pieces.hyperplanes)
    expected = pieces(y @ directions.T + offset)
    np.testing.assert_allclose(on_plane(y), expected, rtol=1e-13, atol=1e-13)


def test_widths():
    pieces = read_network(perceptron(3, 5, 2))
    assert (pieces.dim, pieces.outputs, pieces.hyperplanes) == (3, 2, 5)
    assert read_network(pieces) is pieces
    assert read_network(nn.ReLU(), 4).dim == 4
    assert read_network(nn.Sequential(nn.BatchNorm1d(3)).eval()).dim == 3
    with refuses(ConfigurationError, "at least one Linear layer", "how many inputs"):
        read_network(nn.ReLU())
    with pytest.raises(InputError, match=r"points \[N, 3\], got shape \(4, 2\)"):
        pieces(np.zeros((4, 2)))
    with pytest.raises(InputError, match=r"points \[N, 3\], got shape \(3,\)"):
        pieces.patterns(np.zeros(3))
    with refuses(ConfigurationError, "inputs [N, 2]", "Linear (1) failed"):
        read_network(nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 1)))
    with refuses(ConfigurationError, "inputs [N, 2]", "Linear (2.enter) failed"):
        read_network(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), Residual(4)))
    with refuses(ConfigurationError, "inputs [N, 3]", "Written (given) failed"):
        module = Written(lambda self, x: self.enter(x) + self.leave(x))
        module.leave = nn.Linear(3, 2)
        read_network(module)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Sigmoid(),
        nn.GELU(),
        nn.LayerNorm(3),
        nn.Softplus(),
        nn.Tanh(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_is_unknown_is_named(layer):
    with refuses(ConfigurationError, type(layer).__name__, "layer 1.inner.0", "LeakyReLU"):
        inner = nn.Sequential()
        inner.add_module("inner", nn.Sequential(layer))
        read_network(nn.Sequential(nn.Linear(3, 3), inner, nn.Linear(3, 1)))
    with refuses(ConfigurationError, type(layer).__name__, "layer given"):
        read_network(layer, 3)


def test_a_softmax_is_refused_wherever_it_stands():
    """At the end, its values are no matrix's; before the end, nothing is left to read."""
    softmax = nn.Softmax(dim=1)
    with refuses(ConfigurationError, "Softmax at its end (layer 1)", "leave it off"):
        read_network(nn.Sequential(nn.Linear(3, 3), softmax))
    with refuses(ConfigurationError, "Softmax (layer 1) before the end"):
        read_network(nn.Sequential(nn.Linear(3, 3), softmax, nn.Linear(3, 1)))


def test_maxima_are_refused_by_name():
    with refuses(ConfigurationError, "max-pooling (layer 1)", "averages"):
        read_network(nn.Sequential(nn.Linear(3, 4), nn.MaxPool1d(2)))
    with refuses(ConfigurationError, "max-pooling (layer maximum)"):
        read_network(Written(lambda self, x: torch.maximum(self.enter(x), x)))


def test_matrices_that_would_be_too_large_are_refused(monkeypatch):
    monkeypatch.setattr(matrices, "_MOST_NUMBERS", 11)
    read_network(nn.Linear(3, 3))
    with refuses(ConfigurationError, "small enough", "layer 1", "4 x 3"):
        read_network(nn.Sequential(nn.ReLU(), nn.Linear(3, 4)))


REFUSED = {
    "a product": (lambda self, x: self.enter(x) * x, "two things computed from the input"),
    "a sigmoid": (lambda self, x: torch.sigmoid(self.enter(x)), "sigmoid"),
    ".tanh()": (lambda self, x: self.enter(x).tanh(), "tanh"),
    "a softmax": (lambda self, x: F.softmax(self.enter(x), dim=1), "Softmax"),
    "flatten from 0": (lambda self, x: torch.flatten(self.enter(x)), "mixes the inputs"),
    "a layer of two inputs": (lambda self, x: self.product(x, x), "Bilinear (layer product)"),
    "two outputs": (lambda self, x: (self.enter(x), x), "tuple"),
    "no output": (lambda self, x: None, "NoneType"),
    "control flow": (lambda self, x: self.enter(x) if x.sum() > 0 else x, "sum"),
    "an error of one's own": (lambda self, x: [][0], "list index"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_forward_that_is_not_piecewise_linear_or_not_seen_to_be(form):
    body, word = REFUSED[form]
    with refuses(ConfigurationError, word):
        read_network(Written(body), 3)


def test_two_inputs():
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    with refuses(ConfigurationError, "inputs [N, 3]", "'y'"):
        read_network(Two(), 3)


def test_an_error_of_several_lines_is_told_in_one():
    def broken(self, x):
        raise RuntimeError("one thing\n  and another")

    with refuses(ConfigurationError, "Written", "one thing and another"):
        read_network(Written(broken), 3)


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(3), nn.Dropout(0.1)], ids=["BatchNorm1d", "Dropout"]
)
def test_training_mode_is_refused(layer):
    module = nn.Sequential(nn.Linear(3, 3), layer)
    with refuses(ConfigurationError, type(layer).__name__, "(1)", "evaluation mode"):
        read_network(module.train())
    read_network(module.eval())
    layer.train()
    with refuses(ConfigurationError, type(layer).__name__, "(1)"):
        read_network(module)


def test_a_batch_norm_without_statistics_is_refused():
    layer = nn.BatchNorm1d(3, track_running_stats=False).eval()
    with refuses(ConfigurationError, "BatchNorm1d", "fixed statistics"):
        read_network(nn.Sequential(nn.Linear(3, 3), layer))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("layer", "tensor"),
    [("0", "weight"), ("2.enter", "bias"), ("3", "running_mean"), ("3", "weight")],
)
def test_weights_that_are_no_numbers_are_named(value, layer, tensor):
    module = random_weights(
        nn.Sequential(nn.Linear(2, 3), nn.ReLU(), Residual(3), nn.BatchNorm1d(3)), 0
    )
    with torch.no_grad():
        getattr(module.get_submodule(layer), tensor).view(-1)[1] = value
    with refuses(ConfigurationError, f"layer {layer} ", "NaN or infinite"):
        read_network(module)


@pytest.mark.parametrize(
    "bounds", [(0.0, float("inf")), (-float("inf"), 1.0), (0.0, float("nan")), (1.0, 0.5)]
)
def test_a_hardtanh_needs_two_bounds(bounds):
    layer = nn.Hardtanh()
    layer.min_val, layer.max_val = bounds
    with refuses(ConfigurationError, "Hardtanh"):
        read_network(nn.Sequential(nn.Linear(2, 2), layer))
