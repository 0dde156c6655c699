"""Judges one batch: the plain and the defended model, clean and under one attack."""

from collections.abc import Sequence

import torch

from bandlimiter.attacks import Attack, Goal, Target, run_cascade
from bandlimiter.evaluation.cases import Attacked, CleanBatch, Trial
from bandlimiter.evaluation.defendant import Defendant
from bandlimiter.evaluation.targets import Targets
from bandlimiter.results import CASCADE, Row
from bandlimiter.tensors import Key, place_of, require_images

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
    targets
        How target classes are chosen; None for untargeted attacks.
    """

    def __init__(
        self,
        target: Target,
        defendant: Defendant,
        *,
        epsilon: float,
        seed: int,
        targets: Targets | None = None,
    ) -> None:
        self.target, self.defendant = target, defendant
        self.epsilon, self.seed, self.targets = epsilon, seed, targets
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
        known: CleanBatch | None = None,
    ) -> CleanBatch:
        """Check a batch and let both models answer it; ``known`` by another judge already."""
        images = require_images(images)
        labels = labels.to(images.device)
        plain, targets = self._plain(images, labels, ids) if known is None else _plain_of(known)
        keys = [f"{key}/clean" for key in ids.tolist()]
        return CleanBatch(
            images,
            labels,
            ids,
            plain,
            self.defendant.labels(images, keys),
            self.defendant.other_seeds(images),
            targets,
        )

    def attack_plain(self, attack: Attack, batch: CleanBatch) -> Attacked | None:
        """Attack the images that the plain model has right; None where there are none."""
        right = batch.right(attack.threat)
        if not len(right):
            return None
        goal = batch.goal(right)
        result = attack(
            self.target,
            batch.images[right],
            goal.labels,
            epsilon=self.epsilon,
            target=goal.target_labels,
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
        goal = batch.goal(right)
        found = run_cascade(
            attacks,
            target,
            batch.images[right],
            goal.labels,
            epsilon=self.epsilon,
            target=goal.target_labels,
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
                    "target": None if batch.targets is None else int(batch.targets[i]),
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
        images, goal = result.images[found], batch.goal(attacked.right[found])
        names = batch.ids[attacked.right[found].cpu()].tolist()
        keys = [f"{name}/{attacked.trial.name}/{attacked.trial.protocol}" for name in names]
        plain = self.target.predict(images) if adaptive else result.labels[found]
        shares: tuple[torch.Tensor, torch.Tensor] | None
        if adaptive:
            defended = result.labels[found]
            shares = result.wrong[found], result.reached[found]
        else:
            defended = self.defendant.labels(images, keys)
            shares = self._shares(images, goal, keys) if self.defendant.random else None
        others = self.defendant.other_seeds(images)
        return [
            {
                "plain_adversarial": int(plain[i]),
                "defended_adversarial": int(defended[i]),
                "other_seeds_adversarial": others[i],
                **self._random_answers(shares, goal, i),
            }
            for i in range(len(images))
        ]

    def _shares(
        self, images: torch.Tensor, goal: Goal, keys: Sequence[Key]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how often repeated answers of the defence are wrong, and at the goal: [n] each."""
        repeats = self.defendant.repeated(images, keys)
        wrong, reached = repeats != goal.labels, goal.reached(repeats)
        return wrong.double().mean(dim=0), reached.double().mean(dim=0)

    def _random_answers(
        self, shares: tuple[torch.Tensor, torch.Tensor] | None, goal: Goal, i: int
    ) -> _Outcome:
        """Say what only random answers leave open: how often they are wrong, and at the target."""
        if shares is None or not self.defendant.random:
            return {}
        wrong, reached = shares
        return {
            "wrong": float(wrong[i]),
            "reached": None if goal.target_labels is None else float(reached[i]),
            "broken_share": self.defendant.randomness.broken_share,
        }

    def _plain(
        self, images: torch.Tensor, labels: torch.Tensor, ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the plain model's answers [N], and the target classes that follow from them."""
        logits = self.target.logits(images)
        targets = None if self.targets is None else self.targets.of(logits, labels, ids)
        return logits.argmax(dim=1), targets

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


def _plain_of(known: CleanBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
    return known.plain, known.targets


_NOTHING: _Outcome = {
    "found": False,
    "within_budget": False,
    "plain_adversarial": None,
    "defended_adversarial": None,
    "linf": 0.0,
    "l2": 0.0,
    "l2_normalised": None,
}
