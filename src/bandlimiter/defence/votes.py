"""Votes: how the outputs at the points of a neighbourhood become one score a class.

Each function maps logits [N, P, classes] (N inputs, P points each) to scores
[N, classes]. The names and the four rules are those of the authors' code; the paper
reports ``softmax``.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from bandlimiter.errors import ConfigurationError


def softmax_scores(logits: torch.Tensor) -> torch.Tensor:
    """Log of the mean probability, log((1/P) sum_p softmax(z_p)).

    Computed by logsumexp of log-softmax, so that it is always finite, and softmax of it
    gives the mean probabilities back.
    """
    logs = F.log_softmax(logits, dim=2)
    # A class that a model rules out with -inf keeps a finite score and a gradient of zero.
    logs = logs.clamp_min(torch.finfo(logs.dtype).min)
    return logs.logsumexp(dim=1) - math.log(logits.shape[1])


def logits_scores(logits: torch.Tensor) -> torch.Tensor:
    """Mean logits."""
    return logits.mean(dim=1)


def majority_scores(logits: torch.Tensor) -> torch.Tensor:
    """Share of the points at which each class comes first; piecewise constant, no gradient."""
    winners = logits.argmax(dim=2)
    return F.one_hot(winners, logits.shape[2]).to(logits.dtype).mean(dim=1)


def weighted_scores(logits: torch.Tensor) -> torch.Tensor:
    """Mean logits times the number of votes; a class without a vote scores zero.

    The authors' rule as it is, with its trap: it means what it says only where the likely
    classes have positive logits. Where all are negative (log-probabilities, for example),
    a class without a vote wins.
    """
    votes = majority_scores(logits) * logits.shape[1]
    return torch.where(votes > 0, logits_scores(logits) * votes, 0)


def _softmax(scores: torch.Tensor) -> torch.Tensor:
    return scores.softmax(dim=1)


def _unchanged(scores: torch.Tensor) -> torch.Tensor:
    return scores


def _winner(logits: torch.Tensor) -> torch.Tensor:
    return F.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)


Share = Callable[[torch.Tensor], torch.Tensor]


class Vote(NamedTuple):
    """A rule.

    Attributes
    ----------
    scores
        All points' logits [N, P, classes] to an input's scores [N, classes].
    probabilities
        Those scores to a distribution [N, classes].
    share
        Logits [B, classes] of single points to what each adds to the average, in [0, 1]; its
        mean over the points has the argmax of ``scores``. None where the scores are no mean
        of bounded numbers: then a part of the points never decides.
    """

    scores: Callable[[torch.Tensor], torch.Tensor]
    probabilities: Callable[[torch.Tensor], torch.Tensor]
    share: Share | None = None


VOTES = {
    "softmax": Vote(softmax_scores, _softmax, share=_softmax),
    "logits": Vote(logits_scores, _softmax),
    "majority": Vote(majority_scores, _unchanged, share=_winner),
    "weighted": Vote(weighted_scores, _softmax),
}
"""All votes by name; `register_vote` adds to them."""


def register_vote(name: str, vote: Vote) -> None:
    """Make a vote known by its name: to `PostAverage`, and to commands as ``--vote``.

    Called where the module of a model (``--model MODULE:FACTORY``) is imported, it adds one to
    those that the command takes. With a ``share`` it can stop early; certificates are for
    ``majority`` and ``softmax`` alone, whose tests know what their scores are means of.

    Raises
    ------
    ConfigurationError
        For a name that is taken.

    Examples
    --------
    >>> register_vote("largest", Vote(lambda logits: logits.amax(dim=1), _softmax))
    >>> "largest" in VOTES
    True
    """
    if name in VOTES:
        raise ConfigurationError(
            f"expected a name that no vote has, got {name!r}; the names taken are "
            f"{', '.join(VOTES)}"
        )
    VOTES[name] = vote
