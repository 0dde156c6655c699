"""Attacks by name: what commands offer, what runs by default, what a cascade can consist of.

Help texts, defaults and messages are all made from here, without loading torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    from bandlimiter.attacks.base import Attack

PROTOCOLS = ("minimal", "fixed")
"""``minimal``: the smallest perturbation found. ``fixed``: the whole budget."""

Builder = Callable[[], "Attack"]
"""Makes an attack: a function, or the attack's class."""


@dataclass(frozen=True)
class StageSettings:
    """What a cascade asks of each of its stages; one that has no use for a setting ignores it.

    Attributes
    ----------
    steps
        Gradients per image and start, beside that of the start itself.
    queries
        Answers per image, for attacks without gradients.
    restarts
        Random starts.
    norm
        Of the budget: ``"linf"`` or ``"l2"``. An attack that comes back with another is refused.
    quick
        How the attack is to be marked; ``steps`` and ``queries`` are already fewer.
    """

    steps: int = 50
    queries: int = 500
    restarts: int = 1
    norm: str = "linf"
    quick: bool = False


@dataclass(frozen=True)
class Stage:
    """How an attack takes part in a cascade of adaptive attacks.

    Attributes
    ----------
    build
        Makes the attack from a cascade's settings.
    default
        Whether a cascade has it unless told otherwise.
    transfers
        Whether it runs on the plain model, and the defended one is shown what it found.
    """

    build: Callable[[StageSettings], "Attack"]
    default: bool = True
    transfers: bool = False


@dataclass(frozen=True)
class RegisteredAttack:
    """An attack and all that is known of it without building it.

    What it needs (gradients, images [C, H, W]) and whether it can be given target classes is said
    by its class, see `Attack`.

    Attributes
    ----------
    name
        Its name on the command line and in rows.
    summary
        What it is, in a few words for help texts.
    protocols
        Protocol -> (full, quick) builders; the same twice where there is nothing to make quicker.
        Protocols that it does not have are left out.
    default
        Whether it runs where no attack is named.
    stage
        How it attacks a defended model; None where it does not.
    """

    name: str
    summary: str
    protocols: Mapping[str, tuple[Builder, Builder]] = field(default_factory=dict)
    default: bool = False
    stage: Stage | None = None

    @property
    def targeted(self) -> bool:
        """Whether it can be given target classes."""
        if self.stage is not None:
            return self.stage.build(StageSettings()).targeted
        return any(full().targeted for full, _ in self.protocols.values())


ATTACKS: dict[str, RegisteredAttack] = {}
"""All attacks by name; those of a cascade from cheap to dear."""


def register_attack(attack: RegisteredAttack) -> None:
    """Make an attack known by its name: to `evaluate`, to commands and to `Adaptive`.

    Called where the module of a model (``--model MODULE:FACTORY``) is imported, it adds one to
    those that ``--attack`` and ``--stage`` take.

    Raises
    ------
    ConfigurationError
        For a name that is taken, an unknown protocol, and an attack that nothing can build.

    Examples
    --------
    >>> from bandlimiter.attacks import PGD, RegisteredAttack, Stage, register_attack
    >>> def build():
    ...     return PGD(steps=3, rate=0.5)
    >>> register_attack(
    ...     RegisteredAttack(
    ...         "pgd-3",
    ...         "three large steps",
    ...         protocols={"fixed": (build, build)},
    ...         stage=Stage(lambda settings: build(), default=False),
    ...     )
    ... )
    >>> "pgd-3" in attack_names("fixed"), "pgd-3" in attack_names("minimal")
    (True, False)
    >>> del ATTACKS["pgd-3"]
    """
    if attack.name in ATTACKS:
        raise ConfigurationError(
            f"expected a name that no attack has, got {attack.name!r}; the names taken are "
            f"{', '.join(ATTACKS)}"
        )
    unknown = [protocol for protocol in attack.protocols if protocol not in PROTOCOLS]
    if unknown or not (attack.protocols or attack.stage):
        raise ConfigurationError(
            f"expected builders for {' or '.join(PROTOCOLS)}, or a stage, of the attack "
            f"{attack.name}; got {', '.join(unknown) or 'neither'}"
        )
    ATTACKS[attack.name] = attack


def attack_names(protocol: str | None = None) -> list[str]:
    """Return the attacks that run on a plain model, under any protocol or under one."""
    return [
        name
        for name, attack in ATTACKS.items()
        if (attack.protocols if protocol is None else protocol in attack.protocols)
    ]


def default_names() -> list[str]:
    """Return the attacks that run where none is named: the paper's."""
    return [name for name, attack in ATTACKS.items() if attack.default]


def stage_names() -> list[str]:
    """Return the attacks that a cascade can consist of."""
    return [name for name, attack in ATTACKS.items() if attack.stage is not None]


def targeted_names() -> list[str]:
    """Return the attacks that can be given target classes."""
    return [name for name, attack in ATTACKS.items() if attack.targeted]


def described(names: list[str]) -> str:
    """Return names with what they are, for a help text."""
    return ", ".join(f"{name} ({ATTACKS[name].summary})" for name in names)


def build_attack(name: str, protocol: str, *, quick: bool = False) -> "Attack":
    """Return the attack ``name`` under ``protocol``.

    Parameters
    ----------
    name
        Of `ATTACKS`, for example ``"pgd"``.
    protocol
        ``"minimal"`` or ``"fixed"``; see `Attack`.
    quick
        Fewer steps, for demonstrations; the numbers are not the paper's.

    Raises
    ------
    ConfigurationError
        For an unknown name or protocol; the message lists the known ones.
    """
    if name not in attack_names():
        known = attack_names(protocol if protocol in PROTOCOLS else None)
        raise ConfigurationError(f"expected an attack of {', '.join(known)}; got {name!r}")
    protocols = ATTACKS[name].protocols
    if protocol not in protocols:
        raise ConfigurationError(
            f"expected a protocol of {', '.join(protocols)} for {name}; got {protocol!r}"
        )
    return protocols[protocol][int(quick)]()
