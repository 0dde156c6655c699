"""A defended model as a classifier of the Adversarial Robustness Toolbox (ART).

ART's own `PyTorchClassifier` takes a defended model as it is, and its gradients are right. It
also moves the model to the current GPU, refuses float64 (and numpy makes it), fills the gradients
of parameters, divides an image's gradient by the size of its batch, and looks at one fresh draw
only. This subclass mends these five; ART's attacks know it by its base.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from bandlimiter.adapters.labels import Array, read_labels, read_targets
from bandlimiter.attacks import AttackedModel
from bandlimiter.defence import Certificate, PostAverage, certify
from bandlimiter.errors import ConfigurationError, InputError, LoadError, MissingExtraError
from bandlimiter.tensors import (
    generator,
    place_of,
    require_autograd,
    set_training,
    slope,
    with_graph,
)

try:
    from art.estimators.classification import PyTorchClassifier
except ImportError as error:
    raise MissingExtraError(
        "expected the Adversarial Robustness Toolbox; install it with pip install "
        "'bandlimiter[art]'"
    ) from error
except OSError as error:  # at import it makes a folder for its settings
    raise LoadError(
        f"expected a folder that ART can write its settings to, ~/.art, got: {error}; set HOME "
        "to a folder that is writable"
    ) from error


class PostAverageClassifier(PyTorchClassifier):  # type: ignore[misc]  # ART has no types
    """A defended model for ART's attacks, with gradients through the whole average.

    ART's own randomized smoothing has no ``class_gradient``, so that DeepFool, for one, cannot
    attack it. Here it is the derivative of the scores.

    Parameters
    ----------
    defence
        Stays on its device, where it must be already; ART puts it into eval mode when it is
        used (``training_mode`` of each method).
    input_shape
        One image's, without batch.
    nb_classes
        None asks the model.
    clip_values
        The range of pixels to which attacks clip.
    draws
        Of a defence with fresh draws: over how many of them a gradient is the mean (expectation
        over transformation: Athalye et al., "Synthesizing robust adversarial examples", 2018).
        1 for a fixed draw.

    Raises
    ------
    ConfigurationError
        (a ValueError) for a number of classes that is not the model's, draws below 1, or
        several of a fixed draw.
    InputError
        (a ValueError) for a shape that the model does not take.

    Notes
    -----
    Scores are the log of the mean probability (vote ``softmax``), whose softmax is the mean
    probability: ART's losses on logits are right for them. Methods take numpy arrays or
    tensors [N, *input_shape] of any floating point dtype, and give gradients in kind.
    """

    def __init__(
        self,
        defence: PostAverage,
        input_shape: Sequence[int],
        nb_classes: int | None = None,
        *,
        clip_values: tuple[float, float] = (0.0, 1.0),
        draws: int = 1,
    ) -> None:
        shape = tuple(input_shape)
        device, self._dtype = place_of(defence)
        example = torch.rand(1, *shape, generator=generator(0, "art", *shape)).to(device)
        defence.require_fitting(example)
        classes = AttackedModel(defence.model).count_classes(example)
        if nb_classes not in (None, classes):
            raise ConfigurationError(
                f"expected nb_classes={classes}, as the model has so many outputs, got {nb_classes}"
            )
        if draws < 1 or (draws > 1 and defence.randomness == "fixed"):
            raise ConfigurationError(
                "expected draws=1, or more of a defence with randomness='fresh', got "
                f"draws={draws} with randomness={defence.randomness!r}"
            )
        self.defence, self.draws = defence, draws
        with _current(device):  # ART moves the model to the current GPU
            super().__init__(
                model=defence,
                loss=nn.CrossEntropyLoss(reduction="sum"),
                input_shape=shape,
                nb_classes=classes,
                clip_values=clip_values,
                preprocessing=None,
                device_type="gpu" if device.type == "cuda" else "cpu",
            )
        self._model.register_forward_pre_hook(self._enter)

    def predict(
        self, x: Array, batch_size: int = 128, training_mode: bool = False, **_: Any
    ) -> NDArray[np.float32]:
        """Return scores [N, classes] for [N, *input_shape], so many inputs at a time.

        With fresh draws, each input that passes gets the next one.
        """
        set_training(self._model, training_mode)
        with torch.no_grad():
            parts = [self._scores(part) for part in torch.split(self._tensor(x), batch_size)]
        return torch.cat(parts).float().cpu().numpy()

    def loss_gradient(self, x: Array, y: Array, training_mode: bool = False, **_: Any) -> Array:
        """Return the gradient of the cross-entropy of each image, like x [N, *input_shape].

        Parameters
        ----------
        x
            [N, *input_shape].
        y
            [N] class indices, or [N, classes] one-hot or probabilities.

        Raises
        ------
        InputError
            (a ValueError) for inputs or labels of another form, and for a vote or a model
            without a gradient.
        """
        targets = read_targets(y, len(x), self.nb_classes).to(self.device)

        def loss(scores: torch.Tensor) -> list[torch.Tensor]:
            wanted = targets.to(scores.dtype) if targets.is_floating_point() else targets
            return [F.cross_entropy(scores, wanted, reduction="sum")]

        set_training(self._model, training_mode)
        gradient = self._gradients(x, loss)
        return _like(gradient[:, 0], x)

    def class_gradient(
        self,
        x: Array,
        label: int | Sequence[int] | Array | None = None,
        training_mode: bool = False,
        **_: Any,
    ) -> Array:
        """Return gradients of scores: [N, classes, *input_shape], or [N, 1, *input_shape].

        Parameters
        ----------
        x
            [N, *input_shape].
        label
            None: of all classes. A class index: of that one. [N] indices: each image's own.

        Raises
        ------
        InputError
            (a ValueError) for inputs or labels of another form, and for a vote or a model
            without a gradient.
        """
        chosen = range(self.nb_classes) if label is None else [label]
        columns = [read_labels(one, len(x), self.nb_classes).to(self.device) for one in chosen]
        set_training(self._model, training_mode)
        gradients = self._gradients(
            x, lambda scores: (scores.gather(1, column[:, None]).sum() for column in columns)
        )
        return _like(gradients, x)

    def certify(
        self, x: Array, samples: int = 100_000, alpha: float = 1e-3, **settings: Any
    ) -> Certificate:
        """Return labels and certificates, by `bandlimiter.defence.certify`.

        Parameters
        ----------
        x
            [N, *input_shape].
        samples, alpha, **settings
            Its arguments.

        Raises
        ------
        ConfigurationError, InputError
            As it says; among others for a defence that has no certificate, such as one with a
            fixed draw.
        """
        set_training(self._model, False)
        inputs = self._entered(self._tensor(x))
        return certify(self.defence, inputs, samples=samples, alpha=alpha, **settings)

    # --- how --------------------------------------------------------------------------

    def _gradients(
        self, x: Array, sums: Callable[[torch.Tensor], Iterable[torch.Tensor]]
    ) -> torch.Tensor:
        """Differentiate each of the sums over images of their scores: [N, sums, *shape]."""
        if self.defence.vote == "majority":
            raise InputError(
                f"expected a vote with a gradient, got {self.defence.vote!r}; attack it "
                "without gradients, or attack another vote"
            )
        require_autograd()
        inputs = self._tensor(x).detach().clone().requires_grad_()
        total: list[torch.Tensor] = []
        for _ in range(self.draws):
            with torch.enable_grad():
                scores = with_graph(self._scores, inputs, self.defence)
                slopes = [slope(one, inputs, again=True) for one in sums(scores)]
            total.append(torch.stack(slopes, dim=1))
        return torch.stack(total).mean(dim=0)

    def _scores(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._model(x)[-1]
        return scores

    def _enter(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Check and cast what comes to the model, by whichever of ART's ways."""
        return tuple(self._entered(x) for x in inputs)

    def _entered(self, x: torch.Tensor) -> torch.Tensor:
        if tuple(x.shape[1:]) != self.input_shape:
            raise InputError(
                f"expected inputs [N, {', '.join(map(str, self.input_shape))}], got shape "
                f"{tuple(x.shape)}"
            )
        return x.to(self._dtype) if x.is_floating_point() else x

    def _tensor(self, x: Array) -> torch.Tensor:
        given = torch.as_tensor(x)
        if not given.is_floating_point():
            raise InputError(
                f"expected floating point inputs, got {given.dtype}; divide 8-bit pixels by 255"
            )
        return given.to(self.device)


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Make ``device`` the current GPU, where it is one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _like(gradient: torch.Tensor, x: Array) -> Array:
    return gradient if isinstance(x, torch.Tensor) else gradient.cpu().numpy()
