"""The largest radius that costs no more clean accuracy than one is willing to lose."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bandlimiter.defence.post_average import PostAverage, Stop
from bandlimiter.defence.scale import rms
from bandlimiter.defence.tuning.caveats import radius_caveats
from bandlimiter.defence.tuning.measuring import (
    Answers,
    CleanImages,
    Images,
    Progress,
    Remember,
    require_share,
)
from bandlimiter.defence.tuning.search import (
    RadiusPoint,
    climb,
    last_to_keep,
    last_to_surely_keep,
    require_grid,
)
from bandlimiter.errors import ConfigurationError
from bandlimiter.results import Rate, rate
from bandlimiter.tensors import Key

GRID = (1, 2, 3, 4, 6, 8, 12, 16)
"""Radii to try, each as long as a change of every number of the input by so many 255ths."""


@dataclass(frozen=True)
class RadiusChoice:
    """A radius, and how sure the choice is.

    Attributes
    ----------
    radius, radius_pixels
        The largest radius whose loss of accuracy, and that of every smaller one tried, is at
        most ``most_loss``: in the network's input space, and in pixels. 0 where none is.
    sure_radius
        The largest radius of the grid up to which the whole 95 % interval of the loss is
        within the bound; 0 where the images are too few to say so of any. The chance that it
        truly loses more is about 2.5 %, however many radii were tried.
    most_loss
        The bound.
    images
        How many images the choice was made on.
    plain_accuracy
        The plain model's, with its Wilson 95 % interval.
    curve
        All radii tried, ascending, from 0 (the plain model) on. The interval at the chosen one
        is that of a radius fixed beforehand: it takes no account of the choice.
    caveats
        What a reader should know of the choice, in words; empty where there is nothing.
    """

    radius: float
    radius_pixels: float
    sure_radius: float
    most_loss: float
    images: int
    plain_accuracy: Rate
    curve: tuple[RadiusPoint, ...]
    caveats: tuple[str, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """The former name of ``caveats``."""
        warnings.warn("doubts are called caveats", DeprecationWarning, stacklevel=2)
        return self.caveats

    @property
    def chosen(self) -> RadiusPoint:
        """The curve's point at the chosen radius."""
        return next(point for point in self.curve if point.radius == self.radius)


def tune_radius(
    defence: PostAverage,
    images: Images,
    labels: torch.Tensor | Sequence[int],
    *,
    most_loss: float = 0.01,
    radii: Sequence[float] | None = None,
    refinements: int = 4,
    stop: Stop | None = None,
    keys: Sequence[Key] | None = None,
    progress: Progress | None = None,
    remember: Remember | None = None,
) -> RadiusChoice:
    """Choose the largest radius whose loss of clean accuracy stays within a bound.

    Needs no attack, and so says nothing of robustness: it says how far one can go before
    averaging costs accuracy. Every radius uses the same draw (made at radius one), so
    differences between radii are not the draw's noise. The grid is tried from below, up to
    the first radius that certainly breaks the bound; then bisection refines between the last
    radius that keeps it and the next. The plain model answers once an image; each radius
    costs 6K + 1 evaluations per image, or about half where the vote can stop early.

    Parameters
    ----------
    defence
        Gives everything but the radius; it is not changed.
    images
        [N, ...] pixels, or a function that returns images ``start`` to ``stop - 1``, like
        ``ImageSet.images``; then they are read anew for each radius.
    labels
        [N] class indices.
    most_loss
        In [0, 1): the most accuracy to lose against the plain model.
    radii
        The grid, in the network's input space. None: as long as changes of every number of
        the input by 1, 2, 3, 4, 6, 8, 12 and 16 of 255 (for 3x32x32 and ImageNet's normaliser
        0.96 to 15.4).
    refinements
        How many radii bisection tries: each halves the gap.
    stop
        See `PostAverage.predict`. None: ``"exact"`` where the vote allows it, which keeps
        labels.
    keys
        With ``randomness="fresh"``: a name for each image's draw. None: its number.
    progress
        Called with images done, images in all (at most) and what is being done.
    remember
        Called with a defence and a function that measures its `Answers`, which it returns, maybe
        from an earlier call.

    Returns
    -------
    RadiusChoice
        The radius, the curve, and how sure the choice is.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a bound outside [0, 1), radii that are not above 0, or fewer than
        0 refinements.
    InputError
        (a ValueError) for images and labels that do not fit.

    Examples
    --------
    Numbers of absolute value below 1 are one class, all others another. Around 0 the points
    x, x +- r/3, x +- 2r/3 and x +- r have four of seven outside beyond r = 1.5.

    >>> import torch
    >>> from bandlimiter.defence import PostAverage, tune_radius
    >>> class Inside(torch.nn.Module):
    ...     def forward(self, x):
    ...         return torch.cat([1 - x.abs(), torch.zeros_like(x)], dim=1)
    >>> defence = PostAverage(Inside(), 1, directions=1, scale=1.0, vote="majority")
    >>> choice = tune_radius(defence, torch.zeros(500, 1), [0] * 500, radii=[1, 2])
    >>> choice.radius, choice.sure_radius, [point.lost for point in choice.curve][-2:]
    (1.5, 1.0, [500, 500])
    """
    require_share(most_loss, "most_loss")
    if refinements < 0:
        raise ConfigurationError(f"expected 0 refinements or more, got {refinements}")
    clean = CleanImages(defence, images, labels, stop=stop, keys=keys, remember=remember)
    grid = require_grid(default_radii(defence, clean.shape) if radii is None else radii)
    total, done = len(clean) * (len(grid) + refinements), 0

    def measure(radius: float, refined: bool) -> RadiusPoint:
        at = defence.variant(radius=radius)

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total, f"r = {radius:.4g}")

        compared = clean.compare(clean.answers(at, tell))
        return RadiusPoint(
            **vars(compared), radius=radius, radius_pixels=at.pixel_radius, refined=refined
        )

    plain = clean.compare(Answers(torch.where(clean.plain_right, clean.labels, -1), 1.0))
    start = RadiusPoint(**vars(plain), radius=0.0, radius_pixels=0.0)
    curve = climb(measure, grid, most_loss, refinements, start)
    chosen = last_to_keep(curve, most_loss)
    return RadiusChoice(
        radius=chosen.radius,
        radius_pixels=chosen.radius_pixels,
        sure_radius=last_to_surely_keep(curve, most_loss).radius,
        most_loss=most_loss,
        images=len(clean),
        plain_accuracy=rate(int(clean.plain_right.sum()), len(clean)),
        curve=tuple(curve),
        caveats=radius_caveats(curve, chosen, most_loss),
    )


def default_radii(defence: PostAverage, shape: Sequence[int]) -> list[float]:
    """Return `GRID` as radii for inputs of ``shape``, in the network's input space."""
    whole_step = math.sqrt(math.prod(shape)) / 255 / rms(defence.scale)
    return [step * whole_step for step in GRID]
