"""What an attack is to reach: any class but the label, or one class that was chosen before."""

from dataclasses import dataclass

import torch

from bandlimiter.attacks.losses import MARGIN, Loss
from bandlimiter.errors import InputError
from bandlimiter.tensors import usable


@dataclass(frozen=True)
class Goal:
    """What counts as success for N images, and what rises on the way to it.

    Attributes
    ----------
    labels
        [N] int64, the classes that the images have now.
    target_labels
        [N] int64, the classes that they are to be given; None where any other will do.

    Examples
    --------
    >>> labels, answers = torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2])
    >>> Goal(labels).reached(answers).tolist()
    [False, True, True]
    >>> Goal(labels, torch.tensor([2, 2, 2])).reached(answers).tolist()
    [False, False, True]
    """

    labels: torch.Tensor
    target_labels: torch.Tensor | None = None

    @classmethod
    def of(cls, given: "Goal | torch.Tensor") -> "Goal":
        """Return a goal as it is, and labels [N] as what is to be left."""
        return given if isinstance(given, Goal) else cls(given)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: torch.Tensor | slice) -> "Goal":
        """Return the goal for some of the images."""
        return Goal(
            self.labels[rows], None if self.target_labels is None else self.target_labels[rows]
        )

    def usable(self) -> "Goal":
        """Return the goal in tensors that autograd takes."""
        return Goal(
            usable(self.labels), None if self.target_labels is None else usable(self.target_labels)
        )

    def reached(self, predicted: torch.Tensor) -> torch.Tensor:
        """Return whether predictions [..., N] are a success: bool, of the same shape."""
        return (
            predicted != self.labels
            if self.target_labels is None
            else predicted == self.target_labels
        )

    def loss(self, loss: Loss, logits: torch.Tensor) -> torch.Tensor:
        """Return a loss of logits [N, classes] that is larger the closer the goal is: [N]."""
        if self.target_labels is None:
            return loss.untargeted(logits, self.labels)
        return loss.targeted(logits, self.labels, self.target_labels)

    def margin(self, logits: torch.Tensor) -> torch.Tensor:
        """Return by how much logits [N, classes] are a success: [N], above 0 where they are."""
        return self.loss(MARGIN, logits)


def require_wanted(wanted: object, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return target classes [N] as int64 beside their labels.

    Raises
    ------
    InputError
        (a ValueError) for what is no class index in [0, classes) for each image, and for an
        image's own label, which is no target.
    """
    if not isinstance(wanted, torch.Tensor) or wanted.is_floating_point() or wanted.is_complex():
        kind = wanted.dtype if isinstance(wanted, torch.Tensor) else type(wanted).__name__
        raise InputError(f"expected targets as a tensor of whole numbers, got {kind}")
    if wanted.shape != labels.shape or wanted.dtype == torch.bool:
        raise InputError(
            f"expected {len(labels)} targets, one class index per image, got shape "
            f"{tuple(wanted.shape)} and {wanted.dtype}"
        )
    wanted = wanted.to(labels.device, torch.int64)
    low, high = int(wanted.min()), int(wanted.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"expected targets from 0 to {classes - 1}, as the model has {classes} outputs; got "
            f"targets from {low} to {high}"
        )
    own = (wanted == labels).nonzero().flatten()
    if len(own):
        raise InputError(
            f"expected targets other than the labels, got {len(own)} images whose label is their "
            f"target, the first at position {int(own[0])}; leave these out"
        )
    return wanted
