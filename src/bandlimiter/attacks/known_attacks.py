"""The attacks there are. A new one is a file in this room and an entry here.

Nothing here loads torch, as help texts are written from it: builders import an attack's file when
they are called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bandlimiter.attacks.registration import (
    Builder,
    RegisteredAttack,
    Stage,
    StageSettings,
    register_attack,
)

if TYPE_CHECKING:
    from bandlimiter.attacks.base import Attack


def _late(place: str, **settings: Any) -> Builder:
    """Return a builder of the class at ``place``, ``file.Class``, which it imports when called."""
    file, name = place.split(".")

    def build() -> "Attack":
        kind = getattr(import_module(f"bandlimiter.attacks.{file}"), name)
        attack: Attack = kind(**settings)
        return attack

    return build


def _scaled(search: Builder) -> Builder:
    """Return a builder of what a minimal attack becomes when it may spend the whole budget."""
    return lambda: _late("scaled_to_budget.ScaledToBudget", search=search())()


def _apgd(settings: StageSettings, **more: Any) -> "Attack":
    return _late(
        "apgd.APGD",
        steps=settings.steps,
        norm=settings.norm,
        restarts=settings.restarts,
        quick=settings.quick,
        **more,
    )()


def _pgd(settings: StageSettings) -> "Attack":
    steps = settings.steps
    return _late("pgd.PGD", steps=steps, rate=2.5 / steps, quick=settings.quick)()


def _square(settings: StageSettings) -> "Attack":
    return _late(
        "square.Square", queries=settings.queries, norm=settings.norm, quick=settings.quick
    )()


_FGSM = _late("fgsm.FGSM")
_DEEPFOOL = _late("deepfool.MinimalDeepFool")
_QUICK_DEEPFOOL = _late("deepfool.MinimalDeepFool", steps=20, candidates=4, quick=True)
_CW = _late("carlini_wagner.MinimalCarliniWagner")
# At larger rates its points land deep in the wrong class and are no minimal ones at all.
_QUICK_CW = _late(
    "carlini_wagner.MinimalCarliniWagner", searches=3, iterations=60, constant=0.1, quick=True
)
_DLR = {"loss": "dlr", "name": "apgd-dlr"}

for _attack in (
    RegisteredAttack(
        "transfer",
        "APGD on the plain model, shown to the defence",
        stage=Stage(lambda settings: _apgd(settings, leave=False), transfers=True),
    ),
    RegisteredAttack(
        "fgsm",
        "one step along the gradient's sign",
        {
            "minimal": (
                _late("fgsm.MinimalFGSM"),
                _late("fgsm.MinimalFGSM", steps=250, refined=10, largest=0.25, quick=True),
            ),
            "fixed": (_FGSM, _FGSM),
        },
        default=True,
    ),
    RegisteredAttack(
        "pgd",
        "steps along it, projected back to the budget",
        {
            "minimal": (
                _late("pgd.MinimalPGD"),
                _late("pgd.MinimalPGD", steps=10, rate=0.1, start=0.02, searches=6, quick=True),
            ),
            "fixed": (_late("pgd.PGD"), _late("pgd.PGD", steps=10, rate=0.25, quick=True)),
        },
        default=True,
        stage=Stage(_pgd, default=False),
    ),
    RegisteredAttack(
        "deepfool",
        "steps to the closest linearised boundary",
        {
            "minimal": (_DEEPFOOL, _QUICK_DEEPFOOL),
            "fixed": (_scaled(_DEEPFOOL), _scaled(_QUICK_DEEPFOOL)),
        },
        default=True,
    ),
    RegisteredAttack(
        "cw",
        "Carlini and Wagner's descent",
        {"minimal": (_CW, _QUICK_CW), "fixed": (_scaled(_CW), _scaled(_QUICK_CW))},
        default=True,
    ),
    RegisteredAttack(
        "apgd",
        "Auto-PGD, which finds its step size",
        {"fixed": (_late("apgd.APGD"), _late("apgd.APGD", steps=10, quick=True))},
        stage=Stage(_apgd),
    ),
    RegisteredAttack(
        "apgd-dlr",
        "the same on the difference of logits ratio",
        {"fixed": (_late("apgd.APGD", **_DLR), _late("apgd.APGD", steps=10, quick=True, **_DLR))},
        stage=Stage(lambda settings: _apgd(settings, **_DLR)),
    ),
    RegisteredAttack(
        "square",
        "random squares, without gradients",
        {
            "fixed": (
                _late("square.Square"),
                _late("square.Square", queries=100, quick=True),
            )
        },
        stage=Stage(_square),
    ),
):
    register_attack(_attack)
