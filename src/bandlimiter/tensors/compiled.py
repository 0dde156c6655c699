"""Loops that are compiled: one decorator, so that all of them are compiled alike."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from numba import njit

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile a loop over numpy arrays with numba, at its first call.

    The machine code is kept on disk beside the source (or in the user's cache where that
    folder is read-only), so that only the first run ever waits. Threads run it side by
    side. Arithmetic is IEEE's, in the order that is written: no reassociation and no fused
    operations, on which compensated sums depend.
    """
    loop: Callable[P, T] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return loop
