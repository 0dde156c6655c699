"""Models that a function of the user's builds."""

import importlib
import sys
from pathlib import Path

from torch import nn

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models.checkpoints import load_weights
from bandlimiter.models.classifier import Classifier


def load_factory(name: str, weights: Path | None) -> Classifier | None:
    """``my_module:build``: calls ``build()``, which returns a module that takes pixels.

    The module is imported from the working directory or the Python path. Where the
    weights were saved from a part of the model, load them in the function instead.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon:
        return None
    build = _find(module_name, function_name, name)
    model = build()  # type: ignore[operator]
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"expected {name} to return a torch.nn.Module, got {type(model).__name__}"
        )
    if weights is not None:
        load_weights(model, weights)
    return Classifier(name, model.eval())


def _find(module_name: str, function_name: str, name: str) -> object:
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.partition(".")[0] and error.name != module_name:
            raise LoadError(f"expected {module_name} to import, it failed: {error}") from error
        raise ConfigurationError(
            f"expected a known model or MODULE:FACTORY, got {name!r} and found no module "
            f"{module_name!r}"
        ) from error
    finally:
        sys.path.pop(0)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigurationError(
            f"expected a function {function_name!r} in {module_name}, found none"
        )
    return function
