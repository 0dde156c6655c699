"""What an attack is given: images, labels and rules, with a name for each image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bandlimiter.attacks.losses import Loss, cross_entropy
from bandlimiter.attacks.target import Target
from bandlimiter.tensors import Key, generator


@dataclass(frozen=True)
class Problem:
    """What an attack is given: correctly classified images and the rules.

    Attributes
    ----------
    target
        The classifier to fool.
    images
        [N, ...] pixels in [0, 1].
    labels
        [N] the classes that the target gives to the images now.
    epsilon
        The budget in pixels, in the attack's norm; a minimal search may ignore it.
    ids
        One name an image; random draws depend on it and on ``seed``, not on the batch.
    seed
        The run's seed.
    """

    target: Target
    images: torch.Tensor
    labels: torch.Tensor
    epsilon: float
    ids: Sequence[Key]
    seed: int

    def uniform(self, *purpose: Key) -> torch.Tensor:
        """Draw uniform numbers in [-1, 1), one stream an image: like ``images``."""
        return 2 * self._drawn(torch.rand, purpose) - 1

    def normal(self, *purpose: Key) -> torch.Tensor:
        """Draw standard normal numbers, one stream an image: like ``images``."""
        return self._drawn(torch.randn, purpose)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Ask the target about x, a point for each image: [N, ...] -> [N, classes]."""
        return self.target.logits(x, self.ids)

    def fooled(self, x: torch.Tensor) -> torch.Tensor:
        """[N] bool: the target's prediction for x is not the image's label."""
        return self.target.fooled(x, self.labels, self.ids)

    def ascend(
        self, x: torch.Tensor, loss: Loss = cross_entropy
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, losses and gradients at x; see `Target.ascend`."""
        return self.target.ascend(x, self.labels, loss, self.ids)

    def confirmed(self, x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return whether images may leave at x, where `ascend` gave ``logits``: [N] bool."""
        return self.target.confirmed(x, self.labels, logits, self.ids)

    def loss_gradient(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the cross-entropy at x: [N, ...]."""
        return self.ascend(x)[2]

    def fooled_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `fooled` and `loss_gradient` from one pass."""
        return self.target.fooled_and_gradient(x, self.labels, self.ids)

    def select(self, index: torch.Tensor) -> "Problem":
        """Return the problem for the images numbered in ``index``: [n] int64."""
        ids = [self.ids[i] for i in index.tolist()]
        images, labels = self.images[index], self.labels[index]
        return Problem(self.target, images, labels, self.epsilon, ids, self.seed)

    def _drawn(self, draw: Callable[..., torch.Tensor], purpose: Sequence[Key]) -> torch.Tensor:
        shape = self.images.shape[1:]
        draws = [draw(shape, generator=generator(self.seed, *purpose, key)) for key in self.ids]
        return torch.stack(draws).to(self.images.device, self.images.dtype)
