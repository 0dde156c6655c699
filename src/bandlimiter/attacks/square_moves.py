"""What the Square Attack proposes, in L-inf and in L2 (Andriushchenko et al. 2020, section 3).

A move turns uniform numbers [N, K] of each image's own into points, so that all images of a
batch move at once and none depends on the others.
"""

import math
from abc import ABC, abstractmethod
from functools import cache

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.balls import L2, lengths

_TILES = 5
"""Tiles along a side of the first point in L2."""


class Moves(ABC):
    """First points and changes, for images [N, C, H, W]."""

    @abstractmethod
    def side(self, pixels: float) -> int:
        """Return the side of a square of about so many pixels."""

    @abstractmethod
    def numbers(self, shape: torch.Size) -> tuple[int, int]:
        """Return how many uniform numbers an image needs for its first point, and for a move."""

    @abstractmethod
    def first(self, inputs: AttackInput, numbers: torch.Tensor) -> torch.Tensor:
        """Return a first point on the sphere of radius epsilon around each image."""

    @abstractmethod
    def propose(
        self, inputs: AttackInput, x: torch.Tensor, side: int, numbers: torch.Tensor
    ) -> torch.Tensor:
        """Return x changed within a square of ``side`` pixels at a random place."""


class LInfMoves(Moves):
    """In the square, each channel goes to one of its two bounds; the start is vertical stripes."""

    @override
    def side(self, pixels: float) -> int:
        return max(round(math.sqrt(pixels)), 1)

    @override
    def numbers(self, shape: torch.Size) -> tuple[int, int]:
        return shape[1] * shape[3], 2 + shape[1]

    @override
    def first(self, inputs: AttackInput, numbers: torch.Tensor) -> torch.Tensor:
        images = inputs.images
        count, channels, _, width = images.shape
        signs = _signs(numbers).view(count, channels, 1, width)
        return (images + inputs.epsilon * signs.to(images.dtype)).clamp(0, 1)

    @override
    def propose(
        self, inputs: AttackInput, x: torch.Tensor, side: int, numbers: torch.Tensor
    ) -> torch.Tensor:
        images, channels = inputs.images, x.shape[1]
        signs = _signs(numbers[:, 2 : 2 + channels])[:, :, None, None].to(x.dtype)
        bound = (images + inputs.epsilon * signs).clamp(0, 1)
        return torch.where(_square(x, side, numbers[:, 0], numbers[:, 1]), bound, x)


