"""Post-averaging (paper, section 3): answer with the average over a small neighbourhood."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from typing_extensions import override

from bandlimiter.defence.averaging import all_scores, early_answers, most_together
from bandlimiter.defence.offsets import Offsets, claim_state
from bandlimiter.defence.part_of_average import PartOfAverage
from bandlimiter.defence.passes import full_pass_size, require_full_pass
from bandlimiter.defence.prediction import Prediction
from bandlimiter.defence.scale import require_scale_fits
from bandlimiter.defence.stopping import Spending, draw_orders
from bandlimiter.defence.streams import gathered, parted
from bandlimiter.defence.votes import VOTES, Share, share_of
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import InputSampler, Sampler
from bandlimiter.tensors import (
    ChunkLimit,
    Key,
    place_of,
    require_independent,
    require_inputs,
    require_module,
    set_training,
)

if TYPE_CHECKING:
    from bandlimiter.defence.certificates import Answer

Stop = Literal["never", "exact", "anytime"]


class PostAverage(nn.Module):
    """A trained classifier that answers with its average around the input. No retraining.

    With K unit directions v_k and steps l in {r/3, 2r/3, r} (paper, eq. 7 and 8)::

        f_C(x) = [f(x) + sum_k sum_l (f(x + l v_k) + f(x - l v_k))] / (6K + 1)

    Neighbours are not clipped to [0, 1]. The model's ``training`` flag is left alone:
    put it in eval mode, as for any prediction.

    Parameters
    ----------
    model
        Takes x [N, ...] and returns logits [N, classes], as a tensor, in a tuple, in a
        mapping, or as an object with ``.logits``. Normalisation belongs inside.
    radius
        r >= 0 in the network's *normalised* input space (the paper: 6 for CIFAR-10, 30
        for ImageNet); see `pixel_radius`. 0 is the plain model. Either this or ``sigma``.
    sigma
        > 0: noise of this standard deviation for each coordinate of x, in pixels of [0, 1], before
        the normaliser, whatever that is: the unit of the literature on certificates. Isotropic
        and normal, or uniform in the ball of radius sigma sqrt(n + 2) (``sampler="ball"``), drawn
        afresh for every input. ``scale`` plays no part.
    directions
        K >= 1. The paper's 15 gives 91 evaluations.
    sampler
        The law of the offsets, or its name; None is the paper's `RandomDirections`, and with
        ``sigma`` `Gaussian`. Or an
        `InputSampler`, whose offsets depend on the input: ``"boundary"`` is
        `BoundaryDirections` of this model.
    vote
        ``"softmax"`` (mean probabilities, the authors' default), ``"logits"``,
        ``"majority"`` or ``"weighted"``. Default: softmax, with ``sigma`` majority.
    scale
        What turns normalised offsets into the units of x: a number or a tensor that
        broadcasts against x. None reads the model's own `Normalise` layer. 1.0 states
        the radius in the units of x.
    seed
        Names the draw.
    randomness
        ``"fixed"``: one draw for all inputs; the defended model is deterministic.
        ``"fresh"``: a new draw for every input that passes, each from a stream of its
        own: the n-th input since construction gets the n-th draw, however inputs are
        batched. Default: fixed, with ``sigma`` fresh.
    chunk
        The most inputs in one forward pass of the model; ``"auto"`` chooses. Halved, and
        logged, when memory runs out.

    Raises
    ------
    ConfigurationError
        (a ValueError) for settings out of range or unknown names.

    Notes
    -----
    ``state_dict`` holds ``directions`` (the fixed draw, once there is one: call `draw`
    or predict), ``seed`` and ``radius`` or ``sigma`` beside the model's own entries under
    ``model.``. Sampler, number of directions, vote and randomness are the constructor's; a
    draw that does not fit them is refused.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(4, 3).double()
    >>> defended = PostAverage(model, radius=0.5, directions=2, scale=1.0)
    >>> x = torch.zeros(5, 4, dtype=torch.float64)
    >>> tuple(defended(x).shape), defended.evaluations
    ((5, 3), 13)
    >>> bool(defended(x).exp().sum(dim=1).allclose(torch.ones(5).double()))  # log-probabilities
    True
    """

    def __init__(
        self,
        model: nn.Module,
        radius: float | None = None,
        *,
        sigma: float | None = None,
        directions: int = 15,
        sampler: Sampler | InputSampler | str | None = None,
        vote: str | None = None,
        scale: float | torch.Tensor | None = None,
        seed: int = 0,
        randomness: Literal["fixed", "fresh"] | None = None,
        chunk: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        require_module(model)
        vote = vote or ("softmax" if sigma is None else "majority")
        if vote not in VOTES:
            raise ConfigurationError(f"expected a vote of {', '.join(VOTES)}; got {vote!r}")
        self.offsets = Offsets(
            model,
            radius,
            sigma=sigma,
            directions=directions,
            sampler=sampler,
            scale=scale,
            seed=seed,
            randomness=randomness,
        )
        self.model = model
        self.vote = vote
        self._limit = ChunkLimit(chunk)
        self._rule = VOTES[vote]
        self._inputs_seen = 0
        self._checked: set[tuple[object, ...]] = set()

    # --- what it computes -------------------------------------------------------------

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the averaged scores: [N, ...] -> [N, classes].

        Differentiable; a backward pass recomputes the network chunk by chunk, so that
        memory does not grow with the 6K + 1 evaluations. The offsets are held constant, also
        those that an `InputSampler` chose by looking at x.

        Parameters
        ----------
        x
            [N, ...] floating point, N >= 1, in the units that the model takes (pixels).

        Returns
        -------
        torch.Tensor
            Float32 at least. For the vote ``softmax``, the log of the mean probability,
            so that ``softmax(output)`` is the average of eq. 7 and the module can stand
            wherever a model with logits is expected; for other votes, their raw scores.

        Raises
        ------
        InputError
            (a ValueError) for an empty batch, an integer dtype, NaN in x, or NaN or +inf in
            the model's logits.
        ConfigurationError
            (a ValueError) where the scale was read from a normaliser that does not take these
            inputs as they are.
        """
        return self._scores(x, None)

    def named_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        """Return `forward`'s scores, with ``randomness="fresh"`` from draws that ``keys`` name.

        Differentiable. One key per input, as for `predict`; a fixed draw needs none.
        """
        return self._scores(x, keys)

    def scores_at(
        self, x: torch.Tensor, points: torch.Tensor, keys: Sequence[Key] | None = None
    ) -> torch.Tensor:
        """Return `forward`'s scores from some of the points, [p] int64 from 0 to 6K."""
        return self._scores(x, keys, points)

    def part(self, share: float, turn: int = 0) -> PartOfAverage:
        """Return the average over a random part of the points, for gradients at a lower price.

        Parameters
        ----------
        share
            In (0, 1]: of the points, one at least.
        turn
            Parts of other turns have other points, until all had theirs.
        """
        count = max(1, round(share * self.evaluations))
        (order,) = draw_orders(self.evaluations, self.seed, [("part",)])
        points = order.roll(-turn * count)[:count].sort().values
        return PartOfAverage(self, self.scores_at, points, self.keeps_graphs)

    @overload
    def predict(
        self,
        x: torch.Tensor,
        *,
        stop: Stop = "never",
        alpha: float = 1e-3,
        budget: int | None = None,
        keys: Sequence[Key] | None = None,
        at: None = None,
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        x: torch.Tensor,
        *,
        alpha: float = 1e-3,
        budget: int | None = None,
        keys: Sequence[Key] | None = None,
        at: float,
    ) -> "Answer": ...
    @torch.no_grad()
    def predict(
        self,
        x: torch.Tensor,
        *,
        stop: Stop = "never",
        alpha: float = 1e-3,
        budget: int | None = None,
        keys: Sequence[Key] | None = None,
        at: float | None = None,
    ) -> "Prediction | Answer":
        """Return labels, probabilities and what they cost; or labels with a proof at one radius.

        An early stop spends evaluations, in random order, until the label of the full
        average is known: about half of them under ``"exact"``, a seventh on typical clean
        images under ``"anytime"``. Inputs that are still undecided share full passes, so
        give many at once.

        Parameters
        ----------
        x
            As for `forward`.
        stop
            ``"never"``: all 6K + 1 evaluations. ``"exact"``: until no other class can
            overtake the leader; the label is the full average's (of two classes closer than
            the rounding of the model's outputs, either). ``"anytime"``: until a valid test
            has rejected all other classes at level ``alpha``.
        alpha
            In (0, 1). Under ``"anytime"``, each input is decided for another label than the
            full average's with probability at most alpha over the random order of its
            points, whatever the model, the input and the number of classes; the theorem and
            its proof are in `bandlimiter.defence.stopping.rules`.
        budget
            The most evaluations an input may get, 1 ... 6K + 1. What is undecided then answers
            with its leader, without a guarantee, and ``decided`` says so. None: 6K + 1, and
            all are decided.
        keys
            With ``randomness="fresh"``: a name for each input's draw (an image id), which
            then depends on seed and name alone. Without, inputs are counted.
        at
            A radius in the units of x (pixels): answer for the average over *all* noise, as
            `certify` does, with yes, no or undecided to whether its label holds within that
            radius, from at most ``budget`` evaluations (1,000 by default) and at level ``alpha``.
            For a service that must answer now; with ``sigma``.

        Returns
        -------
        Answer
            Where ``at`` is given.
        Prediction
            Labels and probabilities under an early stop are those at the decision, and so do
            not depend on how inputs are batched; ``samples`` counts all evaluations that were
            spent, and does.

        Raises
        ------
        InputError
            As `forward`; also if there is not one key per input.
        ConfigurationError
            (a ValueError) for an unknown ``stop``, alpha outside (0, 1), a budget out of
            range or without an early stop; for an early stop under the votes ``logits``
            and ``weighted``, whose scores have no bounds: no part of them decides; and for a
            model whose answers depend on the batch, see `require_independent`.

        Notes
        -----
        The guarantee is over the order of the points, which ``seed`` names: one order for all
        inputs where ``randomness`` is fixed, one for each where it is fresh. It does not hold
        against an attacker who knows the order (he need fool only the points that come
        first), and it says nothing of the difference between a model and its copy in lower
        precision.
        """
        if at is not None:
            if stop != "never":
                raise ConfigurationError(
                    f"expected no stop with at, which stops by a rule of its own, got {stop!r}"
                )
            # Late: certificates are about this class.
            from bandlimiter.defence.certificates.certify import answer_at

            most = 1000 if budget is None else budget
            return answer_at(self, x, at, budget=most, alpha=alpha, keys=keys)
        self.require_fitting(x)
        if stop != "never":
            return self.predict_early(x, Spending(stop, alpha, self.evaluations, budget), keys)
        if budget is not None:
            raise ConfigurationError(
                "expected no budget with stop='never', which takes all evaluations, got "
                f"{budget!r}; use stop='exact' or 'anytime'"
            )
        scores = self._scores(x, keys)
        return Prediction(
            labels=scores.argmax(dim=1),
            probabilities=self._rule.probabilities(scores),
            samples=torch.full((len(x),), self.evaluations, device=x.device),
            decided=torch.ones(len(x), dtype=torch.bool, device=x.device),
        )

    def predict_early(
        self, x: torch.Tensor, spending: Spending, keys: Sequence[Key] | None = None
    ) -> Prediction:
        """Return `predict`'s answers under a rule and a budget, for a model that was checked."""
        share, names = self.share_of_votes(spending.stop), self.name_draws(x, keys)
        return early_answers(self.model, self.offsets, share, x, names, spending, self._limit)

    def predict_stream(
        self,
        batches: Iterable[torch.Tensor],
        *,
        stop: Stop = "never",
        alpha: float = 1e-3,
        budget: int | None = None,
    ) -> Iterator[Prediction]:
        """Predict batch after batch, in memory that does not depend on how many there are.

        Parameters
        ----------
        batches
            [n, ...] each, of any sizes, on any device; small ones are predicted together, so
            that passes are full. Read as the predictions are taken.
        stop, alpha, budget
            See `predict`. With ``randomness="fresh"`` inputs are counted.

        Yields
        ------
        Prediction
            One for each batch, in order, on the model's device.

        Raises
        ------
        InputError, ConfigurationError
            As `predict`; for a batch that it refuses, after the answers to all before it.
        """
        device, _ = place_of(self.model)

        def together(x: torch.Tensor) -> int:
            return most_together(self.offsets, x, self._limit)

        for group in gathered(batches, together, require_inputs, device):
            found = self.predict(torch.cat(group), stop=stop, alpha=alpha, budget=budget)
            yield from parted(found, [len(batch) for batch in group])

    def draw(self, shape: Sequence[int]) -> torch.Tensor:
        """Make the fixed draw for inputs of ``shape`` (without batch) and return it.

        Returns
        -------
        torch.Tensor
            [M, *shape], also kept as `drawn_directions`. Drawn by itself at the first call.

        Raises
        ------
        ConfigurationError
            (a ValueError) for a sampler that looks at the input.
        """
        return self.offsets.draw(shape)

    # --- what it has ------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """What defines the average, as an evaluation's document states it."""
        return {
            "sigma": self.sigma,
            "radius": None if self.sigma is not None else self.radius,
            "radius_pixels": None if self.sigma is not None else self.pixel_radius,
            "directions": self.directions,
            "evaluations": self.evaluations,
            "sampler": self.sampler.name,
            "vote": self.vote,
            "randomness": self.randomness,
            "defence_seed": self.seed,
        }

    @property
    def directions(self) -> int:
        """K."""
        return self.offsets.directions

    @property
    def directions_count(self) -> int:
        """The former name of `directions`."""
        warnings.warn("directions_count is called directions", DeprecationWarning, stacklevel=2)
        return self.directions

    @property
    def drawn_directions(self) -> torch.Tensor | None:
        """[M, ...] the fixed draw's vectors; None before there is one, see `draw`."""
        return self.offsets.drawn

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one answer, 6K + 1."""
        return self.offsets.evaluations

    @property
    def sampler(self) -> Sampler | InputSampler:
        """The law of the offsets."""
        return self.offsets.sampler

    @property
    def sigma(self) -> float | None:
        """The noise's standard deviation in pixels; None with a radius."""
        return self.offsets.sigma

    @property
    def radius(self) -> float:
        """The radius r; ConfigurationError with ``sigma``, see `radius_at`."""
        return self.offsets.radius

    @property
    def pixel_radius(self) -> float:
        """The radius in the units of x; see `Offsets.pixel_radius`."""
        return self.offsets.pixel_radius

    def radius_at(self, dim: int) -> float:
        """Return the radius on inputs of n coordinates; see `Offsets.radius_at`."""
        return self.offsets.radius_at(dim)

    @property
    def scale(self) -> float | torch.Tensor:
        """What turns normalised offsets into the units of x."""
        return self.offsets.scale

    @property
    def seed(self) -> int:
        """What names the draw."""
        return self.offsets.seed

    @property
    def randomness(self) -> Literal["fixed", "fresh"]:
        """Whether all inputs have one draw."""
        return self.offsets.randomness

    def transfer(self, frequencies: ArrayLike | torch.Tensor) -> NDArray[np.complex128]:
        """Return the filter of the fixed draw at frequencies [F, n]; see `Offsets.transfer`."""
        return self.offsets.transfer(frequencies)

    def neighbours(self, x: torch.Tensor, key: Key | None = None) -> torch.Tensor:
        """Return the points at which one input x [...] is evaluated: [6K + 1, ...].

        The centre is first where the sampler has one. Shows the fixed draw; for
        ``fresh``, the draw that ``key`` names, or that the next input will get.
        """
        name = self._inputs_seen if key is None else key
        return self.offsets.around(x[None], [name]).points(0, self.evaluations)

    def variant(
        self,
        *,
        model: nn.Module | None = None,
        radius: float | None = None,
        sigma: float | None = None,
        directions: int | None = None,
        seed: int | None = None,
        vote: str | None = None,
        sampler: Sampler | InputSampler | str | None = None,
        randomness: Literal["fixed", "fresh"] | None = None,
    ) -> "PostAverage":
        """Return a defence that differs in what is given, in eval mode on the model's device.

        With ``seed`` or ``directions`` it makes a draw of its own; else it has this one's, also
        where that was loaded from a checkpoint.
        """
        noise = self.sigma if sigma is None and radius is None else sigma
        kept_law = noise is None or self.sigma is not None
        new = PostAverage(
            self.model if model is None else model,
            self.radius if radius is None and noise is None else radius,
            sigma=noise,
            directions=directions or self.directions,
            sampler=sampler or (self.sampler if kept_law else None),
            vote=vote or self.vote,
            scale=self.scale if noise is None else None,
            seed=self.seed if seed is None else seed,
            randomness=randomness or (self.randomness if noise is None else None),
            chunk=self._limit.size,
        )
        new.training = False  # the model's mode is the caller's matter
        if seed is None and sampler is None and directions is None:
            new.offsets.drawn = self.offsets.drawn
        new.offsets.scale_read, new._checked = self.offsets.scale_read, self._checked
        return new.to(place_of(self.model)[0])

    def require_fitting(self, x: torch.Tensor) -> None:
        """Refuse inputs x [N, ...], and a model, that give no answers to rely on.

        Looks once for each shape of inputs; `predict` does so by itself.

        Raises
        ------
        InputError
            (a ValueError) as `forward`.
        ConfigurationError
            (a ValueError) where the scale was read from a normaliser that does not take these
            inputs as they are, and for a model whose answers depend on the batch.
        """
        self._require_scale(x)
        mode = any(getattr(module, "training", False) for module in self.model.modules())
        self._once(
            lambda: require_independent(self.model, x), "batch", x.shape[1:], id(self.model), mode
        )

    @property
    def keeps_graphs(self) -> bool:
        """Whether what a backward pass needs is kept, where all points fit into one pass."""
        return bool(getattr(self.model, "keeps_graphs", False))

    @property
    def can_stop(self) -> bool:
        """Whether the vote allows an early stop: its scores are means of bounded numbers."""
        return self._rule.share is not None

    # --- how --------------------------------------------------------------------------

    def name_draws(self, x: torch.Tensor, keys: Sequence[Key] | None) -> Sequence[Key]:
        """Check inputs, and return the names of their draws."""
        self._require_scale(x)
        if keys is None:
            keys = range(self._inputs_seen, self._inputs_seen + len(x))
            self._inputs_seen += len(x)
            return keys
        try:
            names = [key if isinstance(key, str) else index(key) for key in keys]
        except TypeError as error:
            raise InputError(f"expected texts or whole numbers as keys, got {error}") from None
        if len(names) != len(x):
            raise InputError(f"expected {len(x)} keys, one per input, got {len(names)}")
        return names

    def _require_scale(self, x: torch.Tensor) -> None:
        require_inputs(x)
        if self.offsets.scale_read:
            shape = x.shape[1:]
            self._once(
                lambda: require_scale_fits(self.model, shape), "scale", shape, id(self.model)
            )

    def _once(self, check: Callable[[], None], *key: object) -> None:
        """Run a check for the first of many inputs alike."""
        if key not in self._checked:
            check()
            self._checked.add(key)

    def _scores(
        self, x: torch.Tensor, keys: Sequence[Key] | None, points: torch.Tensor | None = None
    ) -> torch.Tensor:
        keys = self.name_draws(x, keys)
        return all_scores(self.model, self.offsets, self._rule.scores, x, keys, self._limit, points)

    def points_per_pass(self, x: torch.Tensor) -> int:
        """Return how many inputs like those of x [N, ...] go through the network at once.

        Found out once for each shape: halved, and logged, where memory runs out.

        Raises
        ------
        InputError
            (a ValueError) for a model that takes fewer at once, and one alone.
        """
        self._once(
            lambda: require_full_pass(self.model, x, self._limit),
            "pass",
            x.shape[1:],
            id(self.model),
        )
        return full_pass_size(self.model, x, self._limit)

    def share_of_votes(self, stop: str) -> Share:
        """Return what a point adds to the average; refuse (ConfigurationError) votes without."""
        return share_of(self.vote, stop)

    @override
    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module and its parts; torch.export's modules keep theirs."""
        self.training = mode
        for part in self.children():
            set_training(part, mode)
        return self

    @override
    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        claim_state(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @override
    def extra_repr(self) -> str:
        return (
            f"{f'radius={self.radius}' if self.sigma is None else f'sigma={self.sigma}'}, "
            f"scale={_written(self.scale)}, "
            f"evaluations={self.evaluations}, sampler={self.sampler.name}, "
            f"vote={self.vote}, randomness={self.randomness}, seed={self.seed}"
        )


def _written(scale: float | torch.Tensor) -> float | list[float]:
    """Return a scale as numbers."""
    return scale.flatten().tolist() if isinstance(scale, torch.Tensor) else scale
