"""A forward that overwrites its tensors is read as what it computes, or refused."""

import pytest
import torch
from torch.nn import functional as F

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph import read_graph
from tests.geometry.checks import refuses
from tests.geometry.graph.checks import Written, is_read


def relu(x):
    y = 2 * x
    F.relu(y, inplace=True)
    return y + x


def relu_on_the_input(x):
    x.relu_()
    return x - 1


def iadd(x):
    y = alias = 2 * x
    y += x.relu()
    return alias - y / 3


def iadd_of_itself(x):
    y = 2 * x
    y += y.abs()
    y *= 0.5
    y -= 1
    return y


def iadd_on_zeros(x):
    total = torch.zeros_like(x)
    for n in range(3):
        total += (x - n).relu()
    return total


def a_copy_survives(x):
    y = 2 * x
    kept, cast = y.clone(), y.to(torch.float64, copy=True)
    y.relu_()
    return torch.cat([y, kept, cast], 1)


def the_view_that_was_overwritten(x):
    part = (2 * x)[:, :2]
    part.relu_()
    return part + 1


FOLLOWED = [
    relu,
    relu_on_the_input,
    iadd,
    iadd_of_itself,
    iadd_on_zeros,
    a_copy_survives,
    the_view_that_was_overwritten,
]


@pytest.mark.parametrize("body", FOLLOWED, ids=lambda body: body.__name__)
def test_followed(body):
    is_read(Written(body), (3,))


def base_after_its_view(x):
    y = 2 * x
    y[:, 0].relu_()
    return y


def view_after_its_base(x):
    y = 2 * x
    part = y[:, 0]
    y += 1
    return y.sum(1) + part


def base_after_a_reshaped_one(x):
    y = 2 * x
    y.view(-1, 3, 1).clamp_(min=0)
    return y + 1


def detached(x):
    y = 2 * x
    y.detach().relu_()
    return y


STALE = [base_after_its_view, view_after_its_base, base_after_a_reshaped_one, detached]


@pytest.mark.parametrize("body", STALE, ids=lambda body: body.__name__)
def test_a_tensor_overwritten_through_another_is_refused(body):
    with refuses(ConfigurationError, "changed in place through a view", "clone it first"):
        read_graph(Written(body), (3,))


def numbers_set(x):
    y = 2 * x
    y[:, 0] = 0
    return y


def filled_in(x):
    y = torch.zeros(len(x), 4, dtype=x.dtype)
    y[:, 1:] = x
    return y


def added_in(x):
    y = torch.zeros(len(x), 4, dtype=x.dtype)
    y[:, 1:] += x
    return y


def added_in_and_summed(x):
    y = torch.zeros(len(x), 3, dtype=x.dtype)
    y[:, 1:].add_(x[:, 1:])
    return y + x


def a_constant_changed_after_its_use(x):
    c = torch.zeros(3)
    y = x + c
    c += 1
    return y + c


UNSEEN = {
    numbers_set: "fill",
    filled_in: "copy",
    added_in: "copy",
    added_in_and_summed: "differ between inputs",
    a_constant_changed_after_its_use: "differs from what was read",
}


@pytest.mark.parametrize("body", UNSEEN, ids=lambda body: body.__name__)
def test_what_cannot_be_followed_is_refused(body):
    with refuses(ConfigurationError, UNSEEN[body]):
        read_graph(Written(body), (3,))
