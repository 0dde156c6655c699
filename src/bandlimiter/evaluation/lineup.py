"""Who is on trial: the defence, its rivals, and the plain model."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from bandlimiter.attacks import Target
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.defence.rivals import build_rival
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.defendant import Defendant
from bandlimiter.evaluation.judge import Judge
from bandlimiter.evaluation.setup import Setup
from bandlimiter.results import NONE, OURS
from bandlimiter.tensors import answers_differ


def line_up(
    setup: Setup, example: torch.Tensor, heartbeat: Callable[[Target], None] | None = None
) -> list[Judge]:
    """Return a judge for each defence, the run's own first.

    Rivals are built around the plain model; it stands last, as `NONE`, where attacks know
    what they attack.

    Parameters
    ----------
    setup
        Of the run.
    example
        [1, ...], an input.
    heartbeat
        See `Target`.

    Raises
    ------
    ConfigurationError
        For an unknown rival, or rivals of a defence that is no `PostAverage`.
    """
    model, defence = setup.model, setup.defence
    modules = {OURS: defence, **setup.others, **_rivals(model, defence, setup.rivals)}
    if setup.adaptive is not None:
        modules[NONE] = model
    settings = setup.adaptive or Adaptive()
    target = Target(model, heartbeat)
    return [
        Judge(
            target,
            Defendant(
                name,
                module,
                model,
                example,
                random=_random(module, example),
                randomness=settings.randomness,
                seeds=settings.redraws if setup.adaptive and name == OURS else 0,
                stop=_stop(setup, module),
                alpha=setup.alpha,
            ),
            epsilon=setup.epsilon,
            seed=setup.seed,
            targets=setup.targets,
        )
        for name, module in modules.items()
    ]


def _stop(setup: Setup, module: nn.Module) -> Stop:
    return setup.stop if isinstance(module, PostAverage) and module.can_stop else "never"


def _rivals(model: nn.Module, defence: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    if not names:
        return {}
    if not isinstance(defence, PostAverage):
        raise ConfigurationError(
            "expected a PostAverage to build rivals of equal cost for, got "
            f"{type(defence).__name__}; leave rivals out"
        )
    around = defence.variant(model=model)
    return {name: build_rival(name, around) for name in names}


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
