"""Noise for training and for measuring: fresh for each image and step, from named streams."""

import torch

from bandlimiter.tensors import Key, generator, require_images, require_inputs


def add_noise(x: torch.Tensor, sigma: float, seed: int, *name: Key) -> torch.Tensor:
    """Return x plus independent normal noise, in the units of x: pixels, before any normaliser.

    Normals in the dtype of x, neither rounded nor clipped: what certificates need
    (`bandlimiter.defence.certificates.noise`), training does not. The same name gives the same
    noise on one kind of device.
    """
    stream = torch.Generator(x.device)
    stream.manual_seed(generator(seed, *name).initial_seed())
    return x + sigma * torch.randn(x.shape, generator=stream, device=x.device, dtype=x.dtype)


def require_given(x: torch.Tensor) -> torch.Tensor:
    """Return images [N, C, H, W] as `require_images` does; of other inputs any number is taken.

    Raises
    ------
    InputError
        (a ValueError) for NaN, an integer dtype, and images that are no pixels in [0, 1].
    """
    if x.ndim == 4:
        return require_images(x)
    require_inputs(x)
    return x
