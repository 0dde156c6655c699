"""The base of attacks: it clips, predicts again and checks the budget; no attack grades itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from bandlimiter.attacks.losses import Loss, cross_entropy
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


@dataclass(frozen=True)
class AttackResult:
    """What came out, as the base saw it.

    Attributes
    ----------
    images
        [N, ...] in [0, 1]: the attack's image where it fools the model, else the original.
    found
        [N] bool: the attack changed the image, and the model's prediction is not the label
        (of a model with random answers: in the stated share of predictions, see `Randomness`).
    labels
        [N] the model's prediction where something was found, else the given label; of a
        model with random answers the most frequent one.
    wrong
        [N] float64, the share of the predictions of the attack's image that are wrong.
    linf, l2
        [N] float64 lengths of the perturbation, in pixels; 0 where nothing was found.
    within
        [N] bool, found and of length at most epsilon in the attack's norm.
    queries, gradients
        [N] int64, evaluations of the target that went to each image.
    """

    images: torch.Tensor
    found: torch.Tensor
    labels: torch.Tensor
    wrong: torch.Tensor
    linf: torch.Tensor
    l2: torch.Tensor
    within: torch.Tensor
    queries: torch.Tensor
    gradients: torch.Tensor


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
        others made. (The same attack on the defended model is ``"adaptive"`` there.)
    norm
        In which its budget is: ``"linf"`` or ``"l2"``, both in pixels.
    """

    name: str
    protocol: str
    norm: str = "linf"
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
            Budget in pixels, in the attack's norm, above 0.
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
        before = target.spent(names)
        candidates = self.run(Problem(target, images, labels, epsilon, names, seed))
        graded = grade(target, images, labels, candidates, epsilon, ids=names, norm=self.norm)
        queries, gradients = (
            (after - start).to(labels.device)
            for after, start in zip(target.spent(names), before, strict=True)
        )
        return replace(graded, queries=queries, gradients=gradients)


def grade(
    target: Target,
    images: torch.Tensor,
    labels: torch.Tensor,
    candidates: torch.Tensor,
    epsilon: float,
    *,
    ids: Sequence[Key] | None = None,
    norm: str = "linf",
) -> AttackResult:
    """Clip candidates to [0, 1], predict them again and measure them.

    Also judges adversarial images that others made. A candidate with NaN counts as not
    found, and so does one that is the original.
    """
    shape = (-1, *[1] * (images.ndim - 1))
    broken = torch.isnan(candidates.flatten(1)).any(dim=1).view(shape)
    clipped = torch.where(broken, images, candidates.clamp(0, 1))
    predicted, wrong = target.verdict(clipped, labels, ids)
    changed = (clipped != images).flatten(1).any(dim=1)
    found = changed & (wrong >= target.randomness.broken_share)
    kept = torch.where(found.view(shape), clipped, images)
    difference = (kept.double() - images.double()).flatten(1)
    lengths = {"linf": difference.abs().amax(dim=1), "l2": difference.norm(dim=1)}
    slack = _ROUNDING * (1 if norm == "linf" else math.sqrt(difference.shape[1]))
    return AttackResult(
        images=kept,
        found=found,
        labels=torch.where(found, predicted, labels),
        wrong=wrong,
        linf=lengths["linf"],
        l2=lengths["l2"],
        within=found & (lengths[norm] <= epsilon + slack),
        queries=torch.ones_like(labels),
        gradients=torch.zeros_like(labels),
    )
