"""Judges one batch: the plain and the defended model, clean and under one attack."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bandlimiter.attacks import Attack, AttackResult, Target
from bandlimiter.defence import PostAverage
from bandlimiter.errors import BandlimiterError, InputError
from bandlimiter.results import Row
from bandlimiter.tensors import (
    Key,
    find_normaliser,
    logits_of,
    require_finite,
    require_images,
    require_labels,
)


@dataclass(frozen=True)
class CleanBatch:
    """A batch of the Clean set with both models' answers, all of length N."""

    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor
    plain: torch.Tensor
    defended: torch.Tensor


class Judge:
    """Holds the two models and the rules of a run.

    Parameters
    ----------
    model, defence
        The plain and the defended classifier.
    epsilon
        L-inf budget in pixels.
    seed
        Of the attacks' draws.
    """

    def __init__(self, model: nn.Module, defence: nn.Module, *, epsilon: float, seed: int) -> None:
        self._target = Target(model)
        self._defence = defence
        self._epsilon, self._seed = epsilon, seed
        self._scale = _scale_of(model, defence)

    def clean(self, images: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor) -> CleanBatch:
        """Check a batch and let both models answer it."""
        require_images(images)
        logits = self._first_logits(images)
        require_labels(labels, len(images), logits.shape[1])
        keys = [f"{key}/clean" for key in ids.tolist()]
        return CleanBatch(
            images,
            labels.to(images.device),
            ids,
            logits.argmax(dim=1),
            self._defended_labels(images, keys),
        )

    def attack(
        self, attack: Attack, batch: CleanBatch
    ) -> tuple[list[Row], tuple[torch.Tensor, torch.Tensor]]:
        """Attack the correctly classified images of ``batch``.

        Returns
        -------
        rows
            One for each image of the batch, in its order.
        found
            The adversarial images found, within the budget or not, and their ids.
        """
        right = (batch.plain == batch.labels).nonzero().flatten()
        if not len(right):
            rows = [self._row(attack, batch, i, None, None) for i in range(len(batch.ids))]
            return rows, (batch.images[:0], batch.ids[:0])

        ids = batch.ids[right.cpu()]
        result = attack(
            self._target,
            batch.images[right],
            batch.labels[right],
            epsilon=self._epsilon,
            ids=ids.tolist(),
            seed=self._seed,
        )
        defended = batch.defended[right].clone()
        if result.found.any():
            keys = [
                f"{key}/{attack.name}/{attack.protocol}" for key in ids[result.found.cpu()].tolist()
            ]
            defended[result.found] = self._defended_labels(result.images[result.found], keys)

        outcomes = _outcomes(
            result, defended, self._lengths_normalised(batch.images[right], result)
        )
        place = {image: position for position, image in enumerate(right.tolist())}
        rows = [self._row(attack, batch, i, outcomes, place.get(i)) for i in range(len(batch.ids))]
        return rows, (result.images[result.found], ids[result.found.cpu()])

    def _first_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Evaluate the plain model where shapes that it does not take come to light."""
        try:
            return self._target.logits(images)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, (BandlimiterError, torch.OutOfMemoryError)):
                raise
            reason = str(error).splitlines()[0]
            raise InputError(
                f"expected images that the model takes, got shape {tuple(images.shape[1:])}; "
                f"the model says: {reason}"
            ) from error

    @torch.no_grad()
    def _defended_labels(self, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        if isinstance(self._defence, PostAverage):
            return self._defence.predict(images, keys=keys).labels
        logits = logits_of(self._defence(images))
        require_finite(logits, "logits of the defended model")
        return logits.argmax(dim=1)

    def _lengths_normalised(self, images: torch.Tensor, result: AttackResult) -> list[float | None]:
        if self._scale is None:
            return [None] * len(images)
        difference = (result.images.double() - images.double()) / self._scale
        lengths: list[float | None] = difference.flatten(1).norm(dim=1).tolist()
        return lengths

    def _row(
        self,
        attack: Attack,
        batch: CleanBatch,
        i: int,
        outcomes: list[dict[str, object]] | None,
        place: int | None,
    ) -> Row:
        outcome = _NOTHING if outcomes is None or place is None else outcomes[place]
        return Row.model_validate(
            {
                "image": int(batch.ids[i]),
                "label": int(batch.labels[i]),
                "attack": attack.name,
                "protocol": attack.protocol,
                "threat": "transfer",
                "quick": attack.quick,
                "epsilon": self._epsilon,
                "plain_clean": int(batch.plain[i]),
                "defended_clean": int(batch.defended[i]),
                **outcome,
            }
        )


_NOTHING: dict[str, object] = {
    "found": False,
    "within_budget": False,
    "plain_adversarial": None,
    "defended_adversarial": None,
    "linf": 0.0,
    "l2": 0.0,
    "l2_normalised": None,
}


def _outcomes(
    result: AttackResult, defended: torch.Tensor, normalised: list[float | None]
) -> list[dict[str, object]]:
    columns = zip(
        result.found.tolist(),
        result.within.tolist(),
        result.labels.tolist(),
        defended.tolist(),
        result.linf.tolist(),
        result.l2.tolist(),
        normalised,
        strict=True,
    )
    return [dict(zip(_NOTHING, row, strict=True)) if row[0] else _NOTHING for row in columns]


def _scale_of(model: nn.Module, defence: nn.Module) -> float | torch.Tensor | None:
    """What divides a pixel difference to give a length in the network's input space."""
    if isinstance(defence, PostAverage):
        return defence.scale
    normaliser = find_normaliser(model)
    return None if normaliser is None else normaliser.std
