"""The point of a set that a classifier is least sure of, and the way to the boundary."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bandlimiter.errors import InputError
from bandlimiter.tensors import copied, model_logits

Floats = NDArray[np.float64]


def closest_to_boundary(
    network: nn.Module,
    points: Floats,
    labels: NDArray[np.int64],
    start: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Return a point and the unit direction in which its margin falls fastest.

    The margin of x with label y is f_y(x) minus the largest other logit. The distance to the
    boundary is judged to first order, as the margin over its gradient's length.

    Parameters
    ----------
    network
        [N, n] -> [N, classes].
    points, labels
        [N, n] and [N]. Taken from those that the network classifies as labelled.
    start
        [n]: take this point, with the network's own label, instead.

    Returns
    -------
    point, direction
        [n] each.

    Raises
    ------
    InputError
        (a ValueError) if no point is classified as labelled, where there is one class,
        where the network is constant there, or for a start of another length.
    """
    given = points if start is None else start[None]
    if given.ndim != 2 or given.shape[1] != points.shape[1]:
        raise InputError(f"expected a point of {points.shape[1]} numbers, got {given.shape[-1]}")
    # A copy in float64, so that the direction is as exact as the point.
    exact = copied(network).double()
    device = next((value.device for value in network.parameters()), torch.device("cpu"))
    x = torch.tensor(given, dtype=torch.float64, device=device, requires_grad=True)
    logits = model_logits(exact, x)
    own = torch.as_tensor(labels, device=device) if start is None else logits.argmax(dim=1)
    kept = nn.functional.one_hot(own, logits.shape[1]).bool()
    others = logits.masked_fill(kept, -torch.inf).amax(dim=1)
    margins = logits[kept] - others
    (gradients,) = torch.autograd.grad(margins.sum(), x)
    lengths = torch.linalg.vector_norm(gradients, dim=1)
    distances = torch.where((margins > 0) & (lengths > 0), margins / lengths, torch.inf)
    nearest = int(distances.argmin())
    if not torch.isfinite(distances[nearest]):
        raise InputError("expected a point that is classified as labelled and can be moved")
    direction = -gradients[nearest] / lengths[nearest]
    return given[nearest].copy(), direction.cpu().numpy()
