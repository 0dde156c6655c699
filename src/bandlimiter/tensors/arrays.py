"""What users hand over as numbers, read as numpy's float64."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from bandlimiter.errors import InputError


def as_float64(values: ArrayLike | torch.Tensor, name: str = "numbers") -> NDArray[np.float64]:
    """Return a list, an array or a tensor (any device, dtype, gradient) as float64.

    Raises
    ------
    InputError
        (a ValueError) for complex numbers, text, or lists of unequal length.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values if values.is_complex() else values.double()).numpy()
    try:
        array = np.asarray(values)
        if np.iscomplexobj(array):
            raise TypeError("complex numbers")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected {name} as an array of real numbers, got {error}") from None
