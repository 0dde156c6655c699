"""From a classifier to its fast inference copy."""

import math
from typing import NamedTuple

import torch
from torch import nn

from bandlimiter.acceleration.candidates import first_sound_copy, resolve_candidates
from bandlimiter.acceleration.fidelity import reference_logits, resolve_probe
from bandlimiter.acceleration.folding import folded
from bandlimiter.acceleration.inference_copy import InferenceCopy
from bandlimiter.acceleration.precision import computing_in
from bandlimiter.errors import ConfigurationError
from bandlimiter.models import Classifier
from bandlimiter.tensors import (
    copied,
    place_of,
    require_eval,
    require_independent,
    require_module,
)


class Accelerated(NamedTuple):
    """A fast copy, and how well it agrees with its model on the probe.

    Attributes
    ----------
    model
        The copy: [N, ...] pixels -> [N, classes] float32 logits; for inference only.
    agreement
        Share of the probe's inputs on which copy and model give one label.
    score_error
        Largest absolute difference of a softmax probability on the probe.
    backend
        ``"compile"``, ``"onnxruntime"`` or ``"eager"``: what runs it.
    dtype
        ``torch.bfloat16`` or ``torch.float32``: what convolutions and linear layers compute in.
    """

    model: InferenceCopy
    agreement: float
    score_error: float
    backend: str
    dtype: torch.dtype


def accelerate(
    model: nn.Module | Classifier,
    dtype: str | torch.dtype = "auto",
    backend: str = "auto",
    *,
    probe: torch.Tensor | None = None,
    least_agreement: float = 0.98,
    most_score_error: float = 0.2,
) -> Accelerated:
    """Make a fast inference copy of a classifier, on its device, and check it against the model.

    BatchNorms are folded into the layers before them (in float64), convolutions are laid
    out channels-last, the network is compiled with its weights as constants, and computes in
    bfloat16 where the processor has instructions for it. Pixels, normalisation and the last
    linear layer stay in float32. The model itself is not changed.

    To defend the copy, wrap it: ``PostAverage(accelerate(model).model, radius=6)``. To attack,
    use the model: a call that expects a gradient is refused, so that a missing gradient is
    never taken for robustness.

    Parameters
    ----------
    model
        Takes [N, ...] pixels and returns logits (see `logits_of`), in eval mode, on a CPU or
        a CUDA device; or a `Classifier`.
    dtype
        ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 where the device computes in
        it itself and the copy passes the check, else float32.
    backend
        ``"compile"`` (torch.compile; needs a C++ compiler on a CPU), ``"onnxruntime"``
        (float32 on a CPU; the extra ``onnx``), ``"eager"``, or ``"auto"``: compile for
        bfloat16 and on CUDA; for float32 on a CPU onnxruntime where it is installed, then
        compile; eager, with a warning logged, where those fail.
    probe
        [N, ...] pixels in [0, 1] on which the copy is compiled and checked. What it will see
        is best: on images strange to the model, decisions are open and bfloat16 is refused
        where it would do. None takes the first 128 packaged CIFAR-10 images, scaled to a
        Classifier's ``input_size``.
    least_agreement
        The smallest share of equal labels that is accepted: by default 2 of 128 labels may
        differ. Of 16 or more one may always, unless this is 1. A label only differs where the
        model's two best scores are closer than twice the score error.
    most_score_error
        The largest score error that is accepted. It is the maximum over all inputs and
        classes, met where a decision is open; the mean of each input's largest is 10 to 70
        times less. Sound copies in bfloat16 reach 0.03 to 0.1 on 500 images, those in float32
        1e-5; a network whose numbers do not survive bfloat16 comes near 1.

    Returns
    -------
    Accelerated
        The copy, ``agreement`` and ``score_error`` on the probe, ``backend``, ``dtype``.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a model in training mode, on another device or with answers that
        depend on the batch, that does not take the probe, or that cannot be copied; for unknown
        settings; for a backend asked for by name that cannot run the model; and for a copy that
        fails on the probe or is too far from its model (under ``"auto"`` first what is left is
        tried, and a line logged).
    MissingExtraError
        (an ImportError) for ``"onnxruntime"`` without the extra.
    InputError
        (a ValueError) for a probe that is not a batch of pixels in [0, 1].

    Notes
    -----
    Compiling takes about 10 to 40 s for a CIFAR ResNet, and then serves every batch size.
    Images of another size than the probe's, and another ``torch.set_num_threads``, cost the
    first call that brings them as much again; where that fails, they run eagerly and a
    warning is logged.
    BatchNorms are folded along the path that the probe's first images take through the
    network, and the outcome is checked on up to 16 of them, one by one. A network that
    branches on values and passes a BatchNorm by on other images only would answer wrongly on
    those: give a probe with images of all kinds first.
    A second copy of a model is as large as the model, and compiled code holds the weights
    once more.

    Examples
    --------
    >>> import torch
    >>> from bandlimiter import accelerate
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.BatchNorm1d(4)).eval()
    >>> fast = accelerate(model, "float32", "eager", probe=torch.rand(8, 2))
    >>> fast.backend, fast.dtype, fast.agreement
    ('eager', torch.float32, 1.0)
    >>> fast.model.network
    Sequential(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): Identity()
    )
    """
    module, input_size = _unpacked(model)
    device, own_dtype = place_of(module)
    candidates = resolve_candidates(dtype, backend, device)
    for name, value in (
        ("least_agreement", least_agreement),
        ("most_score_error", most_score_error),
    ):
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ConfigurationError(f"expected {name} from 0 to 1, got {value}")

    with computing_in(torch.float32, device):
        images = resolve_probe(probe, input_size, device)
        # Each on a copy: even running a model may change it.
        require_independent(copied(module), images.to(own_dtype))
        reference = reference_logits(copied(module), images, own_dtype, probe is not None)
        network = folded(copied(module), images)
        _channels_last(network)
        fast, found = first_sound_copy(
            network, candidates, images, reference, least_agreement, most_score_error
        )
    return Accelerated(fast, *found, fast.backend, fast.dtype)


def _unpacked(model: nn.Module | Classifier) -> tuple[nn.Module, int | None]:
    module = model.module if isinstance(model, Classifier) else model
    require_module(module, "model (or a Classifier)")
    if any(isinstance(part, InferenceCopy) for part in module.modules()):
        raise ConfigurationError(
            "expected a model, got one that is an inference copy already; accelerate the model "
            "that it was made from"
        )
    require_eval(module)
    return module, model.input_size if isinstance(model, Classifier) else None


def _channels_last(network: nn.Module) -> None:
    """Lay out the weights of two-dimensional convolutions as oneDNN and cuDNN like them."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
