"""The base of attacks: it clips, predicts again and checks the budget; no attack grades itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bandlimiter.attacks.target import Target
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key, generator, require_images

# A perturbation of exactly epsilon comes back longer by rounding when it is read off as a
# difference of float32 pixels: at most one unit in the last place of 1.0.
_ROUNDING = 2.0**-23


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
        The L-inf budget in pixels; a minimal search may ignore it.
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
        shape, dtype = self.images.shape[1:], self.images.dtype
        draws = [
            torch.rand(shape, generator=generator(self.seed, *purpose, key)) for key in self.ids
        ]
        return (2 * torch.stack(draws) - 1).to(self.images.device, dtype)

    def select(self, index: torch.Tensor) -> "Problem":
        """Return the problem for the images numbered in ``index``: [n] int64."""
        ids = [self.ids[i] for i in index.tolist()]
        images, labels = self.images[index], self.labels[index]
        return Problem(self.target, images, labels, self.epsilon, ids, self.seed)


@dataclass(frozen=True)
class AttackResult:
    """What came out, as the base saw it.

    Attributes
    ----------
    images
        [N, ...] in [0, 1]: the attack's image where it fools the model, else the original.
    found
        [N] bool: the attack changed the image, and the model's prediction is not the label.
    labels
        [N] the model's prediction where something was found, else the given label.
    linf, l2
        [N] float64 lengths of the perturbation, in pixels; 0 where nothing was found.
    within
        [N] bool, found and of L-inf length at most epsilon.
    """

    images: torch.Tensor
    found: torch.Tensor
    labels: torch.Tensor
    linf: torch.Tensor
    l2: torch.Tensor
    within: torch.Tensor


class Attack(ABC):
    """An attack under one protocol. Subclasses implement `run`; calling it grades the result.

    Attributes
    ----------
    name
        What the command and the rows call it, for example ``"pgd"``.
    protocol
        ``"minimal"``: the smallest perturbation that the attack finds, which counts only
        if it lies within the budget. ``"fixed"``: the full budget.
    quick
        Whether it takes fewer steps than the paper's; noted in every row.
    threat
        What it knows: ``"transfer"``, the plain model only; ``"unknown"`` for images that
        others made.
    """

    name: str
    protocol: str
    quick: bool = False
    threat: str = "transfer"

    @abstractmethod
    def run(self, problem: Problem) -> torch.Tensor:
        """Return candidates [N, ...]; where nothing was found, anything that does not fool."""

    def __call__(
        self,
        target: Target,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        epsilon: float,
        ids: Sequence[Key] | None = None,
        seed: int = 0,
    ) -> AttackResult:
        """Attack ``images`` and check what came out.

        Parameters
        ----------
        target
            The classifier.
        images
            [N, ...] pixels in [0, 1], which the target classifies as ``labels``.
        labels
            [N] int64.
        epsilon
            L-inf budget in pixels, above 0.
        ids
            Names for the random draws; the positions in the batch where omitted.
        seed
            Any integer.

        Raises
        ------
        InputError
            For images that are none, NaN or outside [0, 1].
        ConfigurationError
            For a budget that is not above 0.
        """
        require_images(images)
        if not epsilon > 0:
            raise ConfigurationError(f"expected epsilon above 0, got {epsilon}")
        names = list(range(len(images))) if ids is None else list(ids)
        candidates = self.run(Problem(target, images, labels, epsilon, names, seed))
        return grade(target, images, labels, candidates, epsilon)


def grade(
    target: Target,
    images: torch.Tensor,
    labels: torch.Tensor,
    candidates: torch.Tensor,
    epsilon: float,
) -> AttackResult:
    """Clip candidates to [0, 1], predict them again and measure them.

    Also judges adversarial images that others made. A candidate with NaN counts as not
    found, and so does one that is the original.
    """
    shape = (-1, *[1] * (images.ndim - 1))
    broken = torch.isnan(candidates.flatten(1)).any(dim=1).view(shape)
    clipped = torch.where(broken, images, candidates.clamp(0, 1))
    predicted = target.predict(clipped)
    changed = (clipped != images).flatten(1).any(dim=1)
    found = changed & (predicted != labels)
    kept = torch.where(found.view(shape), clipped, images)
    difference = (kept.double() - images.double()).flatten(1)
    linf, l2 = difference.abs().amax(dim=1), difference.norm(dim=1)
    return AttackResult(
        images=kept,
        found=found,
        labels=torch.where(found, predicted, labels),
        linf=linf,
        l2=l2,
        within=found & (linf <= epsilon + _ROUNDING),
    )
