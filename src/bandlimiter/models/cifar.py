"""The CIFAR ResNets by name, and the packaged one."""

from importlib.resources import as_file, files

from bandlimiter.errors import ConfigurationError
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.cifar_resnet import DEPTHS, MEAN, STD, CifarResNet
from bandlimiter.models.classifier import Classifier, normalised, paper_radius

_PREFIX = "cifar-resnet"

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def load_sample(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``sample``: the packaged ResNet-20, trained by ``tools/train_sample_model.py``."""
    if name != "sample":
        return None
    if weights is not None:
        raise ConfigurationError("expected no weights for the packaged model; use cifar-resnet20")
    with as_file(files("bandlimiter.assets") / "resnet20.safetensors") as path:
        return _build("sample", 20, WeightsFile(path))


def load_cifar(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``cifar-resnetN`` with its weights, for example Y. Idelbayev's ``.th`` files."""
    if not name.startswith(_PREFIX):
        return None
    depth = name.removeprefix(_PREFIX)
    if not depth.isdigit() or int(depth) not in DEPTHS:
        known = ", ".join(f"{_PREFIX}{depth}" for depth in DEPTHS)
        raise ConfigurationError(f"expected a model of {known}; got {name!r}")
    if weights is None:
        raise ConfigurationError(f"expected a weights file for {name}; give --weights FILE")
    return _build(name, int(depth), weights)


def architecture(name: str) -> str:
    """Return the name under which an architecture takes weights: that of the packaged one too."""
    return f"{_PREFIX}20" if name == "sample" else name


def _build(name: str, depth: int, weights: WeightsFile) -> Classifier:
    network = CifarResNet(depth)
    weights.load_into(network)
    return Classifier(
        name,
        normalised(network, MEAN, STD),
        input_size=32,
        paper_data="cifar10",
        paper_radius=paper_radius("cifar10", STD),
        class_names=CLASS_NAMES,
    )
