"""The base of attacks: it clips, predicts again and checks the budget; no attack grades itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from bandlimiter.attacks.problem import Problem
from bandlimiter.attacks.target import Target
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key, as_labels, require_images

# A perturbation of exactly epsilon comes back longer by rounding when it is read off as a
# difference of float32 pixels: at most one unit in the last place of 1.0.
_ROUNDING = 2.0**-23


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
        images, labels = require_images(images), as_labels(labels)
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
