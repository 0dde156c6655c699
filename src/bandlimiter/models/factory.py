"""Models that a function of the user's builds."""

import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from bandlimiter.errors import BandlimiterError, ConfigurationError, LoadError
from bandlimiter.models.checkpoints import WeightsFile
from bandlimiter.models.classifier import Classifier
from bandlimiter.models.inputs import stated_size
from bandlimiter.tensors import require_eval, require_module, set_training


def load_factory(name: str, weights: WeightsFile | None) -> Classifier | None:
    """``my_module:build`` or ``path/to/file.py:build``: calls ``build()``.

    It returns a module that takes pixels, or a `torch.export.ExportedProgram`; the name may also be
    such a module itself. A module's name
    is looked for in the working directory and the Python path; a file's folder is there, too,
    while it is imported. Whatever it does at import sees a command line without arguments.
    """
    place, colon, function_name = name.rpartition(":")
    if not colon:
        if name.endswith(".py"):
            raise ConfigurationError(
                f"expected the name of a function after the file: {name}:FACTORY, got no function"
            )
        return None
    with _as_if_run(name, Path(place).parent if _is_file(place) else Path.cwd()):
        found = _find(place, function_name, name)
        model = found if isinstance(found, nn.Module) else found()
    if isinstance(model, torch.export.ExportedProgram):
        model = model.module()
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"expected {name} to return a torch.nn.Module and nothing else, got "
            f"{type(model).__name__}"
        )
    if weights is not None:
        weights.load_into(model)
    require_module(model)
    set_training(model, mode=False)
    require_eval(model)
    return Classifier(name, model, input_size=stated_size(model))


@contextmanager
def _as_if_run(name: str, folder: Path) -> Iterator[None]:
    """Let a user's code import what lies in ``folder``, see no arguments, and end in one line."""
    places = list(dict.fromkeys([str(folder.resolve()), str(Path.cwd())]))
    arguments, here = sys.argv, Path.cwd()
    sys.path[:0] = places
    sys.argv = [name.rpartition(":")[0]]
    held = io.StringIO()  # the usage that argparse prints before it exits is not for our users
    try:
        with redirect_stderr(held):
            yield
    except BandlimiterError:
        raise
    except SystemExit as error:
        code = error.code if isinstance(error.code, str) else f"exit code {error.code}"
        said = (held.getvalue().strip().splitlines() or [code])[-1]
        held = io.StringIO()
        raise LoadError(
            f"expected {name} to build a model, but it ended the program ({said}); keep what "
            'parses arguments or exits under if __name__ == "__main__"'
        ) from error
    except Exception as error:  # the user's own code may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise LoadError(f"expected {name} to build a model, it raised {reason}") from error
    finally:
        sys.argv = arguments
        os.chdir(here)  # relative paths on the command line stay what they were
        for place in places:
            sys.path.remove(place)
            if place not in sys.path:  # last: other processes that get the model look there
                sys.path.append(place)
        with suppress(OSError):  # nobody may be reading what it said
            sys.stderr.write(held.getvalue())


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _find(place: str, function_name: str, name: str) -> Callable[[], object]:
    module = _import_file(Path(place)) if _is_file(place) else _import_named(place, name)
    function: object = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigurationError(f"expected a function {function_name!r} in {place}, found none")
    return function


def _import_named(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name not in (module_name, module_name.partition(".")[0]):
            raise
        raise ConfigurationError(
            f"expected a known model or MODULE:FACTORY, got {name!r} and found no module "
            f"{module_name!r}"
        ) from error


def _import_file(path: Path) -> ModuleType:
    """Import a file under its own name, by which other processes find it as well."""
    path = path.resolve()
    if not path.is_file():
        raise ConfigurationError(f"expected a Python file for MODULE:FACTORY, found none at {path}")
    if path.stem in sys.modules:
        known = sys.modules[path.stem]
        if Path(getattr(known, "__file__", None) or "").resolve() == path:
            return known
        raise ConfigurationError(
            f"expected a file name that no imported module has, but {path.stem!r} is imported "
            f"already; rename {path}"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"expected a Python file for MODULE:FACTORY, got {path}")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module
