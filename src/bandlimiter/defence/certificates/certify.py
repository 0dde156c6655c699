"""Certificates: at which radii the average over all offsets provably keeps its label."""

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.defence.certificates.noise import Noise
from bandlimiter.defence.certificates.radii import bar, certified_radius, noise_length
from bandlimiter.defence.certificates.requirements import (
    Plan,
    noise_of,
    require_average,
    require_plan,
)
from bandlimiter.defence.certificates.sequential import SequentialTests, highest_bar, tests_of
from bandlimiter.defence.certificates.source import BLOCK, Source
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import Key, model_logits, place_of

if TYPE_CHECKING:
    from bandlimiter.defence.post_average import PostAverage

_MOST_NUMBERS = 2**24
"""Bounds the memory of inputs, votes and tests that are worked on together."""

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
        [N, A] bool: neither shown nor given up with these samples, or farther than they reach.
    radius
        [N] float64, the largest that is certified, L2 in the units of x; 0 where none is.
    samples
        [N] int64, evaluations that were needed, those that chose the label included. Some more
        may have been made, where a pass had room.
    share
        [N] float64, of these: the label's votes, or its mean gain over the runner-up, where
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
    6K + 1 points that `PostAverage.predict` evaluates: of its votes (vote ``majority``), its
    mean probabilities (``softmax``), or the shares of a vote of yours (see `Vote`). What is added
    is rounded to a lattice, so that the guarantee holds in floating point: see
    `bandlimiter.defence.certificates.noise`, with the proof. Each input is decided at each radius
    as soon as it can be: see `bandlimiter.defence.certificates.sequential`.

    Parameters
    ----------
    defence
        With ``sigma``; or with a radius, fresh draws, the sampler ``gaussian`` or ``ball`` and one
        scale for all coordinates. Its ``directions`` play no part.
    x
        [N, ...] floating point, N >= 1, in the units that the model takes (pixels).
    at
        The radii R, finite, positive and increasing, L2 in the units of x. None: a grid of
        200 (40 where votes are not one-hot, as ``softmax``), up to the largest that ``samples``
        can certify.
    samples
        T >= 1, the most evaluations of an input from which it is decided.
    selection
        S >= 1 others, on which its label is chosen.
    alpha
        In (0, 1), for each input: the probability, over the draws, that any of its claims is
        false is at most alpha, whatever the model and however many radii.
    give_up
        In (0, 1), the level of the test that gives a radius up (of two classes; of more, that
        often against each other class): its errors cost a certificate, and promise nothing. 0
        never gives up.
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
        (a ValueError) as `PostAverage.forward`; also if there is not one key per input, and for
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
    require_average(defence)
    plan = require_plan(defence.vote, at, samples, selection, alpha, give_up, until_width, exact)
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
    if not isinstance(budget, (int, np.integer)) or budget < 2 * BLOCK:
        raise ConfigurationError(
            f"expected a budget of {2 * BLOCK} evaluations or more per input, got {budget!r}"
        )
    selection = BLOCK * max(1, min(3, int(budget) // (5 * BLOCK)))
    plan = require_plan(
        defence.vote,
        [radius],
        int(budget) - selection,
        selection,
        alpha,
        1e-2,
        None,
        exact=False,
        budget=int(budget),
    )
    labels, spent, _, held, opened, _ = _decide(defence, x, plan, keys)
    return Answer(labels, held[:, 1], opened[:, 1], spent)


def reach(defence: "PostAverage", dim: int, samples: int, alpha: float) -> float:
    """Return the largest radius that so many samples certify where all agree."""
    noise = noise_of(defence, dim)
    margin = 2 * (highest_bar(samples, alpha, defence.vote) - noise.epsilon(dim)) - 1
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
    defence.require_fitting(x)
    names, dim = defence.name_draws(x, keys), x[0].numel()
    noise, most = noise_of(defence, dim), reach(defence, dim, plan.samples, plan.alpha)
    radii = plan.radii(most, defence.vote)
    _tell(radii, most, plan)
    placed = x.detach().to(place_of(defence.model)[0])
    if plan.exact:
        _require_exact(noise, placed, names)
    classes = model_logits(defence.model, placed[:1]).shape[1]
    tests = (1 + len(radii)) * (classes if tests_of(defence.vote).by_class else 1) * 12
    size = max(1, _MOST_NUMBERS // max(dim, tests, plan.selection * classes))
    parts = []
    for start in range(0, len(x), size):
        some = slice(start, start + size)
        source = Source(
            defence, noise, placed[some], names[some], budget=plan.budget, pilot=plan.selection
        )
        parts.append(_group(source, _bars(source, radii, plan), plan, classes))
    columns = [torch.cat(column).to(x.device) for column in zip(*parts, strict=True)]
    return (*columns, torch.tensor(radii, dtype=torch.float64))


def _tell(radii: Sequence[float], most: float, plan: Plan) -> None:
    """Name the radii that these samples cannot certify."""
    beyond = [f"{radius:g}" for radius in radii if radius > most]
    if beyond:
        logger.warning(
            "left undecided: %s, as %d samples certify %.4g at the most",
            ", ".join(beyond),
            plan.samples,
            most,
        )


def _require_exact(noise: Noise, x: torch.Tensor, names: Sequence[Key]) -> None:
    """Refuse inputs off the lattice, before the first sample."""
    for start in range(0, len(x), 256):
        off = noise.lattice.round(x[start : start + 256])[1].nonzero()
        if len(off):
            raise InputError(
                f"expected inputs on the lattice of 1/{noise.lattice.steps} where exactness is "
                f"asked for, got input {names[start + int(off[0])]} off it; round it, or leave "
                "exactness out"
            )


def _bars(source: "Source", radii: Sequence[float], plan: Plan) -> NDArray[np.float64]:
    """Return what has to be exceeded at radius 0 and at all others, [N, 1 + A]; inf out of reach.

    An input that was moved onto the lattice has its label where it was moved to, and a certificate
    of radius R there covers R less that far around itself.
    """
    noise, dim = source.noise, source.numbers.shape[1]
    moved = source.moved.cpu().numpy()[:, None]
    reached = np.concatenate([0 * moved, np.asarray(radii) + moved], axis=1)
    bars = bar(noise.name, reached, noise.sigma, dim) + noise.epsilon(dim)
    highest = highest_bar(plan.samples, plan.alpha, source.defence.vote)
    return np.where(bars <= highest, bars, np.inf)


def _group(source: "Source", bars: NDArray[np.float64], plan: Plan, classes: int) -> _Group:
    """Decide a group of inputs."""
    every = range(len(bars))
    pilot = source.shares(every, "selection", 0, plan.selection)
    labels = pilot.mean(dim=1, dtype=torch.float64).argmax(dim=1).cpu()
    reachable = np.isfinite(bars)
    tests = tests_of(source.defence.vote)(
        np.where(reachable, bars, 0.5), plan.alpha, plan.give_up, classes
    )
    spent = np.zeros(len(bars), dtype=np.int64)
    for rows in _undecided(tests, reachable, spent, plan):
        # So many blocks that a pass is full also where few inputs are left.
        ahead = -(-source.size // (BLOCK * len(rows))) * BLOCK
        done, upto = spent[rows[0]], min(spent[rows[0]] + ahead, plan.samples)
        if not source.affords(len(rows) * int(upto - done)):
            break
        shares = source.shares(rows.tolist(), "estimation", done, upto)
        _observe(tests, reachable, spent, plan, rows, shares, labels)
    held = tests.certified & reachable
    opened = (tests.undecided | ~reachable) & ~held
    return (
        labels,
        torch.from_numpy(spent + plan.selection),
        torch.from_numpy(tests.means),
        torch.from_numpy(held),
        torch.from_numpy(opened),
    )


def _undecided(
    tests: SequentialTests, reachable: NDArray[np.bool_], spent: NDArray[np.int64], plan: Plan
) -> Iterator[NDArray[np.int64]]:
    """Yield the inputs that need more samples, as long as there are any."""
    while len(rows := _open(tests, reachable, plan)):
        rows = rows[spent[rows] < plan.samples]
        if not len(rows):
            return
        yield rows


def _open(tests: SequentialTests, reachable: NDArray[np.bool_], plan: Plan) -> NDArray[np.int64]:
    """Return the inputs about which more samples may say more: [U]."""
    undecided = tests.undecided & reachable
    return np.flatnonzero(undecided[:, 0] | (undecided.sum(axis=1) > plan.spare))


def _observe(
    tests: SequentialTests,
    reachable: NDArray[np.bool_],
    spent: NDArray[np.int64],
    plan: Plan,
    rows: NDArray[np.int64],
    shares: torch.Tensor,
    labels: torch.Tensor,
) -> None:
    """Observe a block after another; who is decided in one needs no other."""
    for start in range(0, shares.shape[1], BLOCK):
        places = np.flatnonzero(np.isin(rows, _open(tests, reachable, plan)))
        if not len(places):
            return
        some = shares[places, start : start + BLOCK]
        tests.observe(rows[places], some, labels[rows[places]].to(shares.device))
        spent[rows[places]] += some.shape[1]
