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


def is_paper_s_defence(settings: dict[str, Any]) -> bool:
    """Whether a run's settings are those of Table 1, so that its figures may stand beside."""
    asked = {"directions": 15, "sampler": "directions", "vote": "softmax"}
    return (
        settings.get("paper_data") in TABLE1
        and settings.get("scale") is None  # the radius is in the model's own input space
        and all(settings.get(key) == value for key, value in asked.items())
        and math.isclose(settings.get("epsilon", 0), 8 / 255, rel_tol=1e-6)
        and math.isclose(settings["radius"], settings.get("paper_radius") or 0, rel_tol=1e-6)
    )
