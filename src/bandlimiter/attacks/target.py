"""The classifier as an attack sees it: logits, labels and gradients, each one counted."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.errors import BandlimiterError, InputError
from bandlimiter.tensors import ChunkLimit, logits_of, map_chunks, place_of

_Pass = Callable[..., tuple[torch.Tensor, ...]]


class Target:
    """A model under attack, evaluated in passes of bounded size.

    Works on any module from pixels to logits, plain or defended. Inputs keep their own
    precision, and are cast to the model's where it is called. An `InputError` comes
    where its logits hold NaN, or where a gradient is asked for and none can be had.

    Parameters
    ----------
    model
        [N, ...] pixels -> logits [N, classes].
    heartbeat
        Called with the target after each pass: a sign of life for long attacks.

    Attributes
    ----------
    queries, gradients
        Evaluations of single inputs so far, without and with a gradient.
    """

    def __init__(
        self, model: nn.Module, heartbeat: Callable[["Target"], None] | None = None
    ) -> None:
        self.model = model
        self.queries = 0
        self.gradients = 0
        self._limit = ChunkLimit("auto")
        self._dtype = place_of(model)[1]
        self._heartbeat = heartbeat

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """[N, ...] -> [N, classes]."""

        def one_pass(start: int, stop: int) -> tuple[torch.Tensor]:
            logits = logits_of(self.model(x[start:stop].to(self._dtype)))
            self.queries += stop - start
            self._beat()
            return (logits,)

        (logits,) = map_chunks(one_pass, len(x), self._limit, x)
        return logits

    def count_classes(self, x: torch.Tensor) -> int:
        """Return the number of logits for inputs like x: [N, ...].

        Raises
        ------
        InputError
            In one line, where the model does not take inputs of this shape or dtype.
        """
        try:
            return self.logits(x[:1]).shape[1]
        except (BandlimiterError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever a model says of shapes that it does not take
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"expected inputs that the model takes, got shape {tuple(x.shape[1:])} and "
                f"{x.dtype}; the model says: {reason}"
            ) from error

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """[N, ...] -> [N] predicted labels."""
        return self.logits(x).argmax(dim=1)

    def fooled(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[N] bool: the prediction is not the label."""
        return self.predict(x) != labels

    def loss_gradient(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Gradient of the cross-entropy with respect to x: [N, ...]."""
        return self.fooled_and_gradient(x, labels)[1]

    def fooled_and_gradient(
        self, x: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `fooled` and `loss_gradient` from one pass: [N] bool and [N, ...]."""

        def one_pass(part: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, ...]:
            logits = self._with_graph(part)
            loss = F.cross_entropy(logits, own, reduction="sum")
            return logits.detach().argmax(dim=1) != own, torch.autograd.grad(loss, part)[0]

        fooled, gradient = self._differentiate(one_pass, x, labels)
        return fooled, gradient

    def rival_margin(
        self, x: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return max over other classes of z_class - z_label: [N], and its gradient [N, ...]."""

        def one_pass(part: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, ...]:
            logits = self._with_graph(part)
            others = logits.scatter(1, own[:, None], -torch.inf).amax(dim=1)
            margin = others - logits.gather(1, own[:, None])[:, 0]
            return margin.detach(), torch.autograd.grad(margin.sum(), part)[0]

        margin, gradient = self._differentiate(one_pass, x, labels)
        return margin, gradient

    def margin_gradients(
        self, x: torch.Tensor, labels: torch.Tensor, rivals: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how far each rival class lies behind the label, with its gradient.

        Parameters
        ----------
        x
            [N, ...].
        labels
            [N].
        rivals
            [N, R] class indices.

        Returns
        -------
        margins, gradients
            [N, R] values z_rival - z_label and [N, R, ...] their gradients. A difference
            of logits is the difference of cross-entropies, exactly.
        """

        def one_pass(
            part: torch.Tensor, own: torch.Tensor, others: torch.Tensor
        ) -> tuple[torch.Tensor, ...]:
            logits = self._with_graph(part)
            margins = logits.gather(1, others) - logits.gather(1, own[:, None])
            slopes = [
                torch.autograd.grad(margins[:, r].sum(), part, retain_graph=True)[0]
                for r in range(margins.shape[1])
            ]
            return margins.detach(), torch.stack(slopes, dim=1)

        margins, gradients = self._differentiate(one_pass, x, labels, rivals)
        return margins, gradients

    def _differentiate(
        self, one_pass: _Pass, x: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Map ``one_pass(part of x, that part of the others)`` over passes of x."""

        def run(start: int, stop: int) -> tuple[torch.Tensor, ...]:
            part = x[start:stop].detach().requires_grad_()
            result = one_pass(part, *(other[start:stop] for other in others))
            self.gradients += stop - start
            self._beat()
            return result

        with torch.enable_grad():
            return map_chunks(run, len(x), self._limit, x)

    def _with_graph(self, x: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.model(x.to(self._dtype)))
        if not logits.requires_grad:
            raise InputError(
                "expected a model with a gradient for this attack, got one without (a forward "
                "under no_grad, or a majority vote)"
            )
        return logits

    def _beat(self) -> None:
        if self._heartbeat:
            self._heartbeat(self)
