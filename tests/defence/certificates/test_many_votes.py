"""Votes that judge an attack, against the probability that a linear network has in closed form."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.defence.certificates import ManyVotes
from bandlimiter.errors import ConfigurationError

SIGMA = 0.25


def linear(direction: list[float], offset: float) -> nn.Module:
    """Class 0 where direction @ x > offset."""
    network = nn.Linear(len(direction), 2).eval()
    with torch.no_grad():
        network.weight.copy_(torch.tensor([direction, [0.0] * len(direction)]))
        network.bias.copy_(torch.tensor([-offset, 0.0]))
    return network


@pytest.mark.parametrize("distance", [0.0, 0.1, 0.3])
def test_shares_are_the_probabilities_that_noise_leaves(distance: float) -> None:
    """P(class 0) = Phi(distance / sigma): each count within what one run in 10^6 leaves."""
    judge = ManyVotes(PostAverage(linear([0.6, 0.8], 0.5), sigma=SIGMA), votes=4000)
    x = torch.tensor([[0.6 * (0.5 + distance), 0.8 * (0.5 + distance)]])
    share = judge.named_scores(x, ["one"]).exp()[0]
    low, high = binom(4000, norm.cdf(distance / SIGMA)).ppf([5e-7, 1 - 5e-7])
    assert low <= 4000 * float(share[0]) <= high
    assert float(share.sum()) == pytest.approx(1, abs=1e-5)  # float32 exp of a float32 log


def test_draws_belong_to_their_keys() -> None:
    judge = ManyVotes(PostAverage(linear([1.0, 0.0], 0.5), sigma=SIGMA), votes=100)
    x = torch.tensor([[0.6, 0.2], [0.4, 0.2], [0.55, 0.9]])
    together = judge.named_scores(x, ["a", "b", "c"])
    alone = torch.cat([judge.named_scores(x[i : i + 1], [key]) for i, key in enumerate("abc")])
    assert together.equal(alone)
    assert not together.equal(judge.named_scores(x, ["d", "e", "f"]))


def test_clear_labels_are_right_and_close_ones_are_left_open() -> None:
    """A difference of 3 standard errors at a tie comes in 3 of 1,000 runs, one of 4 hardly ever."""
    judge = ManyVotes(PostAverage(linear([1.0, 0.0], 0.5), sigma=SIGMA), votes=960)
    far = torch.tensor([[0.9, 0.5], [0.1, 0.5]]).repeat(20, 1)
    labels = judge.clear_labels(far, [f"far{i}" for i in range(40)])
    assert labels.tolist() == [0, 1] * 20
    tie = torch.full((200, 2), 0.5)
    open_ones = int((judge.clear_labels(tie, [f"tie{i}" for i in range(200)]) < 0).sum())
    # Looked at every 32 to 128 votes for 4 standard errors, once for 3: below 0.01 leave.
    assert open_ones >= binom(200, 0.99).ppf(1e-6)


def test_early_labels_spend_less() -> None:
    """With a share of 0.999 the lead is 4 standard errors after 17 votes: one pass is enough."""
    asked: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = linear([1.0, 0.0], 0.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            asked.append(len(x))
            return self.inner(x)

    judge = ManyVotes(PostAverage(Counting().eval(), sigma=SIGMA), votes=100_000)
    x = torch.tensor([[0.8, 0.5]])
    judge.clear_labels(x, ["warm"])
    asked.clear()
    judge.clear_labels(x, ["one"])
    assert sum(asked) < 1000


def test_what_cannot_be_certified_cannot_judge() -> None:
    network = linear([1.0, 0.0], 0.5)
    with pytest.raises(ConfigurationError, match="expected a PostAverage"):
        ManyVotes(network)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="at least one vote"):
        ManyVotes(PostAverage(network, sigma=SIGMA), votes=0)
    assert np.isfinite(ManyVotes(PostAverage(network, sigma=SIGMA), 8)(torch.rand(2, 2))).all()
