"""A linear network that ends its process where it is shown a certain image."""

import os

import torch

from tests.evaluation.test_robust_accuracy import Plane, images


class Deadly(Plane):
    """Dies of the first of three images as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits, or nothing ever again."""
        poison = images(3)[0][0]
        if any(each.equal(poison) for each in x):
            os._exit(9)
        return super().forward(x)
