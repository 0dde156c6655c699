"""What can be certified: each refusal is one line with its reason."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bandlimiter.defence.certificates.noise import NOISES, Noise
from bandlimiter.defence.certificates.sequential import highest_bar, tests_of
from bandlimiter.defence.votes import bounded_votes, listed
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import (
    AnySampler,
    Gaussian,
    InputSampler,
    OrthogonalDirections,
    RandomDirections,
    UniformBall,
    UniformSphere,
)
from bandlimiter.tensors import is_number, require_eval

if TYPE_CHECKING:
    from bandlimiter.defence.post_average import PostAverage

_MOST_RADII = 2000

_SINGULAR = (RandomDirections, OrthogonalDirections, UniformSphere)


@dataclass(frozen=True)
class Plan:
    """Which radii are tested, on how many samples, and how sure the answer shall be.

    ``at`` is None for all radii, ``width`` to which they are wanted then; ``budget`` is the most
    evaluations per input, those beyond a decision included, None for as many as passes make.
    """

    at: tuple[float, ...] | None
    samples: int
    selection: int
    alpha: float
    give_up: float
    width: float | None
    exact: bool
    budget: int | None = None

    @property
    def spare(self) -> int:
        """How many radii may be left undecided where an input is done."""
        return 0 if self.width is None else 1

    def radii(self, most: float, vote: str = "majority") -> list[float]:
        """Return the radii that are tested, where no more than ``most`` can be certified.

        All that were asked for, or a grid that stands for all there are, with a test per radius,
        runner-up and bet where scores are tested, and so a coarser one.

        Raises
        ------
        ConfigurationError
            Where none of those that were asked for can.
        """
        if self.at is None:
            step = most / tests_of(vote).grid if self.width is None else self.width / 2
            if most > _MOST_RADII * step:
                raise ConfigurationError(
                    f"expected a width of {2 * most / _MOST_RADII:.2g} or more, as this noise's "
                    f"radii reach {most:.4g}; got {self.width}"
                )
            return [step * number for number in range(1, math.floor(most / step) + 1)]
        if most <= 0 or self.at[0] > most:
            raise ConfigurationError(
                f"expected a radius of at most {most:.4g} among those to certify at, as "
                f"{self.samples} samples at alpha {self.alpha:g} reach no farther with this noise; "
                f"got {', '.join(f'{radius:g}' for radius in self.at)}"
            )
        return list(self.at)


def require_plan(
    vote: str,
    at: Sequence[float] | None,
    samples: int,
    selection: int,
    alpha: float,
    give_up: float,
    until_width: float | None,
    exact: bool,
    *,
    budget: int | None = None,
) -> Plan:
    """Return the plan; refuse (ConfigurationError) what is out of range or contradicts itself."""
    for name, number in (("samples", samples), ("selection", selection)):
        if not isinstance(number, (int, np.integer)) or number < 1:
            raise ConfigurationError(f"expected a whole number of {name}, 1 or more, got {number}")
    _require_share("alpha", alpha)
    if not (is_number(give_up) and give_up == 0):
        _require_share("a level to give up at (0 is never)", give_up)
    if vote in bounded_votes() and highest_bar(int(samples), alpha, vote) <= 0.5:
        raise ConfigurationError(
            f"expected at least {_fewest(alpha, vote)} samples for alpha {alpha:g}, got {samples}: "
            "fewer certify nothing, even where all agree"
        )
    if until_width is not None and not (is_number(until_width) and 0 < until_width < math.inf):
        raise ConfigurationError(f"expected a positive width, got {until_width!r}")
    if until_width is not None and at is not None:
        raise ConfigurationError("expected no radii to certify at beside a width, got both")
    radii = None if at is None else require_radii(at)
    width = None if until_width is None else float(until_width)
    numbers = int(samples), int(selection), float(alpha), float(give_up)
    return Plan(radii, *numbers, width, exact, budget)


def _require_share(name: str, value: float) -> None:
    if not is_number(value) or not 0 < value < 1:
        raise ConfigurationError(f"expected {name} in (0, 1), got {value!r}")


def _fewest(alpha: float, vote: str) -> int:
    """Return the fewest samples that can certify anything, by doubling and halving."""
    high = 1
    while highest_bar(high, alpha, vote) <= 0.5:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if highest_bar(middle, alpha, vote) > 0.5 else (middle, high)
    return high


def require_radii(at: Sequence[float]) -> tuple[float, ...]:
    """Return radii; refuse (ConfigurationError) none, and what is not positive and increasing."""
    try:
        radii = tuple(float(radius) for radius in at)
    except (TypeError, ValueError):
        raise ConfigurationError(f"expected radii like [0.25, 0.5], got {at!r}") from None
    steps = zip((0.0, *radii), radii, strict=False)
    if not radii or not all(low < high < math.inf for low, high in steps):
        raise ConfigurationError(
            "expected finite, positive, increasing radii to certify at, got "
            f"{', '.join(f'{radius:g}' for radius in radii) or 'none'}"
        )
    return radii


def require_average(defence: object) -> None:
    """Refuse (ConfigurationError) what is no `PostAverage`."""
    from bandlimiter.defence.post_average import PostAverage  # late: it answers with certificates

    if not isinstance(defence, PostAverage):
        raise ConfigurationError(
            f"expected a PostAverage to certify, got {type(defence).__name__}; wrap the model"
        )


def noise_of(defence: "PostAverage", dim: int) -> Noise:
    """Return the noise of a defence on inputs of n coordinates; refuse what cannot be certified.

    Raises
    ------
    ConfigurationError
        With the reason.
    """
    name = _require_law(defence.sampler)
    if defence.randomness != "fresh":
        raise ConfigurationError(
            "expected randomness='fresh' to certify, got 'fixed': one draw for all inputs is a "
            "deterministic function of x, and its answers say nothing of how the average over all "
            "offsets behaves nearby; give sigma"
        )
    if defence.vote not in bounded_votes():
        raise ConfigurationError(
            f"expected the vote {listed(bounded_votes())} to certify, got {defence.vote!r}: its "
            "scores have no bounds, so a small change of the offsets' law can change their mean at "
            "will"
        )
    require_eval(defence.model)
    return NOISES[name](_sigma(defence, name, dim))


def _sigma(defence: "PostAverage", name: str, dim: int) -> float:
    """Return the standard deviation of a coordinate, in the units of x."""
    if defence.sigma is not None:
        return defence.sigma
    if defence.radius == 0:
        raise ConfigurationError(
            "expected a radius above 0 to certify, got 0: the plain model averages over nothing"
        )
    scale = torch.as_tensor(defence.scale).double()
    if float(scale.max()) != float(scale.min()):
        raise ConfigurationError(
            "expected the same noise in each coordinate to certify, got a radius in the network's "
            "input space, where channels have scales of their own; give sigma, in pixels, instead"
        )
    return defence.radius * float(scale.max()) / math.sqrt(dim + 2 * (name == "ball"))


def _require_law(sampler: AnySampler) -> str:
    if isinstance(sampler, (UniformBall, Gaussian)):
        return sampler.name
    if isinstance(sampler, _SINGULAR):
        reason = (
            "the laws of its points around two inputs, however close, are mutually singular (total "
            "variation 1), so the averages there have nothing to do with each other"
        )
    elif isinstance(sampler, InputSampler):
        reason = "it looks at the input, so there is no law of offsets to compare between inputs"
    else:
        reason = "no certificate is known for its law"
    raise ConfigurationError(
        f"expected the sampler ball or gaussian to certify, got {sampler.name!r}: {reason}"
    )
