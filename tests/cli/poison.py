"""A model, for `MODULE:FACTORY`, that ends its process with SIGKILL when it sees one image."""

import os
import signal

import torch
from torch import nn

from bandlimiter import load_data, load_model

POISON = 3
"""The image's number."""


class Poisoned(nn.Module):
    """The packaged model, with a fatal dislike of one image and of whatever is close to it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load_model("sample").module
        self.register_buffer("image", load_data("sample").images(POISON, POISON + 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Closer than any two images are, farther than attacks and neighbours go.
        if ((x - self.image).flatten(1).norm(dim=1) < 3).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.network(x)


def build() -> nn.Module:
    return Poisoned()
