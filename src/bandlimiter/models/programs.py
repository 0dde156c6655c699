"""Models as files: TorchScript archives and torch.export programs."""

import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier
from bandlimiter.models.inputs import stated_size
from bandlimiter.models.weight_files import is_pickled, kind_of_archive
from bandlimiter.tensors import require_eval, require_module, set_training

_SUFFIXES = (".pt", ".pth", ".pt2", ".ts", ".torchscript", ".jit", ".ptc", ".ptl")


def is_program(path: Path) -> bool:
    """Whether a file is a whole model rather than weights."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    return kind_of_archive(path) in ("torchscript", "export")


def load_program(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``model.pt``, TorchScript, or ``model.pt2``, an exported program; told by content.

    Under another suffix only a file that is one.
    """
    path = Path(name)
    if path.suffix.lower() not in _SUFFIXES and not is_program(path):
        return None
    if weights is not None:
        raise ConfigurationError(f"expected no weights for {name}, which is a whole model")
    if not path.is_file():
        raise ConfigurationError(f"expected a model's file, found none at {path}")
    model = _read(path)
    require_module(model)
    set_training(model, mode=False)
    require_eval(model)
    return Classifier(name, model, input_size=stated_size(model))


def _read(path: Path) -> nn.Module:
    kind = kind_of_archive(path) if zipfile.is_zipfile(path) else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as that TorchScript is deprecated
            if kind == "torchscript":
                script: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
                return script
            if kind == "export":
                return torch.export.load(path).module()
    except Exception as error:  # a damaged file may fail anywhere in the reader
        reason = (str(error).splitlines() or [""])[0]
        raise LoadError(f"expected a whole model in {path}: {reason}") from error
    if kind != "checkpoint" and not is_pickled(path):
        raise LoadError(
            f"expected TorchScript or a torch.export program in {path}, which is damaged or neither"
        )
    raise LoadError(
        f"expected TorchScript or a torch.export program in {path}, found a checkpoint; name the "
        "model that it was made for, or MODULE:FACTORY, and give the file as --weights"
    )
