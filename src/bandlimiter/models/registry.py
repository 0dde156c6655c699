"""Models by name. A new family is a file in this room and a line here."""

from collections.abc import Callable
from pathlib import Path

from bandlimiter.errors import ConfigurationError
from bandlimiter.models import cifar, efficientnet, factory, timm_models, torchvision_models
from bandlimiter.models.classifier import Classifier

FAMILIES: dict[str, Callable[[str, Path | None], Classifier | None]] = {
    "sample": cifar.load_sample,
    "cifar-resnet20 ... cifar-resnet110": cifar.load_cifar,
    "torchvision:NAME": torchvision_models.load_torchvision,
    "timm:NAME": timm_models.load_timm,
    "efficientnet-lite0": efficientnet.load_efficientnet_lite,
    "MODULE:FACTORY": factory.load_factory,
}
"""How a name is spelled -> a loader, which answers None to names that are not its own."""


def load_model(name: str, weights: Path | str | None = None) -> Classifier:
    """Return the classifier called ``name``.

    Parameters
    ----------
    name
        ``sample`` (packaged), ``cifar-resnet20`` ... ``cifar-resnet110``,
        ``torchvision:resnet152``, ``timm:NAME``, ``efficientnet-lite0``, or
        ``my_module:build``, a function of yours that returns an ``nn.Module`` which takes
        pixels in [0, 1].
    weights
        A safetensors file or a torch checkpoint. Without it: the packaged or published
        weights where the family has some.

    Raises
    ------
    ConfigurationError
        For an unknown name, or a model that needs ``weights`` and got none.
    LoadError
        For a file that cannot be loaded into this architecture.
    MissingExtraError
        Where the family's package is not installed.
    """
    path = None if weights is None else Path(weights)
    for load in FAMILIES.values():
        classifier = load(name, path)
        if classifier is not None:
            return classifier
    raise ConfigurationError(f"expected a model of {', '.join(FAMILIES)}; got {name!r}")
