"""Who was asked how often: evaluations by image, and names for the next random draws."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch

from bandlimiter.errors import InputError
from bandlimiter.tensors import Key


class Costs(NamedTuple):
    """What was spent on images, [N] int64 each.

    Attributes
    ----------
    queries, gradients
        Answers of the model under attack, without and with a gradient; each draw counts.
    evaluations
        Of the network inside: an average takes one for each of the points that were asked for, also
        where its answer stopped earlier.
    """

    queries: torch.Tensor
    gradients: torch.Tensor
    evaluations: torch.Tensor

    def less(self, before: "Costs") -> "Costs":
        """Return what was spent since ``before``."""
        return Costs(*(now - then for now, then in zip(self, before, strict=True)))


class QueryCounter:
    """Counts for images that have names; the others go uncounted."""

    def __init__(self) -> None:
        self._calls: Counter[Key] = Counter()
        self._counts: tuple[Counter[Key], ...] = (Counter(), Counter(), Counter())

    def draws(self, names: Sequence[Key] | None, count: int) -> list[Key] | None:
        """Return the names of the next draws around ``count`` images; None without names.

        The n-th draw around an image has a name of its own, whatever else was asked.
        """
        if names is None:
            return None
        if len(names) != count:
            raise InputError(f"expected {count} names, one per image, got {len(names)}")
        drawn: list[Key] = []
        for name in names:  # one name may come several times
            self._calls[name] += 1
            drawn.append(f"attack/{name}/{self._calls[name]}")
        return drawn

    def add(
        self, names: Sequence[Key] | None, *, queries: int = 0, gradients: int = 0, points: int = 1
    ) -> None:
        """Count so many answers for each image, of so many points each."""
        amounts = (queries, gradients, points * (queries + gradients))
        for name in names or ():
            for counter, amount in zip(self._counts, amounts, strict=True):
                counter[name] += amount

    def add_each(self, names: Sequence[Key], costs: Costs) -> None:
        """Count these costs for each image once more."""
        for counter, amounts in zip(self._counts, costs, strict=True):
            for name, amount in zip(names, amounts.tolist(), strict=True):
                counter[name] += amount

    def spent(self, names: Sequence[Key]) -> Costs:
        """Return what went to the images called ``names``."""
        return Costs(*(torch.tensor([each[name] for name in names]) for each in self._counts))
