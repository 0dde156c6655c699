"""Every public way to hand a model to this package: one call each, and what it answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, accelerate, certify, evaluate
from bandlimiter.attacks import APGD, AttackedModel, Square, build_attack
from bandlimiter.defence import choose_directions, tune_radius
from bandlimiter.geometry import count_flips, piece_around, trace_line, trace_plane

SCALE = 0.3
SHAPE = (3, 6, 6)

Call = Callable[[nn.Module, torch.Tensor, torch.Tensor], Any]
"""(model, x [N, *SHAPE], labels [N]) -> numbers."""


def network() -> nn.Module:
    """A network from pixels to four classes, with float32 logits some tenths apart."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


def pixels(count: int = 4) -> torch.Tensor:
    """[count, *SHAPE], away from 0 and 1."""
    generator = torch.Generator().manual_seed(7)
    return 0.2 + 0.6 * torch.rand(count, *SHAPE, generator=generator)


def defended(model: nn.Module, **settings: Any) -> PostAverage:
    """A small average around a model."""
    return PostAverage(model, 1.0, **{"directions": 2, "scale": SCALE, **settings})


def _predicted(stop: str) -> Call:
    def call(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
        found = defended(model).predict(x, stop=stop)
        return found.labels, found.probabilities

    return call


def _streamed(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    batches = [x[:1], x[1:]]
    return [found.probabilities for found in defended(model).predict_stream(batches)]


def _differentiated(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    leaf = x.requires_grad_()
    scores = defended(model)(leaf)
    (slope,) = torch.autograd.grad(scores.gather(1, y[:, None]).sum(), leaf)
    x.requires_grad_(False)
    return scores.detach(), slope


def _certified(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    defence = PostAverage(model, sigma=0.02)
    found = certify(defence, x, samples=60, selection=20, keys=range(len(x)))
    return found.labels, found.share, found.radius


def _tuned(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    found = tune_radius(defended(model), x, y, radii=[1, 2], refinements=1)
    return [(point.radius, point.lost, point.gained) for point in found.curve]


def _counted(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    found = choose_directions(defended(model), x, y)
    return found.directions


def _evaluated(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    found = evaluate(
        *(model, defended(model), (x, y), ["fgsm", "pgd"]),
        quick=True,
        baselines=["one-neighbour"],
        precision="float32",
    )
    return [row.model_dump() for row in found.rows]


def _labelled(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    """Return labels of an evaluation with fast copies, which may find other adversarial images."""
    found = evaluate(model, defended(model), (x, y), ["pgd"], quick=True, threat="transfer")
    return [(row.image, row.plain_clean, row.defended_clean) for row in found.rows]


def _attacked(name: str) -> Call:
    def call(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
        attacks = {"apgd": APGD(steps=5), "square": Square(queries=20)}
        attack = attacks.get(name) or build_attack(name, "minimal", quick=True)
        found = attack(AttackedModel(model), x, y, epsilon=8 / 255)
        return found.images, found.labels

    return call


def _accelerated(backend: str) -> Call:
    def call(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
        if backend == "onnxruntime":
            pytest.importorskip("onnxruntime")
        fast = accelerate(model, "float32", backend, probe=x)
        return fast.model(x), fast.agreement

    return call


def _by_art(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    pytest.importorskip("art")
    from bandlimiter.adapters.art import PostAverageClassifier

    classifier = PostAverageClassifier(defended(model), SHAPE, 4)
    array = x.numpy()
    return classifier.predict(array), classifier.loss_gradient(array, y.numpy())


def _traced(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    found = trace_line(model, x[0], x[1])
    return found.t, found.outputs


def _sliced(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    u, v = x[1] - x[0], x[2] - x[0]
    return trace_plane(model, x[0], u / u.norm(), v / v.norm(), 0.2).areas


def _flipped(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    return sorted(count_flips(model, x[:2], x[2:]).items(), key=str)


def _around(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Any:
    found = piece_around(model, x[:2], x[2:] - x[:2])
    return found.before, found.after


ANSWERS: dict[str, Call] = {
    "forward": lambda model, x, y: defended(model)(x),
    "gradient": _differentiated,
    "predict": _predicted("never"),
    "predict exact": _predicted("exact"),
    "predict anytime": _predicted("anytime"),
    "predict_stream": _streamed,
    "certify": _certified,
    "tune_radius": _tuned,
    "choose_directions": _counted,
    "evaluate": _evaluated,
    "evaluate's labels": _labelled,
    "art": _by_art,
    "accelerate eager": _accelerated("eager"),
    "accelerate onnxruntime": _accelerated("onnxruntime"),
}
ATTACKS: dict[str, Call] = {
    name: _attacked(name) for name in ("fgsm", "pgd", "deepfool", "cw", "apgd", "square")
}
GEOMETRY: dict[str, Call] = {
    "boundary sampler": lambda model, x, y: defended(model, sampler="boundary")(x),
    "trace_line": _traced,
    "trace_plane": _sliced,
    "count_flips": _flipped,
    "piece_around": _around,
}


COSTLY = ("evaluate", "evaluate's labels", "art", "accelerate onnxruntime", "cw")
"""Those that take most of the time of a table of all."""

# Other formats of one function round float32 logits below 1 elsewhere: 1e-7, over a few sums.
TOLERANCE = {"accelerate eager": 1e-5, "accelerate onnxruntime": 1e-5}


def same(first: Any, second: Any, tolerance: float = 0) -> bool:
    """Whether two answers are alike, to the last bit if no tolerance is given."""
    if isinstance(first, torch.Tensor):
        return torch.allclose(first, second, rtol=0, atol=tolerance)
    if isinstance(first, np.ndarray):
        return np.allclose(first, second, rtol=0, atol=tolerance)
    if isinstance(first, list | tuple):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(same(*pair, tolerance) for pair in pairs)
    return bool(first == second)
