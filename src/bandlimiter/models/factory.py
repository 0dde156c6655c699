"""Models that a function of the user's builds."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

from bandlimiter.errors import BandlimiterError, ConfigurationError, LoadError
from bandlimiter.models.checkpoints import load_weights
from bandlimiter.models.classifier import Classifier
from bandlimiter.models.inputs import stated_size


def load_factory(name: str, weights: Path | None) -> Classifier | None:
    """``my_module:build``: calls ``build()``, which returns a module that takes pixels.

    The module is imported from the working directory or the Python path. Where the
    weights were saved from a part of the model, load them in the function instead.
    """
    module_name, colon, function_name = name.partition(":")
    if not colon:
        return None
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        model = _find(module_name, function_name, name)()
    except BandlimiterError:
        raise
    except Exception as error:  # the user's own code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise LoadError(f"expected {name} to build a model, it raised {reason}") from error
    finally:
        sys.path.remove(here)
        if here not in sys.path:  # last: other processes that get the model look for its module
            sys.path.append(here)
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"expected {name} to return a torch.nn.Module, got {type(model).__name__}"
        )
    if weights is not None:
        load_weights(model, weights)
    return Classifier(name, model.eval(), input_size=stated_size(model))


def _find(module_name: str, function_name: str, name: str) -> Callable[[], object]:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name not in (module_name, module_name.partition(".")[0]):
            raise
        raise ConfigurationError(
            f"expected a known model or MODULE:FACTORY, got {name!r} and found no module "
            f"{module_name!r}"
        ) from error
    function: object = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigurationError(
            f"expected a function {function_name!r} in {module_name}, found none"
        )
    return function
