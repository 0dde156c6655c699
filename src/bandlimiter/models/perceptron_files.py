"""Perceptrons as files: a state dict whose shapes give the widths back.

A state dict does not say what stood between its layers. Files written here name the
activation in their metadata; for all others it is taken to be ReLU.
"""

import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models.checkpoints import read_weights
from bandlimiter.models.perceptron import ACTIVATIONS, assemble, parts
from bandlimiter.models.weight_files import is_safetensors
from bandlimiter.results.files import write_whole

_KEY = re.compile(r"((?:[A-Za-z_]\w*\.)*)(0|[1-9]\d*)\.(weight|bias)")
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_perceptron(network: nn.Sequential, path: Path | str) -> None:
    """Write the network's state dict (``0.weight``, ``0.bias``, ``2.weight``, ...).

    Parameters
    ----------
    network
        Of the form that `build_perceptron` gives.
    path
        Ends in ``.safetensors``; a file there is replaced.

    Raises
    ------
    ConfigurationError
        For another form of network, another suffix, or a path that cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ConfigurationError(f"expected a path that ends in .safetensors, got {path}")
    _, activation = parts(network)
    state = {key: value.cpu().clone() for key, value in network.state_dict().items()}
    try:
        write_whole(path, save(state, metadata={"format": "pt", "activation": activation}))
    except OSError as error:
        raise ConfigurationError(f"cannot write to {path}: {error.strerror}") from error


def load_perceptron(path: Path | str, *, weights_key: str | None = None) -> nn.Sequential:
    """Read a network of Linear layers from its state dict alone.

    Keys are those of an ``nn.Sequential``: ``N.weight`` and ``N.bias`` with the numbers in
    any steps, all with one prefix or none (``net.0.weight``). Linear layers stand in the
    order of their numbers, and the activation that the file's metadata names, else
    **ReLU, by assumption**, between each two, even where their numbers are adjacent; what
    else has no weights (a softmax at the end, say) does not show.

    Parameters
    ----------
    path
        A safetensors file, or a torch checkpoint; see `read_weights`.
    weights_key
        The part of it to read, where it holds several.

    Returns
    -------
    nn.Sequential
        In the file's dtype, on the CPU, in eval mode.

    Raises
    ------
    LoadError
        If the file cannot be read, or holds anything else; the message names the first
        key that does not fit.
    """
    path = Path(path)
    state = read_weights(path, weights_key)
    state.pop("n_averaged", None)  # AveragedModel's counter
    layers = _layers(state, path)
    _require_one_dtype(state, path)
    weights = [state[f"{layer}.weight"] for layer in layers]
    biases = [state.get(f"{layer}.bias") for layer in layers]
    width = None
    for layer, weight, bias in zip(layers, weights, biases, strict=True):
        shape = list(weight.shape)
        if weight.ndim != 2 or 0 in shape:
            raise _unfit(f"{layer}.weight", f"is of shape {shape}, should be [out, in]", path)
        if width not in (None, shape[1]):
            found = f"is of shape {shape}, but the layer before it has {width} outputs"
            raise _unfit(f"{layer}.weight", found, path)
        if bias is not None and list(bias.shape) != shape[:1]:
            found = f"is of shape {list(bias.shape)}, should be {shape[:1]}"
            raise _unfit(f"{layer}.bias", found, path)
        width = shape[0]
    return assemble(weights, biases, _activation(path))


def _activation(path: Path) -> str:
    if not is_safetensors(path):
        return "relu"
    with safe_open(path, framework="pt") as file:
        name: str = (file.metadata() or {}).get("activation", "relu")
    if name not in ACTIVATIONS:
        raise LoadError(
            f"expected an activation of {', '.join(ACTIVATIONS)} in {path}, its metadata "
            f"names {name!r}"
        )
    return name


def _require_one_dtype(state: dict[str, torch.Tensor], path: Path) -> None:
    first = next(iter(state.values())).dtype
    for key, value in state.items():
        if value.dtype not in _DTYPES:
            raise _unfit(key, f"is {value.dtype}, should be floating point", path)
        if value.dtype != first:
            raise _unfit(key, f"is {value.dtype}, where others are {first}", path)
        if not value.isfinite().all():
            raise _unfit(key, "holds infinite values or NaN", path)


def _layers(state: dict[str, torch.Tensor], path: Path) -> list[str]:
    """The keys without ``.weight`` and ``.bias``, in the order of their numbers."""
    numbers: dict[int, str] = {}
    prefixes: set[str] = set()
    for key in state:
        match = _KEY.fullmatch(key)
        if match is None or not prefixes <= {match[1]}:
            raise _unfit(key, "should be N.weight or N.bias, with the same prefix for all", path)
        prefixes.add(match[1])
        numbers[int(match[2])] = match[1] + match[2]
    layers = [numbers[number] for number in sorted(numbers)]
    for layer in layers:
        if f"{layer}.weight" not in state:
            raise _unfit(f"{layer}.bias", "has no weight beside it", path)
    return layers


def _unfit(key: str, trouble: str, path: Path) -> LoadError:
    return LoadError(f"expected the weights of Linear layers alone in {path}: {key!r} {trouble}")
