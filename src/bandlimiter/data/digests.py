"""Digests of single images: whether one was in a training set, without keeping the set."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.data.image_set import ImageSet


def image_digests(images: ImageSet) -> NDArray[np.int64]:
    """Return a digest for each image, whatever set it is in: [N] int64.

    Of its shape and its numbers, an image's [C, H, W] rounded to 8 bits where they are pixels in
    [0, 1], so that it is known in whatever precision it is kept. Two different ones share a digest
    by chance with a probability of 2^-64.

    Examples
    --------
    >>> from bandlimiter.data import ArrayImages
    >>> exact = ArrayImages("a", torch.tensor([[[[0.2]]], [[[0.6]]]]), [0, 1])
    >>> rough = ArrayImages("b", torch.tensor([[[[51]]], [[[52]]]], dtype=torch.uint8), [0, 1])
    >>> (image_digests(exact) == image_digests(rough)).tolist()
    [True, False]
    """
    found: list[int] = []
    for start in range(0, len(images), images.together):
        found += digests_of(images.images(start, start + images.together))
    return np.array(found, np.int64)


def digests_of(x: torch.Tensor) -> list[int]:
    """Return a digest for each input of a batch [N, ...]; see `image_digests`."""
    shape = str(tuple(x.shape[1:])).encode()
    found = []
    for each in x.detach().cpu():
        is_image = each.ndim == 3 and bool(((each >= 0) & (each <= 1)).all())
        kept = (each * 255).round().to(torch.uint8) if is_image else each.float()
        digest = hashlib.blake2b(shape + kept.numpy().tobytes(), digest_size=8).digest()
        found.append(int.from_bytes(digest, "little", signed=True))
    return found
