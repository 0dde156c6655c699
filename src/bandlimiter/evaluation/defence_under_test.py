"""Defences under test: their answers, those under other draws, and how they are attacked."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bandlimiter.attacks import AttackedModel, GradientPoints, Randomness
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.defence.baselines import build_baseline
from bandlimiter.errors import BandlimiterError, ConfigurationError
from bandlimiter.evaluation.adaptive import REDRAWS
from bandlimiter.evaluation.phases import ANSWERS, SEEDS, phase
from bandlimiter.evaluation.plan import Plan
from bandlimiter.evaluation.precision import FLOAT32, FastCopies
from bandlimiter.evaluation.screened import ScreenedAverage
from bandlimiter.results import NONE, OURS
from bandlimiter.tensors import Key, answers_differ, find_normaliser, model_logits, place_of


class DefenceUnderTest:
    """A defended model with the rules by which it is judged.

    Parameters
    ----------
    name
        What rows and tables call it.
    module
        [N, ...] pixels -> logits [N, classes].
    plain
        The model that it defends.
    example
        [1, ...], an input for both.
    random
        Whether it answers differently each time.
    randomness
        How it is attacked and judged if so.
    seeds
        Of a fixed draw: how many other direction seeds are judged beside it.
    stop, alpha
        How early a `PostAverage` may answer.
    copies
        Of the plain model; None where float32 does everything.
    gradient_points
        See `AttackedModel`.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        plain: nn.Module,
        example: torch.Tensor,
        *,
        random: bool,
        randomness: Randomness,
        seeds: int = 0,
        stop: Stop = "never",
        alpha: float = 1e-3,
        copies: FastCopies | None = None,
        gradient_points: GradientPoints = "all",
    ) -> None:
        self._copies, self._gradient_points = copies, gradient_points
        self.name, self.module, self.random = name, module, random
        self.randomness = randomness if random else Randomness()
        self._plain, self._example, self._stop, self._alpha = plain, example, stop, alpha
        self._dtype = place_of(plain)[1]
        self._answering = self._screened(module)
        self._others: list[nn.Module] = []
        if isinstance(module, PostAverage) and not random:
            seeds_beside = range(module.seed + 1, module.seed + 1 + seeds)
            self._others = [self._screened(module.variant(seed=seed)) for seed in seeds_beside]

    @property
    def precision(self) -> str:
        """What the run's copies compute in, as rows say; verdicts are float32's."""
        return FLOAT32 if self._copies is None else self._copies.name

    @property
    def screened(self) -> bool:
        """Whether labels come from a copy where it is sure to agree with float32."""
        return isinstance(self._answering, ScreenedAverage)

    @property
    def held(self) -> float:
        """The bound that labels were given under; infinite where float32 gives all of them."""
        return min((each.held for each in self._screens), default=torch.inf)

    @property
    def largest(self) -> float:
        """The largest difference that checks found."""
        return max((each.largest for each in self._screens), default=0.0)

    def measure(self, images: torch.Tensor, least: float) -> None:
        """Measure by how much the copy is off, on images [N, ...]; take ``least`` at least."""
        first, *rest = self._screens
        first.measure(images.to(self._dtype))
        for each in (first, *rest):  # others are draws of the same law
            each.hold(max(first.bound, least))

    def distrust(self) -> None:
        """Take all labels from float32 until `measure`."""
        for each in self._screens:
            each.hold(torch.inf)

    @property
    def _screens(self) -> list[ScreenedAverage]:
        every = [self._answering, *self._others]
        return [each for each in every if isinstance(each, ScreenedAverage)]

    def _screened(self, module: nn.Module) -> nn.Module:
        if (
            self._copies is None or type(module) is not PostAverage
        ):  # a subclass may answer otherwise
            return module
        if module.model is not self._plain or module.vote != "softmax":
            return module
        return ScreenedAverage(module, self._copies.answers)

    def attacked(self, heartbeat: Callable[[AttackedModel], None] | None = None) -> AttackedModel:
        """Return the defence as an attack sees it that knows everything but fresh draws."""
        return AttackedModel(
            self._answering,
            heartbeat,
            randomness=self.randomness,
            differentiable=self._differentiable(),
            # A part of a user's average would pass by what is theirs.
            gradient_points=self._gradient_points if type(self.module) is PostAverage else "all",
        )

    def labels(self, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """[N, ...] -> [N], with fresh draws named by ``keys``."""
        with phase(ANSWERS):
            return self._labels(self._answering, images, keys)

    def repeated(self, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return predictions [redraws, N], each with draws of its own."""
        with phase(ANSWERS):
            repeats = [
                self._labels(self._answering, images, [f"{key}/again{i}" for key in keys])
                for i in range(self.randomness.redraws)
            ]
        return torch.stack(repeats)

    def other_seeds(self, images: torch.Tensor) -> list[tuple[int, ...]]:
        """Return the labels [N][seeds] under other direction seeds, empty where there are none."""
        if not self._others or not len(images):
            return [()] * len(images)
        with phase(SEEDS):
            columns = [self._labels(other, images, range(len(images))) for other in self._others]
        return [tuple(row) for row in torch.stack(columns, dim=1).tolist()]

    def scale(self) -> float | torch.Tensor | None:
        """Return what divides a pixel difference to give a length in the network's input space."""
        if isinstance(self.module, PostAverage):
            return self.module.scale
        normaliser = find_normaliser(self._plain)
        return None if normaliser is None else normaliser.std

    @torch.no_grad()
    def _labels(self, module: nn.Module, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        images = images.to(self._dtype)
        if isinstance(module, ScreenedAverage):
            return module.labels(images, keys, self._stop, self._alpha)
        if isinstance(module, PostAverage):
            return module.predict(images, stop=self._stop, alpha=self._alpha, keys=keys).labels
        return model_logits(module, images).argmax(dim=1)

    def _differentiable(self) -> nn.Module | None:
        """Return the module that gradients come from; None where that is the defence itself.

        A compiled copy has no gradient and a majority vote none that is not zero. An attacker
        who knows the defence follows the mean probability over the same points instead. Where
        there is a fast copy with a gradient, it stands for the plain model.
        """
        module, fast = self.module, None if self._copies is None else self._copies.gradients
        if not isinstance(module, PostAverage):
            return fast if module is self._plain else None
        # The plain model is inside, or a compiled copy of it; or another model, which is followed.
        inside = module.model
        if inside is not self._plain and not has_gradient(inside, self._example):
            inside = self._plain
        if fast is not None and inside is self._plain and type(module) is PostAverage:
            inside = fast
        if module.vote != "majority" and inside is module.model:
            return None
        vote = "softmax" if module.vote == "majority" else module.vote
        return module.variant(model=inside, vote=vote)


def defences_under_test(
    plan: Plan, example: torch.Tensor, copies: FastCopies | None = None
) -> list[DefenceUnderTest]:
    """Return all defences of a run, its own first.

    Baselines are built around the plain model; it stands last, as `NONE`, where attacks know
    what they attack.

    Parameters
    ----------
    plan
        Of the run.
    example
        [1, ...], an input.
    copies
        Of the plain model.

    Raises
    ------
    ConfigurationError
        For an unknown baseline, or baselines of a defence that is no `PostAverage`.
    """
    built = _baselines(plan.model, plan.defence, plan.baselines)
    modules = {OURS: plan.defence, **plan.others, **built}
    if plan.adaptive is not None:
        modules[NONE] = plan.model
    adaptive = plan.adaptive
    randomness = Randomness(redraws=REDRAWS) if adaptive is None else adaptive.randomness
    seeds = 0 if adaptive is None else adaptive.other_seeds(plan.quick)
    return [
        DefenceUnderTest(
            name,
            module,
            plan.model,
            example,
            random=_random(module, example),
            randomness=randomness,
            seeds=seeds if name == OURS else 0,
            stop=_stop(plan, module),
            alpha=plan.alpha,
            copies=copies,
            gradient_points="all" if adaptive is None else adaptive.gradient_points,
        )
        for name, module in modules.items()
    ]


def has_gradient(module: nn.Module, x: torch.Tensor) -> bool:
    """Whether a gradient leads from the module's logits at x [N, ...] back to x."""
    device, dtype = place_of(module)
    first = torch.zeros(len(x), dtype=torch.int64, device=device)
    try:
        AttackedModel(module).loss_gradient(x.to(device, dtype), first)
    except torch.OutOfMemoryError:
        raise
    except (BandlimiterError, RuntimeError):  # whatever else is wrong is said elsewhere
        return False
    return True


def _stop(plan: Plan, module: nn.Module) -> Stop:
    return plan.stop if isinstance(module, PostAverage) and module.can_stop else "never"


def _baselines(model: nn.Module, defence: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    if not names:
        return {}
    if not isinstance(defence, PostAverage):
        raise ConfigurationError(
            "expected a PostAverage to build baselines of equal cost for, got "
            f"{type(defence).__name__}; leave baselines out"
        )
    around = defence.variant(model=model)
    return {name: build_baseline(name, around) for name in names}


def _random(module: nn.Module, example: torch.Tensor) -> bool:
    """Whether a module answers differently each time, by its own draws or its model's."""
    if isinstance(module, PostAverage) and module.randomness == "fresh":
        return True
    try:
        device = next(module.parameters()).device
    except StopIteration:
        device = example.device
    try:
        return answers_differ(module, example.to(device))
    except Exception:  # noqa: BLE001  (a user's code may raise anything)
        return False  # whatever is wrong is said, with more care, before the first row
