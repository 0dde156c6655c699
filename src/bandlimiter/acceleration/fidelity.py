"""How well a copy agrees with its model, on a probe: what decides whether it is handed out."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.acceleration.backends import reason
from bandlimiter.data import load_data
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import ChunkLimit, map_chunks, model_logits, require_images

_PROBE_IMAGES = 128

# From so many images on, one label that differs says more of the probe than of the copy. Of
# fewer it is too large a share to be waved through.
_ONE_MAY_DIFFER = 16


class Fidelity(NamedTuple):
    """What a probe shows of a copy.

    Attributes
    ----------
    agreement
        Share of inputs on which copy and model give one label.
    score_error
        Largest absolute difference of a softmax probability, over inputs and classes.
    """

    agreement: float
    score_error: float


class RefusedError(ConfigurationError):
    """A copy that does not run on the probe, or is too far from its model."""


def resolve_probe(
    probe: torch.Tensor | None, input_size: int | None, device: torch.device
) -> torch.Tensor:
    """Return the probe as float32 pixels on ``device``: [N, ...].

    Without one, the first packaged images, at ``input_size`` where that is known.

    Raises
    ------
    InputError
        (a ValueError) for a probe that is not a batch of pixels in [0, 1].
    """
    if probe is None:
        images = load_data("sample", _PROBE_IMAGES).images(0, _PROBE_IMAGES)
        if input_size is not None and images.shape[-1] != input_size:
            images = F.interpolate(images, size=(input_size, input_size), mode="bilinear")
        return images.clamp(0, 1).to(device)
    if not isinstance(probe, torch.Tensor) or probe.ndim < 2:
        shape = tuple(probe.shape) if isinstance(probe, torch.Tensor) else type(probe).__name__
        raise InputError(f"expected a probe of pixels [N, ...], got {shape}")
    return require_images(probe).detach().to(device, torch.float32)


def reference_logits(
    model: nn.Module, probe: torch.Tensor, dtype: torch.dtype, given: bool
) -> torch.Tensor:
    """Return the model's own logits on the probe, float64: [N, classes].

    Parameters
    ----------
    model
        The model, in eval mode and in its own ``dtype``.
    probe
        [N, ...] pixels.
    given
        Whether the probe is the caller's.

    Raises
    ------
    ConfigurationError
        Where the model does not take these images.
    """
    try:
        return _logits(model, probe.to(dtype))
    # Models refuse a wrong shape in many ways.
    except Exception as error:
        shape = tuple(probe.shape[1:])
        whose = "the probe's images" if given else "the packaged images"
        advice = "give one that fits" if given else "give probe=..., pixels [N, ...] that it takes"
        raise ConfigurationError(
            f"expected a model that takes {whose} of shape {shape}, got {type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}; {advice}"
        ) from error


def fidelity_of(
    copy: nn.Module, probe: torch.Tensor, reference: torch.Tensor, what: str
) -> Fidelity:
    """Hold ``copy`` against the model's logits on the probe.

    Raises
    ------
    RefusedError
        Where the copy fails, or returns NaN or +inf.
    """
    try:
        logits = _logits(copy, probe)
    # The network is the user's: in a format that its author did not think of it fails anyhow.
    except Exception as error:
        raise RefusedError(
            f"expected finite logits of the copy in {what}, got {reason(error)}; use another dtype "
            "or backend, or the model itself"
        ) from error
    difference = (logits.softmax(dim=1) - reference.softmax(dim=1)).abs()
    agree = logits.argmax(dim=1) == reference.argmax(dim=1)
    return Fidelity(float(agree.double().mean()), float(difference.max()))


def require_close(
    found: Fidelity, least_agreement: float, most_score_error: float, count: int, what: str
) -> None:
    """Refuse a copy whose fidelity on ``count`` inputs are beyond the thresholds.

    From 16 inputs on one label may always differ, unless all are asked for: a single close
    decision would say more of the probe than of the copy.

    Raises
    ------
    RefusedError
        With both numbers, and what to do.
    """
    least = least_agreement
    if count >= _ONE_MAY_DIFFER and least < 1:
        least = min(least, 1 - 1 / count)
    # Written so that NaN is refused as well.
    if not (found.agreement >= least and found.score_error <= most_score_error):
        raise RefusedError(
            f"expected a copy with agreement >= {least:g} and score error <= "
            f"{most_score_error:g} on {count} inputs, got {found.agreement:.4f} and "
            f"{found.score_error:.3g} in {what}; use dtype='float32', or loosen least_agreement "
            "and most_score_error if that is good enough"
        )


def _logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    def run(start: int, stop: int) -> tuple[torch.Tensor]:
        return (model_logits(model, images[start:stop]).double(),)

    with torch.no_grad():
        (logits,) = map_chunks(run, len(images), ChunkLimit("auto"), images)
    return logits
