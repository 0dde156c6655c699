"""Certified accuracy against the radius."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bandlimiter.draw.canvas import new_figure
from bandlimiter.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_certified(
    radii: Mapping[str, ArrayLike],
    *,
    pixels: float,
    needed: tuple[str, float] | None = None,
    title: str = "",
) -> "Figure":
    """Draw, for each radius, the share of images that are certified right beyond it.

    Parameters
    ----------
    radii
        A curve's name, and [N] for its images: the certified radius in the network's input space
        where the label is right, and 0 where it is wrong or the classifier abstains.
    pixels
        A radius of one in pixels, for the upper scale.
    needed
        Name and radius of what one would like to cover: a line, or, where it lies off the
        picture, a note at its edge.
    title
        Above the picture.

    Raises
    ------
    InputError
        (a ValueError) where there is no curve, or one without images.
    MissingExtraError
        Where matplotlib is not installed.
    """
    curves = {name: np.asarray(values, dtype=np.float64) for name, values in radii.items()}
    if not curves or any(values.size == 0 for values in curves.values()):
        raise InputError("expected at least one curve of at least one image, got none")
    figure, (panel,) = new_figure(1, 7, 4.5)
    for name, values in curves.items():
        starts = np.unique(np.append(values, 0))
        # At a radius as large as its own, an image no longer counts.
        shares = [float(np.mean(values > start)) for start in starts]
        panel.step(starts, shares, where="post", label=name)
    most = max(1.08 * max(float(values.max()) for values in curves.values()), 1e-12)
    panel.set_xlim(0, most)
    panel.set_ylim(0, 1)
    panel.set_xlabel("L2 radius in the network's input space")
    panel.set_ylabel("certified accuracy")
    panel.grid(alpha=0.3)
    upper = panel.secondary_xaxis("top", functions=(_times(pixels), _times(1 / pixels)))
    upper.set_xlabel("L2 radius in pixels")
    if needed is not None:
        name, radius = needed
        if radius <= most:
            panel.axvline(radius, color="black", linestyle=":", label=name)
        else:
            panel.annotate(
                f"{name} needs {radius:.3g}: {radius / most:.0f} times this width to the right",
                (0.99, 0.96),
                xycoords="axes fraction",
                ha="right",
                va="top",
            )
    panel.legend(loc="lower left")
    panel.set_title(title)
    return figure


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda values: values * factor
