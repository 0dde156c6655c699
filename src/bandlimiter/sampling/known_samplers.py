"""Samplers by name. A new one is a class in this room and a line here.

One of your own is registered by `register_sampler`.
"""

from collections.abc import Callable
from typing import overload

from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.base import InputSampler, Sampler
from bandlimiter.sampling.directions import OrthogonalDirections, RandomDirections
from bandlimiter.sampling.independent_offsets import Gaussian, UniformBall, UniformSphere

SAMPLERS: dict[str, Callable[[], Sampler]] = {
    sampler.name: sampler
    for sampler in (RandomDirections, OrthogonalDirections, UniformBall, UniformSphere, Gaussian)
}
"""Laws of offsets, the same around every input."""


def _boundary(model: nn.Module) -> InputSampler:
    from bandlimiter.sampling.boundary import BoundaryDirections  # late, as geometry is large

    return BoundaryDirections(model)


INPUT_SAMPLERS: dict[str, Callable[[nn.Module], InputSampler]] = {"boundary": _boundary}
"""Samplers that look at the input; each is made for a network."""


def register_sampler(
    name: str,
    make: Callable[[], Sampler] | None = None,
    *,
    at_inputs: Callable[[nn.Module], InputSampler] | None = None,
) -> None:
    """Make a sampler known by its name: to `PostAverage` and to commands (``--sampler``).

    Called where the module of a model (``--model MODULE:FACTORY``) is imported, it adds one to
    those that commands take.

    Parameters
    ----------
    name
        The sampler's ``name``.
    make
        Makes it, if it has one law around every input: its class, for example.
    at_inputs
        Makes it for a network, if it looks at the input.

    Raises
    ------
    ConfigurationError
        For a name that is taken or not the sampler's own, and unless exactly one of ``make``
        and ``at_inputs`` is given.

    Examples
    --------
    >>> class Halved(Gaussian):
    ...     name = "halved"
    ...     steps = (0.5,)
    >>> register_sampler("halved", Halved)
    >>> build_sampler("halved").steps
    (0.5,)
    >>> del SAMPLERS["halved"]
    """
    if name in (*SAMPLERS, *INPUT_SAMPLERS):
        raise ConfigurationError(
            f"expected a name that no sampler has, got {name!r}; the names taken are "
            f"{', '.join((*SAMPLERS, *INPUT_SAMPLERS))}"
        )
    if (make is None) == (at_inputs is None):
        raise ConfigurationError(
            f"expected either make or at_inputs for the sampler {name}, got "
            f"{'neither' if make is None else 'both'}"
        )
    if at_inputs is not None:
        INPUT_SAMPLERS[name] = at_inputs
    elif make is not None:
        if make().name != name:  # it is built again by the name that it states
            raise ConfigurationError(
                f"expected the name that the sampler states, {make().name!r}; got {name!r}"
            )
        SAMPLERS[name] = make


@overload
def build_sampler(name: str) -> Sampler: ...
@overload
def build_sampler(name: str, model: nn.Module) -> Sampler | InputSampler: ...
def build_sampler(name: str, model: nn.Module | None = None) -> Sampler | InputSampler:
    """Return the sampler called ``name``.

    Parameters
    ----------
    name
        Of `SAMPLERS`, or of `INPUT_SAMPLERS` where there is a model.
    model
        The network whose inputs will be looked at.

    Raises
    ------
    ConfigurationError
        If there is none; the message lists those there are.
    """
    if name in SAMPLERS:
        return SAMPLERS[name]()
    if model is None:
        known, why = SAMPLERS.keys(), " (it looks at inputs)" if name in INPUT_SAMPLERS else ""
        raise ConfigurationError(f"expected a sampler of {', '.join(known)}; got {name!r}{why}")
    if name not in INPUT_SAMPLERS:
        known_all = ", ".join((*SAMPLERS, *INPUT_SAMPLERS))
        raise ConfigurationError(f"expected a sampler of {known_all}; got {name!r}")
    return INPUT_SAMPLERS[name](model)
