"""Rounding is no dependence on a batch, however little is left of what is summed."""

import pytest
import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors.independence import require_independent
from tests.geometry.networks import one_function_twice
from tests.kernels import OtherKernels


class Mixing(nn.Module):
    """Adds a part of the batch's mean to what ``module`` says."""

    def __init__(self, module: nn.Module, share: float) -> None:
        super().__init__()
        self.module, self.share = module, share

    def forward(self, x):
        logits = self.module(x)
        return logits + self.share * x.mean(0, keepdim=True)[:, :2]


def steady(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 30), nn.ReLU(), nn.Linear(30, 2)).double()


class Shifted(nn.Module):
    """Logits of 1e-5, as the difference of numbers of some hundreds."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x):
        ones = torch.ones(3, 2, dtype=x.dtype)
        return (1e-5 * self.module(x) + x @ (300 * ones)) - x.flip(1) @ (300 * ones)


CANCELLING = {"f - f": one_function_twice, "shifted": lambda seed: Shifted(steady(seed))}


class ByCount(nn.Module):
    """Rounds alike whenever it is asked about as many inputs, as kernels do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x):
        return OtherKernels(self.module, seed=len(x))(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CANCELLING)
def test_logits_that_cancel(name, dtype):
    x = torch.rand(1, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    for seed in range(10):
        module = ByCount(CANCELLING[name](seed).to(dtype))
        require_independent(module, x)
        with pytest.raises(ConfigurationError, match="does not depend on the rest of its batch"):
            require_independent(Mixing(module, 0.01), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_dependence_of_small_logits_is_refused(dtype):
    """A hundredth of logits of 1e-2, whatever the precision."""
    x = torch.rand(1, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    small = nn.Sequential(steady(0), nn.Linear(2, 2)).to(dtype)
    small[1].weight.data *= 1e-2
    small[1].bias.data *= 1e-2
    require_independent(ByCount(small), x)
    with pytest.raises(ConfigurationError, match="does not depend on the rest of its batch"):
        require_independent(Mixing(ByCount(small), 1e-3), x)


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e6])
def test_an_offset_of_all_logits_hides_nothing(offset):
    """Softmax and argmax know no offset: 1 % of the range is a lot, whatever is added."""

    class Offset(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x) + offset

    x = torch.rand(1, 3, dtype=torch.float64)
    require_independent(Offset(steady(0)), x)
    with pytest.raises(ConfigurationError, match="rest of its batch"):
        require_independent(Offset(Mixing(steady(0), 0.1)), x)
