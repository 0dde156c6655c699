"""A run of training: how many steps the time allows, the epochs, and which of them is chosen."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bandlimiter.data import ImageSet
from bandlimiter.errors import ConfigurationError
from bandlimiter.hardening.batches import Batches
from bandlimiter.hardening.checkpoint import Row, RunFolder
from bandlimiter.hardening.noisy_accuracy import Accuracy, measure
from bandlimiter.hardening.training import Settings, Training

_SAFE = 0.97
"""The part of the minutes that is planned for: no machine is equally fast all the time."""

_TIMED = 4
"""Steps whose time is taken, after one that compiles."""

_KEEP_EVERY = 20.0
"""Seconds between states on disk."""

_PER_WRITING = 50.0
"""At least so many times what writing one takes."""

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what goes on."""


class Run:
    """Trains a network in place and keeps what the best epoch answered with.

    Parameters
    ----------
    network
        Trained in place; holds the chosen weights after `train`.
    batches, held_out
        What it is trained on, and what chooses the epoch.
    settings
        Those of `Training`; ``steps`` is found here.
    folder
        Keeps states.
    began
        `time.monotonic` when the work began, of which minutes count.
    progress
        Told of each step.

    Attributes
    ----------
    history
        A row for each epoch so far, and one before the first.
    best
        Of the epoch with the most images that are `steady`: ``epoch``, ``weights``, whether these
        are ``averaged`` over steps or the last ones, and `Accuracy`.
    steps
        In all; 0 until that is known.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Batches,
        held_out: ImageSet,
        settings: Settings,
        folder: RunFolder,
        began: float,
        progress: Progress | None,
    ) -> None:
        self._network, self._batches, self._held_out = network, batches, held_out
        self._settings, self._folder = settings, folder
        self._began, self._before, self._progress = began, 0.0, progress
        self.history: list[Row] = []
        self.best: dict[str, Any] = {}
        self.steps = 0

    @property
    def seconds(self) -> float:
        """Since the work began, in this process and in those that were killed."""
        return self._before + time.monotonic() - self._began

    def train(self, minutes: float | None, epochs: float | None) -> None:
        """Train for minutes of the clock or for passes over the images; go on where a run was cut.

        Raises
        ------
        ConfigurationError
            Where the minutes do not suffice for a step, or training fails; see `Training.step`.
        """
        kept = self._folder.read()
        if kept is None:
            self._tell("preparing", 0)
            self._measure([self._network], 0, 0, None, None)
            self.steps = self._planned(minutes, epochs)
        else:
            self.steps, self.history, self.best = kept["steps"], kept["history"], kept["best"]
            self._before = kept["seconds"]
        training = Training(self._network, replace(self._settings, steps=self.steps))
        losses: list[float] = []
        if kept is not None:
            training.restore(kept["training"])
            losses = kept["losses"]
            self._batches.seen.update(kept["seen"].tolist())
        self._loop(training, losses)
        self._network.load_state_dict(self.best["weights"])
        self._look(self._network, self._held_out.take(torch.arange(1)))  # see `_planned`

    def _loop(self, training: Training, losses: list[float]) -> None:
        last_kept, pause = time.monotonic(), _KEEP_EVERY
        for pixels, labels in self._batches.between(training.done, self.steps):
            rate = training.rate
            losses.append(training.step(pixels, labels))
            epoch, left = divmod(training.done, self._batches.per_epoch)
            if left == 0 or training.done == self.steps:
                number = epoch + bool(left)
                loss = sum(losses) / len(losses)
                tried = [each for each in (self._network, training.average) if each is not None]
                self._measure(tried, number, training.done, rate, loss)
                losses.clear()
            now = time.monotonic()
            if now - last_kept > pause:
                self._keep(training, losses)
                last_kept = time.monotonic()
                pause = max(_KEEP_EVERY, _PER_WRITING * (last_kept - now))
            so_far = self.history[-1]["noisy"]
            self._tell(f"epoch {epoch + bool(left)}, noisy accuracy {so_far:.3f}", training.done)

    def _measure(
        self,
        models: Sequence[nn.Module],
        epoch: int,
        step: int,
        rate: float | None,
        loss: float | None,
    ) -> None:
        """Add a row on the best of the last weights and their average; note the best of all."""
        found = [self._look(model, self._held_out) for model in models]
        place = max(range(len(found)), key=lambda each: (found[each].steady, each))
        row = {"epoch": epoch, "step": step, "seconds": self.seconds, "rate": rate, "loss": loss}
        self.history.append({**row, **found[place]._asdict()})
        self._folder.log(self.history)
        if not self.best or found[place].steady >= self.best["steady"]:
            self.best = {
                **{"epoch": epoch, "averaged": place == 1, **found[place]._asdict()},
                "weights": _snapshot(models[place]),
            }

    def _look(self, model: nn.Module, images: ImageSet) -> Accuracy:
        return measure(model, images, self._settings.sigma, self._settings.seed)

    def _planned(self, minutes: float | None, epochs: float | None) -> int:
        """Return how many steps to take."""
        per_epoch = self._batches.per_epoch
        if epochs is not None:
            return max(1, round(epochs * per_epoch))
        assert minutes is not None  # noqa: S101  (one of both is given)
        step = self._seconds_per_step()
        # After it: what a module keeps of its latest pass has no graph then, and can be copied.
        began = time.monotonic()
        self._look(self._network, self._held_out)
        looking = (time.monotonic() - began) * (1 + self._settings.averaged)
        left = _SAFE * 60 * minutes - self.seconds - looking
        steps = int(left / (step + looking / per_epoch))
        if steps < 1:
            raise ConfigurationError(
                f"expected minutes for one step at least, got {minutes:g}: to begin took "
                f"{self.seconds:.0f} seconds, and a step takes {step:.2g}"
            )
        return steps

    def _seconds_per_step(self) -> float:
        """Time a few steps of the network, and put it back as it was."""
        before = _snapshot(self._network)
        training = Training(self._network, replace(self._settings, steps=1 + _TIMED))
        began = time.monotonic()
        for pixels, labels in self._batches.between(0, 1 + _TIMED):
            training.step(pixels, labels)
            if training.done == 1:
                began = time.monotonic()
        seconds = (time.monotonic() - began) / _TIMED
        self._network.load_state_dict(before)
        for parameter in self._network.parameters():
            parameter.grad = None
        return seconds

    def _keep(self, training: Training, losses: list[float]) -> None:
        state = {
            **{"training": training.state(), "losses": losses, "history": self.history},
            **{"best": self.best, "steps": self.steps, "seconds": self.seconds},
            "seen": torch.tensor(sorted(self._batches.seen.copy()), dtype=torch.int64),
        }
        self._folder.write(state, self.history)

    def _tell(self, what: str, done: int) -> None:
        if self._progress is not None:
            self._progress(done, self.steps, what)


def _snapshot(network: nn.Module) -> dict[str, Any]:
    """Return a copy of a network's state."""
    return {name: each.clone() for name, each in network.state_dict().items()}
