"""Judges one batch: the plain and the defended model, clean and under one attack."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from bandlimiter.attacks import Attack, AttackResult, Target
from bandlimiter.defence import PostAverage, Stop
from bandlimiter.results import Row
from bandlimiter.tensors import Key, find_normaliser, logits_of, place_of, require_images


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
    stop, alpha
        How early a `PostAverage` may answer; see its `predict`.
    heartbeat
        See `Target`.
    """

    def __init__(
        self,
        model: nn.Module,
        defence: nn.Module,
        *,
        epsilon: float,
        seed: int,
        stop: Stop = "never",
        alpha: float = 1e-3,
        heartbeat: Callable[[Target], None] | None = None,
    ) -> None:
        self._target = Target(model, heartbeat)
        self._defence = defence
        self._epsilon, self._seed = epsilon, seed
        self._stop, self._alpha = stop, alpha
        self._device, self._dtype = place_of(model)
        self._scale = _scale_of(model, defence)

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """Move images to the model's device, in float32 at least.

        Attacks and lengths need that precision also where the model works in less: an
        epsilon of 8/255 is not a multiple of bf16's steps.
        """
        return images.to(self._device, torch.promote_types(self._dtype, torch.float32))

    def count_classes(self, images: torch.Tensor) -> int:
        """See `Target.count_classes`."""
        require_images(images)
        return self._target.count_classes(images)

    def clean(self, images: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor) -> CleanBatch:
        """Check a batch and let both models answer it."""
        require_images(images)
        keys = [f"{key}/clean" for key in ids.tolist()]
        return CleanBatch(
            images,
            labels.to(images.device),
            ids,
            self._target.predict(images),
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

    @torch.no_grad()
    def _defended_labels(self, images: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        images = images.to(self._dtype)
        if isinstance(self._defence, PostAverage):
            found = self._defence.predict(images, stop=self._stop, alpha=self._alpha, keys=keys)
            return found.labels
        return logits_of(self._defence(images)).argmax(dim=1)

    def _outcomes(self, attack: Attack, part: CleanBatch, result: AttackResult) -> list["_Outcome"]:
        """What the rows say of the attacked images."""
        defended = part.defended.clone()
        if result.found.any():
            names = part.ids[result.found.cpu()].tolist()
            keys = [f"{name}/{attack.name}/{attack.protocol}" for name in names]
            defended[result.found] = self._defended_labels(result.images[result.found], keys)
        lengths = self._normalised_lengths(part.images, result.images)
        return [
            {
                "found": True,
                "within_budget": bool(result.within[i]),
                "plain_adversarial": int(result.labels[i]),
                "defended_adversarial": int(defended[i]),
                "linf": float(result.linf[i]),
                "l2": float(result.l2[i]),
                "l2_normalised": lengths[i],
            }
            if result.found[i]
            else _NOTHING
            for i in range(len(lengths))
        ]

    def _normalised_lengths(
        self, images: torch.Tensor, adversarial: torch.Tensor
    ) -> list[float] | list[None]:
        if self._scale is None:
            return [None] * len(images)
        scale = (
            self._scale.to(images.device) if isinstance(self._scale, torch.Tensor) else self._scale
        )
        difference = (adversarial.double() - images.double()) / scale
        lengths: list[float] = difference.flatten(1).norm(dim=1).tolist()
        return lengths

    def _row(self, attack: Attack, batch: CleanBatch, i: int, outcome: "_Outcome") -> Row:
        return Row.model_validate(
            {
                "image": int(batch.ids[i]),
                "label": int(batch.labels[i]),
                "attack": attack.name,
                "protocol": attack.protocol,
                "threat": attack.threat,
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