class L2Moves(Moves):
    """Takes the change's length away from one square and gives it to another, as a small hill.

    The hill is half positive and half negative, highest in the middle of each half. The start
    is a grid of such hills.
    """

    @override
    def side(self, pixels: float) -> int:
        return max(round(math.sqrt(pixels)), 3) // 2 * 2 + 1

    @override
    def numbers(self, shape: torch.Size) -> tuple[int, int]:
        return _TILES**2 * (shape[1] + 1), 5 + shape[1]

    @override
    def first(self, inputs: AttackInput, numbers: torch.Tensor) -> torch.Tensor:
        images = inputs.images
        channels, height, width = images.shape[1:]
        change = torch.zeros_like(images)
        tall, wide = max(1, height // _TILES), max(1, width // _TILES)
        side, used = min(tall, wide), 0
        for top in range(0, _TILES * tall, tall):
            for left in range(0, _TILES * wide, wide):
                if top + side > height or left + side > width:
                    continue
                signs = _signs(numbers[:, used : used + channels])[:, :, None, None]
                hills = _hills(side, numbers[:, used + channels], images)
                change[:, :, top : top + side, left : left + side] = signs.to(images.dtype) * hills
                used += channels + 1
        return self._placed(inputs, change)

    @override
    def propose(
        self, inputs: AttackInput, x: torch.Tensor, side: int, numbers: torch.Tensor
    ) -> torch.Tensor:
        change, channels = x - inputs.images, x.shape[1]
        given = _square(x, side, numbers[:, 0], numbers[:, 1])
        taken = _square(x, side, numbers[:, 2], numbers[:, 3])
        # What the two squares hold, each channel, and what the whole change lacks to epsilon.
        held = (change * (given | taken)).flatten(2).square().sum(dim=2)[:, :, None, None]
        lacking = (inputs.epsilon**2 - lengths(change).square()).clamp_min(0) / channels
        signs = _signs(numbers[:, 5 : 5 + channels])[:, :, None, None].to(x.dtype)
        hill = signs * self._hill_at(x, side, numbers)
        inside = change * given
        raised = hill + inside / _channel_lengths(inside).clamp_min(1e-12)
        raised = raised / _channel_lengths(raised).clamp_min(1e-12) * (held + lacking).sqrt()
        change = torch.where(given, raised, torch.where(taken, 0, change))
        return self._placed(inputs, change)

    @staticmethod
    def _hill_at(x: torch.Tensor, side: int, numbers: torch.Tensor) -> torch.Tensor:
        """Return a hill of length one in the square that gets it, zero elsewhere: [N, 1, H, W]."""
        hills = torch.zeros_like(x[:, :1])
        inside = _square(x, side, numbers[:, 0], numbers[:, 1])
        # Row by row, a mask's entries have the order of the square's own.
        hills[inside] = _hills(side, numbers[:, 4], x).flatten()
        return hills

    @staticmethod
    def _placed(inputs: AttackInput, change: torch.Tensor) -> torch.Tensor:
        """Stretch a change to epsilon and clip the point to [0, 1]."""
        return (inputs.images + inputs.epsilon * L2().steepest(change)).clamp(0, 1)


MOVES: dict[str, Moves] = {"linf": LInfMoves(), "l2": L2Moves()}


def _signs(numbers: torch.Tensor) -> torch.Tensor:
    return (numbers >= 0.5).float() * 2 - 1


def _square(
    x: torch.Tensor, side: int, vertical: torch.Tensor, horizontal: torch.Tensor
) -> torch.Tensor:
    """Return the square of each image whose place two uniform numbers [N] give: [N, 1, H, W]."""
    height, width = x.shape[2:]
    top = (vertical * (height - side + 1)).long()[:, None]
    left = (horizontal * (width - side + 1)).long()[:, None]
    row = torch.arange(height, device=x.device)
    column = torch.arange(width, device=x.device)
    rows = (row >= top) & (row < top + side)
    columns = (column >= left) & (column < left + side)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _hills(side: int, numbers: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return a hill for each image, lying or standing by a uniform number [N]: [N, 1, s, s]."""
    hill = _hill(side).to(like.device, like.dtype)
    standing = (numbers >= 0.5)[:, None, None]
    return torch.where(standing, hill.T, hill)[:, None]


@cache
def _hill(side: int) -> torch.Tensor:
    """Return one hill up and one down, above each other, of length one: [side, side] float64."""
    if side == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    half = side // 2
    both = torch.cat([_half_hill(half, side), -_half_hill(side - half, side)])
    length: torch.Tensor = torch.linalg.vector_norm(both)
    return both / length


def _half_hill(height: int, width: int) -> torch.Tensor:
    """Return terraces around the middle; the k-th rises by 1 / k^2; of length one."""
    rows, columns = torch.arange(height), torch.arange(width)
    ring = torch.maximum((rows - height // 2).abs()[:, None], (columns - width // 2).abs()[None, :])
    steps = 1 / torch.arange(1, int(ring.max()) + 2, dtype=torch.float64).square()
    terraces = steps.flip(0).cumsum(0).flip(0)[ring]
    length: torch.Tensor = torch.linalg.vector_norm(terraces)
    return terraces / length


def _channel_lengths(change: torch.Tensor) -> torch.Tensor:
    flat: torch.Tensor = torch.linalg.vector_norm(change.flatten(2), dim=2)
    return flat[:, :, None, None]
