"""The balls around images in which an attack may move: L-inf and L2, cut with [0, 1]."""

from abc import ABC, abstractmethod

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key


class Ball(ABC):
    """The points within epsilon of an image, in pixels."""

    @abstractmethod
    def start(self, inputs: AttackInput, *purpose: Key) -> torch.Tensor:
        """Draw a point for each image, from a stream of its own: [N, ...]."""

    @abstractmethod
    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the step of length one that raises a linear loss most: [N, ...]."""

    @abstractmethod
    def project(
        self, x: torch.Tensor, images: torch.Tensor, epsilon: float | torch.Tensor
    ) -> torch.Tensor:
        """Return the points brought back into the ball and into [0, 1]: [N, ...]."""


class LInf(Ball):
    """No pixel changes by more than epsilon."""

    @override
    def start(self, inputs: AttackInput, *purpose: Key) -> torch.Tensor:
        moved = inputs.images + inputs.epsilon * inputs.uniform(*purpose)
        return self.project(moved, inputs.images, inputs.epsilon)

    @override
    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient.sign()

    @override
    def project(
        self, x: torch.Tensor, images: torch.Tensor, epsilon: float | torch.Tensor
    ) -> torch.Tensor:
        return torch.clamp(x, images - epsilon, images + epsilon).clamp(0, 1)


class L2(Ball):
    """The change has a Euclidean length of epsilon at most."""

    @override
    def start(self, inputs: AttackInput, *purpose: Key) -> torch.Tensor:
        direction = self.steepest(inputs.normal(*purpose))
        moved = inputs.images + inputs.epsilon * direction
        return self.project(moved, inputs.images, inputs.epsilon)

    @override
    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        # By the largest entry first: the squares of a saturated model's gradient underflow.
        smallest = torch.finfo(gradient.dtype).tiny
        largest = gradient.abs().flatten(1).amax(dim=1).clamp_min(smallest)
        scaled = gradient / largest.view(-1, *[1] * (gradient.ndim - 1))
        return scaled / lengths(scaled).clamp_min(smallest)

    @override
    def project(
        self, x: torch.Tensor, images: torch.Tensor, epsilon: float | torch.Tensor
    ) -> torch.Tensor:
        # Clipping to [0, 1] moves a point towards the image, so it stays in the ball.
        difference = x - images
        shrunk = difference * (epsilon / lengths(difference).clamp_min(epsilon))
        return (images + shrunk).clamp(0, 1)


def lengths(difference: torch.Tensor) -> torch.Tensor:
    """Return Euclidean lengths, shaped to broadcast against the differences: [N, 1, ...]."""
    flat: torch.Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return flat.view(-1, *[1] * (difference.ndim - 1))


BALLS: dict[str, Ball] = {"linf": LInf(), "l2": L2()}


def ball(norm: str) -> Ball:
    """Return the ball of a norm, ``"linf"`` or ``"l2"``."""
    if norm not in BALLS:
        raise ConfigurationError(f"expected a norm of {', '.join(BALLS)}; got {norm!r}")
    return BALLS[norm]
