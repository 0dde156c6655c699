"""Streams: small batches gathered for full passes, and answers parted again."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from bandlimiter.defence.prediction import Prediction


def gathered(
    batches: Iterable[torch.Tensor],
    most: Callable[[torch.Tensor], int],
    device: torch.device,
) -> Iterator[list[torch.Tensor]]:
    """Yield lists of batches on ``device`` that hold ``most(batch)`` inputs or a little more.

    Batches go to a GPU from pinned memory, without waiting for it. A list ends where the
    shape of the inputs changes.
    """
    group: list[torch.Tensor] = []
    for batch in batches:
        placed = _placed(batch, device)
        if group and placed.shape[1:] != group[0].shape[1:]:
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


def _placed(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch.to(device)
