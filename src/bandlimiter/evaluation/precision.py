"""What a run computes in: fast copies that search and answer, and float32, which has the last word.

Gradients come from a `GradientCopy`, and what it takes for a success counts when the float32 model
says so. A defence's labels come from a `ScreenedAverage`. Verdicts are float32's; where the search
goes may differ, as it does with another machine's rounding.
"""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

import torch
from torch import nn

from bandlimiter.attacks import AttackedModel
from bandlimiter.errors import BandlimiterError, ConfigurationError
from bandlimiter.tensors import place_of

if TYPE_CHECKING:
    from bandlimiter.acceleration import GradientCopy, InferenceCopy

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32"]

FLOAT32 = "float32"
"""The precision of what the model itself computed."""

_BISECTIONS = 8
_SIMILAR = 0.5
"""How far a copy's probabilities may lie from the model's to search with it."""


@dataclass(frozen=True)
class FastCopies:
    """Copies of a run's model.

    Attributes
    ----------
    answers
        Without gradient.
    gradients
        The same network with one.
    """

    answers: "InferenceCopy"
    gradients: "GradientCopy"

    @property
    def name(self) -> str:
        """What rows call it: ``bfloat16``, or ``float32-copy`` where nothing is faster."""
        return "bfloat16" if self.answers.dtype == torch.bfloat16 else "float32-copy"

    def require_place(self, device: torch.device) -> None:
        """Refuse (ConfigurationError) a machine that lacks the format of these copies."""
        from bandlimiter.acceleration.precision import has_bfloat16

        if self.answers.dtype == torch.bfloat16 and not has_bfloat16(device):
            raise ConfigurationError(
                "expected workers that compute in bfloat16, as the machine does where this run was "
                f"started, got {device} without; use --precision float32"
            )


def resolve_precision(name: str) -> Precision:
    """Return the precision called ``name``; refuse (ConfigurationError) an unknown one."""
    if name not in get_args(Precision):
        raise ConfigurationError(f"expected precision auto or float32, got {name!r}")
    return cast(Precision, name)


def make_copies(model: nn.Module, image: torch.Tensor) -> FastCopies | None:
    """Return fast copies of a model; None, with a line logged, where there is no sound one.

    They are not compiled: folded layers, weights without gradients, channels-last and bfloat16 give
    most of the gain at once (gradients of ResNet-20, 128 per pass, on two cores of an AMD EPYC with
    bfloat16: 2.7 times as fast, 3.0 compiled; ``make bench-fast-copy``).

    Parameters
    ----------
    model
        In float32; others have no copies.
    image
        [1, ...] pixels that the model takes, on its device.
    """
    from bandlimiter.acceleration import (
        GradientCopy,
        accelerate,
    )  # late: --precision float32 needs none

    if place_of(model)[1] != torch.float32:
        return None
    # Some images more, so that layers are folded, and copies tried, on other values as well.
    probe = torch.cat([image, 1 - image, image / 2, image.flip(-1)])
    label = torch.zeros(1, dtype=torch.int64, device=image.device)
    try:
        copy = accelerate(
            model, backend="eager", probe=probe, least_agreement=0, most_score_error=_SIMILAR
        ).model
        copies = FastCopies(copy, GradientCopy(copy))
        AttackedModel(copies.gradients).loss_gradient(image, label)
    except torch.OutOfMemoryError:
        raise
    except (BandlimiterError, RuntimeError, NotImplementedError) as error:
        logger.info("no fast copy, float32 throughout: %s", error)
        return None
    return copies


@torch.no_grad()
def of_each_kind(
    attacked: AttackedModel, x: torch.Tensor, labels: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """Return images of three kinds on which rounding is measured: [N, ...] -> [3 N, ...].

    As they are, with the whole budget, and where the plain model's label turns. Clean images alone
    understate rounding, as their probabilities are near 0 and 1.
    """
    whole = (x + epsilon * attacked.loss_gradient(x, labels).sign()).clamp(0, 1)
    shape = (-1, *[1] * (x.ndim - 1))
    low = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    high = torch.ones_like(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fooled = attacked.fooled(x + middle.view(shape) * (whole - x), labels)
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
    return torch.cat([x, whole, x + high.view(shape) * (whole - x)])
