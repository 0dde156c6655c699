"""Weights from files: safetensors and torch checkpoints, into networks that they fit."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bandlimiter.errors import LoadError
from bandlimiter.models.key_matching import (
    KeyMatch,
    StateDict,
    is_average,
    is_harmless,
    key_matches,
    state_dicts,
)
from bandlimiter.models.weight_files import Unread, read_content

logger = logging.getLogger(__name__)

_WRAPPERS = ("", "state_dict", "model_state_dict", "model", "net")
"""Where training scripts keep the weights beside other things."""


@dataclass
class WeightsFile:
    """A file of weights, which part of it is wanted, and which was loaded.

    Attributes
    ----------
    path
        See `read_weights`.
    key
        The part to load; None lets the network decide, see `load_weights`.
    loaded
        The part that was loaded last; None before that.
    """

    path: Path
    key: str | None = None
    loaded: str | None = field(default=None, init=False)

    def load_into(self, network: nn.Module, rename: Callable[[str], str] = str) -> None:
        """Load the part that fits into ``network``; see `load_weights`."""
        self.loaded = load_weights(network, self.path, rename, key=self.key)


def read_weights(path: Path, key: str | None = None) -> dict[str, torch.Tensor]:
    """Read a state dict onto the CPU, without a network to fit it to.

    Takes safetensors files and torch checkpoints, told by their content. Code in a pickle
    is never run: Python objects beside the tensors are passed over. A state dict inside a
    larger checkpoint is found; of several the one that training scripts call the model's,
    rather than an average over training (EMA), else ``key`` has to choose.

    Parameters
    ----------
    path
        The file.
    key
        The dotted path to the state dict, like ``ema.module``.

    Raises
    ------
    LoadError
        If the file is missing, damaged, needs code to be run, or holds no weights or several.
    """
    found = _state_dicts(path)
    if key is not None:
        chosen = [each for each in found if each.path == f"{key.rstrip('.')}."]
    else:
        plain = [each for each in found if not is_average(each.path)] or found
        usual = [each for each in plain if each.path.rstrip(".") in _WRAPPERS[1:]]
        chosen = plain if len(plain) == 1 else usual
    if len(chosen) != 1:
        raise _undecided(path, key, [each.path.rstrip(".") for each in chosen or found])
    (state_dict,) = chosen
    for name, value in state_dict.entries.items():
        if not isinstance(value, torch.Tensor):
            raise LoadError(f"expected only tensors in {path}, but {name!r} is {_kind(value)}")
    return state_dict.tensors


def load_weights(
    network: nn.Module,
    path: Path,
    rename: Callable[[str], str] = str,
    *,
    key: str | None = None,
) -> str:
    """Load the file at ``path`` into ``network``, every key and no other.

    The part of a larger checkpoint is taken whose names and shapes are the network's, but
    for one prefix before all of them (``module.``, ``_orig_mod.``, ``model.``, ...). Where
    an average over training (EMA) fits as well as the plain weights, the plain ones are
    loaded; a line is logged that says so, and one that names tensors that were left out.

    Parameters
    ----------
    network
        Receives the weights.
    path
        See `read_weights`.
    rename
        Maps the file's keys, without their prefix, to the network's.
    key
        The part to load, by the keys that lead to it and the prefix, joined with dots:
        ``state_dict_ema``, ``state_dict.model``.

    Returns
    -------
    str
        The part that was loaded, as ``key`` names it; empty for a file without such parts.

    Raises
    ------
    LoadError
        As `read_weights`; also where names or shapes do not fit the architecture, where
        several parts fit, and where parameters of unknown use lie beside the part that fits,
        unless ``key`` names it.
    """
    key = None if key is None else key.rstrip(".")
    found = _state_dicts(path)
    candidates = key_matches(found, network.state_dict(), rename, key)
    complete = [match for match in candidates if match.complete]
    chosen = [match for match in complete if not is_average(match.name)] or complete
    if len(chosen) > 1 or (not candidates and key is not None):
        named = [match.name for match in chosen] or [each.path.rstrip(".") for each in found]
        raise _undecided(path, key, named)
    match = chosen[0] if chosen else None
    if match is None:
        raise _unfit(path, network, *candidates)
    _require_nothing_lost(path, match, key)
    _tell(path, match, [other.name for other in complete if other is not match])
    on_meta = any(value.is_meta for value in network.state_dict().values())
    try:
        network.load_state_dict(match.weights, strict=False, assign=on_meta)
    except RuntimeError as error:  # kinds of tensors that cannot be copied to each other
        reason = " ".join(str(error).split())
        raise LoadError(
            f"expected weights that can be copied from {path.name}: {reason}"
        ) from error
    return match.name


def _state_dicts(path: Path) -> list[StateDict]:
    content = read_content(path)
    found = state_dicts(content)
    if found:
        return found
    if isinstance(content, Unread):
        raise _refused(path, "it", content)
    if not isinstance(content, dict) or not content:
        raise LoadError(f"expected a state dict in {path}, got {_kind(content)}")
    for name, value in content.items():
        if isinstance(value, Unread):
            raise _refused(path, repr(name), value)
    raise LoadError(f"expected a state dict in {path}, found no tensors")


def _kind(value: Any) -> str:
    if isinstance(value, Unread):
        return f"a Python object ({value.kind})"
    return f"of type {type(value).__name__}"


def _refused(path: Path, what: str, value: Unread) -> LoadError:
    return LoadError(
        f"refused {path}: {what} is a Python object ({value.kind}), and loading it would run the "
        "file's code; expected tensors by name (save the model's state_dict)"
    )


def _undecided(path: Path, key: str | None, names: Sequence[str]) -> LoadError:
    known = ", ".join(name or "(the whole file)" for name in names)
    if key is not None and key not in names:
        return LoadError(f"expected a part of {path.name} as weights key ({known}), got {key!r}")
    return LoadError(
        f"expected one set of weights in {path.name}, found several ({known}); choose with "
        "--weights-key KEY"
    )


def _unfit(path: Path, network: nn.Module, closest: KeyMatch | None = None) -> LoadError:
    if closest is None:
        count = len(network.state_dict())
        counts = f"{count} missing, and none of its names is the network's"
    else:
        counts = (
            f"{_some('missing', closest.missing)}, {_some('unexpected', closest.surplus)}, "
            f"{_some('of another shape or type', closest.misshapen)}"
        )
        for name in closest.missing:
            value = closest.state_dict.entries.get(closest.prefix + name)
            if value is not None:
                counts += f"; {name!r} is {_kind(value)}, no tensor"
                break
    return LoadError(
        f"expected weights for this architecture in {path.name}: {counts}; name the model that "
        "the file was made for"
    )


def _require_nothing_lost(path: Path, match: KeyMatch, key: str | None) -> None:
    """Refuse to leave out tensors that answers may depend on, unless told to."""
    lost = [name for name in match.aside if not is_harmless(name)]
    if lost and key != match.name:
        raise LoadError(
            f"expected weights for this architecture in {path.name}: {match.name!r} fits, but "
            f"{_some('tensors lie', lost)} beside it; if they are of no use, give --weights-key "
            f"{match.name}"
        )


def _tell(path: Path, match: KeyMatch, others: Sequence[str]) -> None:
    if others:
        logger.warning(
            "%s: loaded %s, and not %s, which fits too; --weights-key KEY chooses",
            path.name,
            match.name or "the whole file",
            ", ".join(others),
        )
    elif is_average(match.name):
        logger.warning("%s: loaded %s, an average over training", path.name, match.name)
    if match.aside:
        logger.warning("%s: left out %s", path.name, ", ".join(match.aside[:5]))


def _some(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what}" + (f" ({names[0]}, ...)" if names else "")
