"""Loops that are compiled: one decorator, so that all of them are compiled alike."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
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
    # numba names the file by this. It notices a change of the function's own file, but not
    # of another one whose compiled functions it calls: without the mark, stale code runs.
    function.__qualname__ = f"{function.__qualname__}-{_mark()}"
    loop: Callable[P, T] = njit(cache=True, nogil=True, error_model="numpy")(function)
    return loop


@cache
def _mark() -> str:
    """Return a short name for the state of all compiled loops of the package."""
    sources = sorted(Path(__file__).parents[1].glob("*/*.py"))
    texts = [text for text in (path.read_bytes() for path in sources) if b"@compiled" in text]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]
