"""What is tried on what: an attack's description, a batch's answers, an attack's outcome."""

from dataclasses import dataclass

import torch

from bandlimiter.attacks import Attack, AttackResult, CascadeResult, Goal


@dataclass(frozen=True)
class Trial:
    """What rows say of how an attack was made; see `Row` for the values."""

    name: str
    protocol: str
    threat: str
    quick: bool
    norm: str

    @classmethod
    def of(cls, attack: Attack, threat: str | None = None) -> "Trial":
        """Describe one attack, with its own threat unless another is given."""
        threat = threat or attack.threat
        return cls(attack.name, attack.protocol, threat, attack.quick, attack.norm)


@dataclass(frozen=True)
class CleanBatch:
    """A batch of the Clean set with both models' answers, all of length N.

    ``targets`` [N] are the classes that targeted attacks are to reach; None for untargeted
    ones. An image whose label is its target is not attacked.
    """

    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor
    plain: torch.Tensor
    defended: torch.Tensor
    other_seeds: list[tuple[int, ...]]
    targets: torch.Tensor | None = None

    def right(self, threat: str) -> torch.Tensor:
        """Return which images are attacked, [n] int64: the model under attack has them right."""
        answers = self.defended if threat == "adaptive" else self.plain
        attacked = answers == self.labels
        if self.targets is not None:
            attacked &= self.targets != self.labels
        return attacked.nonzero().flatten()

    def goal(self, rows: torch.Tensor) -> Goal:
        """Return what attacks on some of the images are to reach."""
        return Goal(self.labels, self.targets)[rows]


@dataclass(frozen=True)
class Attacked:
    """What one attack did to the correctly classified images of a batch.

    Attributes
    ----------
    trial
        How they were attacked.
    right
        [n] int64, which images of the batch were attacked.
    result
        For these.
    cascade
        More about them where several attacks took turns.
    """

    trial: Trial
    right: torch.Tensor
    result: AttackResult
    cascade: CascadeResult | None = None
