"""Models by name. A new family is a file in this room and a line here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bandlimiter.errors import ConfigurationError
from bandlimiter.models import (
    cifar,
    efficientnet,
    factory,
    hardened,
    programs,
    timm_models,
    torchvision_models,
)
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier


def _load_hardened(name: str, weights: WeightsFile | None) -> Classifier | None:
    return hardened.load_hardened(name, weights, load_model)  # its base may be of any family


FAMILIES: dict[str, Callable[[str, WeightsFile | None], Classifier | None]] = {
    "sample": cifar.load_sample,
    "cifar-resnet20 ... cifar-resnet110": cifar.load_cifar,
    "torchvision:NAME": torchvision_models.load_torchvision,
    "timm:NAME": timm_models.load_timm,
    "efficientnet-lite0": efficientnet.load_efficientnet_lite,
    "sample-hardened, or DIR (of harden)": _load_hardened,
    "FILE.pt (TorchScript) or FILE.pt2 (torch.export)": programs.load_program,
    "MODULE:FACTORY": factory.load_factory,
}
"""How a name is spelled -> a loader, which answers None to names that are not its own."""


def load_model(
    name: str, weights: Path | str | None = None, *, weights_key: str | None = None
) -> Classifier:
    """Return the classifier called ``name``.

    Parameters
    ----------
    name
        ``sample`` (packaged), ``sample-hardened`` (the same, hardened under noise) or a folder
        that `bandlimiter.harden` wrote, ``cifar-resnet20`` ... ``cifar-resnet110``,
        ``torchvision:resnet152``, ``timm:NAME``, ``efficientnet-lite0``, or
        ``my_module:build`` (or ``path/to/file.py:build``), a function of yours that returns an
        ``nn.Module`` which takes pixels in [0, 1]; or a file with such a model, in TorchScript
        or from ``torch.export``.
    weights
        A safetensors file or a torch checkpoint. Without it: the packaged or published
        weights where the family has some.
    weights_key
        The part of that file to load, where it holds several: ``state_dict_ema``; see
        `load_weights`.

    Raises
    ------
    ConfigurationError
        For an unknown name, or a model that needs ``weights`` and got none.
    LoadError
        For a file that cannot be loaded into this architecture.
    MissingExtraError
        Where the family's package is not installed.
    """
    if weights is None and weights_key is not None:
        raise ConfigurationError(f"expected a weights file for the key {weights_key!r}, got none")
    file = None if weights is None else WeightsFile(Path(weights), weights_key)
    for load in FAMILIES.values():
        classifier = load(name, file)
        if classifier is not None:
            if file is None:
                return classifier
            return replace(classifier, weights=file.path.name, weights_key=file.loaded)
    raise ConfigurationError(f"expected a model of {', '.join(FAMILIES)}; got {name!r}")
