"""Certificates: at which radii the average over all offsets provably keeps its label."""

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.defence.certificates.noise import Noise, Stream
from bandlimiter.defence.certificates.radii import bar, certified_radius, noise_length
from bandlimiter.defence.certificates.requirements import (
    Plan,
    noise_of,
    require_average,
    require_plan,
)
from bandlimiter.defence.certificates.sequential import EVIDENCE, Evidence, highest_bar
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import Key, model_logits, place_of, require_no_overflow

if TYPE_CHECKING:
    from bandlimiter.defence.post_average import PostAverage

BLOCK = 32
"""Points of an input that are drawn together, after which its tests are looked at."""

_MOST_NUMBERS = 2**24
"""In the inputs, or the tests, of a group that is worked on together."""

logger = logging.getLogger(__name__)


class Certificate(NamedTuple):
    """What is certified of N inputs at A radii.

    Attributes
    ----------
    labels
        [N] int64, the label of the average over all offsets, or -1: it is not known (an
        abstention).
    certified
        [N, A] bool: at all x' of the lattice within this radius of x the average has this label.
    undecided
        [N, A] bool: neither shown nor given up with these samples, or beyond what they reach.
    radius
        [N] float64, the largest that is certified, L2 in the units of x; 0 where none is.
    samples
        [N] int64, evaluations that were needed, those that chose the label included. Some more
        may have been made, where a pass had room.
    share
        [N] float64, of these: the label's votes, or its mean gain over the strongest rival, where
        a half is a tie. A rough figure, as it was stopped where it was large or small.
    at
        [A] float64, the radii.
    """

    labels: torch.Tensor
    certified: torch.Tensor
    undecided: torch.Tensor
    radius: torch.Tensor
    samples: torch.Tensor
    share: torch.Tensor
    at: torch.Tensor


class Answer(NamedTuple):
    """An answer with a proof, or without one, for N inputs at one radius.

    Attributes
    ----------
    labels
        [N] int64, the label that led.
    certified
        [N] bool: it is the average's, and that of every x' of the lattice within the radius.
    undecided
        [N] bool: not shown within the budget, and not given up.
    samples
        [N] int64, evaluations that were needed.
    """

    labels: torch.Tensor
    certified: torch.Tensor
    undecided: torch.Tensor
    samples: torch.Tensor


@torch.no_grad()
def certify(
    defence: "PostAverage",
    x: torch.Tensor,
    *,
    at: Sequence[float] | None = None,
    samples: int = 100_000,
    selection: int = 100,
    alpha: float = 1e-3,
    give_up: float = 1e-2,
    until_width: float | None = None,
    exact: bool = False,
    keys: Sequence[Key] | None = None,
) -> Certificate:
    """Predict with a guarantee, by averaging over as many fresh draws as it takes.

    The *certified classifier* is the average over **all** offsets of a Gaussian or a ball, not the
    6K + 1 points that `PostAverage.predict` evaluates: of its votes (vote ``majority``) or its
    mean probabilities (``softmax``). What is added is rounded to a lattice, so that the guarantee
    holds in floating point: see `bandlimiter.defence.certificates.noise`, with the proof. Each
    input is decided at each radius as soon as it can be: see
    `bandlimiter.defence.certificates.sequential`.

    Parameters
    ----------
    defence
        With ``sigma``; or with a radius, fresh draws, the sampler ``gaussian`` or ``ball`` and one
        scale for all coordinates. Its ``directions`` play no part.
    x
        [N, ...] floating point, N >= 1, in the units that the model takes (pixels).
    at
        The radii R, finite, positive and increasing, L2 in the units of x. None: a grid of
        200 (vote ``softmax``: 40), up to the largest that ``samples`` can certify.
    samples
        T >= 1, the most evaluations of an input from which it is decided.
    selection
        S >= 1 others, on which its label is chosen.
    alpha
        In (0, 1), for each input: the probability, over the draws, that any of its claims is
        false is at most alpha, whatever the model and however many radii.
    give_up
        In (0, 1), the level of the test that gives a radius up (of two classes; more err as often
        against each rival): its errors cost a certificate, and promise nothing. 0 never gives up.
    until_width
        Without ``at``: stop where the radius is known to this width.
    exact
        Refuse inputs off the lattice. Else they are rounded to it, and the way counts.
    keys
        A name for each input's draws (an image id), which then depend on the defence's seed, the
        name and the kind of device alone. Without, inputs are counted.

    Returns
    -------
    Certificate
        On x's device; the same in batches of any size, up to the rounding of the model.

    Raises
    ------
    ConfigurationError
        (a ValueError) for the paper's directions and for fixed draws, of which no such statement
        holds, for other settings that cannot be certified, radii that are not increasing or all
        out of reach, a model in training mode or whose answers depend on the batch.
    InputError
        (a ValueError) as `PostAverage.forward`; also if there is not one key an input, and for
        inputs off the lattice where ``exact``.

    Notes
    -----
    A radius covers the points of the lattice, 8-bit images among them. An x' off it is rounded
    first and so is covered sqrt(n) / (2 steps) less far, with ``steps`` of
    `bandlimiter.defence.certificates.noise.lattice_for`. The guarantee is for an x that was chosen
    without knowledge of the draws, and for a network whose answer to a point does not depend on
    its batch: all passes have one size.

    Examples
    --------
    >>> import torch
    >>> from bandlimiter import PostAverage
    >>> model = torch.nn.Linear(2, 2).eval()
    >>> model.weight.data, model.bias.data = torch.tensor([[9.0, 0], [0, 0]]), torch.zeros(2)
    >>> defended = PostAverage(model, sigma=0.25)
    >>> x = torch.tensor([[0.6, 0.0], [0.0, 0.0]])
    >>> found = certify(defended, x, at=[0.25, 0.5, 0.75], samples=2000, keys=["far", "near"])
    >>> found.labels.tolist(), found.radius.tolist()  # at a tie: abstains
    ([0, -1], [0.5, 0.0])
    """
    plan = require_plan(at, samples, selection, alpha, give_up, until_width, exact)
    labels, spent, shares, held, opened, radii = _decide(defence, x, plan, keys)
    largest = torch.cat([torch.zeros(1, dtype=torch.float64), radii])
    return Certificate(
        labels=torch.where(held[:, 0], labels, -1),
        certified=held[:, 1:],
        undecided=opened[:, 1:],
        radius=largest.to(x.device)[(held.sum(dim=1) - 1).clamp_min(0)],
        samples=spent,
        share=shares,
        at=radii.to(x.device),
    )


