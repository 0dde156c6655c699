"""The 20 labelled images of each data set that Foolbox ships."""

import warnings
from typing import Any

import numpy as np

from bandlimiter.data.image_set import ArrayImages, from_arrays
from bandlimiter.errors import ConfigurationError, MissingExtraError

NAMES = ("imagenet", "cifar10", "cifar100", "mnist", "fashionMNIST")


def load_foolbox(name: str) -> ArrayImages:
    """Read ``foolbox:NAME``: imagenet (224 x 224), cifar10, cifar100, mnist, fashionMNIST.

    Raises
    ------
    ConfigurationError
        For another name.
    MissingExtraError
        Where Foolbox is not installed, or does not import, as without a git binary.
    """
    if name not in NAMES:
        raise ConfigurationError(
            f"expected one of foolbox:{', foolbox:'.join(NAMES)}; got {name!r}"
        )
    try:
        import foolbox
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "foolbox":
            raise MissingExtraError(
                f"expected Foolbox for the data foolbox:{name}; install it with pip install "
                "'bandlimiter[foolbox]'"
            ) from error
        raise MissingExtraError(
            f"expected Foolbox to import, it says: {' '.join(str(error).split())}; it needs a git "
            "binary on the PATH"
        ) from error
    with warnings.catch_warnings():  # it notes that no model told it which tensors to return
        warnings.simplefilter("ignore")
        model: Any = None
        bounds = foolbox.types.Bounds(0, 1)
        x, y = foolbox.utils.samples(
            model, name, batchsize=20, data_format="channels_first", bounds=bounds
        )
    pixels = np.asarray(x, dtype=np.float32)
    return from_arrays(f"foolbox:{name}", pixels, np.asarray(y, dtype=np.int64))
