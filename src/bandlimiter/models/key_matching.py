"""Which part of a file's content fits a network: under which one prefix its keys are."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

_DEPTH = 6
"""How deep weights are looked for in a checkpoint."""

_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?)([._]|$)", re.IGNORECASE)

_HARMLESS = re.compile(r"(^|\.)(n_averaged|means?|sds?|stds?)$")
"""Counters of averaging, and a normaliser's statistics, which networks here have in a layer."""

_WRAPPED = re.compile(r"(?<=\.)(_orig_mod|_checkpoint_wrapped_module|_fsdp_wrapped_module)\.(?=.)")
"""What torch puts into the names below a part that is compiled, checkpointed or sharded."""

Rename = Callable[[str], str]
"""From a file's names, without their prefix, to the network's."""


@dataclass(frozen=True)
class StateDict:
    """A dictionary of a checkpoint that holds tensors.

    Attributes
    ----------
    path
        The keys that lead to it, each with a dot behind it.
    entries
        What it holds by name, tensors or not.
    """

    path: str
    entries: Mapping[str, Any]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The entries that are tensors."""
        return {k: value for k, value in self.entries.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True)
class KeyMatch:
    """How the entries of a state dict under one prefix agree with a network.

    Attributes
    ----------
    state_dict, prefix
        Where they are; the name of the place is `name`.
    weights
        By the network's names.
    missing, surplus, misshapen
        Names that keep it from fitting.
    aside
        The state dict's tensors that are under no prefix that fits.
    """

    state_dict: StateDict
    prefix: str
    weights: dict[str, torch.Tensor]
    missing: list[str]
    surplus: list[str]
    misshapen: list[str]
    aside: list[str]

    @property
    def name(self) -> str:
        """Where in the file it is, as ``--weights-key`` says it; empty for all of it."""
        return (self.state_dict.path + self.prefix).rstrip(".")

    @property
    def complete(self) -> bool:
        """Whether the network gets all that it needs and no more, in the right shapes."""
        return not (self.missing or self.surplus or self.misshapen)


def is_average(name: str) -> bool:
    """Whether a place's name says that it holds an average over training (EMA, SWA)."""
    return _AVERAGED.search(name) is not None


def is_harmless(name: str) -> bool:
    """Whether a tensor beside the weights may be left out: no answer depends on it."""
    return _HARMLESS.search(name) is not None


def state_dicts(content: Any) -> list[StateDict]:
    """Return all dictionaries in a checkpoint that hold tensors, the outermost first."""
    return list(_state_dicts(content, "", _DEPTH))


def key_matches(
    found: list[StateDict], expected: Mapping[str, torch.Tensor], rename: Rename, key: str | None
) -> list[KeyMatch]:
    """Return the matches that are complete; where there are none, the one that is closest.

    Names agree where one prefix is taken off the file's (``module.``, ``_orig_mod.``,
    ``model.`` or whatever stood there when the file was saved), or one that all of the
    network's share, as they do where it is wrapped. What torch writes into names below a wrapped
    part is passed over.

    Parameters
    ----------
    found
        From `state_dicts`.
    expected
        The network's state dict.
    rename
        See `Rename`.
    key
        The place to look in, with all that is below it; None is everywhere.
    """
    closest: tuple[int, KeyMatch] | None = None
    if not any(_WRAPPED.search(name) for name in expected):
        rename = _unwrapping(rename)
    for shared in _shared_prefixes(expected):
        wanted = {name.removeprefix(shared): value for name, value in expected.items()}
        complete: list[KeyMatch] = []
        for state_dict in found:
            here = []
            for prefix, count in _prefixes(state_dict, wanted, rename):
                match = _match(state_dict, prefix, wanted, shared, rename)
                if key is not None and not f"{match.name}.".startswith(f"{key}."):
                    continue
                if match.complete:
                    here.append(match)
                elif closest is None or count > closest[0]:
                    closest = (count, match)
            taken = tuple(match.prefix for match in here)
            aside = [name for name in state_dict.tensors if not name.startswith(taken)]
            complete += [replace(match, aside=aside) for match in here]
        if complete:
            return complete
    return [] if closest is None else [closest[1]]


def _unwrapping(rename: Rename) -> Rename:
    return lambda name: rename(_WRAPPED.sub("", name))


def _state_dicts(content: Any, path: str, depth: int) -> Iterator[StateDict]:
    if not isinstance(content, dict) or depth == 0:
        return
    entries = {key: value for key, value in content.items() if isinstance(key, str)}
    if any(isinstance(value, torch.Tensor) for value in entries.values()):
        yield StateDict(path, entries)
    for key, value in entries.items():
        yield from _state_dicts(value, f"{path}{key}.", depth - 1)


def _shared_prefixes(expected: Mapping[str, Any]) -> Iterator[str]:
    """Yield "", and then each dotted beginning that all names share."""
    shared = ""
    yield shared
    names = list(expected)
    while names:
        part, dot, _ = names[0].removeprefix(shared).partition(".")
        shared += part + dot
        if not dot or not all(name.startswith(shared) for name in names):
            return
        yield shared


def _prefixes(
    state_dict: StateDict, wanted: Mapping[str, Any], rename: Rename
) -> list[tuple[str, int]]:
    """Return the prefixes under which wanted names stand, with how many do, most first."""
    counts: Counter[str] = Counter()
    for name in state_dict.entries:
        starts = [0, *(dot.end() for dot in re.finditer(r"\.", name))]
        counts.update(name[:start] for start in starts if rename(name[start:]) in wanted)
    return counts.most_common()


def _match(
    state_dict: StateDict,
    prefix: str,
    wanted: Mapping[str, torch.Tensor],
    shared: str,
    rename: Rename,
) -> KeyMatch:
    here = {
        rename(name.removeprefix(prefix)): value
        for name, value in state_dict.tensors.items()
        if name.startswith(prefix)
    }
    return KeyMatch(
        state_dict=state_dict,
        prefix=prefix,
        weights={shared + name: value for name, value in here.items() if name in wanted},
        # BatchNorm's batch counter is newer than many published checkpoints, and unused in eval.
        missing=[n for n in wanted if n not in here and not n.endswith("num_batches_tracked")],
        surplus=[name for name in here if name not in wanted],
        misshapen=[n for n, v in here.items() if n in wanted and not _alike(v, wanted[n])],
        aside=[],
    )


def _alike(given: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether an entry can stand for another: of quantised weights the integers cannot."""
    fractions = wanted.is_floating_point() or wanted.is_complex()
    whole = not (given.is_floating_point() or given.is_complex() or given.is_quantized)
    return given.shape == wanted.shape and not (fractions and whole)
