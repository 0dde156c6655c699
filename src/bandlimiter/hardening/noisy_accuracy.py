"""Accuracy on clean images, on noisy ones, and in all noisy copies of an image."""

from typing import NamedTuple

import torch
from torch import nn

from bandlimiter.acceleration.precision import has_bfloat16
from bandlimiter.data import ImageSet
from bandlimiter.hardening.noise import add_noise
from bandlimiter.tensors import model_logits, place_of, set_training

COPIES = 8
"""Noisy copies of each image."""


class Accuracy(NamedTuple):
    """Shares of right answers, in [0, 1].

    Attributes
    ----------
    clean
        On the images as they are.
    noisy
        On `COPIES` noisy copies of each.
    steady
        Of the images whose copies are all right. Only such an image has votes enough for a
        certificate of about sigma and more, so that this, and not the mean over copies, tells what
        an average will be able to prove.
    """

    clean: float
    noisy: float
    steady: float


@torch.no_grad()
def measure(model: nn.Module, images: ImageSet, sigma: float, seed: int) -> Accuracy:
    """Measure a network, in eval mode meanwhile; the same seed draws the same noise.

    In bfloat16 where steps are: it is done each epoch, and costs a third of the time.
    """
    device, dtype = place_of(model)
    was_training = model.training
    set_training(model, mode=False)
    clean, copies = 0, []
    for start in range(0, len(images), images.together):
        stop = start + images.together
        x = images.images(start, stop).detach().to(device, dtype)
        labels = images.labels[start:stop].to(device)
        clean += int(_right(model, x, labels).sum())
        noisy = (add_noise(x, sigma, seed, "measure", start, copy) for copy in range(COPIES))
        copies.append(torch.stack([_right(model, each, labels) for each in noisy]).cpu())
    set_training(model, mode=was_training)
    right = torch.cat(copies, dim=1)
    return Accuracy(
        clean / len(images), float(right.double().mean()), float(right.all(dim=0).double().mean())
    )


def _right(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return which answers are right: [n] bool."""
    half = has_bfloat16(x.device) and x.dtype == torch.float32
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        return model_logits(model, x, check=False).argmax(dim=1) == labels
