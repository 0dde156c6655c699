"""How rows describe an attack: by name, protocol, threat, norm, and whether it was a quick one."""

from dataclasses import dataclass

from bandlimiter.attacks import Attack


@dataclass(frozen=True)
class AttackSpec:
    """What rows say of how an attack was made; see `Row` for the values."""

    name: str
    protocol: str
    threat: str
    quick: bool
    norm: str

    @classmethod
    def of(cls, attack: Attack, threat: str | None = None) -> "AttackSpec":
        """Describe one attack, with its own threat unless another is given."""
        threat = threat or attack.threat
        return cls(attack.name, attack.protocol, threat, attack.quick, attack.norm)
