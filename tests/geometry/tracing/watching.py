"""What a network's own layers see, by hooks: independent of the graph that is traced."""

import copy
from functools import partial

import torch
from torch import nn

from tests.geometry.tracing.networks import Clamp

POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d)
THRESHOLDS = {
    nn.ReLU: lambda layer: [0.0],
    nn.LeakyReLU: lambda layer: [0.0],
    nn.ReLU6: lambda layer: [0.0, 6.0],
    nn.Hardtanh: lambda layer: [layer.min_val, layer.max_val],
    Clamp: lambda layer: [h for h in (layer.low, layer.high) if h is not None],
}

# Of a layer's scale: rounding puts numbers that are equal on paper this far apart at most.
NOISE = 1e-12


class Watched:
    """A network on the line between two points, and what its layers are given there.

    Layers have the names that a trace gives them: the module's, with #2 for its second use.
    """

    def __init__(
        self, network: nn.Module, start: torch.Tensor, end: torch.Tensor, noise: float = NOISE
    ) -> None:
        self.network, self.start, self.end, self.noise = network, start, end, noise
        self._own = copy.deepcopy(network)
        self._given: dict[str, torch.Tensor] = {}
        self.layers: dict[str, nn.Module] = {}
        """Those that bend or take maxima, in the order in which they run."""
        for name, module in self._own.named_modules():
            if type(module) in THRESHOLDS or isinstance(module, POOLS):
                label = f"{name}.clamp" if isinstance(module, Clamp) else name
                module.register_forward_pre_hook(partial(self._keep, label))
        _, given = self.at([0.0, 1.0])
        self.scales = {name: float(numbers.abs().max()) for name, numbers in given.items()}
        self.windows = {
            name: windows(self.layers[name], given[name].shape[1:])
            for name in self.layers
            if self.is_pool(name)
        }

    def _keep(self, name: str, module: nn.Module, given: tuple[torch.Tensor]) -> None:
        uses = sum(known.partition("#")[0] == name for known in self._given)
        label = name if not uses else f"{name}#{uses + 1}"
        self._given[label] = given[0].clone()
        self.layers[label] = module

    def at(self, t) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the outputs at t [N], and what each layer is given: [N, ...]."""
        t = torch.as_tensor(t, dtype=torch.float64).view(-1, *[1] * self.start.ndim)
        # Each term is exact at its end, so that a trace's ends are met to the last bit.
        return self.seen((1 - t) * self.start + t * self.end)

    @torch.no_grad()
    def seen(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the outputs at inputs x [N, ...], and what each layer is given."""
        self._given = {}
        outputs = self._own(x)
        return outputs.flatten(1), self._given

    def is_pool(self, name: str) -> bool:
        return isinstance(self.layers[name], POOLS)

    def thresholds(self, name: str) -> torch.Tensor:
        layer = self.layers[name]
        return torch.tensor(THRESHOLDS[type(layer)](layer), dtype=torch.float64)

    def held(self, name: str, given: torch.Tensor) -> torch.Tensor:
        """What a pooling's windows hold: [N, units, k]."""
        return given.flatten(1)[:, self.windows[name]]

    def states(self, name: str, given: torch.Tensor) -> torch.Tensor:
        """Thresholds that are exceeded [N, units, thresholds], or winners [N, units, k]."""
        noise = self.noise * self.scales[name]
        if self.is_pool(name):
            held = self.held(name, given)
            return held >= held.amax(dim=2, keepdim=True) - noise
        return given.flatten(1)[:, :, None] > self.thresholds(name) + noise

    def changes(self, name: str, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Which (unit, threshold) differ: [N, units, thresholds]; a window, in all its winners."""
        if self.is_pool(name):
            return ~(before & after).any(dim=2, keepdim=True)
        return before != after


def windows(pool: nn.Module, shape: torch.Size) -> torch.Tensor:
    """Which of an input's numbers a pooling's windows hold, asked of the pooling itself.

    Of a one among zeros a window returns the one exactly if it holds its place.
    """
    places = shape.numel()
    with torch.no_grad():
        probes = pool.forward(torch.eye(places, dtype=torch.float64).view(places, *shape)).flatten(
            1
        )
    found = [column.nonzero().flatten().tolist() for column in probes.T]
    most = max(map(len, found))
    return torch.tensor([held + held[:1] * (most - len(held)) for held in found])
