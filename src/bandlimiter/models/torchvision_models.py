"""Any classification model of torchvision, by name."""

import re
from typing import Any

from bandlimiter.errors import ConfigurationError, LoadError, MissingExtraError
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier, imagenet_classifier

_PREFIX = "torchvision:"


def load_torchvision(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``torchvision:resnet152`` with weights from a file, or torchvision's own download.

    Mean, std and input size come from the published weights' own preprocessing.
    """
    if not name.startswith(_PREFIX):
        return None
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError(
            "torchvision is not installed; pip install 'bandlimiter[torchvision]'"
        ) from error

    short = name.removeprefix(_PREFIX)
    if short not in models.list_models(module=models):
        raise ConfigurationError(
            f"expected a classification model of torchvision (for example torchvision:resnet152); "
            f"got {name!r}"
        )
    published: Any = models.get_model_weights(short).DEFAULT
    if weights is None:
        try:
            network = models.get_model(short, weights=published)
        except (RuntimeError, OSError) as error:
            raise LoadError(
                f"torchvision could not download {short}: {error}; give --weights FILE"
            ) from error
    else:
        network = models.get_model(short, weights=None, **_as_published(short))
        weights.load_into(network, rename=_modern_key)
    preprocessing = published.transforms()
    return imagenet_classifier(
        name,
        network,
        preprocessing.mean,
        preprocessing.std,
        input_size=preprocessing.crop_size[0],
        class_names=published.meta["categories"],
    )


def _as_published(name: str) -> dict[str, bool]:
    """What torchvision itself sets for the published weights of its two Inceptions.

    They were trained on input normalised in another way and convert it themselves; without
    ``init_weights=False`` they also spend a minute on numbers that are overwritten.
    """
    if name in ("googlenet", "inception_v3"):
        return {"transform_input": True, "init_weights": False}
    return {}


def _modern_key(key: str) -> str:
    """Published DenseNet files say ``denselayer1.norm.1``; the module says ``norm1``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)
