"""One step after another: the network, its average over steps, and all that a step depends on."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bandlimiter.acceleration.precision import has_bfloat16
from bandlimiter.errors import BandlimiterError, ConfigurationError
from bandlimiter.hardening.noise import add_noise
from bandlimiter.hardening.recipes import Recipe
from bandlimiter.tensors import find_logits, generator, place_of, set_training

logger = logging.getLogger(__name__)

PARTS = ("all", "norm", "head")
"""What of a network is trained: everything, its normalisation layers, its last layer."""

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
WARM_UP, _FIRST, _LAST = 0.25, 1 / 25, 4e-6
"""The part of all steps in which the rate rises, and the parts of its peak at both ends."""

_NORMS = (
    *(nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm),
    nn.RMSNorm,
)
_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)
_HORIZON = 0.05
"""The part of all steps over which weights are averaged."""


@dataclass(frozen=True)
class Settings:
    """What every step depends on, beside the network and its images.

    Attributes
    ----------
    sigma
        Of the noise, per pixel.
    recipe
        The loss.
    part
        One of `PARTS`.
    steps
        In all; the rate follows one cycle over them.
    rate
        The cycle's peak.
    averaged
        Whether weights are averaged over steps, exponentially, for the answer.
    compiled
        Whether torch.compile makes the forward and backward pass.
    seed
        Of noise and dropout.
    """

    sigma: float
    recipe: Recipe
    part: str
    steps: int
    rate: float
    averaged: bool
    compiled: bool
    seed: int


class Training:
    """Stochastic gradient descent with Nesterov momentum under one cycle of the rate.

    Parameters
    ----------
    model
        Trained in place, in training mode.
    settings
        What steps depend on.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.settings, self.model = settings, model
        self.done = 0
        self._parameters = trained_parameters(model, settings.part)
        self._optimiser = torch.optim.SGD(
            self._parameters, settings.rate, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
        )
        self._average = None
        if settings.averaged:
            averaging = _averaging(1 - 1 / max(1.0, _HORIZON * settings.steps))
            self._average = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
        self._forward = torch.compile(model) if settings.compiled else model
        self._device, self._dtype = place_of(model)
        self._half = has_bfloat16(self._device) and self._dtype == torch.float32

    @property
    def rate(self) -> float:
        """The rate of the next step."""
        return self.settings.rate * one_cycle(self.done, self.settings.steps)

    @property
    def average(self) -> nn.Module | None:
        """The network with its weights averaged over steps, where that is kept."""
        return None if self._average is None else self._average.module

    def step(self, pixels: torch.Tensor, labels: torch.Tensor) -> float:
        """Take a step on pixels [n, ...] and labels [n]; return its loss.

        Raises
        ------
        ConfigurationError
            Where the loss is no number, or no gradient reaches what is trained.
        """
        given = self.settings
        set_training(self.model, mode=True)
        x = pixels.to(self._device, self._dtype)
        x = x.repeat(given.recipe.draws, *(1 for _ in x.shape[1:]))
        x = add_noise(x, given.sigma, given.seed, "noise", self.done)
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        value = self._gradients(x, labels.to(self._device))
        if self.done == 0:
            self._require_gradient()
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate
        self._optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self.model)
        self.done += 1
        return value

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        kept: dict[str, Any] = {
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "done": self.done,
        }
        if self._average is not None:
            kept["average"] = self._average.state_dict()
        return kept

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.done = int(state["done"])

    def _gradients(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """Leave gradients at the parameters and return the loss, compiled where that works."""
        try:
            return self._pass(x, labels)
        except BandlimiterError:
            raise
        except Exception as error:  # compilers raise anything
            if self._forward is self.model:
                raise
            reason = (str(error).splitlines() or [""])[0]
            logger.warning("training runs eagerly, as torch.compile failed: %s", reason)
            self._forward = self.model
            return self._pass(x, labels)

    def _pass(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        given = self.settings
        with _own_randomness(given.seed, self.done, self._device):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
                logits = find_logits(self._forward(x))
            loss = given.recipe.loss(logits, labels)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise ConfigurationError(
                    f"expected a loss that is a number, got {value} in step {self.done + 1}; try a "
                    f"--rate below {given.rate:g}, and look for NaN in the network's weights"
                )
            self._optimiser.zero_grad()
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
        return value

    def _require_gradient(self) -> None:
        grads = [each.grad for each in self._parameters]
        if not any(grad is not None and bool(grad.any()) for grad in grads):
            raise ConfigurationError(
                f"expected a gradient at the {len(grads)} weights that are trained, none came; the "
                "model's forward cuts it (no_grad, detach, argmax, numpy)"
            )


def trained_parameters(model: nn.Module, part: str) -> list[nn.Parameter]:
    """Return the parameters of a part that ask for a gradient, each once.

    Raises
    ------
    ConfigurationError
        For an unknown part, and where there are none.
    """
    if part not in PARTS:
        raise ConfigurationError(f"expected the part {', '.join(PARTS)}; got {part!r}")
    modules = list(model.modules())
    if part != "all":
        kinds = _NORMS if part == "norm" else _LAYERS
        modules = [each for each in modules if isinstance(each, kinds)]
    if part == "head":
        modules = modules[-1:]
    found = [each for module in modules for each in module.parameters(recurse=part != "all")]
    if not found:
        raise ConfigurationError(f"expected weights to train, the model has none in {part!r}")
    once = list({id(each): each for each in found}.values())
    trained = [each for each in once if each.requires_grad]
    if not trained:
        raise ConfigurationError(
            f"expected a model whose weights ask for a gradient, all {len(once)} of {part!r} are "
            "frozen; call .requires_grad_(True) on what is to be trained"
        )
    return trained


def one_cycle(step: int, steps: int) -> float:
    """Return the part of the peak rate in a step: from 1/25 up to 1 in a quarter, down to 4e-6.

    As PyTorch's ``OneCycleLR``, for any number of steps.

    Examples
    --------
    >>> [round(one_cycle(step, 8), 2) for step in range(8)]
    [0.04, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    """
    turn = max(0.0, WARM_UP * steps - 1)
    if step < turn:
        return _between(_FIRST, 1.0, step / turn)
    return _between(1.0, _LAST, (step - turn) / max(1.0, steps - 1 - turn))


def _between(start: float, end: float, way: float) -> float:
    """Go from one number to another along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * way)) / 2


def _averaging(decay: float) -> Any:
    """Average numbers; take counters and tables of indices, which have no mean, as they are now."""
    mean: Any = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(kept: Any, now: Any, count: Any) -> None:
        if kept[0].is_floating_point() or kept[0].is_complex():
            mean(kept, now, count)
            return
        for old, new in zip(kept, now, strict=True):
            old.copy_(new)

    return update


@contextmanager
def _own_randomness(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Let dropout and its kin draw what belongs to this step, and leave others' chance alone."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(generator(seed, "dropout", step).initial_seed())
        yield
