"""What must fit together before the first row: models, attacks, images, labels and targets."""

import math
from collections.abc import Mapping, Sequence
from typing import cast, get_args

import torch
from torch import nn

from bandlimiter.attacks import (
    ATTACKS,
    PROTOCOLS,
    Attack,
    attack_names,
    build_attack,
    default_names,
)
from bandlimiter.data import ImageSet
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.defence.stopping import require_level
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.adversarial_sets import SavedImages
from bandlimiter.evaluation.targets import Targets
from bandlimiter.results import NONE, OURS
from bandlimiter.tensors import (
    place_of,
    require_autograd,
    require_eval,
    require_independent,
    require_labels,
    require_module,
)

THREATS = ("transfer", "adaptive", "both")
"""What attacks know of the defence."""


def require_ready(model: nn.Module, defences: Mapping[str, nn.Module]) -> None:
    """Refuse what is no module, a model in training mode, and `torch.inference_mode` around."""
    require_autograd()
    for role, module in (("model", model), *defences.items()):
        require_module(module, role)
        # PostAverage's own flag says nothing; what it wraps must not depend on the batch.
        require_eval(module.model if isinstance(module, PostAverage) else module)


def resolve_stop(defence: nn.Module, stop: str, alpha: float) -> Stop:
    """Return how early the defence may answer; ``"auto"`` is as early as changes no label.

    Raises
    ------
    ConfigurationError
        For an unknown name, alpha outside (0, 1), or a defence that cannot stop early.
    """
    require_level(alpha)
    can_stop = isinstance(defence, PostAverage) and defence.can_stop
    if stop == "auto":
        return "exact" if can_stop else "never"
    if stop not in get_args(Stop):
        raise ConfigurationError(f"expected stop auto, never, exact or anytime; got {stop!r}")
    if stop != "never" and not can_stop:
        raise ConfigurationError(
            f"expected stop auto or never for a defence that cannot stop early, got {stop!r}; the "
            "votes softmax and majority can"
        )
    return cast(Stop, stop)


def resolve_threat(
    threat: str, adaptive: Adaptive | None, epsilon: float, shape: Sequence[int]
) -> Adaptive | None:
    """Return how the defended model is attacked, None for not at all; check the budget.

    Parameters
    ----------
    threat
        ``"transfer"``, ``"adaptive"`` or ``"both"``.
    adaptive
        Used unless the threat is ``"transfer"``; its defaults where None.
    epsilon
        Budget in pixels.
    shape
        Of an image: an L2 budget is compared with its size, and Square needs channels of pixels.

    Raises
    ------
    ConfigurationError
        Where these do not go together.
    """
    if threat not in THREATS:
        raise ConfigurationError(f"expected a threat of {', '.join(THREATS)}; got {threat!r}")
    norm = "linf" if adaptive is None else adaptive.norm
    if threat != "adaptive" and norm != "linf":
        raise ConfigurationError(
            f"expected norm linf for transfer attacks, which have an L-inf budget, got "
            f"{norm}; choose the threat adaptive alone"
        )
    require_budget(epsilon, norm, math.prod(shape))
    if threat == "transfer":
        return None
    adaptive = adaptive or Adaptive()
    for stage, attack in zip(adaptive.stages, adaptive.attacks(quick=False), strict=True):
        _require_axes(attack, f"the stage {stage}", shape)
    return adaptive


def require_budget(epsilon: float, norm: str, numbers: int, name: str = "epsilon") -> None:
    """Refuse a budget that the norm does not allow for images of so many numbers."""
    most = 1.0 if norm == "linf" else math.sqrt(numbers)
    if not 0 < epsilon <= most:
        raise ConfigurationError(
            f"expected {name} in (0, {most:.4g}], in pixels and {norm}; got {epsilon}"
        )


def require_fitting(
    classes: int,
    images: ImageSet,
    attacks: Sequence[Attack],
    targets: Targets | None,
    first: torch.Tensor,
) -> None:
    """Refuse labels, targets and attacks that do not go with a model of so many classes.

    ``first`` [1, ...] is an image as the model takes it.
    """
    require_labels(images.labels, len(images), classes)
    if targets is not None:
        targets.require_below(classes)
    if images.class_count not in (None, classes):
        raise InputError(
            f"expected a folder for each of the model's {classes} classes in {images.name}, got "
            f"{images.class_count}; labels are positions in the alphabetical order of all of them"
        )
    for attack in attacks:
        _require_axes(attack, f"the attack {attack.name}", first.shape[1:])
        if isinstance(attack, SavedImages):
            attack.require_fitting(images.ids, first)


