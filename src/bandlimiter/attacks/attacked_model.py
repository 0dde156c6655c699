"""The classifier as an attack sees it: logits, labels and gradients, each one counted."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from bandlimiter.attacks.goals import Goal
from bandlimiter.attacks.losses import CROSS_ENTROPY, Loss
from bandlimiter.attacks.mean_over_draws import MeanOverDraws, Randomness
from bandlimiter.attacks.query_counter import Costs, QueryCounter
from bandlimiter.errors import BandlimiterError, InputError
from bandlimiter.tensors import (
    ChunkLimit,
    Key,
    map_chunks,
    require_autograd,
    slope,
    usable,
    with_graph,
)

_SURE = 3.0
"""How many times as probable a wrong class is on average before nearly every draw names it."""

_SHARES = ((0.5, 1 / 6), (0.8, 1 / 3))
"""(until, share): up to this fraction of an attack's steps, this share of the points is used."""

GradientPoints = Literal["part", "all"]

_Pass = Callable[..., tuple[torch.Tensor, ...]]


@runtime_checkable
class ClearLabels(Protocol):
    """A model that knows which of its labels are clear; to be sure of the others costs more."""

    def clear_labels(self, x: torch.Tensor, keys: Sequence[Key] | None) -> torch.Tensor:
        """Return labels [N] for x [N, ...], -1 where they are not clear."""
        ...


