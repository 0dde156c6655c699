"""Images in the size and the channels that a model takes."""

from pathlib import Path

import torch

from bandlimiter.data import ImageSet, load_data
from bandlimiter.data.files import image_size, read_image, require_frame
from bandlimiter.data.folders import FolderImages
from bandlimiter.errors import ConfigurationError
from bandlimiter.models import Classifier
from bandlimiter.models.inputs import refusal


class ModelImages:
    """Reads image files as a model takes them.

    Attributes
    ----------
    size
        Height and width to deliver; None leaves files as they are.

    Parameters
    ----------
    classifier
        On its device.
    size
        As asked for; None is what the model states.
    """

    def __init__(self, classifier: Classifier, size: int | None) -> None:
        require_frame(size, 3)
        self._classifier, self._asked = classifier, size
        self.size = classifier.input_size if size is None else size
        self._known: dict[tuple[int, int], int] = {}

    def load(
        self,
        data: str,
        limit: int | None = None,
        subset: int | None = None,
        seed: int = 0,
        split: str | None = None,
    ) -> ImageSet:
        """Return the set called ``data``; see `load_data`.

        Raises
        ------
        ConfigurationError
            For a size with data that have one of their own.
        """
        images = load_data(data, limit, subset, seed, size=self.size, split=split)
        if isinstance(images, FolderImages):
            return images.in_channels(self._channels(*images.frame()))
        if self._asked is not None:
            raise ConfigurationError(
                f"expected no --size with {data}, whose images have a fixed size"
            )
        return images

    def read(self, path: Path) -> torch.Tensor:
        """Read an image file: [C, H, W]."""
        frame = image_size(path) if self.size is None else (self.size, self.size)
        return read_image(path, self.size, self._channels(*frame))

    def _channels(self, height: int, width: int) -> int:
        """Return 3, or 1 where the model takes images in one channel alone.

        Raises
        ------
        ConfigurationError
            Where the model takes neither, and no size is asked for or stated.
        """
        frame = height, width
        if frame not in self._known:
            no_colour = refusal(self._classifier.module, 3, *frame)
            no_gray = no_colour and refusal(self._classifier.module, 1, *frame)
            if no_gray and self.size is None:
                raise ConfigurationError(
                    f"expected --size N, as {self._classifier.name} does not take images of "
                    f"{width} x {height} pixels as they are; it says: {no_colour}"
                )
            self._known[frame] = 1 if no_colour and not no_gray else 3
        return self._known[frame]
