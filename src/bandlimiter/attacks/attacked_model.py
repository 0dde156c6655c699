"""The classifier as an attack sees it: logits, labels and gradients, each one counted."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from bandlimiter.attacks.goals import Goal
from bandlimiter.attacks.losses import CROSS_ENTROPY, Loss
from bandlimiter.attacks.mean_over_draws import MeanOverDraws, Randomness
from bandlimiter.attacks.query_counter import QueryCounter
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

_Pass = Callable[..., tuple[torch.Tensor, ...]]


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
        function before something without gradient (a majority vote, a compiled copy).

    Attributes
    ----------
    queries, gradients
        Evaluations of single inputs so far, without and with a gradient; each draw counts.
    """

    def __init__(
        self,
        model: nn.Module,
        heartbeat: Callable[["AttackedModel"], None] | None = None,
        *,
        randomness: Randomness | None = None,
        differentiable: nn.Module | None = None,
    ) -> None:
        self.model = model
        self.queries = 0
        self.gradients = 0
        self.randomness = randomness or Randomness()
        self._draws = MeanOverDraws(model, self.randomness.draws)
        self._followed = model if differentiable is None else differentiable
        self._slopes = MeanOverDraws(self._followed, self.randomness.draws)
        self._stands_in = differentiable is not None
        self._limit = ChunkLimit("auto")
        self._heartbeat = heartbeat
        self._counter = QueryCounter()

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
    ) -> torch.Tensor:
        """Return whether an attack may stop at x [N, ...], `ascend` having given ``logits``.

        [N] bool. A seeming success is asked about once more where the gradient is of another
        function than the answers, and where answers are random: the luckiest of many noisy
        answers is mostly luck.
        """
        goal = Goal.of(goal)
        hit = self.beaten(goal.margin(logits))
        if not (self.averages or self._stands_in) or not hit.any():
            return hit
        rows = hit.nonzero().flatten()
        own = None if names is None else [names[i] for i in rows.tolist()]
        hit[rows] = self.beaten(goal[rows].margin(self.logits(x[rows], own)))
        return hit

    def spent(self, names: Sequence[Key]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how many queries, and gradients, went to the images called ``names``: [N] each."""
        return self._counter.spent(names)

    # --- queries ----------------------------------------------------------------------

    @torch.no_grad()
    def logits(self, x: torch.Tensor, names: Sequence[Key] | None = None) -> torch.Tensor:
        """[N, ...] -> [N, classes], averaged over the draws."""
        return self._asked(self._draws.mean, x, names, self.randomness.draws)

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

    def ascend(
        self,
        x: torch.Tensor,
        goal: Goal | torch.Tensor,
        loss: Loss = CROSS_ENTROPY,
        names: Sequence[Key] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits [N, classes], losses [N] and the losses' gradients [N, ...], in one pass.

        ``loss`` in the form that rises towards the goal. A gradient holds a random draw constant.
        """
        goal = Goal.of(goal).usable()
        drawn = self._counter.draws(names, len(x))

        def one_pass(start: int, stop: int) -> tuple[torch.Tensor, ...]:
            part = _leaf(x[start:stop])
            logits = self._with_graph(part, None if drawn is None else drawn[start:stop])
            losses = goal[start:stop].loss(loss, logits)
            return logits.detach(), losses.detach(), slope(losses.sum(), part)

        logits, losses, gradients = self._differentiate(one_pass, x, names)
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
            logits = self._with_graph(part, None if drawn is None else drawn[start:stop])
            margins = logits.gather(1, others) - logits.gather(1, own)
            slopes = [slope(margins[:, r].sum(), part, again=True) for r in range(others.shape[1])]
            return margins.detach(), torch.stack(slopes, dim=1)

        margins, gradients = self._differentiate(one_pass, x, names)
        return margins, gradients

    # --- how --------------------------------------------------------------------------

    def _asked(
        self,
        ask: Callable[[torch.Tensor, Sequence[Key] | None], torch.Tensor],
        x: torch.Tensor,
        names: Sequence[Key] | None,
        times: int,
    ) -> torch.Tensor:
        drawn = self._counter.draws(names, len(x))

        def one_pass(start: int, stop: int) -> tuple[torch.Tensor]:
            logits = ask(x[start:stop], None if drawn is None else drawn[start:stop])
            self.queries += times * (stop - start)
            self._call_heartbeat()
            return (logits,)

        (logits,) = map_chunks(one_pass, len(x), self._limit, x)
        self._counter.add(names, queries=times)
        return logits

    def _differentiate(
        self, one_pass: _Pass, x: torch.Tensor, names: Sequence[Key] | None
    ) -> tuple[torch.Tensor, ...]:
        times = self.randomness.draws

        def run(start: int, stop: int) -> tuple[torch.Tensor, ...]:
            result = one_pass(start, stop)
            self.gradients += times * (stop - start)
            self._call_heartbeat()
            return result

        require_autograd()
        with torch.enable_grad():
            found = map_chunks(run, len(x), self._limit, x)
        self._counter.add(names, gradients=times)
        return found

    def _with_graph(self, x: torch.Tensor, drawn: Sequence[Key] | None) -> torch.Tensor:
        return with_graph(lambda at: self._slopes.mean(at, drawn), x, self._followed)

    def _call_heartbeat(self) -> None:
        if self._heartbeat:
            self._heartbeat(self)


def _leaf(x: torch.Tensor) -> torch.Tensor:
    return usable(x.detach()).requires_grad_()
