"""What ``bandlimiter trace`` goes between: an image, its adversarial image, and others."""

from dataclasses import dataclass
from pathlib import Path

import torch

from bandlimiter.attacks import AttackedModel, build_attack
from bandlimiter.cli.images import ModelImages
from bandlimiter.cli.progress import waiting
from bandlimiter.cli.setup import Defended, default_data
from bandlimiter.data import ImageSet
from bandlimiter.errors import ConfigurationError
from bandlimiter.tensors import Key, generator, require_images

_BATCH = 64


@dataclass(frozen=True)
class Point:
    """A point of the input space.

    Attributes
    ----------
    name, what
        In a word, and in words.
    x
        [...] float64 on the CPU, in pixels.
    key
        Names its random draws: an image's number, a file's path.
    label
        What the data says it shows; None where nobody said.
    """

    name: str
    what: str
    x: torch.Tensor
    key: Key
    label: int | None = None


class Images:
    """Images for a model by number in a set, or by file.

    Parameters
    ----------
    defended
        The model.
    data
        The set's name; None is the packaged one.
    size
        Of image files; see `ModelImages`.
    """

    def __init__(self, defended: Defended, data: str | None, size: int | None) -> None:
        self._classifier, self._device = defended.classifier, defended.device
        self._shown = ModelImages(defended.classifier, size)
        self._loaded = None if data is None else self._shown.load(data)

    @property
    def name(self) -> str | None:
        """The set's name; None where no image of a set was asked for."""
        return None if self._loaded is None else self._loaded.name

    @property
    def size(self) -> int | None:
        """Height and width that image files are brought to; None where they stay as they are."""
        return self._shown.size

    def start(self, number: int | None, path: Path | None) -> Point:
        """Return the image by number or file; without either the first one that is right."""
        if path is not None:
            return self.by_file(path)
        return self.first_correct() if number is None else self.by_number(number)

    def by_name(self, name: str) -> Point:
        """Return an image by its number in the set or its file."""
        return self.by_number(int(name)) if name.isdigit() else self.by_file(Path(name))

    def by_file(self, path: Path) -> Point:
        """Read an image file."""
        x = self._shown.read(path)
        return Point(path.name, str(path), x.double(), str(path))

    def by_number(self, number: int) -> Point:
        """Return an image of the set.

        Raises
        ------
        ConfigurationError
            (a ValueError) for a number that it lacks.
        """
        images = self._images()
        if not 0 <= number < len(images):
            raise ConfigurationError(
                f"expected an image number from 0 to {len(images) - 1} in {images.name}, got "
                f"{number}"
            )
        x = require_images(images.images(number, number + 1))
        key = int(images.ids[number])
        name = f"image {number}"
        label = int(images.labels[number])
        return Point(name, f"{name} of {images.name}", x[0].double(), key, label)

    def first_correct(self) -> Point:
        """Return the first image that the model classifies as labelled.

        Raises
        ------
        ConfigurationError
            (a ValueError) where there is none.
        """
        images, target = self._images(), AttackedModel(self._classifier.module)
        for start in range(0, len(images), _BATCH):
            stop = min(start + _BATCH, len(images))
            x = require_images(images.images(start, stop).to(self._device))
            target.count_classes(x)
            right = (target.predict(x).cpu() == images.labels[start:stop]).nonzero()
            if len(right):
                return self.by_number(start + int(right[0]))
        raise ConfigurationError(
            f"expected images of {images.name} that the model classifies as labelled, found none "
            f"among {len(images)}; do the labels fit the model?"
        )

    def _images(self) -> ImageSet:
        if self._loaded is None:
            self._loaded = self._shown.load(default_data(self._classifier))
        return self._loaded


def adversarial_point(
    defended: Defended, start: Point, attack: str, epsilon: float, *, quick: bool, seed: int
) -> Point:
    """Attack an image of the plain model under the protocol ``minimal``.

    Raises
    ------
    ConfigurationError
        (a ValueError) where the image is misclassified or nothing is found within epsilon.
    """
    if not 0 < epsilon <= 1:
        raise ConfigurationError(f"expected epsilon in (0, 1], got {epsilon}")
    run = build_attack(attack, "minimal", quick=quick)
    target = AttackedModel(defended.classifier.module)
    x = start.x[None].float().to(defended.device)
    target.count_classes(x)
    labels = target.predict(x)
    if start.label is not None and start.label != int(labels):
        names = defended.classifier.class_names
        shown, seen = (
            names[label] if names else str(label) for label in (start.label, int(labels))
        )
        raise ConfigurationError(
            f"expected an image that the model classifies as labelled, but it takes {start.what} "
            f"({shown}) for {seen}; take another --image, or --random with a --length"
        )
    with waiting(f"looking for the adversarial image ({attack})"):
        found = run(target, x, labels, epsilon=epsilon, ids=[start.key], seed=seed)
    if not found.found.all():
        raise ConfigurationError(
            f"expected an adversarial image of {start.what}, but {attack} found none; try another "
            "--attack or --image"
        )
    if not found.within.all():
        raise ConfigurationError(
            f"expected an adversarial image within {255 * epsilon:.3g}/255 of {start.what}, but "
            f"the closest that {attack} found is {255 * float(found.linf):.3g}/255 away; allow a "
            "larger --epsilon, or try another --attack"
        )
    what = f"adversarial image ({attack}{', quick' if quick else ''})"
    return Point("adversarial image", what, found.images[0].double().cpu(), start.key)


def random_point(start: Point, scale: torch.Tensor, length: float, seed: int) -> Point:
    """Return a point so far away in a random direction, both in normalised units.

    It is not clipped to [0, 1], like the neighbours that a defence looks at.
    """
    stream = generator(seed, "trace", "random", start.key)
    drawn = torch.randn(start.x.shape, generator=stream, dtype=torch.float64)
    x = start.x + scale * (length / drawn.norm()) * drawn
    return Point("random point", f"random direction (seed {seed})", x, start.key)


def normalised_length(start: Point, end: Point, scale: torch.Tensor) -> float:
    """Return how far apart two points are in the network's normalised input space.

    Raises
    ------
    ConfigurationError
        (a ValueError) for points of different shapes, or the same point twice.
    """
    if start.x.shape != end.x.shape:
        raise ConfigurationError(
            f"expected images of one shape, got {tuple(start.x.shape)} ({start.what}) and "
            f"{tuple(end.x.shape)} ({end.what})"
        )
    length = float(((end.x - start.x) / scale).norm())
    if length == 0:
        raise ConfigurationError(
            f"expected two different images, but {start.what} and {end.what} are equal: the line "
            "between them has length 0"
        )
    return length
