"""Losses that an attack raises: from logits [N, classes] and labels [N], and targets, to [N]."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return -log p of the label."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the largest other logit minus the label's: above 0 where the label is beaten.

    Examples
    --------
    >>> margin(torch.tensor([[1.0, 3.0, 0.5]]), torch.tensor([0]))
    tensor([2.])
    """
    own = logits.gather(1, labels[:, None])
    return (logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1, keepdim=True) - own)[:, 0]


def difference_of_logits_ratio(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the margin over the distance from the largest to the third largest logit.

    The DLR loss (Croce and Hein 2020, eq. 6). Shifting or scaling all logits leaves it as it
    is, so that a network whose cross-entropy is flat to rounding still shows where to go. With
    two classes, which have no third logit, the margin itself.
    """
    if logits.shape[1] < 3:
        return margin(logits, labels)
    largest = logits.topk(3, dim=1).values
    return margin(logits, labels) / (largest[:, 0] - largest[:, 2] + 1e-12)


def targeted_difference_of_logits_ratio(
    logits: torch.Tensor, labels: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Return how far the target lies above the label, over the spread of the largest logits.

    The targeted DLR loss (Croce and Hein 2020, eq. 7), -(z_label - z_wanted) / (z_1 - (z_3 +
    z_4) / 2) with z_k the k-th largest. With fewer than four classes, which have no fourth
    logit, by how much the target beats all others.
    """
    if logits.shape[1] < 4:
        return -margin(logits, wanted)
    largest = logits.topk(4, dim=1).values
    ahead = logits.gather(1, wanted[:, None]) - logits.gather(1, labels[:, None])
    return ahead[:, 0] / (largest[:, 0] - largest[:, 2:].mean(dim=1) + 1e-12)


class Loss(NamedTuple):
    """A loss in its two forms; both rise on the way to success.

    Attributes
    ----------
    untargeted
        Of logits and labels: rises as the label is left.
    targeted
        Of logits, labels and targets: rises as the target is approached.
    """

    untargeted: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    targeted: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


CROSS_ENTROPY = Loss(cross_entropy, lambda logits, _, wanted: -cross_entropy(logits, wanted))
MARGIN = Loss(margin, lambda logits, _, wanted: -margin(logits, wanted))
DLR = Loss(difference_of_logits_ratio, targeted_difference_of_logits_ratio)

LOSSES = {"ce": CROSS_ENTROPY, "dlr": DLR}
"""What APGD can raise, by name."""
