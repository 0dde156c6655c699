"""Signs that an attack is weak, not a model strong; after AutoAttack's (Croce and Hein 2020).

Each check looks at one thing and returns `Finding`s, none for an honest model. They cannot show
that a model is robust, only that numbers of this run should not be believed as they stand.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from bandlimiter.attacks import APGD, AttackedModel
from bandlimiter.attacks.losses import MARGIN
from bandlimiter.errors import ConfigurationError, NoGradientError
from bandlimiter.results import CASCADE, Row, Status
from bandlimiter.tensors import Key, answers_differ

_STEP = 0.5 / 255
"""Pixels: long enough to see a change of float32 logits, short enough to be nearly straight."""

_LARGE = 64 / 255
"""An L-inf budget at which nothing is recognisable for certain, and every model must fall.

In L2 it is the length of a perturbation of this size in every number.
"""

LARGE_BUDGET_STEPS = 20
"""Gradients per image and start that the attack with a large budget takes."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    kind
        ``"random"``, ``"probabilities"``, ``"no-gradient"``, ``"zero-gradient"``,
        ``"masked-gradient"``, ``"square-wins"`` or ``"large-budget"``.
    about
        ``"plain"``, or the defence's name.
    message
        What was seen, and what it means for the numbers.
    """

    kind: str
    about: str
    message: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Checked:
    """A model under attack, at images that it has right.

    Attributes
    ----------
    about
        What findings call it.
    model, again
        It, and the same with nothing counted yet.
    x, labels, names
        [N, ...] pixels, [N] class indices, and [N] names for random draws.
    norm, epsilon, seed
        How the run attacks it; None where only transfer attacks start from it.
    restarts
        Starts that an attack of a check may have.
    """

    about: str
    model: AttackedModel
    again: AttackedModel
    x: torch.Tensor
    labels: torch.Tensor
    names: Sequence[Key]
    norm: str | None = None
    epsilon: float = 0.0
    seed: int = 0
    restarts: int = 2


Check = Callable[[Checked], list[Finding]]


def check_answers(target: AttackedModel, about: str, x: torch.Tensor) -> list[Finding]:
    """Look for answers that are random while attacks ask only once."""
    if target.averages or not answers_differ(target.model, x):
        return []
    return [
        Finding(
            "random",
            about,
            "answers differ from call to call, and each query and gradient asks only once: "
            "average over more draws, or attacks chase noise",
        )
    ]


def check_gradients(
    target: AttackedModel,
    about: str,
    x: torch.Tensor,
    labels: torch.Tensor,
    names: Sequence[Key],
    again: AttackedModel | None = None,
) -> list[Finding]:
    """Look at logits and gradients around correctly classified images x [N, ...].

    ``again`` is the same target with nothing counted yet: if neither was asked about ``names``
    before, it gives both ends of a step the same random draws.
    """
    try:
        logits, before, slope = target.ascend(x, labels, MARGIN, names)
    except NoGradientError as error:
        why = "" if error.__cause__ is None else f" ({str(error.__cause__).partition(chr(10))[0]})"
        return [
            Finding(
                "no-gradient",
                about,
                f"no gradient can be had{why}: only queries tell anything of it",
            )
        ]
    findings = []
    if _probabilities(logits):
        findings.append(
            Finding(
                "probabilities",
                about,
                "outputs look like probabilities, not logits: their cross-entropy is nearly flat "
                "and gradients mislead; return logits, or the logarithm of the probabilities",
            )
        )
    steepness = slope.flatten(1).abs().sum(dim=1)
    zero = int((steepness == 0).sum())
    if zero > 0.1 * len(x):
        findings.append(
            Finding(
                "zero-gradient",
                about,
                f"the gradient is exactly zero at {zero} of {len(x)} images: attacks that follow "
                "it go nowhere there",
            )
        )
        return findings
    # The function that the gradient is of: under a majority vote it is not the answer.
    moved = (x + _STEP * slope.sign()).clamp(0, 1)
    after = (again or target).ascend(moved, labels, MARGIN, names)[1]
    rising = after - before > 0.1 * _STEP * steepness
    if rising.double().mean() < 0.5:
        findings.append(
            Finding(
                "masked-gradient",
                about,
                f"a step of {255 * _STEP:g}/255 along the gradient raises the margin as it "
                f"promises at only {int(rising.sum())} of {len(x)} images: gradients are masked",
            )
        )
    return findings


def check_large_budget(
    target: AttackedModel,
    about: str,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    norm: str,
    epsilon: float,
    ids: Sequence[Key],
    seed: int,
    restarts: int = 2,
) -> list[Finding]:
    """Attack a few images with a budget at which accuracy must fall to chance."""
    large = max(_LARGE * (1 if norm == "linf" else x[0].numel() ** 0.5), epsilon)
    attack = APGD(steps=LARGE_BUDGET_STEPS, norm=norm, restarts=restarts)
    try:
        result = attack(target, x, labels, epsilon=large, ids=ids, seed=seed)
    except NoGradientError:
        return []  # said already
    left = len(x) - int(result.within.sum())
    if left <= _chance(target, x):
        return []
    size = f"{255 * large:.0f}/255 (L-inf)" if norm == "linf" else f"{large:.3g} (L2)"
    return [
        Finding(
            "large-budget",
            about,
            f"{left} of {len(x)} images stay right at a budget of {size}, where every model falls: "
            "the gradient attacks do not work here",
        )
    ]


def check_square(rows: Sequence[Row], about: str) -> list[Finding]:
    """Ask whether Square breaks what attacks with gradients could not."""
    cascade = [row for row in rows if row.attack == CASCADE and row.defence == about]
    by_square = sum(row.stage == "square" for row in cascade)
    reached = by_square + sum(row.status is Status.NOT_FOUND for row in cascade)
    if by_square < 2 or by_square <= 0.1 * reached:
        return []
    return [
        Finding(
            "square-wins",
            about,
            f"Square, which sees no gradient, broke {by_square} of the {reached} images that the "
            "attacks with gradients had left: their gradients mislead",
        )
    ]


CHECKS: dict[str, Check] = {
    "answers": lambda of: check_answers(of.model, of.about, of.x),
    "gradients": lambda of: check_gradients(
        of.model, of.about, of.x, of.labels, of.names, again=of.again
    ),
    "large-budget": lambda of: _check_attacked(of),
}
"""What a run's models are checked for, in this order; `register_check` adds to it."""


