"""A small network by what a user types: a file of weights, or a function that builds it."""

from pathlib import Path

from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.models.factory import load_factory
from bandlimiter.models.perceptron_files import load_perceptron
from bandlimiter.models.programs import is_program, load_program

_SUFFIXES = (".safetensors", ".pt", ".pth", ".th")


def load_small_network(source: str, *, weights_key: str | None = None) -> nn.Module:
    """Return the network that ``source`` names, in eval mode.

    Parameters
    ----------
    source
        A file that ends in ``.safetensors``, ``.pt``, ``.pth`` or ``.th``, which gives a
        perceptron (see `load_perceptron`), or holds a model in TorchScript or from
        ``torch.export`` (``.pt2``); or ``my_module:build``, a function of yours
        that returns an ``nn.Module``, imported from the working directory or the Python
        path. A function's network may be of any form and take any input.
    weights_key
        The part of a file to read, where it holds several networks.

    Raises
    ------
    ConfigurationError
        If it is neither, or there is no such function.
    LoadError
        For a file without a perceptron, or a function that fails.
    """
    if is_program(Path(source)):
        program = load_program(source, None)
        if program is not None:
            return program.module
    if Path(source).suffix in _SUFFIXES:
        return load_perceptron(source, weights_key=weights_key)
    classifier = load_factory(source, None)
    if classifier is None:
        raise ConfigurationError(
            f"expected a network as a file ({', '.join(_SUFFIXES)}) or as MODULE:FUNCTION; "
            f"got {source!r}"
        )
    return classifier.module
