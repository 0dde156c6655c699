"""A defence against its plain model on clean images, read block by block."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bandlimiter.defence.post_average import PostAverage, Stop
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.results import Difference, Rate, paired_difference, rate
from bandlimiter.tensors import (
    ChunkLimit,
    Key,
    as_labels,
    map_chunks,
    model_logits,
    place_of,
    require_inputs,
    require_labels,
    require_no_overflow,
)

Images = torch.Tensor | Callable[[int, int], torch.Tensor]
"""[N, ...] pixels, or what returns images ``start`` to ``stop - 1``, as `ImageSet.images` does."""

Progress = Callable[[int, int, str], None]
"""Images done, images in all, and what is being done."""

# A block fills passes under an early stop (see `PostAverage.predict`), and takes 64 MiB at most.
_BLOCK = 256
_BLOCK_NUMBERS = 2**24


@dataclass(frozen=True)
class Comparison:
    """How often a defence is right, and how often its plain model, on the same images.

    Attributes
    ----------
    images
        How many.
    accuracy
        The defence's, with its Wilson 95 % interval.
    lost, gained
        Images on which only the plain model, only the defence is right.
    loss
        The plain model's accuracy less the defence's, with a paired 95 % interval (Tango 1998;
        see `bandlimiter.results.paired_difference`).
    evaluations
        Evaluations of the network spent on an image, on average.
    """

    images: int
    accuracy: Rate
    lost: int
    gained: int
    loss: Difference
    evaluations: float


@dataclass(frozen=True)
class Answers:
    """Labels of N images [N], and the evaluations spent on one of them, on average."""

    labels: torch.Tensor
    evaluations: float


Remember = Callable[[PostAverage, Callable[[], Answers]], Answers]
"""Returns the answers of a defence, which the second argument measures, maybe from before."""


class CleanImages:
    """Labelled clean images, and what the plain model says of them.

    Parameters
    ----------
    defence
        Holds the plain model, which is evaluated once an image, here.
    images
        See `Images`.
    labels
        [N] int64 class indices.
    stop
        See `PostAverage.predict`; None is ``"exact"`` where the vote allows it.
    keys
        A name for each image's draws, where they are fresh; None numbers them.
    remember
        See `Remember`.

    Raises
    ------
    InputError
        (a ValueError) for labels that do not fit the images or the model's outputs.
    ConfigurationError
        As `PostAverage.require_fitting`.
    """

    def __init__(
        self,
        defence: PostAverage,
        images: Images,
        labels: torch.Tensor | Sequence[int],
        *,
        stop: Stop | None = None,
        keys: Sequence[Key] | None = None,
        remember: Remember | None = None,
    ) -> None:
        self._remember = remember
        self.labels = as_labels(labels).cpu()
        if len(self.labels) == 0:
            raise InputError("expected labels of at least one image, got none")
        if isinstance(images, torch.Tensor) and len(images) != len(self.labels):
            raise InputError(
                f"expected a label an image, got {len(images)} images and {len(self.labels)} labels"
            )
        self._images = images
        self._stop: Stop = stop or ("exact" if defence.can_stop else "never")
        self._keys: Sequence[Key] = range(len(self)) if keys is None else keys
        if len(self._keys) != len(self):
            raise InputError(f"expected {len(self)} keys, one per image, got {len(self._keys)}")
        self._device = place_of(defence.model)[0]
        first = self._read(0, 1)
        defence.require_fitting(first)
        self.shape = first.shape[1:]
        self._block = max(1, min(_BLOCK, _BLOCK_NUMBERS // max(1, first.numel())))
        self.plain_right = self._plain(defence.model) == self.labels

    def __len__(self) -> int:
        return len(self.labels)

    def answers(self, defence: PostAverage, tell: Callable[[int], None]) -> Answers:
        """Return a defence's labels; ``tell`` hears of every block how many images it had."""
        told = 0

        def measure() -> Answers:
            nonlocal told
            labels, spent = [], 0
            for start, stop in self._blocks():
                found = defence.predict(
                    self._read(start, stop), stop=self._stop, keys=self._keys[start:stop]
                )
                labels.append(found.labels.cpu())
                spent += int(found.samples.sum())
                told = stop
                tell(stop - start)
            return Answers(torch.cat(labels), spent / len(self))

        answers = measure() if self._remember is None else self._remember(defence, measure)
        tell(len(self) - told)
        return answers

    def compare(self, answers: Answers) -> Comparison:
        """Compare such labels with the plain model's, image by image."""
        right = answers.labels == self.labels
        lost = int((self.plain_right & ~right).sum())
        gained = int((right & ~self.plain_right).sum())
        return Comparison(
            images=len(self),
            accuracy=rate(int(right.sum()), len(self)),
            lost=lost,
            gained=gained,
            loss=paired_difference(lost, gained, len(self)),
            evaluations=answers.evaluations,
        )

    @torch.no_grad()
    def _plain(self, model: torch.nn.Module) -> torch.Tensor:
        labels, limit = [], ChunkLimit("auto")
        for start, stop in self._blocks():
            x = self._read(start, stop)
            require_inputs(x)

            def logits(first: int, last: int, x: torch.Tensor = x) -> tuple[torch.Tensor]:
                return (model_logits(model, x[first:last], check=False),)

            (found,) = map_chunks(logits, len(x), limit, x)
            require_no_overflow(found)
            require_labels(self.labels, len(self), found.shape[1])
            labels.append(found.argmax(dim=1).cpu())
        return torch.cat(labels)

    def _blocks(self) -> list[tuple[int, int]]:
        starts = range(0, len(self), self._block)
        return [(start, min(start + self._block, len(self))) for start in starts]

    def _read(self, start: int, stop: int) -> torch.Tensor:
        if isinstance(self._images, torch.Tensor):
            return self._images[start:stop].to(self._device)
        return self._images(start, stop).to(self._device)


def require_share(share: float, what: str) -> None:
    """Refuse (ConfigurationError) what is no share in [0, 1)."""
    if not 0 <= share < 1:
        raise ConfigurationError(f"expected {what} in [0, 1), a share of the images, got {share}")
