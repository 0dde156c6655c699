"""Pictures of spectra: over a plane of frequencies, along radii, and of filters alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bandlimiter.draw.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_DECADES = 6


def draw_plane(axis: Floats, amplitudes: Mapping[str, Floats], *, title: str = "") -> "Figure":
    """Draw |F| over a square of frequencies, one panel each, on one logarithmic scale.

    Parameters
    ----------
    axis
        [P]: the frequencies along both sides.
    amplitudes
        By name, [P, P] each, first index along the first axis.
    title
        Above the picture.
    """
    from matplotlib.colors import LogNorm

    figure, panels = new_figure(len(amplitudes), 4.6 * len(amplitudes) + 0.8, 4.7)
    top = max(float(amplitude.max()) for amplitude in amplitudes.values()) or 1.0
    norm = LogNorm(vmin=top * 10.0**-_DECADES, vmax=top, clip=True)
    for panel, (name, amplitude) in zip(panels, amplitudes.items(), strict=True):
        image = panel.pcolormesh(
            axis, axis, amplitude.T, norm=norm, cmap="magma", shading="nearest", rasterized=True
        )
        panel.set_title(name)
        panel.set_aspect("equal")
        panel.set_xlabel(r"$\omega_1$")
    panels[0].set_ylabel(r"$\omega_2$")
    figure.colorbar(image, ax=panels, label=r"$|F(\omega)|$")
    figure.suptitle(title)
    return figure


def draw_radial(
    magnitudes: Floats,
    amplitudes: Mapping[str, Floats],
    kinks: Mapping[str, Floats],
    *,
    exponents: Mapping[str, float | None],
    kink_exponents: Mapping[str, float | None],
    title: str = "",
) -> "Figure":
    """Draw root-mean-square amplitudes against |w|, both axes logarithmic.

    Parameters
    ----------
    magnitudes
        [P]
    amplitudes, kinks
        By name, [P] each: of the network on its box, and of its kinks alone.
    exponents, kink_exponents
        By name: a where amplitudes fall like |w|^-a; for the legends. None where it is
        not known.
    title
        Above the picture.
    """
    figure, (left, right) = new_figure(2, 12.5, 5)
    _curves(left, magnitudes, amplitudes, exponents)
    left.set_title("the network on its box")
    _curves(right, magnitudes, kinks, kink_exponents)
    right.set_title("its kinks alone")
    figure.suptitle(title)
    return figure


def draw_filters(
    lengths: Floats,
    filters: Mapping[str, Floats],
    *,
    floor: float,
    xlabel: str,
    title: str = "",
) -> "Figure":
    """Draw root-mean-square transfer functions against the length of the frequency.

    Parameters
    ----------
    lengths
        [P]
    filters
        By name, [P] each, at least 0.
    floor
        A level to mark: 1 / sqrt(6 K + 1).
    xlabel, title
        What the horizontal axis is; what the picture shows.
    """
    figure, (panel,) = new_figure(1, 8, 5.2)
    for number, (name, values) in enumerate(filters.items()):
        panel.loglog(lengths, np.maximum(values, 1e-300), label=name, color=f"C{number}")
    panel.axhline(floor, color="grey", linestyle=":", label=f"$1/\\sqrt{{6K+1}}$ = {floor:.3f}")
    panel.set_ylim(1e-8, 2)
    panel.set_xlabel(xlabel)
    panel.set_ylabel("root-mean-square gain")
    panel.grid(alpha=0.3)
    panel.legend()
    panel.set_title(title)
    return figure


def _curves(
    panel: "Axes",
    magnitudes: Floats,
    curves: Mapping[str, Floats],
    exponents: Mapping[str, float | None],
) -> None:
    for number, (name, values) in enumerate(curves.items()):
        rate = exponents.get(name)
        fall = "" if rate is None else f": falls like $|\\omega|^{{-{rate:.2f}}}$"
        label = f"{name}{fall}"
        panel.loglog(magnitudes, np.maximum(values, 1e-300), label=label, color=f"C{number}")
    panel.set_xlabel(r"$|\omega|$")
    panel.set_ylabel(r"root mean square of $|F|$ over directions")
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")
