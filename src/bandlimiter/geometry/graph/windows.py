"""Which numbers a pooling window holds, as positions among an input's flattened numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.geometry.graph import vocabulary as known

Ids = NDArray[np.int64]


def windows_of(
    func: Any, args: tuple[Any, ...], source: Sequence[int], target: Sequence[int]
) -> torch.Tensor | None:
    """Return the windows of an operation that takes maxima; None if it takes them over inputs.

    Parameters
    ----------
    func, args
        The operation (`vocabulary.MAXIMA`) and its arguments.
    source, target
        The shapes of an input and of its result, without the batch.

    Returns
    -------
    torch.Tensor
        [prod(target), k] int64: positions among the input's flattened numbers.
    """
    if func in known.ADAPTIVE_MAX_POOLS:
        return adaptive_windows(source, target, 2 if "2d" in func.name() else 3)
    if func in known.MAX_POOLS:
        kernel, stride, padding, dilation = _pooling(*args[1:])
        return pooling_windows(source, target, kernel, stride, padding, dilation)
    if func in known.LARGER_OF_TWO:
        return axis_windows(source, [0])
    axes = args[1] if isinstance(args[1], (list, tuple)) else [args[1]]
    if not axes:
        return None
    counted = [axis - 1 if axis >= 0 else axis + len(source) for axis in axes]
    return None if min(counted) < 0 else axis_windows(source, counted)


def pooling_windows(
    source: Sequence[int],
    target: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> torch.Tensor:
    """Return the windows of a max-pooling over the last axes of an input.

    Parameters
    ----------
    source, target
        The shapes of an input and of its result, without the batch.
    kernel, stride, padding, dilation
        One number an axis that is pooled, or one for all.

    Returns
    -------
    torch.Tensor
        [prod(target), k] int64. Padding holds nothing: its places repeat one of the window's.
    """
    axes = len(kernel)
    spans = []
    for axis in range(axes):
        length, outputs = source[axis - axes], target[axis - axes]
        first = np.arange(outputs) * _at(stride, axis) - _at(padding, axis)
        steps = np.arange(kernel[axis]) * _at(dilation, axis)
        spans.append(_inside(first[:, None] + steps, length))
    return _combined(source, spans)


def adaptive_windows(source: Sequence[int], target: Sequence[int], axes: int) -> torch.Tensor:
    """Return the windows of an adaptive max-pooling: [prod(target), k] int64."""
    spans = []
    for axis in range(axes):
        length, outputs = source[axis - axes], target[axis - axes]
        number = np.arange(outputs)
        start = number * length // outputs
        stop = -(-(number + 1) * length // outputs)
        held = start[:, None] + np.arange((stop - start).max())
        spans.append(np.minimum(held, stop[:, None] - 1))
    return _combined(source, spans)


def axis_windows(source: Sequence[int], axes: Sequence[int]) -> torch.Tensor:
    """Return one window for all numbers along ``axes`` of an input: [the rest, k] int64."""
    positions = np.arange(math.prod(source)).reshape(tuple(source))
    moved = np.moveaxis(positions, tuple(axes), range(-len(axes), 0))
    kept = math.prod(moved.shape[: moved.ndim - len(axes)])
    return torch.from_numpy(np.ascontiguousarray(moved.reshape(kept, -1)))


def _pooling(
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Sequence[int], ...]:
    """Fill in the defaults of a pooling's arguments; the result's shape tells the rounding."""
    return kernel, stride or kernel, padding, dilation


def _inside(held: Ids, length: int) -> Ids:
    """Put the window's first place inside where one lies in the padding."""
    outside = (held < 0) | (held >= length)
    anchor = held[np.arange(len(held)), (~outside).argmax(axis=1)]
    return np.where(outside, anchor[:, None], held)


def _combined(source: Sequence[int], spans: list[Ids]) -> torch.Tensor:
    """Combine the places along each axis with each channel."""
    axes = len(spans)
    lengths = source[len(source) - axes :]
    places = np.zeros((1, 1), dtype=np.int64)
    for span, length in zip(spans, lengths, strict=True):
        # [windows so far, k so far] x [windows here, k here]
        grid = places[:, None, :, None] * length + span[None, :, None, :]
        places = grid.reshape(len(places) * len(span), -1)
    channels = math.prod(source[: len(source) - axes])
    shift = np.arange(channels) * math.prod(lengths)
    return torch.from_numpy((shift[:, None, None] + places).reshape(-1, places.shape[1]))


def _at(numbers: Sequence[int], axis: int) -> int:
    return numbers[axis] if len(numbers) > 1 else numbers[0]