class AttackedModel:
    """A model under attack, evaluated in passes of bounded size.

    Works on any module from pixels to logits, plain or defended. Inputs keep their own
    precision, and are cast to the model's where it is called. An `InputError` comes
    where its logits hold NaN, a `NoGradientError` where a gradient is asked for and none can
    be had, a `ConfigurationError` where one is asked for inside `torch.inference_mode`, or
    through weights that were made there.

    A ``goal``, where a method takes one, is a `Goal`, or labels [N] that are to be left.
    ``names`` [N], where a method takes them, name the images: evaluations are then counted
    for each, and the n-th random draw around an image depends on its name and n alone.

    Parameters
    ----------
    model
        [N, ...] pixels -> logits [N, classes].
    heartbeat
        Called with this object after each pass: a sign of life for long attacks.
    randomness
        For a model whose answers are random.
    differentiable
        A module that takes the model's place where a gradient is asked for: the same
        function before something without gradient (a majority vote), or a faster copy. What it
        takes for a success, the model confirms.
    gradient_points
        ``"all"``, or ``"part"``: a `PostAverage` is followed along some of its points in the first
        steps of an attack, along more in later ones and along all in the last; see `share`. Not for
        subclasses, whose own answers a part would pass by.
    keep_searches
        Whether the last search of each minimal attack serves those that scale what it finds; for a
        model that does not change meanwhile.

    Attributes
    ----------
    queries, gradients
        Evaluations of single inputs so far, without and with a gradient; each draw counts.
    searches
        The last search of each minimal attack, where they are kept; see `candidates_of`.
    """

    def __init__(
        self,
        model: nn.Module,
        heartbeat: Callable[["AttackedModel"], None] | None = None,
        *,
        randomness: Randomness | None = None,
        differentiable: nn.Module | None = None,
        gradient_points: GradientPoints = "all",
        keep_searches: bool = False,
    ) -> None:
        self.model = model
        self.queries = 0
        self.gradients = 0
        self.randomness = randomness or Randomness()
        self._draws = MeanOverDraws(model, self.randomness.draws)
        self._followed = model if differentiable is None else differentiable
        self._parts: dict[tuple[float, int], nn.Module] = {}
        self._by_part = gradient_points == "part" and callable(
            getattr(type(self._followed), "part", None)
        )
        self._stands_in = differentiable is not None or self._by_part
        self._limit = ChunkLimit("auto")
        self._gradient_limits: dict[int, ChunkLimit] = {}
        self._heartbeat = heartbeat
        self._counter = QueryCounter()
        self.searches: list[tuple[Any, Any]] | None = [] if keep_searches else None

    @property
    def averages(self) -> bool:
        """Whether an answer is a mean over draws, so that one wrong answer is not the last word."""
        return self.randomness.draws > 1

    def beaten(self, margins: torch.Tensor) -> torch.Tensor:
        """Return whether an attack may stop at answers of these margins: [N] -> [N] bool.

        Above 0; of means over draws, where the class that beats the other is `_SURE` times as
        probable, as single answers scatter around the mean. See `Goal.margin`.
        """
        return margins >= math.log(_SURE) if self.averages else margins > 0

    def confirmed(
        self,
        x: torch.Tensor,
        goal: Goal | torch.Tensor,
        logits: torch.Tensor,
        names: Sequence[Key] | None = None,
        *,
        share: float = 1.0,
    ) -> torch.Tensor:
        """Return whether an attack may stop at x [N, ...], `ascend` having given ``logits``.

        [N] bool. A seeming success is asked about once more where the gradient is of another
        function than the answers, and where answers are random: the luckiest of many noisy
        answers is mostly luck. A model that tells which of its labels are clear (`ClearLabels`) is
        asked for these alone: an attack had better go on than stop at a close decision.
        """
        goal = Goal.of(goal)
        # A part of the points scatters around all of them, as random answers do.
        least = math.log(_SURE) if self.averages or share < 1 else 0.0
        hit = goal.margin(logits) >= least if least else goal.margin(logits) > 0
        if not (self.averages or self._stands_in) or not hit.any():
            return hit
        rows = hit.nonzero().flatten()
        own = None if names is None else [names[i] for i in rows.tolist()]
        if isinstance(self.model, ClearLabels) and not self.averages:
            labels = self._asked(self.model.clear_labels, x[rows], own, 1)
            hit[rows] = (labels >= 0) & goal[rows].reached(labels)
        else:
            hit[rows] = self.beaten(goal[rows].margin(self.logits(x[rows], own)))
        return hit

    @property
    def follows_copy(self) -> bool:
        """Whether gradients come from something else than the model's own answers."""
        return self._stands_in

    def spent(self, names: Sequence[Key]) -> Costs:
        """Return what went to the images called ``names``."""
        return self._counter.spent(names)

    def add_costs(self, names: Sequence[Key], costs: Costs) -> None:
        """Count these costs for each image once more."""
        self._counter.add_each(names, costs)

    # --- queries ----------------------------------------------------------------------

    @torch.no_grad()
    def logits(self, x: torch.Tensor, names: Sequence[Key] | None = None) -> torch.Tensor:
        """[N, ...] -> [N, classes], averaged over the draws."""
        return self._asked(self._draws.mean, x, names, self.randomness.draws)

    @property
    def searchable(self) -> bool:
        """Whether `search_logits` are cheaper than the model's answers: its copy's, or a part's."""
        return isinstance(self.model, ClearLabels) and not self.averages

    @property
    def search_scatters(self) -> bool:
        """Whether `search_logits` are random, so that the best of many is mostly luck."""
        random = self.searchable and bool(getattr(self._followed, "random", False))
        return self.averages or random

    @torch.no_grad()
    def search_logits(
        self, x: torch.Tensor, names: Sequence[Key] | None = None, *, share: float = 1.0
    ) -> torch.Tensor:
        """Return logits that are good enough to compare points of one image: [N, classes].

        Of the share of the points that `share` names. Where the model is not `searchable`, its own.
        """
        if not self.searchable:
            return self.logits(x, names)
        part = self._part(share)
        return self._asked(MeanOverDraws(part, 1).mean, x, names, 1, part)

    def predict(self, x: torch.Tensor, names: Sequence[Key] | None = None) -> torch.Tensor:
        """[N, ...] -> [N] predicted labels."""
        return self.logits(x, names).argmax(dim=1)

    def fooled(
        self, x: torch.Tensor, goal: Goal | torch.Tensor, names: Sequence[Key] | None = None
    ) -> torch.Tensor:
        """[N] bool: the prediction is not the label; with a target, it is the target."""
        return Goal.of(goal).reached(self.predict(x, names))

    @torch.no_grad()
    def repeated(self, x: torch.Tensor, names: Sequence[Key] | None = None) -> torch.Tensor:
        """Predict ``redraws`` times, each with a draw of its own: [N, ...] -> [redraws, N]."""
        answers = [
            self._asked(self._draws.once, x, names, 1) for _ in range(self.randomness.redraws)
        ]
        return torch.stack(answers).argmax(dim=2)

    def count_classes(self, x: torch.Tensor) -> int:
        """Return the number of logits for inputs like x: [N, ...].

        Raises
        ------
        InputError
            In one line, where the model does not take inputs of this shape or dtype.
        """
        try:
            return self.logits(x[:1]).shape[1]
        except (BandlimiterError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a model says of shapes that it does not take
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"expected inputs that the model takes, got shape {tuple(x.shape[1:])} and "
                f"{x.dtype}; the model says: {reason}"
            ) from error

    # --- gradients --------------------------------------------------------------------

    def share(self, progress: float) -> float:
        """Return which share of an average's points shows the way, after so much of an attack.

        ``progress`` in [0, 1]. 1 for all other models, and with ``gradient_points="all"``.
        """
        if not self._by_part:
            return 1.0
        return next((share for until, share in _SHARES if progress < until), 1.0)

    def ascend(
        self,
        x: torch.Tensor,
        goal: Goal | torch.Tensor,
        loss: Loss = CROSS_ENTROPY,
        names: Sequence[Key] | None = None,
        *,
        share: float = 1.0,
        turn: int = 0,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits [N, classes], losses [N] and the losses' gradients [N, ...], in one pass.

        ``loss`` in the form that rises towards the goal. A gradient holds a random draw constant.
        All three are of the ``share`` of the model's points that `share` names, others in each
        ``turn``: losses compare only with those of the same share and turn.
        """
        goal = Goal.of(goal).usable()
        drawn = self._counter.draws(names, len(x))
        followed = self._part(share, turn)

        def one_pass(start: int, stop: int) -> tuple[torch.Tensor, ...]:
            part = _leaf(x[start:stop])
            own = None if drawn is None else drawn[start:stop]
            logits = self._with_graph(part, own, followed)
            losses = goal[start:stop].loss(loss, logits)
            return logits.detach(), losses.detach(), slope(losses.sum(), part)

        logits, losses, gradients = self._differentiate(one_pass, x, names, followed)
        return logits, losses, gradients

    def loss_gradient(
        self, x: torch.Tensor, goal: Goal | torch.Tensor, names: Sequence[Key] | None = None
    ) -> torch.Tensor:
        """Gradient of the cross-entropy, in the form that rises towards the goal: like x."""
        return self.ascend(x, goal, names=names)[2]

    def margin_gradients(
        self,
        x: torch.Tensor,
        labels: torch.Tensor,
        runners_up: torch.Tensor,
        names: Sequence[Key] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how far each other class lies behind the label, with its gradient.

        Parameters
        ----------
        x
            [N, ...].
        labels
            [N].
        runners_up
            [N, R] class indices.
        names
            [N].

        Returns
        -------
        margins, gradients
            [N, R] values z_other - z_label and [N, R, ...] their gradients. A difference
            of logits is the difference of cross-entropies, exactly.
        """
        drawn = self._counter.draws(names, len(x))

        def one_pass(start: int, stop: int) -> tuple[torch.Tensor, ...]:
            part = _leaf(x[start:stop])
            own, others = usable(labels[start:stop, None]), usable(runners_up[start:stop])
            own_draws = None if drawn is None else drawn[start:stop]
            logits = self._with_graph(part, own_draws, self._followed)
            margins = logits.gather(1, others) - logits.gather(1, own)
            slopes = [slope(margins[:, r].sum(), part, again=True) for r in range(others.shape[1])]
            return margins.detach(), torch.stack(slopes, dim=1)

        margins, gradients = self._differentiate(one_pass, x, names, self._followed)
        return margins, gradients

    # --- how --------------------------------------------------------------------------

    def _asked(
        self,
        ask: Callable[[torch.Tensor, Sequence[Key] | None], torch.Tensor],
        x: torch.Tensor,
        names: Sequence[Key] | None,
        times: int,
        asked: nn.Module | None = None,
    ) -> torch.Tensor:
        asked = self.model if asked is None else asked
        drawn = self._counter.draws(names, len(x))

        def one_pass(start: int, stop: int) -> tuple[torch.Tensor]:
            logits = ask(x[start:stop], None if drawn is None else drawn[start:stop])
            self.queries += times * (stop - start)
            self._call_heartbeat()
            return (logits,)

        (logits,) = map_chunks(one_pass, len(x), self._limit, x)
        self._counter.add(names, queries=times, points=_points(asked))
        return logits

    def _part(self, share: float, turn: int = 0) -> nn.Module:
        if share == 1.0:
            return self._followed
        if (share, turn) not in self._parts:
            self._parts[share, turn] = self._followed.part(share, turn)  # type: ignore[operator]
        return self._parts[share, turn]

    def _differentiate(
        self, one_pass: _Pass, x: torch.Tensor, names: Sequence[Key] | None, followed: nn.Module
    ) -> tuple[torch.Tensor, ...]:
        times = self.randomness.draws

        def run(start: int, stop: int) -> tuple[torch.Tensor, ...]:
            result = one_pass(start, stop)
            self.gradients += times * (stop - start)
            self._call_heartbeat()
            return result

        require_autograd()
        with torch.enable_grad():
            found = map_chunks(run, len(x), self._gradient_limit(x, followed), x)
        self._counter.add(names, gradients=times, points=_points(followed))
        return found

    def _gradient_limit(self, x: torch.Tensor, followed: nn.Module) -> ChunkLimit:
        """Return how many images share a backward pass: all points of each, where graphs are kept.

        Else points would be evaluated twice, on the way there and on the way back.
        """
        points = _points(followed)
        if points == 1 or not getattr(followed, "keeps_graphs", False):
            return self._limit
        if points not in self._gradient_limits:
            self._gradient_limits[points] = ChunkLimit(max(1, self._limit.resolve(x) // points))
        return self._gradient_limits[points]

    def _with_graph(
        self, x: torch.Tensor, drawn: Sequence[Key] | None, followed: nn.Module
    ) -> torch.Tensor:
        slopes = MeanOverDraws(followed, self.randomness.draws)
        return with_graph(lambda at: slopes.mean(at, drawn), x, followed)

    def _call_heartbeat(self) -> None:
        if self._heartbeat:
            self._heartbeat(self)


def _points(module: nn.Module) -> int:
    """Return how many evaluations of its network an answer takes: of an average more than one."""
    # A user's model may call anything so.
    known = isinstance(getattr(type(module), "evaluations", None), property)
    return int(module.evaluations) if known else 1  # type: ignore[arg-type]


def _leaf(x: torch.Tensor) -> torch.Tensor:
    return usable(x.detach()).requires_grad_()
