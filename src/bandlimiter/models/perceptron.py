"""Small fully connected networks: built from widths and a seed, and told from others."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import generator

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "hardtanh": nn.Hardtanh,
}
"""The piecewise linear functions between layers, each with PyTorch's own settings."""


def build_perceptron(
    widths: Sequence[int],
    *,
    bias: bool = True,
    activation: str = "relu",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> nn.Sequential:
    """Build Linear layers with an activation between each two; none follows the last.

    Weights and biases are uniform in [-1/sqrt(m), 1/sqrt(m)] for a layer of m inputs,
    which is PyTorch's own law. They are drawn in float64, from streams of their own, and
    rounded to ``dtype``: torch's global generator is neither used nor moved.

    Parameters
    ----------
    widths
        Numbers of units from input to output, at least these two: ``(2, 16, 16, 2)`` is
        a network from the plane to two classes with two hidden layers.
    bias
        Whether layers have one. Without, the network is positively homogeneous: it
        decides by direction from the origin alone.
    activation
        ``relu``, ``leaky_relu`` (slope 0.01) or ``hardtanh`` (between -1 and 1).
    seed
        Any integer.
    dtype
        Floating point.

    Returns
    -------
    nn.Sequential
        [N, widths[0]] -> [N, widths[-1]] logits; on the CPU, in eval mode.

    Raises
    ------
    ConfigurationError
        For fewer than two widths, a width below one, an unknown activation, or a dtype
        that is not floating point.

    Examples
    --------
    >>> network = build_perceptron((2, 4, 3), seed=1)
    >>> list(network.state_dict())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ConfigurationError(
            f"expected at least two widths, input and output, each at least 1; got {list(widths)}"
        )
    if activation not in ACTIVATIONS:
        raise ConfigurationError(
            f"expected an activation of {', '.join(ACTIVATIONS)}; got {activation!r}"
        )
    if not dtype.is_floating_point:
        raise ConfigurationError(f"expected a floating point dtype, got {dtype}")
    weights, biases = [], []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        bound = 1 / math.sqrt(inputs)
        weights.append(_uniform((outputs, inputs), bound, seed, layer, "weight").to(dtype))
        drawn = _uniform((outputs,), bound, seed, layer, "bias").to(dtype) if bias else None
        biases.append(drawn)
    return assemble(weights, biases, activation)


def assemble(
    weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor | None], activation: str
) -> nn.Sequential:
    """Put weights ([out, in] each) and biases ([out] or None) into layers, in eval mode."""
    modules: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        # On "meta" PyTorch draws no first weights, which would move its global generator.
        outputs, inputs = weight.shape
        linear = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
        linear.weight = nn.Parameter(weight)
        if bias is not None:
            linear.bias = nn.Parameter(bias)
        modules += [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*modules[:-1]).eval()


def parts(network: nn.Module) -> tuple[list[nn.Linear], str]:
    """Return a perceptron's Linear layers and its activation's name (``relu`` if it has none).

    Raises
    ------
    ConfigurationError
        Unless the network is an nn.Sequential of Linear layers with one and the same
        activation of `ACTIVATIONS` between them.
    """
    modules = list(network) if isinstance(network, nn.Sequential) else []
    linears = [module for module in modules[::2] if type(module) is nn.Linear]
    names = {name for name in ACTIVATIONS if any(_is(name, module) for module in modules[1::2])}
    name = names.pop() if names else "relu"
    alternating = len(modules) % 2 == 1 and len(linears) == len(modules[::2])
    if not alternating or not all(_is(name, module) for module in modules[1::2]):
        raise ConfigurationError(
            "expected an nn.Sequential of Linear layers with one activation of "
            f"{', '.join(ACTIVATIONS)} between them, in PyTorch's own settings; "
            f"got {' '.join(repr(network).split())}"
        )
    return linears, name


def _is(name: str, module: nn.Module) -> bool:
    """Whether ``module`` is that activation, with the settings that it has by default."""
    kind, probe = ACTIVATIONS[name], torch.tensor([-10.0, 10.0])
    return type(module) is kind and torch.equal(module(probe.clone()), kind()(probe.clone()))


def _uniform(
    shape: tuple[int, ...], bound: float, seed: int, layer: int, what: str
) -> torch.Tensor:
    draw = generator(seed, "perceptron", layer, what)
    unit = torch.rand(shape, generator=draw, dtype=torch.float64, device="cpu")
    return (2 * unit - 1) * bound
