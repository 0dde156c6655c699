"""Every registered attack in one table: a new one is a line here, and all tests run on it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from bandlimiter.attacks import (
    ATTACKS,
    Attack,
    AttackedModel,
    StageSettings,
    TransferAttack,
    build_attack,
)

BOTH, NORMS = ("minimal", "fixed"), ("linf", "l2")


@dataclass(frozen=True)
class Promised:
    """What an attack is held to: its protocols, and the norms in which it attacks a defence."""

    protocols: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    targeted: bool = True
    gradient: bool = True
    random: bool = True


TABLE = {
    "transfer": Promised(norms=NORMS),
    "fgsm": Promised(BOTH, random=False),
    "pgd": Promised(BOTH, norms=("linf",)),
    "deepfool": Promised(BOTH, targeted=False, random=False),
    "cw": Promised(BOTH, random=False),
    "apgd": Promised(("fixed",), norms=NORMS),
    "apgd-dlr": Promised(("fixed",), norms=NORMS),
    "square": Promised(("fixed",), norms=NORMS, gradient=False),
}


@dataclass(frozen=True)
class Case:
    """One way in which an attack is built."""

    name: str
    label: str
    protocol: str
    norm: str
    promised: Promised
    build: Callable[[], Attack]
    transfers: bool = False

    def on(self, plain: nn.Module) -> Attack:
        """Return the attack; one that is carried over is made on ``plain``."""
        attack = self.build()
        return TransferAttack(attack, AttackedModel(plain)) if self.transfers else attack


def _cases() -> list[Case]:
    found = []
    for name, promised in TABLE.items():
        for protocol in promised.protocols:
            build = lambda n=name, p=protocol: build_attack(n, p, quick=True)  # noqa: E731
            found.append(Case(name, f"{name}-{protocol}", protocol, "linf", promised, build))
        for norm in promised.norms:
            stage = ATTACKS[name].stage
            # Two starts, as what one of them leaves goes to the other.
            settings = StageSettings(steps=8, queries=100, restarts=2, norm=norm, quick=True)
            build = lambda s=stage, given=settings: s.build(given)  # noqa: E731
            label = f"{name}-stage-{norm}"
            found.append(Case(name, label, "fixed", norm, promised, build, stage.transfers))
    return found


CASES = _cases()
