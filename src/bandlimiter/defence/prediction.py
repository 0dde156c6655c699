"""What a defended model answers."""

from typing import NamedTuple

import torch


class Prediction(NamedTuple):
    """The answer for a batch of N inputs.

    Attributes
    ----------
    labels
        [N] int64, the predicted classes.
    probabilities
        [N, classes], each row a distribution: averaged softmax outputs for the vote
        ``softmax``, shares of the votes for ``majority``, softmax of the raw scores for
        ``logits`` and ``weighted``. After an early stop, the average up to the decision.
    samples
        [N] int64, how many evaluations of the network were spent on each answer.
    decided
        [N] bool, whether the answer is the full average's for sure (or, under early
        stopping, at the stated level). False only where a budget ended first.
    """

    labels: torch.Tensor
    probabilities: torch.Tensor
    samples: torch.Tensor
    decided: torch.Tensor
