"""A cascade: attacks from cheap to dear, each on the images that the earlier ones left."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bandlimiter.attacks.attacked_model import AttackedModel
from bandlimiter.attacks.base import Attack, AttackResult, grade, require_targeted
from bandlimiter.attacks.goals import Goal, require_wanted
from bandlimiter.errors import ConfigurationError, NoGradientError
from bandlimiter.tensors import Key, as_labels, require_images


@dataclass(frozen=True)
class CascadeResult:
    """The worst case over a cascade, for N images.

    Attributes
    ----------
    result
        As of a single attack; of an image that no stage broke, the last stage's image.
        Evaluations are of all stages together.
    stages
        [N] the name of the stage that broke an image, or None.
    without_gradient
        Names of the stages that could not run, because the model has no gradient.
    """

    result: AttackResult
    stages: list[str | None]
    without_gradient: list[str]


def run_cascade(
    attacks: Sequence[Attack],
    classifier: AttackedModel,
    /,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    epsilon: float,
    target: torch.Tensor | None = None,
    ids: Sequence[Key] | None = None,
    seed: int = 0,
) -> CascadeResult:
    """Attack images until each is broken or all attacks have tried.

    A model with random answers has the last word at the end: what seemed broken is predicted
    again with new draws, since the worst of several verdicts is partly luck.

    Parameters
    ----------
    attacks
        In this order; an image leaves with the first that breaks it within the budget.
    classifier, images, labels, epsilon, target, ids, seed
        As for an `Attack`.

    Raises
    ------
    InputError
        As an `Attack`.
    NoGradientError
        Where no attack of the cascade could run.
    ConfigurationError
        For a cascade of no attacks; as an `Attack`.
    """
    if not attacks:
        raise ConfigurationError("expected at least one attack, got none")
    images, labels = require_images(images), as_labels(labels).to(images.device)
    if target is not None:
        require_targeted(attacks)
        target = require_wanted(target, labels, classifier.count_classes(images))
    names = list(range(len(images))) if ids is None else list(ids)
    before = classifier.spent(names)
    stages: list[str | None] = [None] * len(images)
    without: list[str] = []
    total: AttackResult | None = None
    left = torch.arange(len(images), device=images.device)
    for attack in attacks:
        if not len(left):
            break
        own = [names[i] for i in left.tolist()]
        try:
            found = attack(
                classifier,
                images[left],
                labels[left],
                epsilon=epsilon,
                target=None if target is None else target[left],
                ids=own,
                seed=seed,
            )
        except NoGradientError:
            without.append(attack.name)
            continue
        total = found if total is None else _merged(total, left, found)
        for i in left[found.within].tolist():
            stages[i] = attack.name
        left = left[~found.within]
    if total is None:
        raise NoGradientError(
            "expected an attack that needs no gradient for a model that has none, got "
            f"{', '.join(without)}; add square"
        )
    seeming = total.within.nonzero().flatten()
    if classifier.randomness.redraws > 1 and len(seeming):
        own = [names[i] for i in seeming.tolist()]
        given = images[seeming], Goal(labels, target)[seeming], total.images[seeming]
        found = grade(classifier, *given, epsilon, ids=own, norm=attacks[0].norm)
        total = _merged(total, seeming, found)
        for i in seeming[~found.within].tolist():
            stages[i] = None
    costs = classifier.spent(names).less(before)
    return CascadeResult(total.at_costs(costs), stages, without)


def _merged(total: AttackResult, rows: torch.Tensor, found: AttackResult) -> AttackResult:
    columns = {}
    for name, column in vars(total).items():
        columns[name] = column.clone()
        columns[name][rows] = getattr(found, name)
    return AttackResult(**columns)
