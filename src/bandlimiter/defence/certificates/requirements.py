"""What can be certified: each refusal is one line with its reason."""

import math
from operator import index

from bandlimiter.defence.certificates.evidence import EVIDENCE
from bandlimiter.defence.certificates.margins import Plan
from bandlimiter.defence.post_average import PostAverage
from bandlimiter.defence.stopping import require_level
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import (
    AnySampler,
    Gaussian,
    InputSampler,
    OrthogonalDirections,
    RandomDirections,
    Sampler,
    UniformBall,
    UniformSphere,
)
from bandlimiter.tensors import require_eval

_SINGULAR = (RandomDirections, OrthogonalDirections, UniformSphere)


def require_plan(samples: int, selection: int, alpha: float) -> Plan:
    """Return the plan; refuse (ConfigurationError) too few samples, and alpha out of (0, 1)."""
    for name, number in (("samples", samples), ("selection", selection)):
        if index(number) < 1:
            raise ConfigurationError(f"expected at least 1 of {name}, got {number}")
    require_level(alpha)
    fewest = math.floor(math.log2(1 / alpha)) + 1
    if samples < fewest:
        raise ConfigurationError(
            f"expected at least {fewest} samples for alpha {alpha:g}, got {samples}: fewer certify "
            "nothing, even where all agree"
        )
    return Plan(index(samples), index(selection), alpha)


def require_certifiable(defence: PostAverage) -> Sampler:
    """Return the law of the offsets; refuse (ConfigurationError) what cannot be certified."""
    if not isinstance(defence, PostAverage):
        raise ConfigurationError(
            f"expected a PostAverage to certify, got {type(defence).__name__}; wrap the model"
        )
    law = _require_law(defence.sampler)
    if defence.randomness != "fresh":
        raise ConfigurationError(
            "expected randomness='fresh' to certify, got 'fixed': one draw for all inputs is a "
            "deterministic function of x, and its answers say nothing of how the average over all "
            "offsets behaves nearby"
        )
    if defence.radius == 0:
        raise ConfigurationError(
            "expected a radius above 0 to certify, got 0: the plain model averages over nothing"
        )
    if defence.vote not in EVIDENCE:
        raise ConfigurationError(
            f"expected the vote softmax or majority to certify, got {defence.vote!r}: its scores "
            "have no bounds, so a small change of the offsets' law can change their mean at will"
        )
    require_eval(defence.model)
    return law


def _require_law(sampler: AnySampler) -> Sampler:
    if isinstance(sampler, (UniformBall, Gaussian)):
        return sampler
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
