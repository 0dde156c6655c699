"""Whether a model's answer to an input depends on the other inputs of its batch."""

import copy

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors.device import place_of
from bandlimiter.tensors.modules import require_eval, require_graphs_in_eval
from bandlimiter.tensors.outputs import model_logits

_TOLERANCE = 1e-3
_ROUNDINGS = 8


def rounding_share(dtype: torch.dtype) -> float:
    """Return the share of the size of logits by which rounding alone may change them.

    Another kernel, batch size or processor moves them by some 1e-6 in float32, while a mean or a
    maximum over a batch, or another model, moves them by tenths. In half precision a network rounds
    at each of its layers: a few times the rounding of ``dtype``.
    """
    return max(_TOLERANCE, _ROUNDINGS * torch.finfo(dtype).eps)


@torch.no_grad()
def answers_differ(model: nn.Module, x: torch.Tensor) -> bool:
    """Whether two calls with the same x [N, ...] differ by more than a GPU's rounding."""
    x = x.detach().to(*place_of(model))
    return _apart(model_logits(model, x), model_logits(model, x)) > 1


@torch.no_grad()
def require_independent(model: nn.Module, x: torch.Tensor) -> None:
    """Refuse a model whose answer to an input depends on the rest of the batch.

    The first input is shown alone, before others and behind others; the others are made of it. A
    model in eval mode whose answers differ from call to call is passed, as nothing can be told, and
    so is one that fails each time: what is wrong there is said where it is used.

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
    require_graphs_in_eval(model)
    _require_fixed_statistics(model)
    one = x[:1].detach().to(*place_of(model))
    batches = _batches(one)
    alone, first, last, again = (_answer(model, *each) for each in (*batches, batches[-1]))
    if last is None or again is None:
        return
    if _apart(last, again) > 1:
        require_eval(model)
        return
    for other in (alone, first):
        if other is None or _apart(last, other) <= 1:
            continue
        if not _is_rounding(model, one, float((last.double() - other.double()).abs().max())):
            raise ConfigurationError(
                "expected a model whose answer to an input does not depend on the rest of its "
                f"batch, got logits {_written(last)} and {_written(other)} for one image in two "
                "batches; call model.eval(), give BatchNorm running statistics, and take out what "
                "else works across the batch"
            )


def _batches(one: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    """Return batches that hold one input [1, ...], each with its place there.

    Alone, before another one, and behind others: other places, and other statistics.
    """
    others = torch.cat([1 - one, one / 2, 2 * one])
    return [(one, 0), (torch.cat([one, one / 2]), 0), (torch.cat([others, one]), -1)]


def _answer(model: nn.Module, batch: torch.Tensor, place: int) -> torch.Tensor | None:
    """Return the logits [1, classes] of one input of a batch, None where the model fails."""
    try:
        return model_logits(model, batch)[place][None]
    except Exception:  # noqa: BLE001  (a user's code may raise anything)
        return None


def _require_fixed_statistics(model: nn.Module) -> None:
    for part in model.modules():
        kind = getattr(part, "original_name", type(part).__name__)  # TorchScript's parts have one
        if "BatchNorm" in kind and getattr(part, "training", False):
            require_eval(model)


def _is_rounding(model: nn.Module, one: torch.Tensor, difference: float) -> bool:
    """Whether another precision changes the difference as it changes rounding.

    Where logits cancel, they are smaller than the rounding of what they are sums of.
    """
    other = torch.float32 if one.dtype == torch.float64 else torch.float64
    try:
        twin = copy.deepcopy(model).to(other)
    except Exception:  # noqa: BLE001  (modules may hold anything, which may not be copied)
        return False
    answers = [_answer(twin, *each) for each in _batches(one.to(other))]
    known = [answer.double() for answer in answers if answer is not None]
    if len(known) < 2:
        return False
    found = max(float((known[-1] - answer).abs().max()) for answer in known)
    coarse, fine = (difference, found) if other == torch.float64 else (found, difference)
    return fine <= 1e-3 * coarse


def _apart(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the largest difference of logits, in units of what rounding may explain."""
    precision, tolerance = first.dtype, rounding_share(first.dtype)
    first, second = first.double(), second.double()
    # Classes that are ruled out both times (-inf) do not differ.
    difference = torch.where(first == second, 0, (first - second).abs()).nan_to_num(nan=torch.inf)
    finite = first[torch.isfinite(first)]
    if not len(finite):
        return float(difference.amax() / tolerance)
    # An offset of all logits changes no answer: only their range counts, and what rounding
    # leaves of numbers as large as they are.
    rounded = _ROUNDINGS * torch.finfo(precision).eps * float(finite.abs().max())
    allowed = max(tolerance * float(finite.max() - finite.min()), rounded, 1e-12 * tolerance)
    return float(difference.amax()) / allowed


def _written(logits: torch.Tensor) -> str:
    return "[" + ", ".join(f"{value:.3g}" for value in logits[0, :3].tolist()) + ", ...]"
