"""Judges one batch: the plain and the defended model, clean and under one attack."""

from collections.abc import Sequence

import torch

from bandlimiter.attacks import Attack, Target, run_cascade
from bandlimiter.evaluation.cases import Attacked, CleanBatch, Trial
from bandlimiter.evaluation.defendant import Defendant
from bandlimiter.results import CASCADE, Row
from bandlimiter.tensors import place_of, require_images

_Outcome = dict[str, object]
"""The part of a `Row` that an attack decides."""


class Judge:
    """Holds the plain model, a defence and the rules of a run.

    Parameters
    ----------
    target
        The plain model.
    defendant
        The defence.
    epsilon
        Budget in pixels.
    seed
        Of the attacks' draws.
    """

    def __init__(self, target: Target, defendant: Defendant, *, epsilon: float, seed: int) -> None:
        self.target, self.defendant = target, defendant
        self.epsilon, self.seed = epsilon, seed
        self._device, self._dtype = place_of(target.model)

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """Move images to the model's device, in float32 at least.

        Attacks and lengths need that precision also where the model works in less: an
        epsilon of 8/255 is not a multiple of bf16's steps.
        """
        return images.to(self._device, torch.promote_types(self._dtype, torch.float32))

    def count_classes(self, images: torch.Tensor) -> int:
        """See `Target.count_classes`."""
        return self.target.count_classes(require_images(images))

    def clean(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        ids: torch.Tensor,
        plain: torch.Tensor | None = None,
    ) -> CleanBatch:
        """Check a batch and let both models answer it; ``plain`` [N] where that is known."""
        images = require_images(images)
        keys = [f"{key}/clean" for key in ids.tolist()]
        return CleanBatch(
            images,
            labels.to(images.device),
            ids,
            self.target.predict(images) if plain is None else plain,
            self.defendant.labels(images, keys),
            self.defendant.other_seeds(images),
        )

    def attack_plain(self, attack: Attack, batch: CleanBatch) -> Attacked | None:
        """Attack the images that the plain model has right; None where there are none."""
        right = batch.right(attack.threat)
        if not len(right):
            return None
        result = attack(
            self.target,
            batch.images[right],
            batch.labels[right],
            epsilon=self.epsilon,
            ids=batch.ids[right.cpu()].tolist(),
            seed=self.seed,
        )
        return Attacked(Trial.of(attack), right, result)

    def attack_defended(
        self, trial: Trial, attacks: Sequence[Attack], target: Target, batch: CleanBatch
    ) -> Attacked | None:
        """Let attacks take turns at the images that the defended model, ``target``, has right."""
        right = batch.right("adaptive")
        if not len(right):
            return None
        found = run_cascade(
            attacks,
            target,
            batch.images[right],
            batch.labels[right],
            epsilon=self.epsilon,
            ids=batch.ids[right.cpu()].tolist(),
            seed=self.seed,
        )
        return Attacked(trial, right, found.result, found if trial.name == CASCADE else None)

    def rows(self, trial: Trial, batch: CleanBatch, attacked: Attacked | None) -> list[Row]:
        """Return what became of each image of the batch, in its order."""
        outcomes: dict[int, _Outcome] = {}
        if attacked is not None:
            places = attacked.right.tolist()
            outcomes = dict(zip(places, self._outcomes(batch, attacked), strict=True))
        return [
            Row.model_validate(
                {
                    "image": int(batch.ids[i]),
                    "label": int(batch.labels[i]),
                    "attack": trial.name,
                    "protocol": trial.protocol,
                    "threat": trial.threat,
                    "quick": trial.quick,
                    "norm": trial.norm,
                    "epsilon": self.epsilon,
                    "defence": self.defendant.name,
                    "plain_clean": int(batch.plain[i]),
                    "defended_clean": int(batch.defended[i]),
                    "other_seeds_clean": batch.other_seeds[i],
                    **outcomes.get(i, _NOTHING),
                }
            )
            for i in range(len(batch.ids))
        ]

    def _outcomes(self, batch: CleanBatch, attacked: Attacked) -> list[_Outcome]:
        """Say what each attacked image's row will."""
        result = attacked.result
        costs = _costs(attacked)
        found = result.found.nonzero().flatten()
        answers = iter(self._answers(batch, attacked, found))
        lengths = self._normalised_lengths(batch.images[attacked.right], result.images)
        outcomes: list[_Outcome] = []
        for i, hit in enumerate(result.found.tolist()):
            if not hit:
                outcomes.append({**_NOTHING, **costs[i]})
                continue
            outcomes.append(
                {
                    "found": True,
                    "within_budget": bool(result.within[i]),
                    "linf": float(result.linf[i]),
                    "l2": float(result.l2[i]),
                    "l2_normalised": lengths[i],
                    **next(answers),
                    **costs[i],
                }
            )
        return outcomes

    def _answers(
        self, batch: CleanBatch, attacked: Attacked, found: torch.Tensor
    ) -> list[_Outcome]:
        """Return both models' answers to the found images, [n] int64 among the attacked."""
        if not len(found):
            return []
        result, adaptive = attacked.result, attacked.trial.threat == "adaptive"
        images, labels = result.images[found], batch.labels[attacked.right[found]]
        names = batch.ids[attacked.right[found].cpu()].tolist()
        keys = [f"{name}/{attacked.trial.name}/{attacked.trial.protocol}" for name in names]
        plain = self.target.predict(images) if adaptive else result.labels[found]
        if adaptive:
            defended = result.labels[found]
            wrong = result.wrong[found] if self.defendant.random else None
        else:
            defended = self.defendant.labels(images, keys)
            wrong = self.defendant.wrong(images, labels, keys)
        others = self.defendant.other_seeds(images)
        return [
            {
                "plain_adversarial": int(plain[i]),
                "defended_adversarial": int(defended[i]),
                "wrong": None if wrong is None else float(wrong[i]),
                "broken_share": None if wrong is None else self.defendant.randomness.broken_share,
                "other_seeds_adversarial": others[i],
            }
            for i in range(len(images))
        ]

    def _normalised_lengths(
        self, images: torch.Tensor, adversarial: torch.Tensor
    ) -> list[float] | list[None]:
        scale = self.defendant.scale()
        if scale is None:
            return [None] * len(images)
        scale = scale.to(images.device) if isinstance(scale, torch.Tensor) else scale
        difference = (adversarial.double() - images.double()) / scale
        lengths: list[float] = difference.flatten(1).norm(dim=1).tolist()
        return lengths


def _costs(attacked: Attacked) -> list[_Outcome]:
    """Say what was spent on each image, and which stage of a cascade broke it."""
    result, cascade = attacked.result, attacked.cascade
    return [
        {
            "stage": None if cascade is None else cascade.stages[i],
            "queries": int(result.queries[i]),
            "gradients": int(result.gradients[i]),
        }
        for i in range(len(attacked.right))
    ]


_NOTHING: _Outcome = {
    "found": False,
    "within_budget": False,
    "plain_adversarial": None,
    "defended_adversarial": None,
    "linf": 0.0,
    "l2": 0.0,
    "l2_normalised": None,
}
