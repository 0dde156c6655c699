"""Gradients by inputs: right where there is one, and one error where there is none.

Every attack meets every kind of cut in tests/attacks/test_cut_gradients.py.
"""

import pytest
import torch
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError, NoGradientError
from bandlimiter.tensors import require_autograd, slope, usable, with_graph

SUM = nn.Linear(3, 2)


def leaf():
    return torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)


def test_a_slope_is_the_derivative_and_touches_nothing_else():
    x, weight = leaf(), torch.tensor([2.0, 0.5, 1.0], requires_grad=True)
    value = (weight * x.square()).sum()
    expected = torch.tensor([[4.0, 2.0, 6.0]])  # 2 weight x, exact in float32
    assert torch.equal(slope(value, x, again=True), expected)
    assert torch.equal(slope(value, x), expected)
    assert x.grad is None
    assert weight.grad is None


def test_nothing_that_leads_to_x_is_no_gradient():
    x, weight = leaf(), torch.ones(3, requires_grad=True)
    for value in (x.detach().sum(), (weight * x.detach()).sum(), torch.tensor(1.0)):
        with pytest.raises(NoGradientError, match="with a gradient"):
            slope(value, x)


@pytest.mark.parametrize(
    "error",
    [MemoryError("x"), RuntimeError("[enforce] DefaultCPUAllocator: not enough memory")],
)
def test_errors_of_the_machine_come_through(error):
    """Passes are cut smaller for them."""

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise error

    x = leaf()
    with pytest.raises(type(error), match="x|DefaultCPUAllocator") as caught:
        slope(Fails.apply(x).sum(), x)
    assert not isinstance(caught.value, NoGradientError)

    def fails(x):
        raise error

    with pytest.raises(type(error)) as caught:
        with_graph(fails, x, SUM)
    assert caught.value is error


def test_what_a_model_says_of_any_input_comes_through():
    def refuses(x):
        raise InputError("not these")

    def refuses_gradients(x):
        if x.requires_grad:
            raise ValueError("no gradients here\nand more")
        return x

    with pytest.raises(InputError, match="not these"):
        with_graph(refuses, leaf(), SUM)
    with pytest.raises(NoGradientError, match=r"\(no gradients here\)"):
        with_graph(refuses_gradients, leaf(), SUM)


def test_inference_mode_is_named_and_what_was_made_there_is_copied():
    x = torch.ones(2)
    assert usable(x) is x
    with torch.inference_mode():
        made = torch.ones(2)
        with pytest.raises(ConfigurationError, match="inference_mode"):
            require_autograd()
    assert not usable(made).is_inference()
    with torch.no_grad():
        require_autograd()
