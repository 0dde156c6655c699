"""One neighbour instead of 91: the model's answer a third of the radius away."""

import math

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.defence.kept_draw import KeptDraw
from bandlimiter.defence.scale import placed, resolve_scale
from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling import RandomDirections, draw_vectors
from bandlimiter.tensors import model_logits, require_inputs


class OneNeighbour(KeptDraw):
    """A trained classifier that answers with its output at one random neighbour.

    With a unit direction v, drawn once and the same for all inputs::

        g(x) = f(x + (r / 3) v)

    one evaluation at the nearest of eq. 8's steps, where `PostAverage` spends 6K + 1. The
    direction has a stream of its own: it is none of those that the average of this seed uses.

    Parameters
    ----------
    model
        Takes x [N, ...] and returns logits, as for `PostAverage`; its ``training`` flag is
        left alone.
    radius
        r >= 0 in the network's normalised input space, that of the average it is compared
        with.
    scale
        As for `PostAverage`.
    seed
        Names the draw.

    Attributes
    ----------
    evaluations
        Of the model for one answer, 1.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a radius or seed out of range; as `PostAverage` for the scale.

    Examples
    --------
    >>> import torch
    >>> baseline = OneNeighbour(torch.nn.Linear(4, 3), radius=0.6, scale=1.0)
    >>> x = torch.zeros(2, 4)
    >>> round(float((baseline.neighbour(x) - x)[0].norm()), 6)
    0.2
    """

    evaluations = 1

    _radius: float

    def __init__(
        self,
        model: nn.Module,
        radius: float,
        *,
        scale: float | torch.Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (math.isfinite(radius) and radius >= 0):
            raise ConfigurationError(f"expected a finite radius >= 0, got {radius}")
        if not -(2**63) <= seed < 2**63:
            raise ConfigurationError(f"expected a seed that fits 64 bits, got {seed}")
        self.model = model
        self._radius, self.sigma, self.seed = float(radius), None, int(seed)
        self.sampler, self.directions_count = RandomDirections(), 1
        found = resolve_scale(model, scale)
        if isinstance(found, torch.Tensor):  # as a buffer it follows the module's device
            self.register_buffer("scale", found, persistent=False)
        else:
            self.scale = found
        self.register_buffer("directions", None)

    @property
    def radius(self) -> float:
        """Of the average that it is compared with: the neighbour is a third of it away."""
        return self._radius

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's logits at the neighbours: [N, ...] pixels -> [N, classes].

        Raises
        ------
        InputError
            (a ValueError) for an empty batch, an integer dtype, NaN in x, or NaN or +inf in
            the logits.
        """
        require_inputs(x)
        return model_logits(self.model, self.neighbour(x))

    def neighbour(self, x: torch.Tensor) -> torch.Tensor:
        """Return the point at which each input is evaluated, not clipped: like x [N, ...]."""
        law = RandomDirections()
        if self.directions is None or self.directions.shape[1:] != x.shape[1:]:
            self.directions = draw_vectors(law, 1, x.shape[1:], self.seed, "one neighbour")
        self.directions = self.directions.to(x.device)
        dtype = torch.promote_types(x.dtype, torch.float32)
        offset = self.radius / 3 * self.directions.to(dtype) * placed(self.scale, x)
        return (x.to(dtype) + offset).to(x.dtype)

    @override
    def extra_repr(self) -> str:
        return f"radius={self.radius}, seed={self.seed}"
