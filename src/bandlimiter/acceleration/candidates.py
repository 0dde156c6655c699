"""Formats and backends in the order of their speed, and the first whose copy is sound."""

import copy
import logging
from typing import NamedTuple

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.acceleration.backends import UnavailableError
from bandlimiter.acceleration.fidelity import Fidelity, RefusedError, fidelity_of, require_close
from bandlimiter.acceleration.inference_copy import BACKENDS, InferenceCopy
from bandlimiter.acceleration.onnx_session import is_installed
from bandlimiter.acceleration.precision import keep_last_linear, resolve_dtypes
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import ChunkLimit

logger = logging.getLogger(__name__)


class Candidate(NamedTuple):
    """What a copy computes in, and what runs it: a key of `BACKENDS`."""

    dtype: torch.dtype
    backend: str

    @override
    def __str__(self) -> str:
        return f"{self.backend} {str(self.dtype).removeprefix('torch.')}"


def resolve_candidates(
    dtype: str | torch.dtype, backend: str, device: torch.device
) -> list[Candidate]:
    """Return what to try, the fastest first: one or more.

    Raises
    ------
    ConfigurationError
        For unknown settings, or settings that do not fit together or the device.
    """
    if backend not in ("auto", *BACKENDS):
        raise ConfigurationError(f"expected backend auto, {', '.join(BACKENDS)}; got {backend!r}")
    if device.type not in ("cpu", "cuda"):
        raise ConfigurationError(f"expected a model on a CPU or a CUDA device, got {device}")
    kinds = resolve_dtypes(dtype, device)
    if backend == "onnxruntime":
        if torch.float32 not in kinds or device.type != "cpu":
            raise ConfigurationError(
                f"expected float32 on a CPU for onnxruntime, got {kinds[0]} on {device}; use "
                "backend='compile'"
            )
        return [Candidate(torch.float32, backend)]
    if backend != "auto":
        return [Candidate(kind, backend) for kind in kinds]
    order = []
    for kind in kinds:
        if kind == torch.float32 and device.type == "cpu" and is_installed():
            order.append(Candidate(kind, "onnxruntime"))
        order += [Candidate(kind, "compile"), Candidate(kind, "eager")]
    return order


def first_sound_copy(
    network: nn.Module,
    order: list[Candidate],
    images: torch.Tensor,
    reference: torch.Tensor,
    least_agreement: float,
    most_score_error: float,
) -> tuple[InferenceCopy, Fidelity]:
    """Return the first copy that runs and is close to the model; log a line for each before it.

    Parameters
    ----------
    network
        Float32, eval mode; not changed.
    order
        From `resolve_candidates`.
    images
        [N, ...] float32 pixels.
    reference
        [N, classes] float64, the model's logits on them.
    least_agreement, most_score_error
        The thresholds of `require_close`.

    Raises
    ------
    ConfigurationError
        Where there is none: what the last one failed by.
    """
    while True:
        candidate, *order = order
        try:
            fast = _made(network, candidate, images)
            found = fidelity_of(fast, images, reference, str(candidate))
            require_close(found, least_agreement, most_score_error, len(images), str(candidate))
        except UnavailableError as error:
            if not order:
                raise ConfigurationError(
                    f"expected a model that {candidate.backend} can run on this machine, got "
                    f"{error}; use backend='eager', or 'auto'"
                ) from error
            logger.warning("going on without %s: %s", candidate, error)
        except RefusedError as error:
            # A format that is too coarse is so everywhere; float32 may only be compiled wrongly.
            if candidate.dtype != torch.float32:
                order = [other for other in order if other.dtype != candidate.dtype]
            if not order:
                raise
            logger.warning("a copy is refused: %s", error)
        else:
            return fast, found


def _made(network: nn.Module, candidate: Candidate, images: torch.Tensor) -> InferenceCopy:
    twin = copy.deepcopy(network)
    if candidate.dtype == torch.bfloat16:
        keep_last_linear(twin, images[:2])
    fast = InferenceCopy(twin, *candidate)
    fast.prepare(images[: ChunkLimit("auto").resolve(images)])
    return fast
