"""The network in ONNX Runtime: float32 on a processor, without a C++ compiler."""

import importlib.util
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.backends import MadeForShape, Run, UnavailableError
from bandlimiter.errors import MissingExtraError

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def is_installed() -> bool:
    """Whether the extra ``onnx`` is there."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class OnnxSession(MadeForShape):
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
        super().__init__(network)

    @override
    def make(self, x: torch.Tensor) -> Run:
        session = _exported(self._network, x)
        name = session.get_inputs()[0].name

        def run(inputs: torch.Tensor) -> torch.Tensor:
            (logits,) = session.run(None, {name: inputs.numpy()})
            return torch.from_numpy(logits)

        run(x[:1])
        return run


def _exported(network: nn.Module, x: torch.Tensor) -> Any:
    import onnxruntime

    example = torch.cat([x[:1], x[:1]])  # a size of one would be taken for a constant
    output = network(example.clone())
    if not isinstance(output, torch.Tensor):
        raise UnavailableError(f"the network returns a {type(output).__name__}, not a tensor")
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
