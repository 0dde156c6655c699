"""A network's units as samplers see them: read once, and again when the weights change."""

from typing import Any

import torch
from torch import nn

from bandlimiter.geometry.graph import read_graph
from bandlimiter.sampling.boundary.units import Units
from bandlimiter.tensors import ChunkLimit


class CachedUnits:
    """Reads a model at the first input of each shape, device and dtype.

    A change of weights is noticed by PyTorch's own version counters and addresses, which
    optimisers, ``load_state_dict`` and casts all move. Writes through ``.data`` in place, or
    through NumPy, leave no trace: call `refresh` after them.

    Parameters
    ----------
    model
        Pixels -> logits, of layers that `geometry.graph.read_graph` knows.
    limit
        Bounds the inputs of one pass.
    """

    def __init__(self, model: nn.Module, limit: ChunkLimit) -> None:
        self.model, self._limit = model, limit
        self.refresh()

    def refresh(self) -> None:
        """Forget what was read."""
        self._state: list[tuple[int, int]] = []
        self._read: dict[object, Units] = {}

    def at(self, x: torch.Tensor) -> Units:
        """Return the units for inputs like x [N, ...].

        Raises
        ------
        ConfigurationError
            (a ValueError) for a model that cannot be read; see `read_graph`.
        """
        state = [
            (value.data_ptr(), 0 if value.is_inference() else value._version)
            for value in (*self.model.parameters(), *self.model.buffers())
        ]
        if state != self._state:
            self.refresh()
            self._state = state
        key = (x.shape[1:], x.device, x.dtype)
        if key not in self._read:
            graph = read_graph(self.model, tuple(x.shape[1:])).to(x.device, x.dtype)
            self._read[key] = Units(graph, self._limit)
        return self._read[key]

    def __getstate__(self) -> dict[str, Any]:
        # What was read cannot be pickled, and a copy can read it again.
        return {**self.__dict__, "_state": [], "_read": {}}
