"""Whether a model's normaliser takes the pixels as they are; else its std is no scale."""

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import nn

from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Normalise, generator, place_of

# How far each number of x moves, around a middle grey: no clamp to [0, 1] in front of the
# normaliser touches that, and bfloat16 still resolves the whole offset's length to a thousandth.
_STEP = 0.05

# What matters moves the length by more: other units, another size, channels in another order.
_TOLERANCE = 0.01

_LIKELY_SIZES = (32, 224)


class _Reached(BaseException):  # so that no handler in a model's forward takes it
    pass


def require_pixels_first(
    model: nn.Module, normaliser: Normalise, shape: Sequence[int] | None = None
) -> None:
    """Refuse a model in which something happens to the pixels before ``normaliser`` takes them.

    Inputs that differ by known offsets are followed to that layer, each time it runs. An offset
    that is d long in the normalised space must arrive d long there, to 1 %; what leaves all lengths
    as they are, such as a flip, may come first. An input that the model does not take proves
    nothing and is passed.

    Parameters
    ----------
    model
        Takes [N, *shape]. Runs without a gradient; in training mode only as far as the normaliser.
    normaliser
        One of its layers.
    shape
        Of an input. None where no input is known yet: two usual sizes are tried and, where the
        normaliser is shown another size than the model, that one; the model is refused if it
        fails at all of them.

    Raises
    ------
    ConfigurationError
        (a ValueError) that says what happens first and what to give instead.
    """
    if shape is not None:
        refusal, _ = _refusal(model, normaliser, shape)
        if refusal is not None:
            raise refusal
        return
    refusal, channels = None, len(normaliser.std)
    shapes: list[Sequence[int]] = [(channels, size, size) for size in _LIKELY_SIZES]
    for tried in shapes:
        refusal, seen = _refusal(model, normaliser, tried)
        if refusal is None:
            return
        if seen is not None and seen[0] == channels and seen not in shapes and len(shapes) < 4:
            shapes.append(seen)  # a resize leaves images of its own size alone
    if refusal is not None:
        raise refusal


def _refusal(
    model: nn.Module, normaliser: Normalise, shape: Sequence[int]
) -> tuple[ConfigurationError | None, tuple[int, ...] | None]:
    """Return why the model is refused, None if it is not, and the shape that the layer is given."""
    if len(shape) < 3:
        return None, None  # no images: the layer itself refuses them
    device, dtype = place_of(model)
    x = _inputs(shape).to(device, dtype)
    try:
        shown = _shown(model, normaliser, x)
    except Exception:  # noqa: BLE001  (a user's code may raise anything; this shape proves nothing)
        return None, None
    if not shown:
        return _error("one that does not run"), None
    # Several views of an image, or one image after another, are not followed.
    for given in (given for given in shown if len(given) == len(x)):
        refusal = _judged(tuple(shape), x, given, normaliser.std.double().cpu())
        if refusal is not None:
            return refusal, tuple(given.shape[1:])
    return None, tuple(shown[0].shape[1:])


def _judged(
    shape: tuple[int, ...], x: torch.Tensor, given: torch.Tensor, std: torch.Tensor
) -> ConfigurationError | None:
    """Return what is wrong where the model is given x and its normaliser ``given``, or None."""
    seen = tuple(given.shape[1:])
    if seen[-3:-2] != (len(std),) or x.shape[-3] != len(std):
        if seen == shape:  # the layer itself refuses another number of channels
            return None
        return _error(f"one that is given shape {seen} where the model is given {shape}")
    moved, offsets = ((z[1:] - z[:1]).double().cpu() for z in (given, x))
    lengths = [(z / std).flatten(1).norm(dim=1) for z in (moved, offsets)]
    ratios = (lengths[0] / lengths[1]).tolist()
    if all(abs(ratio - 1) <= _TOLERANCE for ratio in ratios):
        return None
    return _described(shape, seen, ratios, moved, offsets, std)


def _inputs(shape: Sequence[int]) -> torch.Tensor:
    """Return grey noise, and the same moved by noise, by a tint, and by both: [4, *shape].

    A map that leaves the lengths of all three alone leaves all lengths in their plane alone. Noise
    by itself would not do: scaling up by half makes it more, and smoother, and no longer.
    """
    rng = generator(0, "normaliser", *shape)
    grey = 0.4 + 0.2 * torch.rand(shape, generator=rng)
    noise = _STEP * torch.randn(shape, generator=rng)
    tint = _STEP * (1 + torch.rand(*shape[:-2], 1, 1, generator=rng)).expand(shape)
    return grey + torch.stack([torch.zeros(shape), noise, tint, noise + tint])


def _shown(model: nn.Module, normaliser: Normalise, x: torch.Tensor) -> list[torch.Tensor]:
    """Return all that the normaliser is given where the model is given x.

    Of a copy that another engine runs, the network inside is followed. What fails behind the
    normaliser does not matter here.
    """
    shown: list[torch.Tensor] = []
    # A whole run would change the statistics of a model in training mode.
    stops = any(part.training for part in model.modules())

    def note(_: nn.Module, given: tuple[torch.Tensor, ...], named: dict[str, torch.Tensor]) -> None:
        shown.append((*given, *named.values())[0].detach().clone())
        if stops:
            raise _Reached

    handle = normaliser.register_forward_pre_hook(note, with_kwargs=True)
    devices = [x.device] if x.device.type == "cuda" else []
    try:
        # A compiled model runs as it was written, where hooks are heard; chance is left as it was.
        with (
            torch.no_grad(),
            torch.compiler.set_stance("force_eager"),
            torch.random.fork_rng(devices),
            suppress(_Reached),
        ):
            model(x.clone())
    except Exception:
        if not shown:
            raise
    finally:
        handle.remove()
    inside = list(model.children())
    return _shown(inside[0], normaliser, x) if not shown and len(inside) == 1 else shown


def _described(
    shape: tuple[int, ...],
    seen: tuple[int, ...],
    ratios: Sequence[float],
    moved: torch.Tensor,
    offsets: torch.Tensor,
    std: torch.Tensor,
) -> ConfigurationError:
    ratio = ratios[0]
    # Each number moves alike: to a twentieth of its step, as pixels may be rounded on the way.
    if seen == shape and float((moved - ratio * offsets).abs().max()) <= 0.05 * ratio * _STEP:
        scale = [float(f"{value:.4g}") for value in (std / ratio).flatten()]
        return _error(
            f"one that takes pixels times {ratio:.4g}",
            f"give scale=torch.tensor({scale}).view(-1, 1, 1), its std in the units of x",
        )
    return _error(
        f"one that takes what was made of them before it: shape {shape} became {seen}, and offsets "
        f"{min(ratios):.3g} to {max(ratios):.3g} times as long"
    )


def _error(found: str, advice: str = "") -> ConfigurationError:
    advice = advice or (
        "give scale, by which an offset in the network's input space is multiplied to be one in x "
        "(a number, or a tensor that broadcasts against x), or scale=1.0 for a radius in the units "
        "of x"
    )
    return ConfigurationError(
        f"expected a model whose Normalise layer takes the pixels as they are, to read the scale "
        f"from, got {found}; {advice}"
    )
