"""How attacks are written for people, in tables and in pictures."""

ATTACK_NAMES = {"fgsm": "FGSM", "pgd": "PGD", "deepfool": "DeepFool", "cw": "C&W"}
"""The paper's four; others are written as they are called."""


def attack_name(attack: str, *, quick: bool = False) -> str:
    """Return an attack's name for people, marked where it was a quick version.

    Examples
    --------
    >>> attack_name("cw", quick=True), attack_name("square")
    ('C&W (quick)', 'square')
    """
    return ATTACK_NAMES.get(attack, attack) + (" (quick)" if quick else "")
