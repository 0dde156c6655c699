"""Certified accuracy against the radius."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bandlimiter.draw.plotting import new_figure
from bandlimiter.errors import InputError
from bandlimiter.results.certified_logs import certified_shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_certified(
    radii: Mapping[str, ArrayLike],
    *,
    needed: tuple[str, float] | None = None,
    title: str = "",
) -> "Figure":
    """Draw, for each radius, the share of images that are certified right there.

    With bands of 95 % (Clopper and Pearson).

    Parameters
    ----------
    radii
        A curve's name, and [N] for its images: the certified radius in pixels where the label is
        right, and -1 where it is wrong or the classifier abstains.
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
    most = max(1.08 * max(float(values.max()) for values in curves.values()), 1e-12)
    for name, values in curves.items():
        # Up to a radius of its own, and there, an image counts.
        ends = np.unique(np.concatenate([[0.0], values[values > 0]]))
        shares, intervals = certified_shares(values, ends)
        steps, heights = np.append(ends, most), np.append(shares, 0)
        low, high = np.append(intervals, [[0, 0]], axis=0).T
        (line,) = panel.step(steps, heights, where="pre", label=name)
        panel.fill_between(
            steps, low, high, step="pre", alpha=0.15, color=line.get_color(), linewidth=0
        )
    panel.set_xlim(0, most)
    panel.set_ylim(0, 1)
    panel.set_xlabel("L2 radius in pixels")
    panel.set_ylabel("certified accuracy")
    panel.grid(alpha=0.3)
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
    panel.legend(loc="upper right" if needed is None else "lower left")
    panel.set_title(title)
    return figure
