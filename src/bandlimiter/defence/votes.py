"""Votes: how the outputs at the points of a neighbourhood become one score per class.

Each function maps logits [N, P, classes] (N inputs, P points each) to scores
[N, classes]. The names and the four rules are those of the authors' code; the paper
reports ``softmax``. Torch is imported where it is used: help texts are written from `VOTES`, and do
not wait for it.
"""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    import torch


def softmax_scores(logits: "torch.Tensor") -> "torch.Tensor":
    """Log of the mean probability, log((1/P) sum_p softmax(z_p)).

    Computed by logsumexp of log-softmax, so that it is always finite, and softmax of it
    gives the mean probabilities back.
    """
    import torch

    logs = logits.log_softmax(dim=2)
    # A class that a model rules out with -inf keeps a finite score and a gradient of zero.
    logs = logs.clamp_min(torch.finfo(logs.dtype).min)
    return logs.logsumexp(dim=1) - math.log(logits.shape[1])


def logits_scores(logits: "torch.Tensor") -> "torch.Tensor":
    """Mean logits."""
    return logits.mean(dim=1)


def majority_scores(logits: "torch.Tensor") -> "torch.Tensor":
    """Share of the points at which each class comes first; piecewise constant, no gradient."""
    return _winner(logits).mean(dim=1)


def weighted_scores(logits: "torch.Tensor") -> "torch.Tensor":
    """Mean logits times the number of votes; a class without a vote scores zero.

    The authors' rule as it is, with its trap: it means what it says only where the likely
    classes have positive logits. Where all are negative (log-probabilities, for example),
    a class without a vote wins.
    """
    import torch

    votes = majority_scores(logits) * logits.shape[1]
    return torch.where(votes > 0, logits_scores(logits) * votes, 0)


def _softmax(scores: "torch.Tensor") -> "torch.Tensor":
    return scores.softmax(dim=1)


def _unchanged(scores: "torch.Tensor") -> "torch.Tensor":
    return scores


def _winner(logits: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import one_hot

    return one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(logits.dtype)


Share = Callable[["torch.Tensor"], "torch.Tensor"]


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
        mean over the points has the argmax of ``scores``. Early stops and certificates rest on
        this. None where the scores are no mean of bounded numbers: then a part of the points never
        decides, and a small change of the offsets' law can change the mean at will.
    one_hot
        Whether each point's share is one for a single class and zero for all others. Certificates
        then count votes, which takes fewer evaluations than tests of scores.
    summary
        What it is, in a few words for help texts; may be left out.
    """

    scores: "Callable[[torch.Tensor], torch.Tensor]"
    probabilities: "Callable[[torch.Tensor], torch.Tensor]"
    share: Share | None = None
    one_hot: bool = False
    summary: str = ""


VOTES = {
    "softmax": Vote(softmax_scores, _softmax, share=_softmax, summary="mean probabilities"),
    "logits": Vote(logits_scores, _softmax, summary="mean logits"),
    "majority": Vote(
        majority_scores, _unchanged, share=_winner, one_hot=True, summary="one vote per point"
    ),
    "weighted": Vote(weighted_scores, _softmax, summary="mean logits times votes"),
}
"""All votes by name; `register_vote` adds to them."""


def bounded_votes() -> list[str]:
    """Return the names of votes with a ``share``, which can stop early and be certified."""
    return [name for name, vote in VOTES.items() if vote.share is not None]


def share_of(name: str, purpose: str) -> Share:
    """Return the ``share`` of the vote called ``name``; refuse (ConfigurationError) one without."""
    share = VOTES[name].share
    if share is None:
        raise ConfigurationError(
            f"expected stop='never' with the vote {name}, whose scores have no bounds, got "
            f"{purpose!r}; the votes {listed(bounded_votes(), 'and')} can stop early"
        )
    return share


def listed(names: Iterable[str], word: str = "or") -> str:
    """Return names as a sentence lists them.

    Examples
    --------
    >>> listed(["softmax", "logits", "majority"])
    'softmax, logits or majority'
    """
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def described_votes(names: Iterable[str]) -> str:
    """Return votes with their summaries, for help texts.

    Examples
    --------
    >>> described_votes(bounded_votes())
    'softmax (mean probabilities) or majority (one vote per point)'
    """
    summaries = {name: VOTES[name].summary for name in names}
    return listed(f"{name} ({said})" if said else name for name, said in summaries.items())


def register_vote(name: str, vote: Vote) -> None:
    """Make a vote known by its name: to `PostAverage`, and to commands as ``--vote``.

    Called where the module of a model (``--model MODULE:FACTORY``) is imported, it adds one to
    those that the command takes. With a ``share`` it can stop early, and be certified.

    Raises
    ------
    ConfigurationError
        For a name that is taken.

    Examples
    --------
    >>> register_vote("largest", Vote(lambda logits: logits.amax(dim=1), _softmax))
    >>> "largest" in VOTES
    True
    >>> del VOTES["largest"]
    """
    if name in VOTES:
        raise ConfigurationError(
            f"expected a name that no vote has, got {name!r}; the names taken are "
            f"{', '.join(VOTES)}"
        )
    VOTES[name] = vote
