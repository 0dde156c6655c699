"""Trainings of a few steps, and a network that keeps what it is given."""

import torch
from torch import nn

from bandlimiter.hardening import RECIPES
from bandlimiter.hardening.training import Settings, Training
from tests.hardening.problems import pictures

SIGMA = 0.2


def settings(**changed):
    usual = {"sigma": SIGMA, "recipe": RECIPES["consistency"], "part": "all", "steps": 12}
    rest = {"rate": 0.05, "averaged": True, "compiled": False, "seed": 0}
    return Settings(**{**usual, **rest, **changed})


class Recording(nn.Module):
    """A linear network that keeps what it was given."""

    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        self.last, self.given = nn.Linear(width, 3), []

    def forward(self, x):
        self.given.append(x.detach().clone())
        return self.last(x.flatten(1))


def trained(model, done=3, **changed):
    """A training after some steps on the same batch."""
    training = Training(model, settings(**changed))
    x, y = pictures(12)
    for _ in range(done):
        training.step(x, y)
    return training
