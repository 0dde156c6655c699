"""The sampler that looks at the network: directions to the closest boundaries of its regions."""

from collections.abc import Sequence
from operator import index
from typing import Literal

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.sampling.boundary.cached_units import CachedUnits
from bandlimiter.sampling.boundary.nearest import NearestBoundaries, ascending, nearest_of
from bandlimiter.sampling.boundary.units import Units
from bandlimiter.sampling.directions import STEPS
from bandlimiter.tensors import ChunkLimit

UNITS = ("all", "last", "norm", "random")


class BoundaryDirections:
    """K unit directions towards the closest boundaries of linear regions (paper, section 3.2).

    The boundary of a unit with pre-activation g is where g meets the nearest threshold t of
    its activation. It lies |g - t| / |grad g| away, along -sign(g - t) grad g: exactly, if
    no other boundary comes before it, and to first order beyond. Eq. 8's steps are taken to
    both sides. Maxima (max-pooling) bend too, but are not looked at. The paper found random
    directions better.

    Parameters
    ----------
    model
        Pixels -> logits, in eval mode, of layers that `geometry` can read (others are named
        in the error, at the first input). It is read once for each shape of inputs, and
        again when PyTorch shows that a weight has changed; after a change that it cannot
        show (a write through ``.data`` or NumPy) call `refresh`.
    units
        Whose boundaries: ``"all"`` units of all layers; ``"last"``, those of the last
        activation; ``"norm"``, the ``candidates`` units with the largest incoming weights;
        ``"random"``, ``candidates`` units drawn at random.
    candidates
        The most units whose gradient is computed for an input: the cost of the search.
        Where ``"all"`` or ``"last"`` has more, those are taken that are closest by an
        estimate of |grad g|, which is all but sure to hold the K closest while
        ``candidates`` is several times K.
    chunk
        The most rows in one pass of the search; ``"auto"`` chooses.

    Raises
    ------
    ConfigurationError
        (a ValueError) for unknown units, or candidates below one.

    Examples
    --------
    >>> layer = nn.Linear(2, 3)
    >>> _ = layer.weight.data.copy_(torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    >>> _ = layer.bias.data.copy_(torch.tensor([-2.0, 2.0, 1.0]))
    >>> sampler = BoundaryDirections(nn.Sequential(layer, nn.ReLU()))
    >>> found = sampler.nearest(torch.zeros(1, 2), directions=2)
    >>> found.units.tolist(), found.distances.tolist(), found.directions.abs().tolist()
    ([[0, 1]], [[1.0, 2.0]], [[[1.0, 0.0], [0.0, 1.0]]])
    """

    steps = STEPS
    centre = True

    def __init__(
        self,
        model: nn.Module,
        units: Literal["all", "last", "norm", "random"] = "all",
        *,
        candidates: int = 256,
        chunk: int | Literal["auto"] = "auto",
    ) -> None:
        if units not in UNITS:
            raise ConfigurationError(f"expected units of {', '.join(UNITS)}; got {units!r}")
        if index(candidates) < 1:
            raise ConfigurationError(f"expected at least one candidate, got {candidates}")
        self.name = "boundary" if units == "all" else f"boundary-{units}"
        self.units, self.candidates = units, index(candidates)
        self._network = CachedUnits(model, ChunkLimit(chunk))

    def refresh(self) -> None:
        """Forget what was read of the model, and read it again at the next input."""
        self._network.refresh()

    def vectors_at(
        self,
        x: torch.Tensor,
        directions: int,
        scale: float | torch.Tensor,
        rngs: Sequence[torch.Generator],
    ) -> torch.Tensor:
        """Return the K directions around each input: [N, K, ...]; see `nearest`."""
        return self.nearest(x, directions, scale, rngs).directions

    def nearest(
        self,
        x: torch.Tensor,
        directions: int = 15,
        scale: float | torch.Tensor = 1.0,
        rngs: Sequence[torch.Generator] | None = None,
    ) -> NearestBoundaries:
        """Find the K closest boundaries, each input by itself.

        Parameters
        ----------
        x
            [N, ...] pixels; float16 and bfloat16 are searched in float32.
        directions
            K >= 1.
        scale
            Turns an offset in the network's input space into pixels: a number, or a tensor
            that broadcasts against x.
        rngs
            For ``units="random"``: a generator for each input. None draws the same units
            for all.

        Raises
        ------
        ConfigurationError
            (a ValueError) for K below one or above ``candidates``; where fewer than K of the
            units that were tried have a gradient; for a model that cannot be read.
        """
        if not 1 <= directions <= self.candidates:
            raise ConfigurationError(
                f"expected 1 to {self.candidates} directions, as many as there are candidates, got "
                f"{directions}; raise candidates for more"
            )
        rngs = rngs or [torch.Generator().manual_seed(0) for _ in x]
        # Whatever the caller has switched off, gradients are needed here, in full precision.
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(x.device.type, enabled=False),
        ):
            x = x.detach().to(torch.promote_types(x.dtype, torch.float32))
            factor = torch.as_tensor(scale, dtype=x.dtype, device=x.device)
            units = self._network.at(x)
            found = []
            # One by one, so that no answer depends on the batch; passes are full of units.
            for row, rng in zip(torch.split(x, 1), rngs, strict=True):
                chosen = self._candidates(units, row, factor, rng)
                found.append(nearest_of(units, row, chosen, directions, factor))
        return NearestBoundaries(*(torch.stack(column) for column in zip(*found, strict=True)))

    def _candidates(
        self, units: Units, x: torch.Tensor, scale: torch.Tensor, rng: torch.Generator
    ) -> torch.Tensor:
        """Return the units to try for one input x [1, ...]: [C] int64, increasing."""
        start = units.first_of_last if self.units == "last" else 0
        if units.count - start <= self.candidates:
            return torch.arange(start, units.count)
        if self.units == "random":
            order = torch.randperm(units.count, generator=rng)
        elif self.units == "norm":
            order = ascending(-units.incoming_norms(x, scale)).cpu()
        else:
            order = start + ascending(units.estimated_distances(x, scale)[start:]).cpu()
        return order[: self.candidates].sort().values
