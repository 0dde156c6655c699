"""Any model of timm, normalised as its own configuration says."""

from typing import Any

from bandlimiter.errors import ConfigurationError, LoadError, MissingExtraError
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier, imagenet_classifier

_PREFIX = "timm:"


def load_timm(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``timm:NAME`` with weights from a file, or timm's own download."""
    if not name.startswith(_PREFIX):
        return None
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm is not installed; pip install 'bandlimiter[timm]'") from error

    short = name.removeprefix(_PREFIX)
    if not timm.is_model(short):
        raise ConfigurationError(f"expected a model of timm (timm.list_models()), got {name!r}")
    try:
        network: Any = timm.create_model(short, pretrained=weights is None)
    except (RuntimeError, OSError) as error:
        raise LoadError(
            f"timm could not build {short}: {error}; without a network, give --weights FILE"
        ) from error
    if weights is not None:
        weights.load_into(network)
    config: dict[str, Any] = network.pretrained_cfg
    return imagenet_classifier(
        name, network, config["mean"], config["std"], input_size=config["input_size"][-1]
    )
