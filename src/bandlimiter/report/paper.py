"""The figures that the paper prints, to stand beside ours."""

import math
from typing import Any, NamedTuple


class PaperRow(NamedTuple):
    """A row of the paper's Table 1 (eps = 8/255, K = 15)."""

    attacked: float
    defended_clean: float
    defended_attacked: float
    defence_rate: float
    adversarials: int


class PaperSweepRow(NamedTuple):
    """A row of the paper's Table 2 (PGD, ImageNet, ResNet-152, eps = 8/255, r = 30)."""

    clean: float
    attacked: float
    defended_attacked: float
    defence_rate: float
    adversarials: int
    seconds: float
    """Averaged inference time for one image."""


class PaperSetup(NamedTuple):
    """What the paper's rows for one data set were measured on."""

    model: str
    data: str
    radius: float
    images: int
    clean: float


TABLE1: dict[str, dict[str, PaperRow]] = {
    "imagenet": {  # ResNet-152, r = 30, 5,000 images, clean accuracy 0.7750
        "fgsm": PaperRow(0.0750, 0.7734, 0.7488, 0.9426, 3500),
        "pgd": PaperRow(0.0004, 0.7732, 0.7606, 0.9639, 3873),
        "deepfool": PaperRow(0.0350, 0.7730, 0.7614, 0.9639, 3710),
        "cw": PaperRow(0.0090, 0.7734, 0.7548, 0.9554, 3830),
    },
    "cifar10": {  # ResNet-110, r = 6, 10,000 images, clean accuracy 0.9368
        "fgsm": PaperRow(0.1816, 0.9247, 0.8022, 0.8080, 7552),
        "pgd": PaperRow(0.0000, 0.9255, 0.8841, 0.9330, 9368),
        "deepfool": PaperRow(0.1968, 0.9254, 0.8626, 0.8872, 7413),
        "cw": PaperRow(0.0322, 0.9257, 0.8902, 0.9367, 9046),
    },
}


SETUPS = {
    "imagenet": PaperSetup("ResNet-152", "ImageNet", 30.0, 5_000, 0.7750),
    "cifar10": PaperSetup("ResNet-110", "CIFAR-10", 6.0, 10_000, 0.9368),
}

TABLE2 = {
    6: PaperSweepRow(0.7736, 0.0004, 0.7606, 0.9636, 3873, 0.18),
    15: PaperSweepRow(0.7730, 0.0004, 0.7604, 0.9636, 3873, 0.40),
    30: PaperSweepRow(0.7732, 0.0006, 0.7614, 0.9644, 3874, 0.86),
    60: PaperSweepRow(0.7734, 0.0004, 0.7618, 0.9649, 3874, 1.74),
}
"""By K."""

PLAIN_SECONDS = 0.04
"""The original network's time for one image, beside Table 2."""

FIGURE2_RADII = (15.0, 30.0)
"""The range of r on ImageNet throughout which the paper's defence rate stays high."""

CLAIMS = {
    "figure1": (
        "A small perturbation from point A to point B may possibly cross many hyperplanes "
        "(its caption). For VGG16 on ImageNet, PGD perturbations of an L2 of at most 0.35 crossed "
        "N = 5278 hyperplanes a layer on average (section 2.2); it does not say whether that "
        "counts crossings on the way or units that differ at the ends, of which bandlimiter "
        "trace gives both."
    ),
    "table1": (
        "Universally robust to all of these attacks, with a loss of less than 2 % on the clean "
        "set. FGSM's lower rate: it tends to generate much larger perturbations than the others."
    ),
    "table2": (
        "Performance is not very sensitive to K, and the time is roughly 2K/3 of the original "
        "inference time."
    ),
    "figure2": (
        "On ImageNet the defence rate is high throughout r in [15, 30]; the optimal r varies "
        "with the attack, but variations are small."
    ),
    "figure3": (
        "On CIFAR-10 the defence rate is very good up to epsilon = 32/255, does not change much "
        "for PGD and C&W, and is lower for FGSM, whose perturbations are much larger."
    ),
}
"""What the paper says of each experiment, in its own words as far as they are short."""


def departures(settings: dict[str, Any], point: dict[str, Any]) -> list[str]:
    """Return in what a point of an experiment differs from the paper's Table 1, in words.

    Parameters
    ----------
    settings
        An experiment's.
    point
        With ``radius``, ``directions`` and ``epsilon``.
    """
    said, radius = [], settings.get("paper_radius")
    if settings.get("scale") is not None:
        said.append(f"a scale of {settings['scale']:g}")
    elif radius is None or not math.isclose(point["radius"], radius, rel_tol=1e-6):
        said.append(f"r = {point['radius']:.4g}")
    if point["directions"] != 15:
        said.append(f"K = {point['directions']}")
    if not math.isclose(point["epsilon"], 8 / 255, rel_tol=1e-6):
        said.append(f"epsilon = {255 * point['epsilon']:.3g}/255")
    for key, usual in (("sampler", "directions"), ("vote", "softmax")):
        if settings.get(key, usual) != usual:
            said.append(f"{key} {settings[key]}")
    return said


def is_paper_s_defence(settings: dict[str, Any]) -> bool:
    """Whether a run's settings are those of Table 1, so that its figures may stand beside."""
    asked = {"directions": 15, "sampler": "directions", "vote": "softmax"}
    return (
        settings.get("paper_data") in TABLE1
        and settings.get("scale") is None  # the radius is in the model's own input space
        and all(settings.get(key) == value for key, value in asked.items())
        and math.isclose(settings.get("epsilon", 0), 8 / 255, rel_tol=1e-6)
        and math.isclose(settings["radius"] or 0, settings.get("paper_radius") or 0, rel_tol=1e-6)
    )
