"""Which BatchNorm follows which layer, found by running the network once and watching."""

from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

# Exact classes: a subclass may do more than normalise (an activation, a mask).
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

Pair = tuple[nn.Module, nn.Module]
"""A convolution or linear layer, and the BatchNorm that alone takes its output."""

# Of the largest activation: float64 rounds at 2e-16, and a layer sums up to some thousand terms.
# Where more than six digits cancel nothing is folded, which costs time and changes no answer.
_ROUNDING = 1e-9


def foldable_pairs(network: nn.Module, images: torch.Tensor) -> list[Pair]:
    """Run ``network`` once, and return its foldable pairs.

    The network's own run is watched, not its code read: so control flow need not be traceable.
    But only the path that these images take is seen: where others pass a BatchNorm by, its
    pair is foldable for these alone, and the caller has to check on more.
    Both layers of a pair are called exactly once, the BatchNorm takes the other's output
    itself, nothing else takes that output, neither has hooks, and the two folded into one
    give the same on this run.

    Parameters
    ----------
    network
        In eval mode, float64. Only looked at: hooks put on it are taken off again.
    images
        [N, ...] float64 pixels.
    """
    calls: Counter[nn.Module] = Counter()
    inputs: dict[nn.Module, torch.Tensor] = {}
    made_by: dict[int, tuple[nn.Module, torch.Tensor]] = {}  # holding the tensor keeps its id
    found: list[tuple[nn.Module, nn.Module, int]] = []
    uses = _Uses()

    def after_layer(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[module] += 1
        if len(args) == 1 and isinstance(output, torch.Tensor):
            inputs[module] = args[0]
            made_by[id(output)] = module, output
            uses.count[id(output)] = 0  # a dead tensor may have had this id

    def before_norm(module: nn.Module, args: tuple[Any, ...]) -> None:
        uses.watching = False

    def after_norm(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[module] += 1
        layer, made = made_by.get(id(args[0]) if args else 0, (None, None))
        if layer is not None and made is not None:
            x = inputs.pop(layer, None)
            if x is not None and _same_when_folded(layer, module, x, output):
                found.append((layer, module, id(made)))
        uses.watching = True

    layers = [m for m in network.modules() if _is_layer(m) and not _altered(m)]
    norms = [m for m in network.modules() if _is_norm(m) and not _altered(m)]
    handles = [layer.register_forward_hook(after_layer) for layer in layers]
    handles += [norm.register_forward_pre_hook(before_norm) for norm in norms]
    handles += [norm.register_forward_hook(after_norm) for norm in norms]
    try:
        with torch.no_grad(), uses:
            network(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return [
        (layer, norm)
        for layer, norm, made in found
        if calls[layer] == calls[norm] == 1 and uses.count[made] == 0
    ]


def fused(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """Return a new layer that does what ``layer`` and then ``norm`` do, in their dtype."""
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)  # type: ignore[arg-type]
    return fuse_conv_bn_eval(layer, norm)  # type: ignore[arg-type, type-var]


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, by identity, how often operations take a tensor while ``watching``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[int] = Counter()
        self.watching = True

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if self.watching:
            for value in (*args, *(kwargs or {}).values()):
                parts = value if isinstance(value, (list, tuple)) else (value,)
                self.count.update(id(part) for part in parts)
        return func(*args, **(kwargs or {}))


def _is_layer(module: nn.Module) -> bool:
    # Subclasses too, such as convolutions that pad by themselves: each pair is tried.
    return isinstance(module, (*_CONVOLUTIONS, nn.Linear))


def _is_norm(module: nn.Module) -> bool:
    return type(module) in _NORMS and module.running_mean is not None


def _altered(module: nn.Module) -> bool:
    """Whether hooks or parametrisations would see the change, or undo it."""
    return bool(module._forward_hooks or module._forward_pre_hooks) or is_parametrized(module)


def _same_when_folded(
    layer: nn.Module, norm: nn.Module, x: torch.Tensor, expected: torch.Tensor
) -> bool:
    if isinstance(layer, nn.Linear):
        # BatchNorm1d normalises dimension 1, which is a linear layer's only for [N, features].
        if expected.ndim != 2 or norm.weight is None:
            return False
        channels = layer.out_features
    else:
        channels = int(layer.out_channels)  # type: ignore[arg-type]
    if norm.num_features != channels:
        return False
    # Past __call__, where this module's hooks are.
    return close(fused(layer, norm).forward(x), expected)


def close(values: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two float64 tensors are equal but for rounding; NaN is not."""
    if values.shape != expected.shape:
        return False
    bound = _ROUNDING * float(expected.abs().max())
    return bool(((values - expected).abs() <= bound).all())
