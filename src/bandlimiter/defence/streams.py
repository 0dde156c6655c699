"""Streams: small batches gathered for full passes, and answers parted again."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from bandlimiter.defence.prediction import Prediction
from bandlimiter.errors import InputError


def gathered(
    batches: Iterable[torch.Tensor],
    most: Callable[[torch.Tensor], int],
    check: Callable[[torch.Tensor], None],
    device: torch.device,
) -> Iterator[list[torch.Tensor]]:
    """Yield lists of batches on ``device`` that hold ``most(batch)`` inputs or a little more.

    Batches go to a GPU from pinned memory, without waiting for it. A list ends where shape or
    dtype of the inputs change, and before a batch that ``check`` refuses, so that the good
    ones before it are answered.
    """
    group: list[torch.Tensor] = []
    for batch in batches:
        placed = _placed(batch, device)
        try:
            check(placed)
        except InputError:
            if group:
                yield group
            raise
        if group and not _alike(placed, group[0]):
            yield group
            group = []
        group.append(placed)
        if sum(map(len, group)) >= most(placed):
            yield group
            group = []
    if group:
        yield group


def parted(prediction: Prediction, sizes: Sequence[int]) -> Iterator[Prediction]:
    """Cut the prediction for joined batches into one for each."""
    columns = (torch.split(column, list(sizes)) for column in prediction)
    return (Prediction(*parts) for parts in zip(*columns, strict=True))


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape[1:] == other.shape[1:] and one.dtype == other.dtype


def _placed(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)
