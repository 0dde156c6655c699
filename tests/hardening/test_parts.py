"""What of a network moves when a part of it is trained, and what is frozen."""

import copy

import pytest
import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.hardening.training import trained_parameters
from tests.hardening.problems import convolutional, is_one_line
from tests.hardening.steps import trained


def moved(model, **changed):
    """Names of parameters that three steps change, in the network and in its average."""
    before = copy.deepcopy(dict(model.named_parameters()))
    training = trained(model, **changed)
    found = [
        {name for name, value in each.named_parameters() if not torch.equal(value, before[name])}
        for each in (model, training.average)
    ]
    assert found[0] == found[1]
    return found[0]


def test_each_part_moves_alone():
    everything = {name for name, _ in convolutional().named_parameters()}
    assert moved(convolutional(), part="all") == everything
    assert moved(convolutional(), part="norm") == {"1.weight", "1.bias"}
    assert moved(convolutional(), part="head") == {"5.weight", "5.bias"}


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm([4, 6, 6]), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)]
)
def test_other_normalisation_layers_are_some_too(norm):
    model = convolutional()
    model[1] = norm
    assert moved(model, part="norm") == {"1.weight", "1.bias"}


def test_the_head_is_the_last_layer_with_weights_of_any_kind():
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv2d(3, 3, 6), nn.LayerNorm([3, 1, 1]))
    assert [id(each) for each in trained_parameters(model, "head")] == [
        id(model[1].weight),
        id(model[1].bias),
    ]


@pytest.mark.parametrize("part", ["all", "norm"])
def test_what_is_frozen_stays(part):
    model = convolutional()
    everything = moved(copy.deepcopy(model), part=part)
    for name, each in model.named_parameters():
        each.requires_grad_(name not in ("1.weight", "0.bias"))
    assert moved(model, part=part) == everything - {"1.weight", "0.bias"}
    assert not model[1].weight.requires_grad


def test_weights_that_two_layers_share_are_one():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    found = trained_parameters(nn.Sequential(first, second, first), "all")
    assert sorted(map(id, found)) == sorted({id(first.weight), id(first.bias), id(second.bias)})


def test_frozen_networks_and_missing_parts():
    model = convolutional().requires_grad_(False)
    without = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    for given, part, words in [
        (model, "all", "all 6 of 'all' are frozen; call .requires_grad_"),
        (model, "head", "all 2 of 'head' are frozen"),
        (without, "norm", "none in 'norm'"),
        (nn.Flatten(), "all", "none in 'all'"),
        (nn.BatchNorm1d(2), "head", "none in 'head'"),
        (without, "tail", "expected the part all, norm, head; got 'tail'"),
    ]:
        with pytest.raises(ConfigurationError, match=words) as caught:
            trained_parameters(given, part)
        assert is_one_line(caught.value)


def test_shared_weights_are_counted_once():
    layer = nn.Linear(3, 3)
    twice = nn.Sequential(layer, nn.ReLU(), nn.Linear(3, 3))
    twice[2].weight = layer.weight
    with pytest.raises(ConfigurationError, match="all 3 of 'all'"):
        trained_parameters(twice.requires_grad_(False), "all")
