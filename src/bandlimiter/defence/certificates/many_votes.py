"""Labels of the certified classifier by many votes: what decides whether an attack broke it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from bandlimiter.defence.certificates.requirements import noise_of, require_average
from bandlimiter.defence.certificates.source import BLOCK, Source
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key, place_of

if TYPE_CHECKING:
    from bandlimiter.defence.post_average import PostAverage

REFUTED = 3.0
"""Standard errors by which another class must lead a label: at a tie once in 700 verdicts."""

_CLEAR = 4.5
"""As many when a search may leave, so that a verdict with new votes will nearly always agree."""

_LEAST = 0.5
"""Of a class without votes, whose share has no logarithm."""


class Verdict(NamedTuple):
    """What new votes say of N points.

    Attributes
    ----------
    refuted
        [N] bool: another class than the label leads by `REFUTED` standard errors.
    labels
        [N] int64, the class with most votes.
    wrong
        [N] float64, the share of votes that are not the label's.
    """

    refuted: torch.Tensor
    labels: torch.Tensor
    wrong: torch.Tensor


class ManyVotes(nn.Module):
    """The certified classifier of `certify`, estimated from so many new votes per answer.

    The network and the law of its noise are those of the certificate, rounded to the same lattice,
    and answers are shares of the same vote. Inputs keep their precision where the network has less.

    Parameters
    ----------
    average
        As `certify` takes it: a Gaussian or a ball, drawn afresh for every input.
    votes
        Per answer, at least 1.
    searched
        The same average around a fast copy of its network, for `clear_labels`; which are hints.

    Raises
    ------
    ConfigurationError
        (a ValueError) for an average that cannot be certified, and for less than one vote.

    Examples
    --------
    >>> from bandlimiter import PostAverage
    >>> model = nn.Linear(2, 2, bias=False).eval()
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0], [0, 1]]))
    >>> many = ManyVotes(PostAverage(model, sigma=0.25), votes=96)
    >>> many(torch.tensor([[0.9, 0.1], [0.1, 0.9]])).argmax(dim=1).tolist()
    [0, 1]
    """

    def __init__(
        self, average: "PostAverage", votes: int = 1000, *, searched: "PostAverage | None" = None
    ) -> None:
        super().__init__()
        require_average(average)
        if votes < 1:
            raise ConfigurationError(f"expected at least one vote, got {votes}")
        self.average, self.votes, self.training = average, votes, False
        self._searched = average if searched is None else searched

    input_dtype = torch.float32
    """What it is to be given, also around a network of half precision."""

    @property
    def evaluations(self) -> int:
        """Evaluations of the network per answer."""
        return self.votes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logarithms of the shares of votes: [N, ...] -> [N, classes]."""
        return self.named_scores(x, self.average.name_draws(x, None))

    @torch.no_grad()
    def named_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return `forward`'s scores from the draws that ``keys`` name."""
        return (self._counts(x, keys).clamp_min(_LEAST) / self.votes).log().float()

    @torch.no_grad()
    def refute(self, x: torch.Tensor, labels: torch.Tensor, keys: Sequence[Key]) -> Verdict:
        """Judge whether the average has another label than ``labels`` [N] at x [N, ...].

        A one-sided test of the label against the leader among the others: where the label's share
        is no smaller than theirs, it is refuted once in 700 times.
        """
        counts = self._counts(x, keys)
        own = counts.gather(1, labels[:, None].to(counts.device)).squeeze(1)
        others = counts.scatter(1, labels[:, None].to(counts.device), -1.0)
        best = others.amax(dim=1)
        refuted = best - own > REFUTED * (best + own).sqrt()
        return Verdict(refuted, counts.argmax(dim=1), 1 - own / self.votes)

    def on_lattice(self, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Move x [N, ...] to points of the lattice, none farther from ``start`` than before.

        Each coordinate towards ``start``, as noise is added to such points only. Of starts on the
        lattice (8-bit images); others are moved with it.
        """
        lattice = noise_of(self.average, x[0].numel()).lattice
        base = lattice.round(start)[0]
        steps = (x.double() - start.double()) * lattice.steps
        return lattice.points(base + steps.trunc().to(torch.int32)).to(x.dtype)

    def _counts(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return the sums of the votes [N, classes], in float64."""
        source = self._source(self.average, x, keys)
        counts = [
            source.shares([row], "votes", 0, self.votes).sum(dim=1, dtype=torch.float64)
            for row in range(len(x))
        ]
        return torch.cat(counts)

    @torch.no_grad()
    def clear_labels(self, x: torch.Tensor, keys: Sequence[Key] | None) -> torch.Tensor:
        """Return labels [N], -1 where the votes are too close; as few votes as that takes.

        What an attack searches with. An input leaves when a class leads by 4.5 standard errors of
        the difference; one that will hardly come so far is left open early.
        """
        source = self._source(self._searched, x, self.average.name_draws(x, keys))
        labels = torch.full((len(x),), -1, device=x.device)
        rows, counts, done = torch.arange(len(x), device=x.device), None, 0
        while len(rows) and done < self.votes:
            # So many that a pass is full also where few inputs are left.
            ahead = -(-source.size // (BLOCK * len(rows))) * BLOCK
            upto = min(done + ahead, self.votes)
            new = source.shares(rows.tolist(), "clear", done, upto).sum(1, dtype=torch.float64)
            counts, done = new if counts is None else counts + new, upto
            leaders = counts.argmax(dim=1)
            first, second = counts.topk(2, dim=1).values.unbind(dim=1)
            clear = first - second > _CLEAR * (first + second).sqrt()
            labels[rows[clear]] = leaders[clear].to(x.device)
            # What the lead will be, and twice the scatter of what is still to come.
            left = self.votes - done
            hopeful = (first - second) * self.votes / done + 2 * left**0.5
            on = ~clear & (hopeful >= _CLEAR * self.votes**0.5)
            rows, counts = rows[on], counts[on]
        return labels

    @staticmethod
    def _source(average: "PostAverage", x: torch.Tensor, keys: Sequence[Key]) -> Source:
        placed = x.detach().to(place_of(average.model)[0])
        return Source(average, noise_of(average, x[0].numel()), placed, keys)
