"""One neighbour instead of 91: the model's answer a third of the radius away."""

from typing import Any

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.defence.offsets import Offsets, claim_state
from bandlimiter.defence.scale import placed
from bandlimiter.tensors import model_logits, require_inputs


class OneNeighbour(nn.Module):
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

    def __init__(
        self,
        model: nn.Module,
        radius: float,
        *,
        scale: float | torch.Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.offsets = Offsets(model, radius, directions=1, scale=scale, seed=seed)
        self.model = model

    @property
    def radius(self) -> float:
        """Of the average that it is compared with: the neighbour is a third of it away."""
        return self.offsets.radius

    @property
    def seed(self) -> int:
        """What names the draw."""
        return self.offsets.seed

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
        vectors = self.offsets.draw(x.shape[1:], "one neighbour").to(x.device)
        dtype = torch.promote_types(x.dtype, torch.float32)
        offset = self.radius / 3 * vectors.to(dtype) * placed(self.offsets.scale, x)
        return (x.to(dtype) + offset).to(x.dtype)

    @override
    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        claim_state(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @override
    def extra_repr(self) -> str:
        return f"radius={self.radius}, seed={self.seed}"
