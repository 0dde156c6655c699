"""Modules of every make, treated in one way: eager, TorchScript, torch.export's, compiled."""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors.normalise import Normalise

_FLAGLESS = (
    *(nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Identity),
    *(nn.DataParallel, Normalise),
)
"""Classes that never look at their own training flag."""

_TELLING = re.compile("BatchNorm|Dropout")
"""Kinds of parts whose mode matters most."""

_SCRIPTED = ("aten::dropout", "aten::feature_dropout", "aten::alpha_dropout", "aten::batch_norm")
"""TorchScript's operations that have a training flag."""


def require_module(model: object, role: str = "model") -> None:
    """Refuse what is no module, has no weights, or takes batches of one size only.

    Raises
    ------
    ConfigurationError
        (a ValueError) that says what to do.
    """
    if isinstance(model, torch.export.ExportedProgram):
        raise ConfigurationError(
            f"expected the {role} as a torch.nn.Module, got an ExportedProgram; give its .module()"
        )
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"expected the {role} as a torch.nn.Module, got {type(model).__name__}"
            + ("; give its .module" if hasattr(model, "module") else "")
        )
    for part in model.modules():
        if _is_exported(part) and _has_fixed_batch(part):
            raise ConfigurationError(
                f"expected a {role} that takes batches of any size, got a torch.export program "
                "made for one size; export it with a dynamic batch dimension: "
                "dynamic_shapes=({0: torch.export.Dim('batch')},)"
            )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise ConfigurationError(
                f"expected a {role} with weights, but {name} is on the meta device and has no "
                "values; load them with load_state_dict(..., assign=True), or call "
                "to_empty(device='cpu') and load them then"
            )


def require_eval(model: nn.Module) -> None:
    """Refuse a model with a part in training mode, whose answers depend on the batch or on chance.

    Raises
    ------
    ConfigurationError
        (a ValueError) that names the part.
    """
    require_graphs_in_eval(model)
    for name, kind in sorted(_flagged(model), key=lambda part: not _TELLING.search(part[1])):
        refuses = any(_is_exported(part) for part in model.modules())
        raise ConfigurationError(
            "expected a model in eval mode, where answers depend on neither the batch nor chance; "
            f"got {kind} ({name or 'the model'}) in training mode; "
            + (
                "set .training = False on it, as a torch.export program inside refuses eval()"
                if refuses
                else "call model.eval()"
            )
        )


def require_graphs_in_eval(model: nn.Module) -> None:
    """Refuse a model that was traced or exported in training mode, which nothing can end.

    Raises
    ------
    ConfigurationError
        (a ValueError) that names the operation.
    """
    for name, operation in _fixed(model):
        raise ConfigurationError(
            f"expected a model that was traced or exported in eval mode, but {operation} in "
            f"{name or 'it'} stays in training mode; call .eval() on the model before it is traced "
            "or exported"
        )


def set_training(module: nn.Module, mode: bool) -> None:
    """Do what ``module.train(mode)`` does, also around torch.export's modules, which refuse it.

    They have the one mode in which they were exported.
    """
    try:
        module.train(mode)
    except NotImplementedError:
        module.training = mode
        for child in module.children():
            set_training(child, mode)


def freeze(module: nn.Module) -> None:
    """Let no parameter ask for a gradient; `nn.Module.requires_grad_` refuses TorchScript."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def copied(module: nn.Module, *, frozen: bool = True) -> nn.Module:
    """Return a copy to work with; of a compiled module one of what was compiled.

    Parameters
    ----------
    module
        Not changed.
    frozen
        Whether no parameter of the copy asks for a gradient; else those that do in the module.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a module that cannot be copied.
    """
    try:
        with torch.no_grad():  # a copy of TorchScript's parameters would hang on the originals
            twin: nn.Module = copy.deepcopy(getattr(module, "_orig_mod", module))
            for parameter in twin.parameters():
                parameter.grad = None
            if frozen:
                freeze(twin)
    except Exception as error:  # modules may hold anything
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigurationError(
            f"expected a model that copy.deepcopy can copy, but {type(module).__name__} cannot: "
            f"{type(error).__name__}: {reason}; keep what cannot be copied out of it"
        ) from error
    return twin


@contextmanager
def as_written() -> Iterator[None]:
    """Run TorchScript operation by operation.

    Its optimiser rewrites a module between the first calls, after which the same pass keeps other
    tensors for its gradient, and hides operations from who watches them.
    """
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        yield


def _flagged(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names and kinds of parts that are in training mode and could act on it."""
    deaf = {id(part) for each in model.modules() if _is_exported(each) for part in each.modules()}
    for name, part in model.named_modules():
        acts = type(part) not in _FLAGLESS and not isinstance(
            getattr(part, "graph", None), fx.Graph
        )
        if acts and id(part) not in deaf and getattr(part, "training", False):  # none if frozen
            yield name, getattr(part, "original_name", type(part).__name__)


def _fixed(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of parts with a graph, and an operation that is in training mode in it."""
    inlined: set[int] = set()
    for name, part in model.named_modules():
        graph = getattr(part, "graph", None)
        if isinstance(graph, fx.Graph):
            yield from ((name, node.name) for node in graph.nodes if _node_trains(node))
        elif isinstance(part, torch.jit.ScriptModule) and id(part) not in inlined:
            inlined |= {id(each) for each in part.modules()}
            yield from ((name, operation) for operation in _script_trains(part))


def _is_exported(module: nn.Module) -> bool:
    return isinstance(module, fx.GraphModule) and "train" in vars(module)


def _has_fixed_batch(module: Any) -> bool:
    """Whether the first input of an exported module has a batch of one size."""
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    shape: Any = getattr(inputs[0].meta.get("val"), "shape", ()) if inputs else ()
    return len(shape) > 0 and isinstance(shape[0], int)


def _node_trains(node: fx.Node) -> bool:
    given = dict(node.kwargs)
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        given |= zip((each.name for each in schema.arguments), node.args, strict=False)
    return given.get("train") is True or given.get("training") is True


def _script_trains(module: torch.jit.ScriptModule) -> Iterator[str]:
    graph: Any = module.inlined_graph
    for kind in _SCRIPTED:
        for node in graph.findAllNodes(kind):
            flag = node.inputsAt(5 if kind == "aten::batch_norm" else 2)
            if flag.toIValue() is True:
                yield kind.removeprefix("aten::")
