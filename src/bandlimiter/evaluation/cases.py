"""What is tried on what: an attack's description, a batch's answers, an attack's outcome."""

from dataclasses import dataclass

import torch

from bandlimiter.attacks import Attack, AttackResult, CascadeResult


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
    """A batch of the Clean set with both models' answers, all of length N."""

    images: torch.Tensor
    labels: torch.Tensor
    ids: torch.Tensor
    plain: torch.Tensor
    defended: torch.Tensor
    other_seeds: list[tuple[int, ...]]

    def right(self, threat: str) -> torch.Tensor:
        """Return which images the model under attack classifies correctly: [n] int64."""
        answers = self.defended if threat == "adaptive" else self.plain
        return (answers == self.labels).nonzero().flatten()


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