def register_check(name: str, check: Check) -> None:
    """Add a check to those that every run makes.

    Called where the module of a model (``--model MODULE:FACTORY``) is imported, it is made in that
    model's runs, and its findings stand among the run's warnings.

    Raises
    ------
    ConfigurationError
        For a name that is taken.
    """
    if name in CHECKS:
        raise ConfigurationError(
            f"expected a name that no check has, got {name!r}; the names taken are "
            f"{', '.join(CHECKS)}"
        )
    CHECKS[name] = check


def _check_attacked(of: Checked) -> list[Finding]:
    """Try a large budget on what the run itself attacks."""
    if of.norm is None:
        return []
    return check_large_budget(
        of.model,
        of.about,
        of.x,
        of.labels,
        norm=of.norm,
        epsilon=of.epsilon,
        ids=of.names,
        seed=of.seed,
        restarts=of.restarts,
    )


def _probabilities(logits: torch.Tensor) -> bool:
    sums = logits.double().sum(dim=1)
    return bool((logits >= 0).all() and ((sums - 1).abs() < 1e-3).all())


def _chance(target: AttackedModel, x: torch.Tensor) -> float:
    """Return how many of the images guessing would leave right, and the luck of so few."""
    share = 1 / target.count_classes(x)
    return float(len(x) * share + 2 * (len(x) * share * (1 - share)) ** 0.5)
