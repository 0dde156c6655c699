"""Digests of single images: whether one was in a training set, without keeping the set."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray

from bandlimiter.data.image_set import ImageSet

_TOGETHER = 256


def image_digests(images: ImageSet) -> NDArray[np.int64]:
    """Return a digest for each image: [N] int64.

    Of its shape and its pixels, rounded to 8 bits where they lie in [0, 1], so that an image is
    known in whatever precision it is kept. Two different images share one by chance with a
    probability of 2^-64.

    Examples
    --------
    >>> from bandlimiter.data import ArrayImages
    >>> exact = ArrayImages("a", torch.tensor([[[[0.2]]], [[[0.6]]]]), [0, 1])
    >>> rough = ArrayImages("b", torch.tensor([[[[51]]], [[[52]]]], dtype=torch.uint8), [0, 1])
    >>> (image_digests(exact) == image_digests(rough)).tolist()
    [True, False]
    """
    found = []
    for start in range(0, len(images), _TOGETHER):
        x = images.images(start, start + _TOGETHER).detach().cpu()
        inside = bool((x >= 0).all() and (x <= 1).all())
        kept = (x * 255).round().to(torch.uint8) if inside else x.float()
        shape = str(tuple(x.shape[1:])).encode()
        for image in kept.numpy():
            digest = hashlib.blake2b(shape + image.tobytes(), digest_size=8).digest()
            found.append(int.from_bytes(digest, "little", signed=True))
    return np.array(found, np.int64)
