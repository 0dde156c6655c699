"""Any classification model of torchvision, by name."""

from pathlib import Path
from typing import Any

from bandlimiter.errors import ConfigurationError, MissingExtraError
from bandlimiter.models.checkpoints import load_weights
from bandlimiter.models.classifier import Classifier, imagenet_classifier

_PREFIX = "torchvision:"


def load_torchvision(name: str, weights: Path | None) -> Classifier | None:
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
        network = models.get_model(short, weights=published)
    else:
        network = models.get_model(short, weights=None, **_without_extra_heads(short))
        load_weights(network, weights)
    preprocessing = published.transforms()
    return imagenet_classifier(
        name,
        network,
        preprocessing.mean,
        preprocessing.std,
        input_size=preprocessing.crop_size[0],
        class_names=published.meta["categories"],
    )


def _without_extra_heads(name: str) -> dict[str, Any]:
    """These two would otherwise spend a minute on an initialisation that is overwritten."""
    return {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
