"""Square Attack (Andriushchenko et al. 2020): random search by squares, without gradients."""

from dataclasses import dataclass

import torch
from typing_extensions import override

from bandlimiter.attacks.attack_input import AttackInput
from bandlimiter.attacks.balls import ball
from bandlimiter.attacks.base import Attack
from bandlimiter.attacks.square_moves import MOVES
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import generator

# The side of a square falls with the share of queries spent (the authors' schedule, stated for
# 10,000 queries and stretched to any number).
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_SCHEDULED_FOR = 10_000


@dataclass(frozen=True)
class Square(Attack):
    """The full budget, by queries alone: no gradient can be hidden from it.

    Starts with stripes (L-inf) or tiles (L2) and proposes changes within random squares, each
    kept where it raises the margin. An image leaves when it is adversarial.

    A model with random answers is asked for means over draws (see `Randomness`). A change
    that seems better is then asked about again, and this second, independent answer is what
    the next proposal is compared with: the best of many noisy answers is mostly noise.

    Attributes
    ----------
    queries
        Answers per image at most, the first point included and asking again counted.
    norm
        ``"linf"`` or ``"l2"``.
    area
        Of the first squares, as a share of the image.
    """

    queries: int = 1000
    norm: str = "linf"
    area: float = 0.8
    quick: bool = False
    name: str = "square"
    protocol = "fixed"
    targeted = True
    needs_gradient = False
    image_axes = 3

    def __post_init__(self) -> None:
        ball(self.norm)
        if self.queries < 1 or not 0 < self.area <= 1:
            raise ConfigurationError(
                "expected at least one query and an area in (0, 1], got "
                f"{self.queries} and {self.area}"
            )

    @override
    def run(self, inputs: AttackInput) -> torch.Tensor:
        if inputs.images.ndim != 4:
            raise InputError(
                "expected images [N, C, H, W] for the Square Attack, got shape "
                f"{tuple(inputs.images.shape)}; leave it out for other inputs"
            )
        return _Search(inputs, self).run()


class _Search:
    """Where each image is in its search."""

    def __init__(self, inputs: AttackInput, attack: Square) -> None:
        self._attack = attack
        self._moves = MOVES[attack.norm]
        self._inputs = inputs
        self._again = inputs.model.search_scatters
        self._share = inputs.model.share(0.0)
        self._best = inputs.images.clone()
        self._active = torch.arange(len(inputs.images), device=inputs.images.device)
        self._spent = torch.zeros_like(self._active)

    def run(self) -> torch.Tensor:
        """Return the best point of each image."""
        inputs = self._inputs
        first, moves = self._moves.numbers(inputs.images.shape)
        x = self._moves.first(inputs, self._numbers("first", first))
        numbers = self._numbers("moves", self._attack.queries, moves)
        logits = self._ask(inputs, x)
        margins = inputs.goal.margin(logits)
        hit = self._leaving(inputs, x, margins, logits, torch.ones_like(margins, dtype=torch.bool))
        self._best[self._active] = x
        for query in range(1, self._attack.queries):
            stay = ~hit & (self._spent < self._attack.queries)
            if not stay.all():
                inputs = inputs.select(stay.nonzero().flatten())
                x, margins, numbers = x[stay], margins[stay], numbers[stay]
                self._active, self._spent = self._active[stay], self._spent[stay]
            if not len(x):
                break
            share = inputs.model.share(query / self._attack.queries)
            if share != self._share and inputs.model.searchable:
                self._share = share  # margins of other points do not compare
                margins = inputs.goal.margin(self._ask(inputs, x))
            side = self._side(inputs, query - 1)  # the authors count proposals from 0
            proposed = self._moves.propose(inputs, x, side, numbers[:, query])
            logits = self._ask(inputs, proposed)
            found = inputs.goal.margin(logits)
            better = found > margins
            if self._again:
                better &= self._spent < self._attack.queries
                found = self._confirmed(inputs, proposed, found, better)
            x = torch.where(better.view(-1, 1, 1, 1), proposed, x)
            margins = torch.where(better, found, margins)
            hit = self._leaving(inputs, x, margins, logits, better)
            self._best[self._active[better]] = x[better]
        return self._best

    def _confirmed(
        self,
        inputs: AttackInput,
        proposed: torch.Tensor,
        found: torch.Tensor,
        better: torch.Tensor,
    ) -> torch.Tensor:
        """Ask again where a change seems better; the new answers take the old ones' place."""
        confirmed = found.clone()
        if better.any():
            rows = better.nonzero().flatten()
            part = inputs.select(rows)
            confirmed[rows] = part.goal.margin(self._ask(part, proposed[rows], rows))
        return confirmed

    def _ask(
        self, inputs: AttackInput, x: torch.Tensor, rows: torch.Tensor | slice = slice(None)
    ) -> torch.Tensor:
        """Return logits to compare points by; they count for the images of ``rows``."""
        self._spent[rows] += 1
        return inputs.search_logits(x, self._share)

    def _leaving(
        self,
        inputs: AttackInput,
        x: torch.Tensor,
        margins: torch.Tensor,
        logits: torch.Tensor,
        new: torch.Tensor,
    ) -> torch.Tensor:
        """Return which images may leave at x: [N] bool; ``new`` says which points are."""
        hit = inputs.model.beaten(margins)
        if not inputs.model.searchable:
            return hit
        # A close decision is left open, and asked about again when the point has changed.
        tried = (hit & new).nonzero().flatten()
        hit = torch.zeros_like(hit)
        if len(tried):
            part = inputs.select(tried)
            hit[tried] = part.confirmed(x[tried], logits[tried], self._share)
        return hit

    def _side(self, inputs: AttackInput, proposal: int) -> int:
        """Return the side of the squares of the proposal numbered ``proposal``, from 0."""
        scaled = proposal / self._attack.queries * _SCHEDULED_FOR
        area = self._attack.area / 2 ** sum(scaled > at for at in _HALVINGS)
        height, width = inputs.images.shape[2:]
        return min(self._moves.side(area * height * width), height, width)

    def _numbers(self, purpose: str, *shape: int) -> torch.Tensor:
        """Draw uniform numbers for each image's whole search, from a stream of its own."""
        inputs = self._inputs
        draws = [
            torch.rand(shape, generator=generator(inputs.seed, self._attack.name, purpose, key))
            for key in inputs.ids
        ]
        return torch.stack(draws).to(inputs.images.device)
