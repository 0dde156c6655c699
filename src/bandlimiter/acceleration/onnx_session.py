"""The network in ONNX Runtime: float32 on a processor, without a C++ compiler."""

import importlib.util
from threading import Lock
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.backends import Runner, UnavailableError, reason
from bandlimiter.errors import MissingExtraError

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def is_installed() -> bool:
    """Whether the extra ``onnx`` is there."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class OnnxSession(Runner):
    """A network exported at the first batch of each image shape, for all batch sizes.

    Raises
    ------
    MissingExtraError
        (an ImportError) where the extra ``onnx`` is not installed.
    """

    def __init__(self, network: nn.Module) -> None:
        if not is_installed():
            raise MissingExtraError(
                "expected ONNX Runtime for backend onnxruntime; install it with "
                "pip install 'bandlimiter[onnx]'"
            )
        self._network = network
        self._sessions: dict[torch.Size, Any] = {}
        self._exporting = Lock()

    @override
    def prepare(self, x: torch.Tensor) -> None:
        """Export for images of the shape of ``x``; raise `UnavailableError` where that fails."""
        self._session(x)

    @override
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        session = self._session(x)
        (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        return torch.from_numpy(logits)

    def _session(self, x: torch.Tensor) -> Any:
        shape = x.shape[1:]
        with self._exporting:
            if shape not in self._sessions:
                self._sessions[shape] = _export(self._network, x)
            return self._sessions[shape]


def _export(network: nn.Module, x: torch.Tensor) -> Any:
    import onnxruntime

    example = torch.cat([x[:1], x[:1]])  # a size of one would be taken for a constant
    output = network(example)  # a wrong input fails here, with the network's own words
    if not isinstance(output, torch.Tensor):
        raise UnavailableError(f"the network returns a {type(output).__name__}, not a tensor")
    try:
        batch = torch.export.Dim("batch")
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
        )
        if program is None:
            raise UnavailableError("the export made nothing")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        return onnxruntime.InferenceSession(
            program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    # Exporters fail in many ways: operators that they lack, code that cannot be traced.
    except Exception as error:
        raise UnavailableError(reason(error)) from error
