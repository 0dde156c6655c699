"""Whether a model's answer to an input depends on the other inputs of its batch."""

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors.device import place_of
from bandlimiter.tensors.outputs import model_logits

# Of the logits' range. Passes of other sizes round otherwise, by some 1e-6 of it in float32; a
# mean or a maximum over the batch moves logits by tenths.
_TOLERANCE = 1e-3
_ROUNDINGS = 32
"""The same for half precision, in units of its rounding: a network rounds at each of its layers."""


def require_independent(model: nn.Module, x: torch.Tensor) -> None:
    """Refuse a model whose answer to an input depends on the rest of the batch.

    The first input is shown alone, before others and behind others; the others are made of it. A
    model in eval mode whose answers differ from call to call is passed, as nothing can be told, and
    so is one that fails: what is wrong there is said where it is used.

    Parameters
    ----------
    model
        [N, ...] -> logits, see `model_logits`.
    x
        [N, ...] inputs, N >= 1; the first is used, in the model's own dtype and on its device.

    Raises
    ------
    ConfigurationError
        (a ValueError) for such a model, for one with a BatchNorm in training mode, which even a
        look would change, and for one whose training mode makes its answers random.
    """
    _require_fixed_statistics(model)
    one = x[:1].detach().to(*place_of(model))
    batch = torch.cat([one, 1 - one, one / 2, one])
    try:
        with torch.no_grad():
            alone, again = (model_logits(model, one).double() for _ in range(2))
            beside = model_logits(model, batch).double()
    except Exception:  # noqa: BLE001  (a user's code may raise anything)
        return
    found = torch.cat([alone, again, beside])
    largest = found[torch.isfinite(found)].abs().amax() if torch.isfinite(found).any() else 0.0
    tolerance = largest * max(_TOLERANCE, _ROUNDINGS * torch.finfo(one.dtype).eps)
    if _apart(alone, again) > tolerance:
        _require_eval(model)
        return
    moved = max(_apart(alone, beside[:1]), _apart(alone, beside[-1:]))
    if moved > tolerance:
        raise ConfigurationError(
            "expected a model whose answer to an input does not depend on the rest of its batch, "
            f"got one whose logits (up to {float(largest):.3g}) change by {moved:.3g} when other "
            "inputs are beside it; call model.eval(), give BatchNorm running statistics, and take "
            "out what else works across the batch"
        )


def _require_fixed_statistics(model: nn.Module) -> None:
    for name, part in model.named_modules():
        if part.training and isinstance(part, nn.modules.batchnorm._BatchNorm):
            raise _training(name, part)


def _require_eval(model: nn.Module) -> None:
    """Refuse a random model with parts in training mode, the most particular of them by name."""
    training = [(name, part) for name, part in model.named_modules() if part.training]
    if training:
        raise _training(*training[-1])


def _training(name: str, part: nn.Module) -> ConfigurationError:
    return ConfigurationError(
        f"expected a model in eval mode, got {type(part).__name__} ({name or 'the model'}) in "
        "training mode, where answers depend on the batch or on chance; call model.eval()"
    )


def _apart(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest difference; two classes that are both ruled out (-inf) do not differ."""
    difference = torch.where(first == second, 0.0, first - second).abs()
    return float(difference.nan_to_num(nan=torch.inf).max())
