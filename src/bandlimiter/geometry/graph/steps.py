"""A network as steps on tensors: affine maps, bends (ReLU and its kin), and maxima.

Everything is affine but the bends and maxima, and these are affine on pieces; neither
convolutions nor residual sums are special cases. This is the first of two forms of a network, read
from a module of any size: an affine step calls PyTorch and has no matrix. Tracing, directions to
boundaries and spectra along lines need no more. The second form, `geometry.network`, has the
steps of a small network as matrices; it is made from this one, to enumerate regions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from bandlimiter.geometry.activation import Activation
from bandlimiter.geometry.graph.calls import Call
from bandlimiter.geometry.registers import alive, forget, last_uses

Tensors = dict[int, torch.Tensor]


@dataclass(frozen=True)
class AffineStep:
    """target = call(*sources): affine in all sources together (sums and concatenations too)."""

    sources: tuple[int, ...]
    target: int
    call: Call
    name: str
    """Of the module that does it."""

    def apply(self, registers: Tensors) -> torch.Tensor:
        """Return the target's value."""
        return self.call(*(registers[source] for source in self.sources))


@dataclass(frozen=True)
class BendStep:
    """target = activation(source), number by number."""

    source: int
    target: int
    activation: Activation
    name: str
    shape: tuple[int, ...]
    """Of the units, without the batch."""

    @property
    def sources(self) -> tuple[int, ...]:
        """The register it reads."""
        return (self.source,)

    def apply(self, registers: Tensors) -> torch.Tensor:
        """Return the target's value."""
        return self.activation.on_tensor(registers[self.source])


@dataclass(frozen=True)
class MaxStep:
    """target = the largest number in each window of the source: max-pooling."""

    source: int
    target: int
    windows: torch.Tensor
    """[units, k] int64: which of an input's flattened numbers each window holds. Windows
    at the border hold a number twice, so that all have k."""
    name: str
    shape: tuple[int, ...]
    """Of the units, without the batch."""

    @property
    def sources(self) -> tuple[int, ...]:
        """The register it reads."""
        return (self.source,)

    def gather(self, source: torch.Tensor) -> torch.Tensor:
        """Return what the windows hold: [N, ...] -> [N, units, k]."""
        return source.flatten(1)[:, self.windows]

    def apply(self, registers: Tensors) -> torch.Tensor:
        """Return the target's value."""
        largest = self.gather(registers[self.source]).amax(dim=2)
        return largest.view(-1, *self.shape)


GraphStep = AffineStep | BendStep | MaxStep


@dataclass(frozen=True)
class Graph:
    """A network read by `read_graph`, on one device in one dtype.

    Attributes
    ----------
    steps
        In the order of evaluation.
    shapes
        Of each register, without the batch.
    result
        The output's register; the input's is 0.
    left_off
        The final softmax that was left off, None where there was none.
    device
        Where it runs.
    """

    steps: tuple[GraphStep, ...]
    shapes: dict[int, tuple[int, ...]]
    result: int
    left_off: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def layers(self) -> tuple[BendStep | MaxStep, ...]:
        """The steps that are not affine, first to last."""
        return tuple(step for step in self.steps if not isinstance(step, AffineStep))

    @cached_property
    def last_use(self) -> dict[int, int]:
        """The step after which each register is no longer needed."""
        return last_uses(self.steps, self.result)

    @cached_property
    def numbers_per_point(self) -> int:
        """The most numbers that registers hold for one input at any time."""
        written, most = [0], torch.Size(self.shapes[0]).numel()
        for number, step in enumerate(self.steps):
            written.append(step.target)
            live = {*alive(self.last_use, written, number), step.target}
            held = sum(torch.Size(self.shapes[register]).numel() for register in live)
            gathered = step.windows.numel() if isinstance(step, MaxStep) else 0
            most = max(most, held + gathered)
        return most

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Evaluate: [N, ...] -> [N, m]."""
        registers: Tensors = {0: x}
        for _ in self.walk(registers):
            pass
        return registers[self.result]

    def walk(self, registers: Tensors) -> Iterator[BendStep | MaxStep]:
        """Run the steps on registers; before each layer it is yielded, its source in place."""
        for number, step in enumerate(self.steps):
            if not isinstance(step, AffineStep):
                yield step
            registers[step.target] = step.apply(registers)
            self.forget(registers, number)

    def forget(self, registers: Tensors, number: int) -> None:
        """Drop the registers that no step after ``number`` reads."""
        forget(registers, self.last_use, number)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Graph":
        """Return the graph with its constants moved and cast."""

        def move(step: GraphStep) -> GraphStep:
            if isinstance(step, AffineStep):
                return replace(step, call=step.call.to(device, dtype))
            if isinstance(step, MaxStep):
                return replace(step, windows=step.windows.to(device))
            return step

        return replace(self, steps=tuple(move(step) for step in self.steps), device=device)
