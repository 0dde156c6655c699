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

    def select(self, index: torch.Tensor) -> "CleanBatch":
        """Return the images numbered in ``index``: [n] int64."""
        return CleanBatch(
            self.images[index],
            self.labels[index],
            self.ids[index.cpu()],
            self.plain[index],
            self.defended[index],
        )


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
        outcomes: dict[int, _Outcome] = {}
        found = batch.images[:0], batch.ids[:0]
        if len(right):
            part = batch.select(right)
            result = attack(
                self._target,
                part.images,
                part.labels,
                epsilon=self._epsilon,
                ids=part.ids.tolist(),
                seed=self._seed,
            )
            outcomes = dict(zip(right.tolist(), self._outcomes(attack, part, result), strict=True))
            found = result.images[result.found], part.ids[result.found.cpu()]
        rows = [
            self._row(attack, batch, i, outcomes.get(i, _NOTHING)) for i in range(len(batch.ids))
        ]
        return rows, found

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

    def _outcomes(self, attack: Attack, part: CleanBatch, result: AttackResult) -> list["_Outcome"]:
        """What the rows say of the attacked images."""
        defended = part.defended.clone()
        if result.found.any():
            names = part.ids[result.found.cpu()].tolist()
            keys = [f"{name}/{attack.name}/{attack.protocol}" for name in names]
            defended[result.found] = self._defended_labels(result.images[result.found], keys)
        columns = zip(
            result.found.tolist(),
            result.within.tolist(),
            result.labels.tolist(),
            defended.tolist(),
            result.linf.tolist(),
            result.l2.tolist(),
            self._normalised_lengths(part.images, result.images),
            strict=True,
        )
        return [dict(zip(_NOTHING, row, strict=True)) if row[0] else _NOTHING for row in columns]

    def _normalised_lengths(
        self, images: torch.Tensor, adversarial: torch.Tensor
    ) -> list[float] | list[None]:
        if self._scale is None:
            return [None] * len(images)
        difference = (adversarial.double() - images.double()) / self._scale
        lengths: list[float] = difference.flatten(1).norm(dim=1).tolist()
        return lengths

    def _row(self, attack: Attack, batch: CleanBatch, i: int, outcome: "_Outcome") -> Row:
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


_Outcome = dict[str, object]
"""The part of a `Row` that an attack decides."""

_NOTHING: _Outcome = {
    "found": False,
    "within_budget": False,
    "plain_adversarial": None,
    "defended_adversarial": None,
    "linf": 0.0,
    "l2": 0.0,
    "l2_normalised": None,
}


def _scale_of(model: nn.Module, defence: nn.Module) -> float | torch.Tensor | None:
    """What divides a pixel difference to give a length in the network's input space."""
    if isinstance(defence, PostAverage):
        return defence.scale
    normaliser = find_normaliser(model)
    return None if normaliser is None else normaliser.std
