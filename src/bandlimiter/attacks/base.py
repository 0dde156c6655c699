"""The base of attacks: it clips, predicts again and checks the budget; no attack grades itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.attacked_model import AttackedModel
from bandlimiter.attacks.goals import Goal, require_wanted
from bandlimiter.attacks.kept_searches import candidates_of
from bandlimiter.attacks.query_counter import Costs
from bandlimiter.attacks.registration import targeted_names
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
        [N] bool: the attack changed the image, and the model's prediction is not the label,
        or is the target where one was given (of a model with random answers: in the stated
        share of predictions, see `Randomness`).
    labels
        [N] the model's prediction where something was found, else the given label; of a
        model with random answers the most frequent one.
    wrong
        [N] float64, the share of the predictions of the attack's image that are wrong.
    reached
        [N] float64, the share of them that are a success: the target; without one, as
        ``wrong``.
    linf, l2
        [N] float64 lengths of the perturbation, in pixels; 0 where nothing was found.
    within
        [N] bool, found and of length at most epsilon in the attack's norm.
    queries, gradients, evaluations
        [N] int64, what went to each image; see `Costs`.
    """

    images: torch.Tensor
    found: torch.Tensor
    labels: torch.Tensor
    wrong: torch.Tensor
    reached: torch.Tensor
    linf: torch.Tensor
    l2: torch.Tensor
    within: torch.Tensor
    queries: torch.Tensor
    gradients: torch.Tensor
    evaluations: torch.Tensor

    def at_costs(self, costs: Costs) -> "AttackResult":
        """Return the same at other costs."""
        on = self.queries.device
        return replace(self, **{key: value.to(on) for key, value in costs._asdict().items()})


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
    targeted
        Whether it can be given target classes: whether `run` goes by the inputs' `Goal`.
    needs_gradient
        Whether it follows a gradient. One that does not can break a defence that hides it.
    few_gradients
        Whether it takes so few that it follows the model itself, not a fast copy of it: then one
        gradient decides much.
    image_axes
        How many axes its images must have beside the batch's: 3 for [C, H, W]. None for any.
    """

    name: str
    protocol: str
    norm: str = "linf"
    quick: bool = False
    threat: str = "transfer"
    targeted: bool = False
    needs_gradient: bool = True
    few_gradients: bool = False
    image_axes: int | None = None

    @abstractmethod
    def run(self, inputs: AttackInput) -> torch.Tensor:
        """Return candidates [N, ...]; where nothing was found, anything that does not fool."""

    def __call__(
        self,
        classifier: AttackedModel,
        /,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        epsilon: float,
        target: torch.Tensor | None = None,
        ids: Sequence[Key] | None = None,
        seed: int = 0,
    ) -> AttackResult:
        """Attack ``images`` and check what came out.

        Parameters
        ----------
        classifier
            What is attacked.
        images
            [N, ...] pixels in [0, 1], which it classifies as ``labels``.
        labels
            [N] int64.
        epsilon
            Budget in pixels, in the attack's norm, above 0.
        target
            [N] class indices, none of them the image's label: then a prediction is a success
            if it is the target, and another wrong class is none.
        ids
            Names for the random draws; the positions in the batch where omitted.
        seed
            Any integer.

        Raises
        ------
        InputError
            For images that are none, NaN or outside [0, 1]; for targets that are not one
            class index per image other than its label.
        ConfigurationError
            For a budget that is not above 0, and for a target where `targeted` is False.
        """
        images, labels = require_images(images), as_labels(labels).to(images.device)
        if not epsilon > 0:
            raise ConfigurationError(f"expected epsilon above 0, got {epsilon}")
        wanted = None
        if target is not None:
            require_targeted([self])
            wanted = require_wanted(target, labels, classifier.count_classes(images))
        names = list(range(len(images))) if ids is None else list(ids)
        before = classifier.spent(names)
        inputs = AttackInput(classifier, images, labels, epsilon, names, seed, wanted)
        graded = grade(
            classifier,
            images,
            inputs.goal,
            candidates_of(self, inputs),
            epsilon,
            ids=names,
            norm=self.norm,
        )
        return graded.at_costs(classifier.spent(names).less(before))


def require_targeted(attacks: Sequence[Attack]) -> None:
    """Refuse (ConfigurationError) attacks that cannot be given target classes."""
    without = list(dict.fromkeys(attack.name for attack in attacks if not attack.targeted))
    if without:
        raise ConfigurationError(
            f"expected attacks with a targeted form ({', '.join(targeted_names())}), got "
            f"{', '.join(without)}; leave {'it' if len(without) == 1 else 'them'} out, or the "
            "targets"
        )


def grade(
    classifier: AttackedModel,
    images: torch.Tensor,
    goal: Goal | torch.Tensor,
    candidates: torch.Tensor,
    epsilon: float,
    *,
    ids: Sequence[Key] | None = None,
    norm: str = "linf",
) -> AttackResult:
    """Clip candidates to [0, 1], predict them again and measure them.

    Also judges adversarial images that others made. ``goal`` says what counts: labels [N] that
    are to be left, or a `Goal`. A candidate with NaN counts as not
    found, and so does one that is the original.
    """
    shape = (-1, *[1] * (images.ndim - 1))
    broken = torch.isnan(candidates.flatten(1)).any(dim=1).view(shape)
    clipped = torch.where(broken, images, candidates.clamp(0, 1))
    goal = Goal.of(goal)
    predicted = classifier.repeated(clipped, ids)
    reached = goal.reached(predicted).double().mean(dim=0)
    changed = (clipped != images).flatten(1).any(dim=1)
    found = changed & (reached >= classifier.randomness.broken_share)
    kept = torch.where(found.view(shape), clipped, images)
    difference = (kept.double() - images.double()).flatten(1)
    lengths = {"linf": difference.abs().amax(dim=1), "l2": difference.norm(dim=1)}
    slack = _ROUNDING * (1 if norm == "linf" else math.sqrt(difference.shape[1]))
    return AttackResult(
        images=kept,
        found=found,
        labels=torch.where(found, predicted.mode(dim=0).values, goal.labels),
        wrong=(predicted != goal.labels).double().mean(dim=0),
        reached=reached,
        linf=lengths["linf"],
        l2=lengths["l2"],
        within=found & (lengths[norm] <= epsilon + slack),
        queries=torch.ones_like(goal.labels),
        gradients=torch.zeros_like(goal.labels),
        evaluations=torch.ones_like(goal.labels),
    )
