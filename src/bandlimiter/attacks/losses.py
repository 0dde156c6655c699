"""Losses that an attack raises: each maps logits [N, classes] and labels [N] to [N]."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


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


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "dlr": difference_of_logits_ratio}
