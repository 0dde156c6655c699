"""Small real things that many tests use: the packaged model and images, and tiny networks."""

import os

import pytest
import torch
from torch import nn

from bandlimiter.data import ImageSet, load_data
from bandlimiter.models import Classifier, load_model

# One thread, so that workers share the processors; tools/test_kernels.py runs with more.
torch.set_num_threads(int(os.environ.get("TEST_THREADS", "1")))


@pytest.fixture(scope="session")
def sample() -> Classifier:
    """The packaged ResNet-20."""
    classifier = load_model("sample")
    classifier.module.requires_grad_(False)
    return classifier


@pytest.fixture(scope="session")
def photos() -> ImageSet:
    """The packaged images."""
    return load_data("sample")


@pytest.fixture
def mlp() -> nn.Module:
    """A smooth, untrained network from 6 numbers to 4 classes, float64."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)).double().eval()


@pytest.fixture
def convnet() -> nn.Module:
    """A small untrained convolutional network from 3x8x8 to 5 classes, float64."""
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * 16, 5),
        )
        .double()
        .eval()
    )


LEFT_OUT = {"--fast": ("slow", "endurance"), "--brief": ("endurance",)}
"""Options, and the marks of the tests that they leave out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    for option, marks in LEFT_OUT.items():
        told = " or ".join(marks)
        parser.addoption(option, action="store_true", help=f"leave out the tests marked {told}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for option, marks in LEFT_OUT.items():
        if config.getoption(option):
            skip = pytest.mark.skip(reason=f"left out by {option}")
            for item in items:
                if any(mark in item.keywords for mark in marks):
                    item.add_marker(skip)
