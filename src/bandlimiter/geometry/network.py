"""A small network as float64 matrices on flat inputs: what enumeration and transforms work on.

The second of two forms of a network. `matrices.read_network` makes it from the first, a
`graph.Graph`, whose steps call PyTorch on tensors of any size and which tracing works on.
Enumeration needs each layer's matrix itself: its rows are the hyperplanes, its moduli the scale
of rounding. A step reads numbered registers and writes a new one, so that residual sums need no
special case.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bandlimiter.errors import InputError
from bandlimiter.geometry.activation import Activation
from bandlimiter.geometry.registers import forget, last_uses
from bandlimiter.tensors import as_float64

Array = NDArray[np.float64]
Registers = dict[int, Array]


@dataclass(frozen=True)
class Affine:
    """target = source @ weight.T + bias."""

    source: int
    target: int
    weight: Array
    """[out, in]"""
    bias: Array
    """[out]"""

    @property
    def sources(self) -> tuple[int, ...]:
        """The register it reads."""
        return (self.source,)

    @property
    def absolute(self) -> "Affine":
        """The same with every constant's modulus."""
        return replace(self, weight=np.abs(self.weight), bias=np.abs(self.bias))


@dataclass(frozen=True)
class Sum:
    """target = left + right."""

    left: int
    right: int
    target: int

    @property
    def sources(self) -> tuple[int, ...]:
        """The registers it reads."""
        return self.left, self.right

    @property
    def absolute(self) -> "Sum":
        """Itself: it has no constants."""
        return self


@dataclass(frozen=True)
class Bend:
    """target = activation(source): where regions come from."""

    source: int
    target: int
    activation: Activation
    width: int
    name: str
    """The layer's name in the module."""
    first_bit: int
    """Where its hyperplanes begin in an activation pattern; unit by unit, by threshold."""

    @property
    def sources(self) -> tuple[int, ...]:
        """The register it reads."""
        return (self.source,)

    @property
    def absolute(self) -> "Bend":
        """The same with every slope's and intercept's modulus."""
        return replace(self, activation=self.activation.absolute)

    @property
    def bits(self) -> slice:
        """Return its part of an activation pattern."""
        return slice(self.first_bit, self.first_bit + self.width * len(self.activation.thresholds))


Step = Affine | Sum | Bend


@dataclass(frozen=True)
class PiecewiseLinear:
    """A network read by `read_network`.

    Attributes
    ----------
    steps
        In the order of evaluation.
    dim
        n, the number of inputs.
    outputs
        m, the number of outputs.
    result
        The output's register.
    entry
        The input's register.
    """

    steps: tuple[Step, ...]
    dim: int
    outputs: int
    result: int
    entry: int = 0

    @cached_property
    def layers(self) -> tuple[Bend, ...]:
        """The layers of units, first to last."""
        return tuple(step for step in self.steps if isinstance(step, Bend))

    @property
    def hyperplanes(self) -> int:
        """H, the number of (unit, threshold) pairs: bits of an activation pattern."""
        return sum(layer.width * len(layer.activation.thresholds) for layer in self.layers)

    @cached_property
    def last_use(self) -> dict[int, int]:
        """The step after which each register is no longer needed."""
        return last_uses(self.steps, self.result)

    def __call__(self, points: Array) -> Array:
        """Evaluate: [N, n] -> [N, m]."""
        return self._run(self._checked(points), 1.0, lambda layer, g: layer.activation(g))

    def patterns(self, points: Array) -> NDArray[np.bool_]:
        """Return which thresholds each unit exceeds at each point: [N, n] -> [N, H]."""
        found: list[NDArray[np.bool_]] = [np.zeros((len(points), 0), dtype=bool)]

        def bend(layer: Bend, g: Array) -> Array:
            above = g[:, :, None] > layer.activation.thresholds
            found.append(above.reshape(len(g), -1))
            return layer.activation(g)

        self._run(self._checked(points), 1.0, bend)
        return np.concatenate(found, axis=1)

    def affine_maps(self, patterns: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the affine map that each activation pattern selects.

        Parameters
        ----------
        patterns
            [R, H]

        Returns
        -------
        weights, biases
            [R, m, n] and [R, m]: f(x) = weights[r] @ x + biases[r].
        """

        def bend(layer: Bend, g: Array) -> Array:
            above = patterns[:, layer.bits].reshape(len(patterns), 1, layer.width, -1)
            piece = above.sum(axis=3)
            activation = layer.activation
            value: Array = activation.slopes[piece] * g + activation.intercepts[piece] * one
            return value

        # A map is carried as its n + 1 homogeneous coefficients; the constant is the last.
        unit = np.broadcast_to(
            np.eye(self.dim + 1, self.dim), (len(patterns), self.dim + 1, self.dim)
        )
        one = np.zeros((self.dim + 1, 1))
        one[-1] = 1
        maps = self._run(unit, one, bend)
        return np.ascontiguousarray(maps[:, :-1].swapaxes(1, 2)), np.ascontiguousarray(maps[:, -1])

    @cached_property
    def absolute(self) -> "PiecewiseLinear":
        """The same with every constant's modulus: its maps say what a map's numbers sum up.

        Rounding is relative to that, whatever is left of the sums.
        """
        return replace(self, steps=tuple(step.absolute for step in self.steps))

    def restricted(self, directions: Array, offset: Array) -> "PiecewiseLinear":
        """Return y -> f(directions @ y + offset): the network on a line, a plane, a face.

        Parameters
        ----------
        directions, offset
            [n, k] and [n].
        """
        embed = Affine(self.entry - 1, self.entry, directions, offset)
        return PiecewiseLinear(
            (embed, *self.steps), directions.shape[1], self.outputs, self.result, embed.source
        )

    def _run(self, value: Array, one: float | Array, bend: Callable[[Bend, Array], Array]) -> Array:
        """Run the steps on anything that is affine in the input; ``one`` is the constant 1."""
        registers: Registers = {self.entry: value}
        for number, step in enumerate(self.steps):
            if isinstance(step, Affine):
                registers[step.target] = registers[step.source] @ step.weight.T + one * step.bias
            elif isinstance(step, Sum):
                registers[step.target] = registers[step.left] + registers[step.right]
            else:
                registers[step.target] = bend(step, registers[step.source])
            self.forget(registers, number)
        return registers[self.result]

    def forget(self, registers: Registers, number: int) -> None:
        """Drop the registers that no step after ``number`` reads."""
        forget(registers, self.last_use, number)

    def _checked(self, points: Array) -> Array:
        points = as_float64(points, "points")
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise InputError(f"expected points [N, {self.dim}], got shape {points.shape}")
        return points
