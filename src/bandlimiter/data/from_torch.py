"""Images and labels in the forms in which PyTorch's users have them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from numbers import Integral
from typing import Any

import torch
from PIL import Image
from torch.utils import data as torch_data

from bandlimiter.data.files import pixels_of
from bandlimiter.data.image_set import ArrayImages, ImageSet
from bandlimiter.data.memory_mapped import MemoryMappedImages, write_pixels
from bandlimiter.errors import InputError
from bandlimiter.tensors import as_labels, require_images

ImagesLike = (
    ImageSet
    | tuple[torch.Tensor, torch.Tensor]
    | torch_data.DataLoader[Any]
    | torch_data.Dataset[Any]
    | Iterable[Any]
)
"""What `as_images` takes."""

IMAGE_KEYS = ("image", "images", "pixel_values", "img", "x")
LABEL_KEYS = ("label", "labels", "y")

_AT_RANDOM = (
    torch_data.RandomSampler,
    torch_data.SubsetRandomSampler,
    torch_data.WeightedRandomSampler,
)


def as_images(data: ImagesLike) -> ImageSet:
    """Return labelled images as a set, whatever form they have.

    Two tensors stay as they are. A ``DataLoader`` (with its workers and its ``collate_fn``), a
    ``Dataset`` and any other iterable are read once, in their order, into a temporary file: one
    batch at a time is in memory, four bytes a number (one, where images are uint8) are on disk,
    in the folder that the variable TMPDIR names. So what a transform draws at random is drawn
    once, and all that looks at the images afterwards sees the same.

    Parameters
    ----------
    data
        An `ImageSet`; tensors (x, y), x [N, ...] pixels and y [N] class indices; a
        ``DataLoader``; a ``Dataset`` of either kind, or anything with a length and indices; an
        iterable. Entries and batches are pairs (image, label), or mappings with one of
        `IMAGE_KEYS` and one of `LABEL_KEYS`. Images are floating point in [0, 1], uint8, or
        Pillow's.

    Returns
    -------
    ImageSet
        Its ``ids`` are positions in the dataset, those of the underlying one where the dataset
        is a ``Subset``; in an iterable, positions in what came.

    Raises
    ------
    InputError
        For a loader that shuffles, an image that is read twice, entries of another form, images
        of several shapes, and a first image with pixels outside [0, 1], such as one that was
        normalised.

    Examples
    --------
    >>> from torch.utils.data import DataLoader, Subset, TensorDataset
    >>> dataset = TensorDataset(torch.rand(9, 3, 8, 8), torch.arange(9))
    >>> as_images(DataLoader(Subset(dataset, [2, 5, 7]), batch_size=2)).ids.tolist()
    [2, 5, 7]
    """
    if isinstance(data, ImageSet):
        return data
    if _is_pair(data):
        images, given = _split(data)
        return ArrayImages("given", _tensor(images), given)
    if isinstance(data, str | bytes) or not (_is_indexed(data) or hasattr(data, "__iter__")):
        raise InputError(
            "expected images as a set from load_data, tensors (x, y), a DataLoader, or a Dataset "
            f"with a length; got {repr(data)[:60]}"
        )
    name, order = type(data).__name__, _order(data)
    labels: list[torch.Tensor] = []
    pixels = write_pixels(_batches(data, labels))
    found = torch.cat(labels)
    if order is None:
        return MemoryMappedImages(name, pixels, found)
    if len(order) != len(found) or len(set(order)) < len(order):
        raise InputError(
            f"expected each of {len(set(order))} images of the {name} once, got {len(found)}"
        )
    return MemoryMappedImages(name, pixels, found, torch.tensor(order))


def _is_pair(data: Any) -> bool:
    """Whether these are images and labels, and no list of entries."""
    pair = isinstance(data, list) and len(data) == 2 and isinstance(data[0], torch.Tensor)
    return pair or isinstance(data, tuple | Mapping)


def _is_indexed(data: Any) -> bool:
    iterable = isinstance(data, torch_data.IterableDataset)
    return not iterable and hasattr(data, "__getitem__") and hasattr(data, "__len__")


# --- order --------------------------------------------------------------------------------


def _order(data: Any) -> list[int] | None:
    """Return each image's index in the dataset at the bottom; None where there are none.

    Refuses what draws its order at random.
    """
    batches = getattr(data, "batch_sampler", None)
    sampler = getattr(data, "sampler", None) if batches is None else batches
    dataset = data if sampler is None else getattr(data, "dataset", data)
    if isinstance(dataset, torch_data.IterableDataset):
        return None
    if sampler is not None:
        order = _drawn(sampler, batched=batches is not None)
    else:
        order = list(range(len(data))) if _is_indexed(data) else []
    if not order or not all(_is_whole(index) for index in order):
        return None
    order = [int(index) for index in order]
    while isinstance(dataset, torch_data.Subset):
        order = [int(dataset.indices[index]) for index in order]
        dataset = dataset.dataset
    return order


def _is_whole(index: object) -> bool:
    return isinstance(index, Integral) and not isinstance(index, bool)


def _drawn(sampler: Any, *, batched: bool) -> list[Any]:
    """Return the indices that a sampler gives, where it gives the same twice."""
    base = getattr(sampler, "sampler", sampler)
    if not isinstance(base, _AT_RANDOM) and not getattr(base, "shuffle", False):
        first, second = (
            list(chain.from_iterable(sampler)) if batched else list(sampler) for _ in range(2)
        )
        if first == second:
            return first
    raise InputError(
        "expected a DataLoader that reads in order, got one that shuffles "
        f"({type(base).__name__}); make it with shuffle=False, or give its dataset"
    )


# --- entries ------------------------------------------------------------------------------


def _batches(data: Any, labels: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield images [n, ...], and add their labels [n] to ``labels``."""
    for entry in _entries(data):
        images, given = (_tensor(part) for part in _split(entry))
        single = _is_indexed(data) or given.ndim == 0
        x = images[None] if single else images
        y = as_labels(given.flatten())
        if x.ndim < 2 or len(x) != len(y):
            raise InputError(
                f"expected images [n, ...] with one class index each, got {tuple(x.shape)} with "
                f"labels {tuple(given.shape)}; of one-hot labels take .argmax(dim=-1)"
            )
        if not labels and x.is_floating_point():  # before hours of reading
            require_images(x[:1])
        labels.append(y.cpu())
        yield x