def require_sound(module: nn.Module, x: torch.Tensor) -> None:
    """Refuse (ConfigurationError) answers that depend on the batch, or a scale that was misread."""
    if isinstance(module, PostAverage):
        module.require_fitting(x.to(place_of(module.model)[1]))
    else:
        require_independent(module, x)


def require_names(others: Mapping[str, nn.Module], baselines: Sequence[str]) -> None:
    """Refuse two defences of one name, and names that are no text: rows are told by them."""
    names = [OURS, NONE, *baselines, *others]
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"expected the names of others as text, got {name!r}")
        if names.count(name) > 1:
            raise ConfigurationError(
                f"expected each defence under a name of its own, got {name!r} twice; others may be "
                f"called neither {OURS} nor {NONE} nor like a baseline, and each of these is given "
                "once"
            )


def require_number(epsilon: float) -> float:
    """Return the budget as a float; refuse (ConfigurationError) what is no single number."""
    try:
        return float(epsilon)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigurationError(
            f"expected one epsilon, like 8 / 255, got {' '.join(repr(epsilon).split())}; of "
            "several, call evaluate once for each"
        ) from None


def require_protocol(protocol: str) -> None:
    """Refuse an unknown protocol."""
    if protocol not in (*PROTOCOLS, "both"):
        raise ConfigurationError(f"expected protocol minimal, fixed or both; got {protocol!r}")


def default_attacks(*, targeted: bool, protocol: str = "both") -> list[str]:
    """Return what runs where no attack is named: of the defaults, those with what is asked for."""
    return [
        name
        for name in default_names()
        if (not targeted or ATTACKS[name].targeted)
        and (protocol not in PROTOCOLS or protocol in ATTACKS[name].protocols)
    ]


def resolve_attacks(attacks: Sequence[str | Attack], protocol: str, quick: bool) -> list[Attack]:
    """Build the attacks that are given by name, under each protocol that they have.

    Raises
    ------
    ConfigurationError
        For unknown names, for one protocol that an attack does not have, for one given twice.
    """
    if not attacks:
        raise ConfigurationError("expected at least one attack, got none")
    protocols = PROTOCOLS if protocol == "both" else (protocol,)
    for attack in attacks:
        _require_attack(attack)
    named = [attack for attack in attacks if isinstance(attack, str)]
    unknown = [name for name in named if name not in attack_names()]
    if unknown:  # told before the first is built, and with all there are
        raise ConfigurationError(
            f"expected an attack of {', '.join(attack_names())}; got {unknown[0]!r}"
        )
    given = [attack for attack in attacks if isinstance(attack, Attack)]
    chosen = [
        build_attack(name, each, quick=quick)
        for each in protocols
        for name in named
        if protocol != "both" or each in ATTACKS[name].protocols
    ]
    chosen += given
    names = [(attack.name, attack.protocol) for attack in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"expected each attack once, got {name[0]} ({name[1]}) twice: their rows could not "
                "be told apart"
            )
    return chosen


def _require_axes(attack: Attack, what: str, shape: Sequence[int]) -> None:
    if attack.image_axes not in (None, len(shape)):
        expected = "images [C, H, W]" if attack.image_axes == 3 else f"{attack.image_axes} axes"
        raise ConfigurationError(
            f"expected {expected} for {what}, got shape {tuple(shape)}; leave it out for other "
            "inputs"
        )


def _require_attack(attack: object) -> None:
    if isinstance(attack, str):
        return
    if not isinstance(attack, Attack):
        raise ConfigurationError(f"expected attacks as names or Attack objects, got {attack!r}")
    known = {"protocol": (*PROTOCOLS, "saved"), "threat": ("transfer", "unknown")}
    for key, values in known.items():
        if getattr(attack, key, None) not in values or not hasattr(attack, "name"):
            raise ConfigurationError(
                f"expected an attack with a name and a {key} of {', '.join(values)}; got "
                f"{attack!r} with {getattr(attack, key, None)!r}"
            )
