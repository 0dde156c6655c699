"""The rows of one attack on one slice, as one defence answers what was found."""

from collections.abc import Sequence

import torch

from bandlimiter.attacks import Goal
from bandlimiter.data import ImageSet
from bandlimiter.evaluation.attack_spec import AttackSpec
from bandlimiter.evaluation.evaluator import Attacked, CleanAnswers, CleanBatch, Evaluator
from bandlimiter.results import Row
from bandlimiter.tensors import Key

_Cells = dict[str, object]
"""Some of a `Row`'s fields."""


def build_rows(
    evaluator: Evaluator, spec: AttackSpec, answers: CleanAnswers, attacked: Attacked | None
) -> list[Row]:
    """Return what became of each image of a slice, in its order.

    Parameters
    ----------
    evaluator
        Of the defence that the rows are about.
    spec
        How the attack is described.
    answers
        The slice.
    attacked
        What the attack did; None where it had nothing to attack.
    """
    batch, outcomes = answers.of(evaluator), {}
    if attacked is not None:
        found = _outcomes(evaluator, spec, batch, attacked)
        outcomes = dict(zip(attacked.right.tolist(), found, strict=True))
    seeds = answers.other_seeds(evaluator) if spec.threat == "adaptive" else [()] * len(batch.ids)
    return [
        _row(
            spec,
            evaluator.epsilon,
            evaluator.name,
            image=int(batch.ids[i]),
            label=int(batch.labels[i]),
            target=None if batch.targets is None else int(batch.targets[i]),
            plain_clean=int(batch.plain[i]),
            defended_clean=int(batch.defended[i]),
            other_seeds_clean=seeds[i],
            precision=evaluator.defence.precision,
            **outcomes.get(i, {}),
        )
        for i in range(len(batch.ids))
    ]


def failed_rows(
    spec: AttackSpec,
    epsilon: float,
    defences: Sequence[str],
    images: ImageSet,
    position: int,
    error: str,
) -> list[Row]:
    """Return what stands for an image of which there is no answer."""
    return [
        _row(
            spec,
            epsilon,
            name,
            image=int(images.ids[position]),
            label=int(images.labels[position]),
            plain_clean=-1,
            defended_clean=-1,
            error=error,
        )
        for name in defences
    ]


def _row(spec: AttackSpec, epsilon: float, defence: str, **cells: object) -> Row:
    """Return a row; where nothing else is said, the attack found nothing."""
    return Row.model_validate(
        {
            "attack": spec.name,
            "protocol": spec.protocol,
            "threat": spec.threat,
            "quick": spec.quick,
            "norm": spec.norm,
            "epsilon": epsilon,
            "defence": defence,
            **{"found": False, "within_budget": False, "linf": 0.0, "l2": 0.0},
            **{"plain_adversarial": None, "defended_adversarial": None, "l2_normalised": None},
            **cells,
        }
    )


def _outcomes(
    evaluator: Evaluator, spec: AttackSpec, batch: CleanBatch, attacked: Attacked
) -> list[_Cells]:
    """Say what each attacked image's row will."""
    result = attacked.result
    found = result.found.nonzero().flatten()
    answers = iter(_answers(evaluator, spec, batch, attacked, found))
    lengths = _normalised_lengths(evaluator, batch.images[attacked.right], result.images)
    outcomes: list[_Cells] = []
    for i, hit in enumerate(result.found.tolist()):
        outcome: _Cells = {
            "stage": None if attacked.cascade is None else attacked.cascade.stages[i],
            "queries": int(result.queries[i]),
            "gradients": int(result.gradients[i]),
            "evaluations": int(result.evaluations[i]),
        }
        if hit:
            outcome |= {
                "found": True,
                "within_budget": bool(result.within[i]),
                "linf": float(result.linf[i]),
                "l2": float(result.l2[i]),
                "l2_normalised": lengths[i],
                **next(answers),
            }
        outcomes.append(outcome)
    return outcomes


def _answers(
    evaluator: Evaluator,
    spec: AttackSpec,
    batch: CleanBatch,
    attacked: Attacked,
    found: torch.Tensor,
) -> list[_Cells]:
    """Return both models' answers to the found images, [n] int64 among the attacked."""
    if not len(found):
        return []
    result, defence = attacked.result, evaluator.defence
    images, goal = result.images[found], batch.goal(attacked.right[found])
    names = batch.ids[attacked.right[found].cpu()].tolist()
    keys = [f"{name}/{spec.name}/{spec.protocol}" for name in names]
    seeds: list[tuple[int, ...]] = [()] * len(images)
    shares: tuple[torch.Tensor, torch.Tensor] | None
    if spec.threat == "adaptive":
        plain, defended = evaluator.plain.predict(images), result.labels[found]
        shares = result.wrong[found], result.reached[found]
        seeds = defence.other_seeds(images)
    else:
        plain, defended = result.labels[found], defence.labels(images, keys)
        shares = _shares(evaluator, images, goal, keys) if defence.random else None
    return [
        {
            "plain_adversarial": int(plain[i]),
            "defended_adversarial": int(defended[i]),
            "other_seeds_adversarial": seeds[i],
            **_random_answers(evaluator, shares, goal, i),
        }
        for i in range(len(images))
    ]


def _shares(
    evaluator: Evaluator, images: torch.Tensor, goal: Goal, keys: Sequence[Key]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how often repeated answers of the defence are wrong, and at the goal: [n] each."""
    repeats = evaluator.defence.repeated(images, keys)
    wrong, reached = repeats != goal.labels, goal.reached(repeats)
    return wrong.double().mean(dim=0), reached.double().mean(dim=0)


def _random_answers(
    evaluator: Evaluator, shares: tuple[torch.Tensor, torch.Tensor] | None, goal: Goal, i: int
) -> _Cells:
    """Say what only random answers leave open: how often they are wrong, and at the target."""
    if shares is None or not evaluator.defence.random:
        return {}
    wrong, reached = shares
    return {
        "wrong": float(wrong[i]),
        "reached": None if goal.target_labels is None else float(reached[i]),
        "broken_share": evaluator.defence.randomness.broken_share,
    }


def _normalised_lengths(
    evaluator: Evaluator, images: torch.Tensor, adversarial: torch.Tensor
) -> list[float] | list[None]:
    scale = evaluator.defence.scale()
    if scale is None:
        return [None] * len(images)
    scale = scale.to(images.device) if isinstance(scale, torch.Tensor) else scale
    difference = (adversarial.double() - images.double()) / scale
    lengths: list[float] = difference.flatten(1).norm(dim=1).tolist()
    return lengths
