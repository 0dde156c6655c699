"""Labels from a copy are the model's own, where the two differ by no more than was measured."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.evaluation import screened
from bandlimiter.evaluation.screened import LEAST_BOUND, SAFETY, ScreenedAverage

CLASSES = 3


class Off(nn.Module):
    """A copy whose logits are off by up to ``size``, otherwise at each place."""

    def __init__(self, model: nn.Module, size: float) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wave = torch.sin(1e4 * x.flatten(1)[:, :CLASSES])
        return self.model(x) + self.size * wave


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    with torch.no_grad():
        model[3].weight.mul_(4)
    return model.eval()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.sampled_from([0.0, 1e-3, 1e-2, 0.1]),
    stop=st.sampled_from(["never", "exact"]),
    fresh=st.booleans(),
)
def test_labels_are_the_models_own(seed: int, size: float, stop: str, fresh: bool) -> None:
    model = network(seed)
    randomness = "fresh" if fresh else "fixed"
    average = PostAverage(model, 2.0, directions=2, scale=1.0, randomness=randomness)
    x = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    keys = list(range(len(x)))
    both = ScreenedAverage(average, Off(model, size))
    both.measure(x)
    expected = average.named_scores(x, keys)
    assert both.labels(x, keys, stop, 1e-3).equal(expected.argmax(dim=1))
    assert both.named_scores(x, keys).argmax(dim=1).equal(expected.argmax(dim=1))
    clear = both.clear_labels(x, keys)
    assert ((clear == -1) | (clear == expected.argmax(dim=1))).all()


def test_close_decisions_are_float32s() -> None:
    """The two classes are nearly tied, and the copy always names the other one."""
    model, copy = nn.Linear(2, 2), nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.zero_(), copy.weight.zero_()
        model.bias.copy_(torch.tensor([0.001, 0.0]))
        copy.bias.copy_(torch.tensor([0.0, 0.001]))
    average = PostAverage(model.eval(), 0.1, directions=1, scale=1.0)
    both = ScreenedAverage(average, copy.eval())
    x = torch.rand(5, 2)
    both.measure(x)
    assert both.bound == pytest.approx(max(LEAST_BOUND, SAFETY * 0.0005), rel=0.01)
    for stop in ("never", "exact", "anytime"):
        assert both.labels(x, range(5), stop, 1e-3).tolist() == [0] * 5
    assert both.clear_labels(x, range(5)).tolist() == [-1] * 5


def test_a_larger_difference_widens_the_bound_and_settles_the_same_answers_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Measured where both agree, asked where they do not: one answer that is checked tells."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([0.0, 0.4]))

    class Elsewhere(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return model(x) + (x[:, :1] > 0) * torch.tensor([0.5, 0.0])

    average = PostAverage(model.eval(), 0.0, directions=1, scale=1.0)
    both = ScreenedAverage(average, Elsewhere().eval())
    both.measure(torch.tensor([[-1.0, 0.0]]))
    assert (both.bound, both.held, both.largest) == (LEAST_BOUND, LEAST_BOUND, 0.0)
    x = torch.linspace(0.1, 1.0, 30)[:, None].repeat(1, 2)
    monkeypatch.setattr(screened, "_chosen", lambda x: torch.arange(len(x)) == 7)
    assert both.named_scores(x, range(30)).argmax(dim=1).tolist() == [1] * 30
    # softmax of (0.5, 0.4) and of (0, 0.4): 0.525 and 0.401
    assert both.largest == pytest.approx(0.1237, abs=1e-4)
    assert both.bound == pytest.approx(SAFETY * both.largest)
    assert both.held == LEAST_BOUND  # labels that were given by then are to be taken again


def test_the_same_inputs_are_checked_whatever_their_batch() -> None:
    x = torch.rand(5000, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    chosen = screened._chosen(x)
    # 1 in 50 of 5,000: 100, of standard deviation 10
    assert 50 < int(chosen.sum()) < 150
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    assert screened._chosen(x[order]).equal(chosen[order])
    assert torch.cat([screened._chosen(part) for part in x.split(7)]).equal(chosen)


def test_where_the_copy_gives_nan_float32_answers() -> None:
    model = network(0)

    class Sometimes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return model(x) + torch.where(x.flatten(1)[:, :1] > 0.9, torch.nan, 0.0)

    average = PostAverage(model, 0.0, directions=1, scale=1.0)
    both = ScreenedAverage(average, Sometimes().eval())
    x = torch.rand(20, 3, 2, 2, generator=torch.Generator().manual_seed(2)) * 0.8
    both.measure(x)
    x[3, 0, 0, 0] = 1.0
    expected = average(x).argmax(dim=1)
    assert both(x).argmax(dim=1).equal(expected)
    assert both.labels(x, range(20), "exact", 1e-3).equal(expected)
    assert both.clear_labels(x, range(20)).equal(expected)


def test_nothing_is_accepted_before_it_is_measured() -> None:
    model = network(0)
    average = PostAverage(model, 1.0, directions=1, scale=1.0)
    both = ScreenedAverage(average, Off(network(1), 9.0))  # another network altogether
    x = torch.rand(20, 3, 2, 2)
    expected = average(x)
    assert both(x).equal(expected)
    assert both.labels(x, range(20), "exact", 1e-3).equal(expected.argmax(dim=1))
    assert both.clear_labels(x, range(20)).equal(expected.argmax(dim=1))
