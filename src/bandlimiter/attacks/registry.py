"""Attacks by name, protocol and preset. A new one is a file in this room and a line here."""

from collections.abc import Callable

from bandlimiter.attacks.base import Attack
from bandlimiter.attacks.carlini_wagner import MinimalCarliniWagner
from bandlimiter.attacks.deepfool import MinimalDeepFool
from bandlimiter.attacks.fgsm import FGSM, MinimalFGSM
from bandlimiter.attacks.pgd import PGD, MinimalPGD
from bandlimiter.attacks.stretched import Stretched
from bandlimiter.errors import ConfigurationError

PROTOCOLS = ("minimal", "fixed")

_QUICK_FGSM = MinimalFGSM(steps=250, refined=10, largest=0.25, quick=True)
_QUICK_PGD = MinimalPGD(steps=10, rate=0.1, start=0.02, searches=6, quick=True)
_QUICK_DEEPFOOL = MinimalDeepFool(steps=20, candidates=4, quick=True)
# At larger rates its points land deep in the wrong class and are no minimal ones at all.
_QUICK_CW = MinimalCarliniWagner(searches=3, iterations=60, constant=0.1, quick=True)

# name -> protocol -> (full, quick); the same twice where there is nothing to make quicker.
_Factory = Callable[[], Attack]
ATTACKS: dict[str, dict[str, tuple[_Factory, _Factory]]] = {
    "fgsm": {
        "minimal": (MinimalFGSM, lambda: _QUICK_FGSM),
        "fixed": (FGSM, FGSM),
    },
    "pgd": {
        "minimal": (MinimalPGD, lambda: _QUICK_PGD),
        "fixed": (PGD, lambda: PGD(steps=10, rate=0.25, quick=True)),
    },
    "deepfool": {
        "minimal": (MinimalDeepFool, lambda: _QUICK_DEEPFOOL),
        "fixed": (lambda: Stretched(MinimalDeepFool()), lambda: Stretched(_QUICK_DEEPFOOL)),
    },
    "cw": {
        "minimal": (MinimalCarliniWagner, lambda: _QUICK_CW),
        "fixed": (lambda: Stretched(MinimalCarliniWagner()), lambda: Stretched(_QUICK_CW)),
    },
}


def build_attack(name: str, protocol: str, *, quick: bool = False) -> Attack:
    """Return the attack ``name`` under ``protocol``.

    Parameters
    ----------
    name
        ``"fgsm"``, ``"pgd"``, ``"deepfool"`` or ``"cw"``.
    protocol
        ``"minimal"`` or ``"fixed"``; see `Attack`.
    quick
        Fewer steps, for demonstrations; the numbers are not the paper's.

    Raises
    ------
    ConfigurationError
        For an unknown name or protocol; the message lists the known ones.
    """
    if name not in ATTACKS:
        raise ConfigurationError(f"expected an attack of {', '.join(ATTACKS)}; got {name!r}")
    if protocol not in ATTACKS[name]:
        known = ", ".join(ATTACKS[name])
        raise ConfigurationError(f"expected a protocol of {known}; got {protocol!r}")
    return ATTACKS[name][protocol][int(quick)]()
