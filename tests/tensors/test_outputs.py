from types import SimpleNamespace

import pytest
import torch

from bandlimiter.errors import InputError
from bandlimiter.tensors import logits_of

Z = torch.zeros(2, 3)


@pytest.mark.parametrize(
    "output",
    [
        Z,
        (Z, "auxiliary"),
        [Z],
        {"logits": Z, "loss": torch.tensor(0.0)},
        {"out": Z},
        SimpleNamespace(logits=Z),
    ],
)
def test_logits_are_found(output):
    assert logits_of(output) is Z


@pytest.mark.parametrize(
    "output",
    [None, (), {"a": Z, "b": Z}, "logits", torch.zeros(3), torch.zeros(2, 1), torch.zeros(1, 2, 3)],
)
def test_anything_else_is_refused(output):
    with pytest.raises(InputError, match="logits of shape"):
        logits_of(output)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_overflow_is_refused(bad):
    with pytest.raises(InputError, match="NaN or"):
        logits_of(torch.tensor([[0.0, bad]]))


def test_an_impossible_class_is_no_overflow():
    certain = torch.tensor([[0.0, -torch.inf]])
    assert logits_of(certain) is certain