@torch.no_grad()
def answer_at(
    defence: "PostAverage",
    x: torch.Tensor,
    radius: float,
    *,
    budget: int,
    alpha: float,
    keys: Sequence[Key] | None = None,
) -> Answer:
    """Answer within a budget of evaluations, with yes or no to one radius where that suffices."""
    if not isinstance(budget, int) or budget < 2:
        raise ConfigurationError(f"expected a budget of 2 evaluations or more, got {budget!r}")
    selection = max(1, min(100, budget // 5))
    plan = require_plan([radius], budget - selection, selection, alpha, 1e-2, None, exact=False)
    labels, spent, _, held, opened, _ = _decide(defence, x, plan, keys)
    return Answer(labels, held[:, 1], opened[:, 1], spent)


def reach(defence: "PostAverage", dim: int, samples: int, alpha: float) -> float:
    """Return the largest radius that so many samples certify where all agree."""
    noise = noise_of(defence, dim)
    margin = 2 * (highest_bar(samples, alpha) - noise.epsilon(dim)) - 1
    length = noise_length(noise.name, noise.sigma, dim)
    return float(certified_radius(noise.name, margin, length, dim))


_Group = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
"""Labels [N], samples [N], shares [N], what is certified and what is undecided, [N, 1 + A]."""


def _decide(
    defence: "PostAverage", x: torch.Tensor, plan: Plan, keys: Sequence[Key] | None
) -> tuple[torch.Tensor, ...]:
    """Return a `_Group` of all inputs, and the radii [A].

    The first column is radius 0: whether the label is the average's at all.
    """
    require_average(defence)
    defence.require_fitting(x)
    names, dim = defence.name_draws(x, keys), x[0].numel()
    noise, most = noise_of(defence, dim), reach(defence, dim, plan.samples, plan.alpha)
    radii = plan.radii(most, defence.vote)
    classes = model_logits(defence.model, x[:1]).shape[1]
    tests = (1 + len(radii)) * (classes if defence.vote == "softmax" else 1) * 12
    size = max(1, min(_MOST_NUMBERS // max(dim, tests), len(x)))
    parts = []
    for start in range(0, len(x), size):
        source = _Source(defence, noise, x[start : start + size], names[start : start + size])
        if plan.exact and bool(source.moved.any()):
            first = start + int(source.moved.cpu().nonzero()[0])
            raise InputError(
                f"expected inputs on the lattice of 1/{noise.lattice.steps} where exactness is "
                f"asked for, got input {first} off it; round it, or leave exactness out"
            )
        parts.append(_group(source, _bars(source, radii, plan), plan, classes))
    columns = [torch.cat(column).to(x.device) for column in zip(*parts, strict=True)]
    return (*columns, torch.tensor(radii, dtype=torch.float64))


def _bars(source: "_Source", radii: Sequence[float], plan: Plan) -> NDArray[np.float64]:
    """Return what has to be exceeded at radius 0 and at all others, [N, 1 + A]; inf out of reach.

    An input that was moved onto the lattice has its label where it was moved to, and a certificate
    of radius R there covers R less that far around itself.
    """
    noise, dim = source.noise, source.numbers.shape[1]
    moved = source.moved.cpu().numpy()[:, None]
    reached = np.concatenate([0 * moved, np.asarray(radii) + moved], axis=1)
    bars = bar(noise.name, reached, noise.sigma, dim) + noise.epsilon(dim)
    return np.where(bars <= highest_bar(plan.samples, plan.alpha), bars, np.inf)


def _group(source: "_Source", bars: NDArray[np.float64], plan: Plan, classes: int) -> _Group:
    """Decide a group of inputs."""
    every = range(len(bars))
    pilot = source.shares(every, "selection", 0, plan.selection)
    labels = pilot.mean(dim=1, dtype=torch.float64).argmax(dim=1).cpu()
    reachable = np.isfinite(bars)
    evidence = EVIDENCE[source.defence.vote](
        np.where(reachable, bars, 0.5), plan.alpha, plan.give_up, classes
    )
    spent = np.zeros(len(bars), dtype=np.int64)
    for rows in _undecided(evidence, reachable, spent, plan):
        # So many blocks that a pass is full also where few inputs are left.
        ahead = -(-source.size // (BLOCK * len(rows))) * BLOCK
        done, upto = spent[rows[0]], min(spent[rows[0]] + ahead, plan.samples)
        shares = source.shares(rows.tolist(), "estimation", done, upto)
        _observe(evidence, reachable, spent, plan, rows, shares, labels)
    held = evidence.certified & reachable
    opened = (evidence.undecided | ~reachable) & ~held
    return (
        labels,
        torch.from_numpy(spent + plan.selection),
        torch.from_numpy(evidence.means),
        torch.from_numpy(held),
        torch.from_numpy(opened),
    )


def _undecided(
    evidence: Evidence, reachable: NDArray[np.bool_], spent: NDArray[np.int64], plan: Plan
) -> Iterator[NDArray[np.int64]]:
    """Yield the inputs that need more samples, as long as there are any."""
    while len(rows := _open(evidence, reachable, plan)):
        rows = rows[spent[rows] < plan.samples]
        if not len(rows):
            return
        yield rows


def _open(evidence: Evidence, reachable: NDArray[np.bool_], plan: Plan) -> NDArray[np.int64]:
    """Return the inputs about which more samples may say more: [U]."""
    undecided = evidence.undecided & reachable
    return np.flatnonzero(undecided[:, 0] | (undecided.sum(axis=1) > plan.spare))


def _observe(
    evidence: Evidence,
    reachable: NDArray[np.bool_],
    spent: NDArray[np.int64],
    plan: Plan,
    rows: NDArray[np.int64],
    shares: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """Show the evidence a block after another; who is decided in one needs no other."""
    for start in range(0, shares.shape[1], BLOCK):
        places = np.flatnonzero(np.isin(rows, _open(evidence, reachable, plan)))
        if not len(places):
            return
        some = shares[places, start : start + BLOCK]
        evidence.observe(rows[places], some, labels[rows[places]].to(shares.device))
        spent[rows[places]] += some.shape[1]


class _Source:
    """Evaluates a model at noisy points around a group of inputs, in passes of one size."""

    def __init__(
        self, defence: "PostAverage", noise: Noise, x: torch.Tensor, keys: Sequence[Key]
    ) -> None:
        self.defence, self.noise, self._keys, self._shape = defence, noise, keys, x.shape[1:]
        self._device = place_of(defence.model)[0]
        numbers, self.moved = noise.lattice.round(x.to(self._device))
        self.numbers = numbers.flatten(1)
        self.size = defence.points_a_pass(x)
        self._share = defence.share_of_votes("certify")

    def shares(self, rows: Sequence[int], stage: str, start: int, stop: int) -> torch.Tensor:
        """Return what the points ``start`` to ``stop - 1`` say: [len(rows), stop - start, C].

        They are independent of those of all other rows, stages and places.
        """
        blocks = (
            self._block(row, stage, first)[: stop - first]
            for row in rows
            for first in range(start, stop, BLOCK)
        )
        answers = [self._answers(points) for points in _passes(blocks, self.size)]
        return torch.cat(answers)[: len(rows) * (stop - start)].view(len(rows), stop - start, -1)

    def _block(self, row: int, stage: str, first: int) -> torch.Tensor:
        name = (self._keys[row], stage, first // BLOCK)
        stream = Stream(self.defence.seed, name, self._device)
        return self.noise.around(self.numbers[row], BLOCK, stream)

    def _answers(self, points: torch.Tensor) -> torch.Tensor:
        logits = model_logits(self.defence.model, points.view(-1, *self._shape), check=False)
        require_no_overflow(logits)
        return self._share(logits.to(torch.promote_types(logits.dtype, torch.float32)))


def _passes(blocks: Iterator[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Yield the points of all blocks in passes of ``size``; the last one repeats its last point."""
    held: list[torch.Tensor] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= size:
            joined = torch.cat(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        joined = torch.cat(held)
        yield torch.cat([joined, joined[-1:].expand(size - count, -1)])
