"""The ways to average that benchmarks/averaging.py sets side by side."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from timing import median, take_turns
from torch import nn

from bandlimiter import PostAverage, Prediction, accelerate
from bandlimiter.models import Classifier

BATCHES = (4, 8, 16, 32, 64, 128, 256)
STEPS = (1 / 3, 2 / 3, 1.0)


class Setting:
    """The paper's defence of one classifier, and its fast copies.

    Parameters
    ----------
    classifier
        Takes pixels; has a radius of the paper's.
    x
        Images, the first of which the copies are checked on.
    """

    def __init__(self, classifier: Classifier, x: torch.Tensor) -> None:
        logging.getLogger("art").setLevel(logging.ERROR)
        self.model = classifier.module
        self.radius = classifier.paper_radius or 6.0
        fast = {
            dtype: accelerate(self.model, dtype=dtype, probe=x[:128])
            for dtype in ("float32", "bfloat16")
        }
        self.copies = {
            name: {"backend": f.backend, "agreement": f.agreement, "score_error": f.score_error}
            for name, f in fast.items()
        }
        self.defended = {name: PostAverage(f.model, self.radius) for name, f in fast.items()}
        self.plain = PostAverage(self.model, self.radius)
        self.evaluations = self.plain.evaluations


@dataclass(frozen=True)
class Way:
    """One way to answer images.

    Attributes
    ----------
    answer
        Images [N, ...] to a prediction.
    evaluations
        Of the network, an image; None where early stopping decides.
    dtype
        In which the network computes.
    expected
        About how many plain forwards an image takes: for how many images fill a turn. None
        where a turn must be all images, as the mean is set by the few hard ones.
    averages
        Whether it answers with the average of equation 7.
    """

    answer: Callable[[torch.Tensor], Prediction]
    evaluations: int | None
    dtype: torch.dtype
    expected: float | None
    averages: bool = True

    def fitting(self, rate: float, seconds: float, most: int) -> int:
        """Return how many images fill ``seconds`` at ``rate`` plain forwards a second."""
        if self.expected is None:
            return most
        return max(1, min(most, round(rate * seconds / self.expected)))


@torch.no_grad()
def loop(setting: Setting, x: torch.Tensor) -> Prediction:
    """Average as the paper states it: one image at a time, float32, the model as it is."""
    directions = setting.plain.draw(x.shape[1:])
    scale = setting.plain.scale
    labels, means = [], []
    for image in x:
        points = [image]
        for direction in directions:
            for step in STEPS:
                offset = setting.radius * step * direction * scale
                points += [image + offset, image - offset]
        mean = setting.model(torch.stack(points)).softmax(dim=1).mean(dim=0)
        labels.append(mean.argmax())
        means.append(mean)
    return _full(torch.stack(labels), torch.stack(means), setting.evaluations)


@torch.no_grad()
def plain_forward(model: nn.Module, batch: int, x: torch.Tensor) -> Prediction:
    logits = torch.cat([model(part) for part in x.split(batch)])
    return _full(logits.argmax(dim=1), logits.softmax(dim=1), 1)


def art_smoothing(setting: Setting, x: torch.Tensor) -> Callable[[torch.Tensor], Prediction]:
    """Return ART's randomised smoothing with as many samples, of about equal length."""
    from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing

    classes = plain_forward(setting.model, 1, x[:1]).probabilities.shape[1]
    length = setting.plain.pixel_radius * np.sqrt(np.mean(np.square(STEPS)))
    smoothed = PyTorchRandomizedSmoothing(
        setting.model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        sample_size=setting.evaluations,
        scale=float(length / np.sqrt(x[0].numel())),
        device_type=x.device.type if x.device.type == "cpu" else "gpu",
    )

    def answer(images: torch.Tensor) -> Prediction:
        shares = torch.from_numpy(smoothed.predict(images.cpu().numpy(), is_abstain=False))
        return _full(shares.argmax(dim=1), shares, setting.evaluations)

    return answer


def build_ways(setting: Setting, x: torch.Tensor, batch: int) -> dict[str, Way]:
    """Return all ways by name; ``batch`` is the best size of a plain pass."""
    many, f32, bf16 = setting.evaluations, torch.float32, torch.bfloat16
    fast32, fast16 = setting.defended["float32"].predict, setting.defended["bfloat16"].predict
    ways = {
        "plain forward": Way(
            partial(plain_forward, setting.model, batch), 1, f32, 1, averages=False
        ),
        "straightforward loop": Way(partial(loop, setting), many, f32, many),
        "ART, randomised smoothing": Way(
            art_smoothing(setting, x), many, f32, many, averages=False
        ),
        "never, float32, model as it is": Way(setting.plain.predict, many, f32, many),
        "never, float32": Way(fast32, many, f32, many / 1.3),
        "never, bf16": Way(fast16, many, bf16, many / 2.5),
    }
    for name, fast, dtype, gain in (("float32", fast32, f32, 1.3), ("bf16", fast16, bf16, 2.5)):
        ways[f"exact, {name}"] = Way(partial(fast, stop="exact"), None, dtype, many / 2 / gain)
        for alpha in (1e-3, 1e-2):
            ways[f"anytime {alpha:g}, {name}"] = Way(
                partial(fast, stop="anytime", alpha=alpha), None, dtype, expected=None
            )
    return ways


def plain_rates(model: nn.Module, x: torch.Tensor) -> dict[int, float]:
    """Return plain float32 forwards a second by the size of a pass."""
    calls: dict[str, Callable[[], Any]] = {
        str(size): partial(plain_forward, model, size, x[: max(BATCHES)]) for size in BATCHES
    }
    times = take_turns(calls, 3)
    return {size: min(len(x), max(BATCHES)) / median(times[str(size)]) for size in BATCHES}


def _full(labels: torch.Tensor, probabilities: torch.Tensor, evaluations: int) -> Prediction:
    return Prediction(
        labels,
        probabilities,
        samples=torch.full((len(labels),), evaluations),
        decided=torch.ones(len(labels), dtype=torch.bool),
    )
