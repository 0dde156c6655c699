"""Who was asked how often: evaluations by image, and names for the next random draws."""

from collections import Counter
from collections.abc import Sequence

import torch

from bandlimiter.errors import InputError
from bandlimiter.tensors import Key


class QueryCounter:
    """Counts for images that have names; the others go uncounted."""

    def __init__(self) -> None:
        self._calls: Counter[Key] = Counter()
        self._queries: Counter[Key] = Counter()
        self._gradients: Counter[Key] = Counter()

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

    def add(self, names: Sequence[Key] | None, *, queries: int = 0, gradients: int = 0) -> None:
        """Count so many evaluations for each image."""
        for name in names or ():
            self._queries[name] += queries
            self._gradients[name] += gradients

    def add_each(
        self, names: Sequence[Key], queries: torch.Tensor, gradients: torch.Tensor
    ) -> None:
        """Count a number of evaluations of its own for each image: [N] each."""
        for name, more, slopes in zip(names, queries.tolist(), gradients.tolist(), strict=True):
            self._queries[name] += more
            self._gradients[name] += slopes

    def spent(self, names: Sequence[Key]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return queries and gradients that went to the images called ``names``: [N] each."""
        queries = torch.tensor([self._queries[name] for name in names])
        return queries, torch.tensor([self._gradients[name] for name in names])
