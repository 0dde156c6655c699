"""Certificates: a radius within which the average over all offsets keeps its label."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from bandlimiter.defence.certificates.evidence import EVIDENCE
from bandlimiter.defence.certificates.margins import BLOCK, Draw, Margins, Plan, find_margins
from bandlimiter.defence.certificates.radii import certified_radius
from bandlimiter.defence.certificates.requirements import require_certifiable, require_plan
from bandlimiter.defence.neighbourhood import Neighbourhood
from bandlimiter.defence.passes import logits_at_points
from bandlimiter.defence.post_average import PostAverage
from bandlimiter.sampling import Sampler, draw_vectors
from bandlimiter.tensors import Key, model_logits

# Inputs are taken in groups whose draws, selection and gains each fit in so many numbers.
_MOST_NUMBERS = 2**24


class Certificate(NamedTuple):
    """What is certified of N inputs.

    Attributes
    ----------
    labels
        [N] int64, the label of the average over all offsets, or -1: the classifier abstains.
    radius
        [N] float64, L2 in the network's normalised input space: at every input nearer than this
        the average has the same label. 0 where it abstains.
    radius_pixels
        [N] float64, the same promise in the units of x: the radius times the smallest scale.
    margin
        [N] float64, the lower bound for the label's mean score less that of the strongest other
        class, from which the radius follows; -1 where an input was given up early.
    samples
        [N] int64, evaluations that were spent, those that chose the label included.
    """

    labels: torch.Tensor
    radius: torch.Tensor
    radius_pixels: torch.Tensor
    margin: torch.Tensor
    samples: torch.Tensor


@torch.no_grad()
def certify(
    defence: PostAverage,
    x: torch.Tensor,
    *,
    samples: int = 1000,
    selection: int = 100,
    alpha: float = 1e-3,
    keys: Sequence[Key] | None = None,
) -> Certificate:
    """Predict with a guarantee, by averaging over fresh draws from the ball or the Gaussian.

    The *certified classifier* is the average over **all** offsets, E f(x + U): not the 6K + 1
    points that `PostAverage.predict` evaluates. It cannot be computed; this function returns
    its label, or abstains, from ``selection + samples`` random evaluations.

    Parameters
    ----------
    defence
        With ``sampler`` ball or gaussian, ``randomness="fresh"``, radius above 0, and the vote
        ``softmax`` (mean scores, by betting) or ``majority`` (votes, by Clopper and Pearson).
        Its ``directions`` play no part.
    x
        [N, ...] floating point, N >= 1, in the units that the model takes (pixels).
    samples
        T >= 1 evaluations of an input from which its margin is estimated.
    selection
        S >= 1 others, on which its label is chosen.
    alpha
        In (0, 1), for each input: the probability, over the draws, that it gets a label and a
        radius that are not true is at most alpha, whatever the model.
    keys
        A name for each input's draws (an image id), which then depend on the defence's seed and
        the name alone. Without, inputs are counted, as in `PostAverage.predict`.

    Returns
    -------
    Certificate
        On x's device; the same in batches of any size, up to the rounding of the model.

    Raises
    ------
    ConfigurationError
        (a ValueError) for the paper's directions and for fixed draws, of which no such statement
        holds, for other settings that cannot be certified, a model in training mode or whose
        answers depend on the batch, numbers below one, or alpha outside (0, 1).
    InputError
        (a ValueError) as `PostAverage.forward`; also if there is not one key an input.

    Notes
    -----
    The radius: `bandlimiter.defence.certificates.radii`, with the proofs and sources; the margin:
    `bandlimiter.defence.certificates.evidence`. Inputs whose label has been seen not to lead are
    given up before all samples are spent: `bandlimiter.defence.certificates.doubt`.

    The guarantee is about real arithmetic, for an x that was chosen without knowledge of the
    draws: who knows seed and key can look for inputs on which they mislead.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 2).eval()
    >>> model.weight.data, model.bias.data = torch.tensor([[9.0, 0], [0, 0]]), torch.zeros(2)
    >>> defended = PostAverage(
    ...     model, 1.0, sampler="ball", randomness="fresh", vote="majority", scale=1.0
    ... )
    >>> found = certify(defended, torch.tensor([[2.0, 0.0], [0.0, 0.0]]), keys=["far", "near"])
    >>> found.labels.tolist(), found.radius.round(decimals=2).tolist()  # at a tie: abstains
    ([0, -1], [0.8, 0.0])
    """
    plan = require_plan(samples, selection, alpha)
    law = require_certifiable(defence)
    defence.require_fitting(x)
    names = defence._names(x, keys)
    classes = model_logits(defence.model, x[:1]).shape[1]
    largest = max(BLOCK * x[0].numel(), classes * plan.samples, classes * plan.selection)
    size = max(1, _MOST_NUMBERS // largest)
    parts = [
        _group_margins(defence, law, x[start : start + size], names[start : start + size], plan)
        for start in range(0, len(x), size)
    ]
    labels, margin, spent = (
        torch.cat([getattr(part, column) for part in parts])
        for column in ("labels", "bounds", "spent")
    )
    found = certified_radius(law.name, margin.cpu().numpy(), defence.radius, x[0].numel())
    radius = torch.from_numpy(found).to(x.device)
    smallest = float(torch.as_tensor(defence.scale).min())
    return Certificate(
        labels=torch.where(margin > 0, labels, -1),
        radius=radius,
        radius_pixels=radius * smallest,
        margin=margin,
        samples=spent,
    )


def _group_margins(
    defence: PostAverage, law: Sampler, x: torch.Tensor, keys: Sequence[Key], plan: Plan
) -> Margins:
    rows = torch.arange(len(x), device=x.device)
    return find_margins(_source(defence, law, x, keys), rows, EVIDENCE[defence.vote], plan)


def _source(defence: PostAverage, law: Sampler, x: torch.Tensor, keys: Sequence[Key]) -> Draw:
    """Return what evaluates the model at fresh points around some of the inputs."""
    share = defence._share("certify")

    def draw(rows: torch.Tensor, stage: str, block: int, count: int) -> torch.Tensor:
        vectors = [
            draw_vectors(
                law, BLOCK // 6, x.shape[1:], defence.seed, "certify", keys[row], stage, block
            )[:count]
            for row in rows.tolist()
        ]
        chosen = x[rows]
        around = Neighbourhood(
            chosen, torch.stack(vectors).to(x.device), law, defence.radius, defence.scale
        )
        logits = logits_at_points(defence.model, around, chosen, defence._limit)
        return share(logits.flatten(0, 1)).view(len(rows), count, -1)

    return draw
