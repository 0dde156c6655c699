"""Accuracy on clean images and on single noisy ones."""

from typing import NamedTuple

import torch
from torch import nn

from bandlimiter.data import ImageSet
from bandlimiter.hardening.noise import add_noise
from bandlimiter.tensors import model_logits, place_of, set_training


class Accuracy(NamedTuple):
    """Shares of right answers, in [0, 1].

    Attributes
    ----------
    clean
        On the images as they are.
    noisy
        On one noisy copy of each.
    """

    clean: float
    noisy: float


@torch.no_grad()
def measure(model: nn.Module, images: ImageSet, sigma: float, seed: int) -> Accuracy:
    """Measure a network, in eval mode meanwhile; the same seed draws the same noise."""
    device, dtype = place_of(model)
    was_training = model.training
    set_training(model, mode=False)
    right = torch.zeros(2, dtype=torch.int64)
    for start in range(0, len(images), images.together):
        stop = start + images.together
        x = images.images(start, stop).detach().to(device, dtype)
        labels = images.labels[start:stop]
        noisy = add_noise(x, sigma, seed, "measure", start)
        for place, given in enumerate((x, noisy)):
            found = model_logits(model, given, check=False).argmax(dim=1).cpu()
            right[place] += (found == labels).sum()
    set_training(model, mode=was_training)
    clean, noisy_share = (right.double() / len(images)).tolist()
    return Accuracy(clean, noisy_share)