def _entries(data: Any) -> Iterator[Any]:
    """Yield what data hold; what fails in the user's own code is told in one line."""
    count = 0
    try:
        for entry in (data[i] for i in range(len(data))) if _is_indexed(data) else data:
            yield entry
            count += 1
    except Exception as error:
        raise InputError(
            f"expected entry or batch {count} of the {type(data).__name__}, it raised "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def _split(entry: Any) -> tuple[Any, Any]:
    """Return the image and the label of an entry, or those of a batch."""
    if isinstance(entry, Mapping):
        images, labels = (
            [entry[key] for key in keys if key in entry] for keys in (IMAGE_KEYS, LABEL_KEYS)
        )
        if len(images) == len(labels) == 1:
            return images[0], labels[0]
        raise InputError(
            f"expected one key of {', '.join(IMAGE_KEYS)} and one of {', '.join(LABEL_KEYS)}, got "
            f"{', '.join(map(str, entry)) or 'none'}"
        )
    if isinstance(entry, tuple | list) and len(entry) == 2:
        return entry[0], entry[1]
    what = type(entry).__name__
    raise InputError(
        "expected pairs (image, label), or mappings with image and label, got "
        + (f"{what} of {len(entry)}" if isinstance(entry, tuple | list) else what)
    )


def _tensor(value: Any) -> torch.Tensor:
    if isinstance(value, Image.Image):
        if value.mode.startswith(("I", "F")):
            raise InputError(
                f"expected Pillow images of 8 bits, got mode {value.mode}, which would be clipped; "
                "give its numbers as a tensor in [0, 1]"
            )
        return pixels_of(value)
    if isinstance(value, list | tuple) and value and not isinstance(value[0], int | float):
        return torch.stack([_tensor(each) for each in value])
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"expected numbers, got {type(value).__name__}: {error}") from None
