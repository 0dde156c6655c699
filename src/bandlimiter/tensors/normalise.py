"""The normaliser as a layer, so that every model takes pixels in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.errors import ConfigurationError, InputError


@torch.fx.wrap  # so that tracing keeps the question, whose answer depends on the input
def _with_channels(x: torch.Tensor, channels: int) -> torch.Tensor:
    if x.ndim < 3 or x.shape[-3] != channels:
        raise InputError(f"expected images with {channels} channels, got shape {list(x.shape)}")
    return x


class Normalise(nn.Module):
    """Map pixels to the network's input space, channel by channel: (x - mean) / std.

    Parameters
    ----------
    mean, std
        One value a channel, in pixel units ([0, 1]); every std is positive.

    Raises
    ------
    ConfigurationError
        If the lengths differ or a std is not positive.

    Notes
    -----
    Distances change with the space: a pixel-space offset ``d`` has the length
    ``|d / std|`` in the network's input space. `PostAverage` reads ``std`` from this
    layer, because the paper states its radius there.

    Examples
    --------
    >>> import torch
    >>> layer = Normalise(mean=[0.5], std=[0.25])
    >>> layer(torch.full((1, 1, 1, 1), 1.0)).item()
    2.0
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not std or min(std) <= 0:
            raise ConfigurationError(
                f"expected one mean and one positive std a channel, "
                f"got mean={list(mean)}, std={list(std)}"
            )
        # Not persistent: checkpoints of other projects load without these two keys.
        shape = (-1, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(shape), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``x``: [N, C, H, W] pixels -> [N, C, H, W].

        Raises
        ------
        InputError
            If x has another number of channels: one channel would broadcast to three.
        """
        return (_with_channels(x, len(self.mean)) - self.mean) / self.std

    @override
    def extra_repr(self) -> str:
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def find_normaliser(model: nn.Module) -> Normalise | None:
    """Return the one `Normalise` layer of ``model``, or None where there is not exactly one.

    A subclass with a ``forward`` of its own is none: what it does to distances is not known.
    """
    layers = [
        module
        for module in model.modules()
        if isinstance(module, Normalise) and type(module).forward is Normalise.forward
    ]
    return layers[0] if len(layers) == 1 else None
