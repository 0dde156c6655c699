"""The smallest K whose labels are those of a much larger one."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from bandlimiter.defence.post_average import PostAverage, Stop
from bandlimiter.defence.tuning.measuring import (
    CleanImages,
    Comparison,
    Images,
    Progress,
    Remember,
    require_share,
)
from bandlimiter.errors import ConfigurationError
from bandlimiter.results import Rate, rate
from bandlimiter.tensors import Key

CANDIDATES = (6, 15, 30, 60)
"""The paper's (table 2)."""


@dataclass(frozen=True)
class DirectionsPoint(Comparison):
    """A number of directions that was tried.

    Attributes
    ----------
    directions
        K.
    cost
        6K + 1, the evaluations of a full answer.
    differing
        Images with another label than the largest K gives them.
    differing_share
        The same as a share, with its Wilson 95 % interval.
    """

    directions: int
    cost: int
    differing: int
    differing_share: Rate


@dataclass(frozen=True)
class DirectionsChoice:
    """A number of directions, and what the others would have done.

    Attributes
    ----------
    directions
        The smallest K whose labels differ from the largest's on at most ``most_differing``.
    most_differing
        That share.
    points
        All K tried, ascending.
    caveats
        What a reader should know of the choice, in words.
    """

    directions: int
    most_differing: float
    points: tuple[DirectionsPoint, ...]
    caveats: tuple[str, ...]

    @property
    def doubts(self) -> tuple[str, ...]:
        """The former name of ``caveats``."""
        warnings.warn("doubts are called caveats", DeprecationWarning, stacklevel=2)
        return self.caveats

    @property
    def chosen(self) -> DirectionsPoint:
        """The chosen K's point."""
        return next(point for point in self.points if point.directions == self.directions)


def choose_directions(
    defence: PostAverage,
    images: Images,
    labels: torch.Tensor | Sequence[int],
    *,
    candidates: Sequence[int] = CANDIDATES,
    most_differing: float = 0.01,
    stop: Stop | None = None,
    keys: Sequence[Key] | None = None,
    progress: Progress | None = None,
    remember: Remember | None = None,
) -> DirectionsChoice:
    """Choose the smallest K that answers like the largest, on all but a share of clean images.

    Parameters
    ----------
    defence
        Gives everything but K; it is not changed. Its own draw stands for its own K; other K
        have the draw that its seed names.
    images, labels, stop, keys, progress, remember
        See `tune_radius`.
    candidates
        The K to try, two or more.
    most_differing
        In [0, 1): the share of images that may have another label than under the largest K.

    Raises
    ------
    ConfigurationError
        (a ValueError) for fewer than two candidates, one below 1, or a share outside [0, 1).
    InputError
        (a ValueError) for images and labels that do not fit.
    """
    require_share(most_differing, "most_differing")
    counts = sorted(set(candidates))
    if len(counts) < 2 or counts[0] < 1:
        raise ConfigurationError(f"expected two different K of 1 or more, got {list(candidates)}")
    clean = CleanImages(defence, images, labels, stop=stop, keys=keys, remember=remember)
    done, total = 0, len(clean) * len(counts)
    largest: torch.Tensor | None = None
    points: list[DirectionsPoint] = []
    for count in reversed(counts):

        def tell(images: int, count: int = count) -> None:
            nonlocal done
            done += images
            if progress is not None:
                progress(done, total, f"K = {count}")

        answers = clean.answers(with_directions(defence, count), tell)
        largest = answers.labels if largest is None else largest
        differing = int((answers.labels != largest).sum())
        points.insert(
            0,
            DirectionsPoint(
                **vars(clean.compare(answers)),
                directions=count,
                cost=6 * count + 1,
                differing=differing,
                differing_share=rate(differing, len(clean)),
            ),
        )
    chosen = next(point for point in points if point.differing <= most_differing * len(clean))
    return DirectionsChoice(
        directions=chosen.directions,
        most_differing=most_differing,
        points=tuple(points),
        caveats=_caveats(points, chosen, most_differing),
    )


def with_directions(defence: PostAverage, count: int) -> PostAverage:
    """Return the same defence with another K, or with its own and then its own draw."""
    return defence.variant(directions=None if count == defence.directions else count)


def _caveats(
    points: Sequence[DirectionsPoint], chosen: DirectionsPoint, most_differing: float
) -> tuple[str, ...]:
    if chosen is points[-1]:
        return (
            f"No smaller K than {chosen.directions}, the largest tried, answers alike; a larger "
            "one may answer otherwise still.",
        )
    caveats = []
    high = chosen.differing_share.high
    if high is not None and high > most_differing:
        caveats.append(
            f"{chosen.images} images leave room for more: with K = {chosen.directions} up to "
            f"{high:.3f} of all images may have another label than with K = "
            f"{points[-1].directions} (95 %)."
        )
    if any(small.differing < large.differing for small, large in pairwise(points[:-1])):
        caveats.append(
            "Differences do not fall steadily with K: the draws' noise is of their size."
        )
    return tuple(caveats)
