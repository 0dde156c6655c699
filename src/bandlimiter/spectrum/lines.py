"""Exact spectra along a line through a network of any size, before and after averaging.

Along a segment a network is piecewise linear in one variable, the arc length s, so that the
closed form for n = 1 holds whatever the number of inputs. The averaged network along the
same segment is the mean of the network along parallel ones, one through each point of the
neighbourhood, and so is its transform. It is not the plain transform times a multiplier:
averaging filters all dimensions, of which a line sees one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.geometry import Graph, LineTrace, trace_line
from bandlimiter.geometry.tracing.inputs import Progress, place_graph
from bandlimiter.spectrum.simplex import simplex_transform
from bandlimiter.tensors import as_float64

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


@dataclass(frozen=True)
class LineSpectrum:
    """Transforms along a segment of length L, plain and averaged over P parallel ones.

    Attributes
    ----------
    frequencies
        [F] in radians per unit of the input's length.
    plain, averaged
        [F, m] complex128: (2 pi)^(-1/2) times the integral of f(s) exp(-i w s) over 0..L.
    plain_kinks, averaged_kinks
        [F, m]: what is left without the segment's two ends, which cut the function off.
    lines_power
        [F, m] float64: the mean of |kinks|^2 over the P lines, before they are averaged.
    lines
        P, the number of lines averaged over.
    breakpoints
        [1 + P]: of the plain line, and of each line averaged over.
    """

    frequencies: Floats
    plain: Complexes
    averaged: Complexes
    plain_kinks: Complexes
    averaged_kinks: Complexes
    lines_power: Floats
    lines: int
    breakpoints: NDArray[np.int64]

    def kept_power(self, low: float = 0.0, high: float = np.inf) -> float:
        """Return how much of the plain kinks' power averaging keeps at frequencies in [low, high].

        Raises
        ------
        InputError
            (a ValueError) where no frequency lies in the band, or nothing bends.
        """
        return self._share(np.abs(self.plain_kinks) ** 2, low, high)

    def coherence(self, low: float = 0.0, high: float = np.inf) -> float:
        """Return the averaged kinks' power over the mean power of the lines they come from.

        1 / P where the lines cross their hyperplanes at unrelated places, so that kinks add
        up like noise; 1 where all lines are alike. Errors are those of `kept_power`.
        """
        return self._share(self.lines_power, low, high)

    def _share(self, power: Floats, low: float, high: float) -> float:
        band = (self.frequencies >= low) & (self.frequencies <= high)
        if not band.any():
            raise InputError(f"expected a band that holds frequencies, got {low} to {high}")
        if not power[band].any():
            raise InputError("expected lines with kinks, got some along which nothing bends")
        return float((np.abs(self.averaged_kinks[band]) ** 2).sum() / power[band].sum())


def line_transform(trace: LineTrace, frequencies: ArrayLike) -> Complexes:
    """Return the transform of a network along a traced segment.

    Parameters
    ----------
    trace
        From `geometry.trace_line`.
    frequencies
        [F] in radians per unit of length.

    Returns
    -------
    numpy.ndarray
        [F, m] complex128: (2 pi)^(-1/2) times the integral over s = 0..L of
        f(start + s (end - start) / L) exp(-i w s), to rounding.

    Raises
    ------
    InputError
        (a ValueError) for frequencies that are not [F] and finite.

    Examples
    --------
    The mean of max(0, x) on [-1, 1] is 1/4; its transform at 0 is 1/2 over the root of 2 pi.

    >>> trace = trace_line(nn.Sequential(nn.ReLU()).double(), [-1.0], [1.0])
    >>> float((line_transform(trace, [0.0])[0, 0] * (2 * np.pi) ** 0.5).real)
    0.5
    """
    waves = _frequencies(frequencies)
    places = trace.length * trace.knots
    ends = np.stack([places[:-1], places[1:]], axis=1)[:, :, None]
    values = np.stack([trace.outputs[:-1], trace.outputs[1:]], axis=1)
    return simplex_transform(ends, values, waves[:, None])


def line_kinks(trace: LineTrace, frequencies: ArrayLike) -> Complexes:
    """Return the kinks' part of `line_transform`, without the segment's ends: [F, m].

    Each breakpoint s where the slope falls by j adds j exp(-i w s) / w^2, so that it decays
    like w^-2, and the ends like w^-1.

    Raises
    ------
    InputError
        (a ValueError) for a frequency of zero, where the form divides by w^2.
    """
    waves = _frequencies(frequencies)
    if not waves.all():
        raise InputError("expected frequencies other than zero: kinks are divided by w^2")
    places = trace.length * trace.knots
    apart = np.flatnonzero(np.diff(places) > 0)  # several units may change at one place
    starts, stops = places[apart], places[apart + 1]
    slopes = (trace.outputs[apart + 1] - trace.outputs[apart]) / (stops - starts)[:, None]
    falls = slopes[:-1] - slopes[1:]
    phases = np.exp(-1j * waves[:, None] * starts[1:])
    kinks: Complexes = phases @ falls / (np.sqrt(2 * np.pi) * waves[:, None] ** 2)
    return kinks


def line_spectrum(
    module: nn.Module | Graph,
    start: ArrayLike | torch.Tensor,
    end: ArrayLike | torch.Tensor,
    frequencies: ArrayLike,
    *,
    offsets: ArrayLike | torch.Tensor,
    memory: float = 512,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> LineSpectrum:
    """Transform a network along a segment, plain and averaged over shifted copies of it.

    Parameters
    ----------
    module, start, end, memory, device
        As for `geometry.trace_line`.
    frequencies
        [F] other than zero, in radians per unit of length.
    offsets
        [P, ...] by how much each line is shifted, in the units of the input. For a defended
        model with the vote ``logits``: ``defended.neighbours(x) - x``.
    progress
        Called with (done, total, what) after each line.

    Raises
    ------
    InputError
        (a ValueError) for offsets that are not inputs, and as `trace_line`.
    ConfigurationError
        (a ValueError) as `trace_line`.
    """
    a, b = as_float64(start, "the start"), as_float64(end, "the end")
    shifts = as_float64(offsets, "offsets")
    if shifts.ndim != a.ndim + 1 or shifts.shape[1:] != a.shape or len(shifts) == 0:
        raise InputError(
            f"expected offsets [P, ...] of inputs of shape {a.shape}, got shape {shifts.shape}"
        )
    graph = place_graph(module, a.shape, device)
    waves = _frequencies(frequencies)
    transforms, kinks, counts = [], [], []
    for number, shift in enumerate([np.zeros_like(a), *shifts]):
        trace = trace_line(graph, a + shift, b + shift, memory=memory)
        transforms.append(line_transform(trace, waves))
        kinks.append(line_kinks(trace, waves))
        counts.append(len(trace))
        if progress:
            progress(number + 1, 1 + len(shifts), "lines")
    return LineSpectrum(
        frequencies=waves,
        plain=transforms[0],
        averaged=np.mean(transforms[1:], axis=0),
        plain_kinks=kinks[0],
        averaged_kinks=np.mean(kinks[1:], axis=0),
        lines_power=np.mean(np.abs(kinks[1:]) ** 2, axis=0),
        lines=len(shifts),
        breakpoints=np.array(counts),
    )


def _frequencies(frequencies: ArrayLike) -> Floats:
    waves = as_float64(frequencies, "frequencies")
    if waves.ndim != 1 or not np.isfinite(waves).all():
        raise InputError(f"expected finite frequencies [F], got shape {waves.shape}")
    return waves
