"""Reads any module as a graph, and holds the graph against the module before it is used."""

from typing import Any

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.graph.agreement import agrees, examples
from bandlimiter.geometry.graph.modules import InputWidth, RunningModules
from bandlimiter.geometry.graph.recording import Recorder
from bandlimiter.geometry.graph.running import exact_and_apart
from bandlimiter.geometry.graph.steps import Graph
from bandlimiter.tensors import copied, require_graphs_in_eval, require_module


def read_graph(module: nn.Module, shape: tuple[int, ...]) -> Graph:
    """Read a module as affine maps, bends and maxima, on the CPU in float64.

    Parameters
    ----------
    module
        Takes [N, *shape] and returns [N, ...], in evaluation mode. It is not changed and
        runs on a copy; what its forward does is followed while it runs, so any code will do
        that consists of known operations (`vocabulary`) and does not look at numbers.
    shape
        Of one input.

    Returns
    -------
    Graph
        Of the network before a final softmax, if there is one: ``left_off``.

    Raises
    ------
    ConfigurationError
        (a ValueError) for an operation that is not known, named with its layer; for layers in
        training mode; for weights that are NaN or infinite; for a forward that fails or
        whose answer depends on the other inputs of its batch.
    """
    own = _copied(module)
    _require_finite(own)
    with torch.no_grad(), exact_and_apart():
        recorder, result = _recorded(own, shape)
        result, left_off, finish = recorder.softmax.get(result, (result, None, None))
        graph = Graph(tuple(_needed(recorder, result)), recorder.shapes, result, left_off)
        if not agrees(graph, finish, own, shape):
            raise ConfigurationError(
                "expected a network whose answer for an input is a fixed function of that input, "
                "but a second run with another input differs from what was read; does its forward "
                "look at numbers, draw random ones, or mix the inputs of a batch?"
            )
    return graph


def stated_width(module: nn.Module) -> int | None:
    """Return how many numbers an input has by the first layer that runs and states it."""
    try:
        with RunningModules(module, ask_width=True), torch.no_grad():
            module(torch.zeros(2, 1))
    except InputWidth as answer:
        return answer.width
    except Exception:  # noqa: BLE001, S110  (it will fail again, and be told, where it is read)
        pass
    return None


def _copied(module: nn.Module) -> nn.Module:
    require_module(module, "network")
    require_graphs_in_eval(module)
    return copied(module).double().cpu()


def _recorded(module: nn.Module, shape: tuple[int, ...]) -> tuple[Recorder, int]:
    x = examples(2, shape)
    with RunningModules(module) as modules:
        recorder = Recorder(x, modules)
        try:
            with recorder:
                result = module(x)
        except ConfigurationError:
            raise
        except Exception as error:  # the user's own code may raise anything
            raise recorder.refusal or modules.failed(shape, error) from error
    register = recorder.register_of(result) if isinstance(result, torch.Tensor) else None
    if register is None:
        raise ConfigurationError(
            "expected a network that returns one tensor computed from its input, got "
            f"{type(result).__name__}"
        )
    return recorder, register


def _needed(recorder: Recorder, result: int) -> list[Any]:
    """Return the steps that the result depends on; others neither bend nor cost anything."""
    needed, kept = {result}, []
    for step in reversed(recorder.steps):
        if step.target in needed:
            needed.update(step.sources)
            kept.append(step)
    return kept[::-1]


def _require_finite(module: nn.Module) -> None:
    for name, value in module.state_dict().items():
        if (
            isinstance(value, torch.Tensor)
            and value.is_floating_point()
            and not torch.isfinite(value).all()
        ):
            layer = name.rpartition(".")[0]
            raise ConfigurationError(
                f"expected finite weights, but the layer {layer or 'given'} holds NaN or infinite "
                "ones"
            )
