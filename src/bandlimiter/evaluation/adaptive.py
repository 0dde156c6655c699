"""How the defended model itself is attacked: the cascade and the smallest budgets."""

from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any, get_args

from bandlimiter.attacks import (
    APGD,
    ATTACKS,
    Attack,
    AttackedModel,
    GradientPoints,
    MinimalPGD,
    Randomness,
    Square,
    Stage,
    StageSettings,
    TransferAttack,
    stage_names,
)
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.attack_spec import AttackSpec
from bandlimiter.results import CASCADE, SMALLEST

STAGES = tuple(stage_names())
"""What a cascade can consist of, from cheap to dear, beside what `register_attack` adds."""

REDRAWS = 3
"""How often what an attack found is judged again, unless told otherwise."""


@dataclass(frozen=True)
class Adaptive:
    """How adaptive attacks proceed: those that know the defence.

    They know model, directions, seed and radius; of fresh draws their law.

    Attributes
    ----------
    stages
        Of `STAGES`, in order; an image leaves with the first that breaks it. ``"transfer"``
        is APGD on the plain model, ``"apgd"`` and ``"apgd-dlr"`` follow the gradient through
        the defence with two losses, ``"pgd"`` is plain PGD, ``"square"`` needs no gradient.
        More are added by `bandlimiter.attacks.register_attack`.
    steps
        Gradients per image, stage and start, beside that of the start itself.
    queries
        Answers per image that Square may ask for.
    restarts
        Random starts of APGD.
    norm
        ``"linf"`` or ``"l2"``: of the cascade's budget.
    draws
        For random answers: over how many each query and gradient is averaged.
    redraws
        For random answers: how often a final image is predicted, 3 times by default. For a fixed
        draw: under how many other direction seeds final images are judged beside it, 3 by
        default and none in a quick run.
    broken_share
        For random answers: the share of these predictions that must be wrong.
    curve
        Also search for each image's smallest budget, on the plain and the defended model.
    gradient_points
        ``"part"``: in the first steps of an attack on an average, gradients come from a random part
        of its points, in the last and for every verdict from all of them. ``"all"``: always.
    """

    stages: tuple[str, ...] = field(default_factory=lambda: default_stages())
    steps: int = 50
    queries: int = 500
    restarts: int = 1
    norm: str = "linf"
    draws: int = 8
    redraws: int | None = None
    broken_share: float = 0.5
    curve: bool = False
    gradient_points: GradientPoints = "part"

    def __post_init__(self) -> None:
        known = stage_names()
        unknown = [stage for stage in self.stages if stage not in known]
        if unknown or not self.stages or len(set(self.stages)) < len(self.stages):
            raise ConfigurationError(
                f"expected stages of {', '.join(known)}, each once; got {', '.join(self.stages)}"
            )
        if self.gradient_points not in get_args(GradientPoints):
            raise ConfigurationError(
                f"expected gradient points part or all, got {self.gradient_points!r}"
            )
        if self.redraws is not None and self.redraws < 0:
            raise ConfigurationError(f"expected redraws of 0 or more, got {self.redraws}")
        # What is left refuses at once what it cannot do.
        _ = self.randomness
        APGD(steps=self.steps, norm=self.norm, restarts=self.restarts)
        Square(queries=self.queries)
        for stage, attack in zip(self.stages, self.attacks(quick=False), strict=True):
            if attack.norm != self.norm:
                raise ConfigurationError(
                    f"expected norm {attack.norm} for the stage {stage}, got {self.norm}"
                )
        if self.norm != "linf" and self.curve:
            raise ConfigurationError(f"expected norm linf for smallest budgets, got {self.norm}")

    def __getstate__(self) -> dict[str, Any]:
        # The modules that registered the stages, so that they are known in other processes, too.
        homes = [_stage(name).build.__module__ for name in self.stages]
        return {**vars(self), "homes": homes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for home in state.pop("homes"):
            import_module(home)
        self.__dict__.update(state)

    @property
    def randomness(self) -> Randomness:
        """How a model with random answers is attacked and judged."""
        redraws = REDRAWS if self.redraws is None else max(1, self.redraws)
        return Randomness(self.draws, redraws, self.broken_share)

    def other_seeds(self, quick: bool) -> int:
        """Return under how many other direction seeds a fixed draw's final images are judged."""
        if self.redraws is None:
            return 0 if quick else REDRAWS
        return self.redraws

    def settings(self, quick: bool) -> dict[str, Any]:
        """Return them as a result's document states them."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        redraws = REDRAWS if self.redraws is None else self.redraws
        return {**found, "redraws": redraws, "other_seeds": self.other_seeds(quick)}

    def cascade_spec(self, quick: bool) -> AttackSpec:
        """Return how rows describe the cascade."""
        return AttackSpec(CASCADE, "fixed", "adaptive", quick, self.norm)

    def quickened(self) -> "Adaptive":
        """Return these settings with at most 10 steps and 100 queries, for demonstrations."""
        return replace(self, steps=min(self.steps, 10), queries=min(self.queries, 100))

    def attacks(self, *, quick: bool) -> list[Attack]:
        """Return the attacks that stages run, marked as quick or not."""
        given = StageSettings(self.steps, self.queries, self.restarts, self.norm, quick)
        return [_stage(name).build(given) for name in self.stages]

    def follows_gradients(self) -> list[bool]:
        """Return, by stage, whether it follows the defence's own gradient."""
        return [
            attack.needs_gradient and not _stage(name).transfers
            for name, attack in zip(self.stages, self.attacks(quick=False), strict=True)
        ]

    def cascade(self, plain: AttackedModel, quick: bool) -> list[Attack]:
        """Return the stages as attacks on a defence.

        ``plain`` is what transfer attacks are made on.
        """
        return [
            TransferAttack(attack, plain) if _stage(name).transfers else attack
            for name, attack in zip(self.stages, self.attacks(quick=quick), strict=True)
        ]


def default_stages() -> tuple[str, ...]:
    """Return what a cascade consists of unless told otherwise."""
    return tuple(name for name in stage_names() if _stage(name).default)


def _stage(name: str) -> Stage:
    stage = ATTACKS[name].stage
    assert stage is not None  # noqa: S101  (names are checked where they are given)
    return stage


def smallest_budget(quick: bool) -> Attack:
    """Return the search for the smallest budget, the same for a plain and a defended model.

    PGD of ten steps at 2/255, 4/255, ... until one succeeds, up to 128/255, then bisections;
    the closest point met counts.
    """
    searches = 5 if quick else 7
    return MinimalPGD(10, 0.25, 2 / 255, 2.0, searches, quick, name=SMALLEST)
