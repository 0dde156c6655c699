"""Training small networks: all points at once, so that nothing is left to chance."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.models.perceptron import parts
from bandlimiter.tensors import require_labels


def train_perceptron(
    network: nn.Sequential,
    points: torch.Tensor | NDArray[np.float64],
    labels: torch.Tensor | NDArray[np.int64],
    *,
    epochs: int = 500,
    learning_rate: float = 0.01,
) -> float:
    """Train ``network`` in place: Adam on the cross-entropy of all points at once, in float64.

    There is no seed, because nothing is drawn: on one machine the same arguments give the
    same weights. One thread does it: the matrices are so small that several only wait for
    each other. The trained weights are rounded to the network's own dtype. If training
    fails, the network is as it was.

    Parameters
    ----------
    network
        Of the form that `build_perceptron` gives; ends in eval mode.
    points
        [N, n] finite numbers.
    labels
        [N] integer class indices below the number of the network's outputs.
    epochs
        Steps of Adam, at least 1.
    learning_rate
        Adam's, above 0.

    Returns
    -------
    float
        The share of points that the network, as returned, gets right: in [0, 1].

    Raises
    ------
    ConfigurationError
        For a number out of its range, another form of network, or weights that overflow.
    InputError
        For points or labels that are not as stated.
    """
    if epochs < 1:
        raise ConfigurationError(f"expected at least 1 epoch, got {epochs}")
    if not 0 < learning_rate < math.inf:
        raise ConfigurationError(f"expected a learning rate above 0, got {learning_rate}")
    linears, _ = parts(network)
    first = linears[0].weight
    x = torch.as_tensor(points, dtype=torch.float64, device=first.device)
    y = torch.as_tensor(labels, device=first.device)
    _require_points(x, y, linears[0].in_features, linears[-1].out_features)
    y = y.to(torch.int64)

    student = copy.deepcopy(network).double().requires_grad_(True)
    optimiser = torch.optim.Adam(student.parameters(), lr=learning_rate)
    with _one_thread(), torch.enable_grad():
        for _ in range(epochs):
            optimiser.zero_grad()
            F.cross_entropy(student(x), y).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    if not all(value.to(first.dtype).isfinite().all() for value in student.parameters()):
        raise ConfigurationError(
            f"training left the range of {first.dtype}; expected a learning rate below "
            f"{learning_rate:g}"
        )
    network.load_state_dict(student.state_dict())
    network.eval()
    with torch.no_grad():
        return float((network(x.to(first.dtype)).argmax(dim=1) == y).double().mean())


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _require_points(x: torch.Tensor, y: torch.Tensor, inputs: int, classes: int) -> None:
    if x.ndim != 2 or x.shape[1] != inputs or len(x) == 0:
        raise InputError(
            f"expected points of shape [N, {inputs}], as the network has {inputs} inputs; "
            f"got {list(x.shape)}"
        )
    if not x.isfinite().all():
        raise InputError("expected finite points, got infinite ones or NaN")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"expected integer labels, got {y.dtype}")
    require_labels(y, len(x), classes)
