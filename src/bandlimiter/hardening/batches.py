"""What each step is shown: a held-out part, an order for each epoch, crops and flips."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from bandlimiter.data import ImageSet
from bandlimiter.data.digests import digests_of
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.hardening.noise import require_given
from bandlimiter.tensors import generator

HELD_OUT = 1000
"""Images that choose the epoch, or a tenth of them all where that is less."""

Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
"""[N, ...] pixels and a CPU generator for what it draws -> [N, ...]."""


def split(images: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return what is trained on and what is held out, drawn by ``seed``.

    Raises
    ------
    ConfigurationError
        For fewer than three images, of which two are left to train on.
    """
    if len(images) < 3:
        raise ConfigurationError(f"expected three training images or more, got {len(images)}")
    count = max(1, min(HELD_OUT, len(images) // 10))
    order = torch.randperm(len(images), generator=generator(seed, "held out"))
    return images.take(order[count:].sort().values), images.take(order[:count].sort().values)


def crop_and_flip(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Shift each image by up to an eighth of its size, black around it, and mirror half of them."""
    return flip(crop(x, rng), rng)


def crop(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Shift each image [N, C, H, W] by up to an eighth of its size, black around it."""
    height, width = x.shape[-2:]
    down, right = max(1, height // 8), max(1, width // 8)
    windows = F.pad(x, (right, right, down, down)).unfold(2, height, 1).unfold(3, width, 1)
    rows = torch.randint(0, 2 * down + 1, (len(x),), generator=rng)
    columns = torch.randint(0, 2 * right + 1, (len(x),), generator=rng)
    return windows[torch.arange(len(x)), :, rows, columns]


def flip(x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mirror half of the images [N, C, H, W]."""
    mirrored = (torch.rand(len(x), generator=rng) < 0.5).to(x.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


AUGMENTATIONS: dict[str, Augment | None] = {
    "crop-flip": crop_and_flip,
    "flip": flip,
    "crop": crop,
    "none": None,
}
"""By name; where a mirror image means something else (digits), take ``crop``."""


def resolve_augment(augment: str | Augment | None, shape: tuple[int, ...]) -> Augment | None:
    """Return an augmentation by name or as it is; ``auto`` is crop-flip for [C, H, W] alone.

    Raises
    ------
    ConfigurationError
        For an unknown name, and one for images with inputs of another shape.
    """
    pictures = len(shape) == 3
    if augment == "auto":
        return crop_and_flip if pictures and shape[0] in (1, 3) else None
    if augment is None or callable(augment):
        return augment
    if augment not in AUGMENTATIONS:
        known = ", ".join(AUGMENTATIONS)
        raise ConfigurationError(
            f"expected augmentation auto, {known} or a function, got {augment!r}"
        )
    if not pictures and augment != "none":
        raise ConfigurationError(f"expected images [C, H, W] for {augment}, got shape {shape}")
    return AUGMENTATIONS[augment]


@dataclass(frozen=True)
class Batches:
    """Batches by step, each image once per epoch; the same for a step whatever came before it.

    Attributes
    ----------
    images
        What is trained on; read as batches are.
    most
        Images per batch at most, from 2 on. All batches have one size of two images or more, as
        BatchNorm needs; what that leaves over of an epoch, about one image per batch, is left out
        of it.
    augment
        See `resolve_augment`.
    seed
        Of order and augmentation.
    seen
        Digests of all images that were read so far.
    """

    images: ImageSet
    most: int
    augment: Augment | None
    seed: int
    seen: set[int] = field(default_factory=set)

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return min(-(-len(self.images) // self.most), len(self.images) // 2)

    @property
    def size(self) -> int:
        """Images per batch."""
        return min(self.most, len(self.images) // self.per_epoch)

    def between(self, start: int, stop: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield pixels [n, ...] and labels [n] of steps ``start`` to ``stop - 1``.

        One is read while the one before is worked on; no more are in memory.
        """
        # A second team of OpenMP threads on the same cores takes 10 to 40 % off the steps.
        with ThreadPoolExecutor(1) as reader:
            reader.submit(torch.set_num_threads, 1)  # of that thread alone
            ahead = deque(reader.submit(self._read, step) for step in range(start, stop)[:1])
            for step in range(start, stop):
                batch = ahead.popleft().result()
                if step + 1 < stop:
                    ahead.append(reader.submit(self._read, step + 1))
                yield batch

    def _read(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, place = divmod(step, self.per_epoch)
        order = torch.randperm(len(self.images), generator=generator(self.seed, "order", epoch))
        chosen = self.images.take(order[place * self.size : (place + 1) * self.size])
        x = require_given(chosen.images(0, len(chosen)).detach())
        self.seen.update(digests_of(x))
        if self.augment is None:
            return x, chosen.labels
        augmented = self.augment(x, generator(self.seed, "augment", step))
        if not isinstance(augmented, torch.Tensor) or augmented.shape != x.shape:
            raise InputError(
                f"expected an augmentation that returns pixels {tuple(x.shape)}, got "
                f"{tuple(getattr(augmented, 'shape', ()))}"
            )
        return augmented, chosen.labels
