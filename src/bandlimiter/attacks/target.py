"""The classifier as an attack sees it: logits, labels and gradients, each one counted."""

import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter.tensors import ChunkLimit, logits_of, map_chunks, require_finite


class Target:
    """A model under attack, evaluated in chunks of bounded size.

    Works on any module from pixels to logits, plain or defended.

    Attributes
    ----------
    queries, gradients
        Evaluations of single inputs so far, without and with a gradient.
    """

    def __init__(self, model: nn.Module, chunk: ChunkLimit | None = None) -> None:
        self.model = model
        self.queries = 0
        self.gradients = 0
        self._limit = chunk or ChunkLimit("auto")

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """[N, ...] -> [N, classes]; an `InputError` where the model answers NaN."""
        self.queries += len(x)
        return map_chunks(
            lambda start, stop: _checked(self.model(x[start:stop])), len(x), self._limit, x
        )

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
        fooled: list[torch.Tensor] = []

        def gradient(start: int, stop: int) -> torch.Tensor:
            part, own = x[start:stop].detach().requires_grad_(), labels[start:stop]
            logits = self._logits(part)
            loss = F.cross_entropy(logits, own, reduction="sum")
            slope = torch.autograd.grad(loss, part)[0]
            fooled.append(logits.detach().argmax(dim=1) != own)  # last: as in margin_gradients
            return slope

        with torch.enable_grad():
            gradients = map_chunks(gradient, len(x), self._limit, x)
        return torch.cat(fooled), gradients

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
        margins: list[torch.Tensor] = []

        def gradient(start: int, stop: int) -> torch.Tensor:
            part = x[start:stop].detach().requires_grad_()
            logits = self._logits(part)
            own = logits.gather(1, labels[start:stop, None])
            margin = logits.gather(1, rivals[start:stop]) - own
            columns = [
                torch.autograd.grad(margin[:, r].sum(), part, retain_graph=True)[0]
                for r in range(margin.shape[1])
            ]
            stacked = torch.stack(columns, dim=1)
            margins.append(margin.detach())  # last: a pass that fails for memory leaves none
            return stacked

        with torch.enable_grad():
            gradients = map_chunks(gradient, len(x), self._limit, x)
        return torch.cat(margins), gradients

    def rival_margin(
        self, x: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return max over other classes of z_class - z_label: [N], and its gradient [N, ...]."""
        margins: list[torch.Tensor] = []

        def gradient(start: int, stop: int) -> torch.Tensor:
            part = x[start:stop].detach().requires_grad_()
            logits = self._logits(part)
            own = labels[start:stop, None]
            others = logits.scatter(1, own, -torch.inf).amax(dim=1)
            margin = others - logits.gather(1, own)[:, 0]
            slope = torch.autograd.grad(margin.sum(), part)[0]
            margins.append(margin.detach())
            return slope

        with torch.enable_grad():
            gradients = map_chunks(gradient, len(x), self._limit, x)
        return torch.cat(margins), gradients

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        self.gradients += len(x)
        return _checked(self.model(x))


def _checked(output: object) -> torch.Tensor:
    logits = logits_of(output)
    require_finite(logits.detach(), "logits")
    return logits
