"""Named random streams: each draw depends on a seed and a name, never on order or batches."""

import hashlib

import torch

Key = int | str
"""One part of a stream's name: an image id, an attack, an attempt."""


def generator(seed: int, *name: Key) -> torch.Generator:
    """Return the CPU generator of the stream ``name`` under ``seed``.

    Two streams with different names are independent for all practical purposes; the
    same name gives the same numbers on every machine and device, because draws are made
    on the CPU and moved.

    Parameters
    ----------
    seed
        The run's seed, any integer.
    *name
        What the draw is for, for example ``("pgd", image_id, attempt)``.

    Examples
    --------
    >>> import torch
    >>> first = torch.rand(2, generator=generator(0, "pgd", 7))
    >>> again = torch.rand(2, generator=generator(0, "pgd", 7))
    >>> bool((first == again).all())
    True
    """
    digest = hashlib.sha256(repr((int(seed), *name)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
