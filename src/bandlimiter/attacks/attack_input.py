"""What an attack is given: images, labels and rules, with a name for each image."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from bandlimiter.attacks.attacked_model import AttackedModel
from bandlimiter.attacks.goals import Goal
from bandlimiter.attacks.losses import CROSS_ENTROPY, Loss
from bandlimiter.tensors import Key, generator

_FARTHEST = 1.25
"""By how much a point is lengthened at most until the model itself is fooled."""

_BISECTIONS = 9
"""To 0.0005 of its length."""


@dataclass(frozen=True)
class AttackInput:
    """What an attack is given: correctly classified images and the rules.

    Attributes
    ----------
    model
        The classifier to fool.
    images
        [N, ...] pixels in [0, 1].
    labels
        [N] the classes that the model gives to the images now.
    epsilon
        The budget in pixels, in the attack's norm; a minimal search may ignore it.
    ids
        One name per image; random draws depend on it and on ``seed``, not on the batch.
    seed
        The run's seed.
    target_labels
        [N] the classes that a targeted attack is to reach; None where any wrong one will do.
    """

    model: AttackedModel
    images: torch.Tensor
    labels: torch.Tensor
    epsilon: float
    ids: Sequence[Key]
    seed: int
    target_labels: torch.Tensor | None = None

    @property
    def target(self) -> AttackedModel:
        """The former name of ``model``."""
        warnings.warn("AttackInput.target is called model now", DeprecationWarning, stacklevel=2)
        return self.model

    @property
    def goal(self) -> Goal:
        """What counts as success."""
        return Goal(self.labels, self.target_labels)

    def uniform(self, *purpose: Key) -> torch.Tensor:
        """Draw uniform numbers in [-1, 1), one stream per image: like ``images``."""
        return 2 * self._drawn(torch.rand, purpose) - 1

    def normal(self, *purpose: Key) -> torch.Tensor:
        """Draw standard normal numbers, one stream per image: like ``images``."""
        return self._drawn(torch.randn, purpose)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Ask the model about x, a point for each image: [N, ...] -> [N, classes]."""
        return self.model.logits(x, self.ids)

    def fooled(self, x: torch.Tensor) -> torch.Tensor:
        """[N] bool: the model's prediction for x is a success."""
        return self.model.fooled(x, self.goal, self.ids)

    def margins(self, x: torch.Tensor) -> torch.Tensor:
        """Return by how much the answers at x are a success: [N], above 0 where they are."""
        return self.goal.margin(self.logits(x))

    def search_logits(self, x: torch.Tensor, share: float = 1.0) -> torch.Tensor:
        """Return logits to compare points by; see `AttackedModel.search_logits`."""
        return self.model.search_logits(x, self.ids, share=share)

    def ascend(
        self, x: torch.Tensor, loss: Loss = CROSS_ENTROPY, *, share: float = 1.0, turn: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, losses and gradients at x; see `AttackedModel.ascend`."""
        return self.model.ascend(x, self.goal, loss, self.ids, share=share, turn=turn)

    def confirmed(self, x: torch.Tensor, logits: torch.Tensor, share: float = 1.0) -> torch.Tensor:
        """Return whether images may leave at x, where `ascend` gave ``logits``: [N] bool."""
        return self.model.confirmed(x, self.goal, logits, self.ids, share=share)

    def pushed_over(self, x: torch.Tensor) -> torch.Tensor:
        """Return points x [N, ...] on which the model itself agrees, where a copy was followed.

        A copy's boundary is not quite the model's. A point that the model still has right moves
        away from its image, along a straight line and by a quarter at most, until it has not; one
        that nothing helps stays. Of all other points, and models, nothing changes.
        """
        if not self.model.follows_copy:
            return x
        short = (~self.fooled(x)).nonzero().flatten()
        if not len(short):
            return x

        def lengthened(rows: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
            wide = factor.view(-1, *[1] * (x.ndim - 1))
            start = self.images[rows]
            return (start + wide * (x[rows] - start)).clamp(0, 1)

        far = lengthened(short, x.new_full((len(short),), _FARTHEST))
        short = short[self.select(short).fooled(far)]
        if not len(short):
            return x
        part, low = self.select(short), x.new_ones(len(short))
        high = torch.full_like(low, _FARTHEST)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            fooled = part.fooled(lengthened(short, middle))
            low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
        moved = x.clone()
        moved[short] = lengthened(short, high)
        return moved

    def loss_gradient(self, x: torch.Tensor, step: int = 1, steps: int = 1) -> torch.Tensor:
        """Return the gradient of the cross-entropy, as it rises towards success: [N, ...].

        Of an attack that compares no losses, after so many of its ``steps``: of other parts of an
        average each time, so that they add up to the whole; see `AttackedModel.share`.
        """
        return self.ascend(x, share=self.model.share(step / steps), turn=step)[2]

    def confirmed_and_gradient(
        self, x: torch.Tensor, step: int = 1, steps: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `confirmed` [N] bool and `loss_gradient` [N, ...] from one pass."""
        share = self.model.share(step / steps)
        logits, _, gradient = self.ascend(x, share=share, turn=step)
        return self.confirmed(x, logits, share), gradient

    def select(self, index: torch.Tensor) -> "AttackInput":
        """Return the inputs for the images numbered in ``index``: [n] int64."""
        goal = self.goal[index]
        return replace(
            self,
            images=self.images[index],
            labels=goal.labels,
            target_labels=goal.target_labels,
            ids=[self.ids[i] for i in index.tolist()],
        )

    def _drawn(self, draw: Callable[..., torch.Tensor], purpose: Sequence[Key]) -> torch.Tensor:
        shape = self.images.shape[1:]
        draws = [draw(shape, generator=generator(self.seed, *purpose, key)) for key in self.ids]
        return torch.stack(draws).to(self.images.device, self.images.dtype)
