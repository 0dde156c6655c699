"""A classifier of which both sides are wanted: its answers, its attackers' view, its proof."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import torch
from torch import nn

from bandlimiter.attacks import Attack, AttackedModel, MinimalPGD
from bandlimiter.defence import Certificate, PostAverage, certify
from bandlimiter.defence.certificates import ManyVotes, reach
from bandlimiter.defence.part_of_average import PartOfAverage
from bandlimiter.errors import BandlimiterError, ConfigurationError, InputError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest, has_gradient
from bandlimiter.evaluation.phases import CERTIFICATES, phase
from bandlimiter.evaluation.precision import FLOAT32, FastCopies, Precision, make_copies
from bandlimiter.evaluation.validation import require_sound
from bandlimiter.results import SMALLEST

SEARCHES = 7
"""By how often smallest budgets are doubled at most, and halved."""

_FARTHEST = 2.5
"""How far all steps of a search lead together, in budgets (Madry et al. 2017)."""

_LABEL_ALONE = 1e-3
"""Of the reach: a radius to certify where no other is wanted, so that the label is known."""


@dataclass(frozen=True)
class RobustnessSettings:
    """What is proven and attacked, and how.

    Attributes
    ----------
    at
        L2 radii in pixels, increasing.
    linf
        L-inf budgets in pixels, increasing; may be empty.
    adaptive
        The attacks: stages, steps, queries, restarts and ``draws``, the noise vectors per gradient.
    votes
        New ones that judge an attack's point.
    samples, alpha
        Of the certificates; see `certify`.
    smallest
        Whether each image's smallest L-inf budget is searched for.
    seed
        Of the attacks' draws.
    precision
        ``auto``: gradients come from fast copies; verdicts never do.
    """

    at: tuple[float, ...]
    linf: tuple[float, ...]
    adaptive: Adaptive
    votes: int
    samples: int
    alpha: float
    smallest: bool
    seed: int
    precision: Precision

    @property
    def budgets(self) -> dict[str, tuple[float, ...]]:
        """Budgets by norm, of norms that have some."""
        both = {"l2": self.at, "linf": self.linf}
        return {norm: budgets for norm, budgets in both.items() if budgets}

    def attacks(self, norm: str, plain: AttackedModel) -> list[Attack]:
        """Return the attacks of a norm, in the order that they take turns."""
        return self.of_norm(norm).cascade(plain, quick=False)

    def of_norm(self, norm: str) -> Adaptive:
        """Return the attacks' settings in a norm.

        Raises
        ------
        ConfigurationError
            For a stage that has no form in it.
        """
        try:
            return replace(self.adaptive, norm=norm, curve=False)
        except ConfigurationError as error:
            if "for the stage" not in str(error):
                raise
            raise ConfigurationError(
                f"expected stages that attack in L2 and in L-inf, got one of {self.adaptive.stages}"
                f" without a form in {norm}; leave it out"
            ) from error

    @property
    def search(self) -> Attack:
        """The search for smallest budgets: PGD with as many steps, from 4/255 on."""
        steps, rate = self.adaptive.steps, _FARTHEST / self.adaptive.steps
        return MinimalPGD(steps, rate, 4 / 255, 2.0, SEARCHES, quick=False, name=SMALLEST)


class Subject:
    """A classifier under attack.

    Parameters
    ----------
    name
        What rows call it.
    module
        [N, ...] pixels -> logits [N, classes]. A `PostAverage` that `certify` takes is attacked and
        judged as the average over all noise.
    network
        The network that a compiled copy inside stands for, whose gradient attacks follow then; None
        for other modules.
    example
        [1, ...], an input.
    settings
        Of the run.

    Attributes
    ----------
    average
        The module, where it can be certified; else None.
    judge
        Of the average.
    precision
        Of the gradients.

    Raises
    ------
    ConfigurationError, InputError
        Where the module does not take the input or answers by the batch, or has no gradient that
        the stages need, in one line with its name.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        network: nn.Module | None,
        example: torch.Tensor,
        settings: RobustnessSettings,
    ) -> None:
        self.name, self.module = name, module
        self._settings, self._example = settings, example
        self.average: PostAverage | None = module if can_certify(module, example) else None
        try:
            require_sound(module, example)
            self.classes = AttackedModel(module).count_classes(example)
        except BandlimiterError as error:
            raise type(error)(f"{name}: {error}") from error
        inside = module.model if isinstance(module, PostAverage) else module
        needed = any(settings.adaptive.follows_gradients()) or settings.smallest
        if needed and not has_gradient(inside, example):
            if network is None:
                raise ConfigurationError(
                    f"expected a gradient of {name} for the attacks, none came; leave it out, or "
                    "attack with --stage square alone"
                )
            inside = network
        self._network = inside
        copies = None if settings.precision == FLOAT32 else make_copies(inside, example)
        self._copies: FastCopies | None = copies
        self.precision = FLOAT32 if copies is None else copies.name
        self.judge = None
        if self.average is not None:
            searched = None if copies is None else self.average.variant(model=copies.answers)
            self.judge = ManyVotes(self.average, settings.votes, searched=searched)

    @property
    def points(self) -> int:
        """Evaluations of the network per gradient and per answer while an attack searches."""
        if self.average is not None:
            return self._settings.adaptive.draws
        if not isinstance(self.module, PostAverage):
            return 1
        return self.module.evaluations * (self._settings.adaptive.draws if self._random else 1)

    def attacked(self, heartbeat: Callable[[AttackedModel], None] | None) -> AttackedModel:
        """Return the classifier as an attack sees it; new for each slice, as its draws count."""
        if self.average is None or self.judge is None:
            return DefenceUnderTest(
                *(self.name, self.module, self._network, self._example),
                random=self._random,
                randomness=self._settings.adaptive.randomness,
                copies=self._copies,
            ).attacked(heartbeat)
        draws = self._settings.adaptive.draws
        noisy = self.average.variant(
            model=self._network if self._copies is None else self._copies.gradients,
            vote="softmax",
            directions=-(-(draws - 1) // 6) or 1,  # 6K + 1 independent draws, of which some
        )
        some = PartOfAverage(noisy, noisy.scores_at, torch.arange(draws), noisy.keeps_graphs)
        return AttackedModel(self.judge, heartbeat, differentiable=some)

    def plain(self, heartbeat: Callable[[AttackedModel], None] | None) -> AttackedModel:
        """Return the network inside as transfer attacks see it."""
        copy = None if self._copies is None else self._copies.gradients
        return AttackedModel(self._network, heartbeat, differentiable=copy)

    @property
    def reach(self) -> float:
        """The largest radius that the samples can certify; 0 where there are no certificates."""
        if self.average is None:
            return 0.0
        given = self._settings
        return reach(self.average, self._example[0].numel(), given.samples, given.alpha)

    def certificate(self, x: torch.Tensor, ids: Sequence[int]) -> Certificate | None:
        """Certify images at those radii that the samples reach; None where there is no proof."""
        if self.average is None:
            return None
        within = [radius for radius in self._settings.at if radius <= self.reach]
        with phase(CERTIFICATES):
            return certify(
                self.average,
                x,
                at=within or [_LABEL_ALONE * self.reach],
                samples=self._settings.samples,
                alpha=self._settings.alpha,
                keys=list(ids),
            )

    @property
    def _random(self) -> bool:
        return isinstance(self.module, PostAverage) and self.module.randomness == "fresh"


def can_certify(module: nn.Module, example: torch.Tensor) -> TypeGuard[PostAverage]:
    """Whether `certify` takes a module."""
    if not isinstance(module, PostAverage):
        return False
    try:
        reach(module, example[0].numel(), 100, 0.5)
    except (ConfigurationError, InputError):
        return False
    return True
