"""Post-averaging (paper, section 3): answer with the average over a small neighbourhood."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from typing_extensions import override

from bandlimiter.defence.passes import logits_at_points
from bandlimiter.defence.prediction import Prediction
from bandlimiter.defence.surroundings import Surroundings
from bandlimiter.defence.votes import VOTES
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import InputSampler, Sampler
from bandlimiter.tensors import ChunkLimit, Key, require_no_nan

# Inputs are taken in groups of about this many passes: enough that the last, shorter pass
# hardly counts, few enough that the points' logits and fresh draws stay small.
_PASSES_A_GROUP = 8


class PostAverage(Surroundings):
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
        for ImageNet); see `pixel_radius`. 0 is the plain model.
    directions
        K >= 1. The paper's 15 gives 91 evaluations.
    sampler
        The law of the offsets, or its name; None is the paper's `RandomDirections`. Or an
        `InputSampler`, whose offsets depend on the input: ``"boundary"`` is
        `BoundaryDirections` of this model.
    vote
        ``"softmax"`` (mean probabilities, the authors' default), ``"logits"``,
        ``"majority"`` or ``"weighted"``.
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
        batched.
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
    or predict), ``seed`` and ``radius`` beside the model's own entries under ``model.``.
    Sampler, number of directions, vote and randomness are the constructor's; a draw that
    does not fit them is refused.

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
        radius: float,
        *,
        directions: int = 15,
        sampler: Sampler | InputSampler | str | None = None,
        vote: str = "softmax",
        scale: float | torch.Tensor | None = None,
        seed: int = 0,
        randomness: Literal["fixed", "fresh"] = "fixed",
        chunk: int | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(
            model,
            radius,
            directions=directions,
            sampler=sampler,
            scale=scale,
            seed=seed,
            randomness=randomness,
        )
        if vote not in VOTES:
            raise ConfigurationError(f"expected a vote of {', '.join(VOTES)}; got {vote!r}")
        self.model = model
        self.vote = vote
        self._limit = ChunkLimit(chunk)
        self._inputs_seen = 0

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
        """
        return self._scores(x, None)

    @torch.no_grad()
    def predict(
        self,
        x: torch.Tensor,
        *,
        stop: Literal["never"] = "never",
        alpha: float = 1e-3,
        keys: Sequence[Key] | None = None,
    ) -> Prediction:
        """Return labels, probabilities and what they cost.

        Parameters
        ----------
        x
            As for `forward`.
        stop
            ``"never"``: all 6K + 1 evaluations.
        alpha
            Level of an early stop; without effect under ``"never"``.
        keys
            With ``randomness="fresh"``: a name for each input's draw (an image id), which
            then depends on seed and name alone. Without, inputs are counted.

        Raises
        ------
        InputError
            As `forward`; also if there is not one key an input.
        ConfigurationError
            For an unknown ``stop``.
        """
        if stop != "never":
            raise ConfigurationError(f"expected stop='never', got {stop!r}")
        scores = self._scores(x, keys)
        return Prediction(
            labels=scores.argmax(dim=1),
            probabilities=VOTES[self.vote].probabilities(scores),
            samples=torch.full((len(x),), self.evaluations, device=x.device),
            decided=torch.ones(len(x), dtype=torch.bool, device=x.device),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What defines the average, as an evaluation's document states it."""
        return {
            "radius": self.radius,
            "radius_pixels": self.pixel_radius,
            "directions": self.directions_count,
            "evaluations": self.evaluations,
            "sampler": self.sampler.name,
            "vote": self.vote,
            "randomness": self.randomness,
            "defence_seed": self.seed,
        }

    def neighbours(self, x: torch.Tensor) -> torch.Tensor:
        """Return the points at which one input x [...] is evaluated: [6K + 1, ...].

        The centre is first where the sampler has one. Shows the fixed draw; for
        ``fresh``, the draw that the next input will get.
        """
        return self._around(x[None], [self._inputs_seen]).points(0, self.evaluations)

    # --- how --------------------------------------------------------------------------

    def _scores(self, x: torch.Tensor, keys: Sequence[Key] | None) -> torch.Tensor:
        if x.ndim < 2 or len(x) == 0:
            raise InputError(f"expected a batch [N, ...] of inputs, got shape {tuple(x.shape)}")
        if not x.is_floating_point():
            raise InputError(f"expected floating point inputs, got {x.dtype}")
        require_no_nan(x.detach(), "inputs")
        if keys is None:
            keys = range(self._inputs_seen, self._inputs_seen + len(x))
            self._inputs_seen += len(x)
        elif len(keys) != len(x):
            raise InputError(f"expected {len(x)} keys, one an input, got {len(keys)}")

        size = max(1, _PASSES_A_GROUP * self._limit.resolve(x) // self.evaluations)
        groups = zip(torch.split(x, size), _split(keys, size), strict=True)
        return torch.cat([self._group_scores(part, names) for part, names in groups])

    def _group_scores(self, x: torch.Tensor, keys: Sequence[Key]) -> torch.Tensor:
        logits = logits_at_points(self.model, self._around(x, keys), x, self._limit)
        return VOTES[self.vote].scores(logits)

    @override
    def extra_repr(self) -> str:
        return (
            f"radius={self.radius}, evaluations={self.evaluations}, sampler={self.sampler.name}, "
            f"vote={self.vote}, randomness={self.randomness}, seed={self.seed}"
        )


def _split(keys: Sequence[Key], size: int) -> list[Sequence[Key]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]
