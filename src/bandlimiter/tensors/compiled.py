"""Loops that are compiled: one decorator, so that all of them are compiled alike."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core.caching import FunctionCache
from typing_extensions import override

P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = Path(__file__).parents[1]


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Compile a loop over numpy arrays with numba, at its first call.

    The machine code is kept on disk beside the source (or in the user's cache where that
    folder is read-only, or nowhere), so that only the first run ever waits. Threads run it
    side by side. Arithmetic is IEEE's, in the order that is written: no reassociation and no fused
    operations, on which compensated sums depend.
    """
    # numba names the file by this. It notices a change of the function's own file, but not
    # of another one whose compiled functions it calls: without the mark, stale code runs.
    function.__qualname__ = f"{function.__qualname__}-{_mark(_PACKAGE)}"
    loop: Any = njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # nowhere to keep it
        loop._cache = _Kept(function)  # type: ignore[no-untyped-call]
    compiled_loop: Callable[P, T] = loop
    return compiled_loop


class _Kept(FunctionCache):
    """Machine code on disk. What a full disk or a power cut left of it is made anew."""

    @override
    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001  (pickles that were cut off raise whatever they like)
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    @override
    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):  # the loop is there, only not for the next process
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


@cache
def _mark(package: Path) -> str:
    """Return a short name for the state of all compiled loops in a folder, however deep."""
    sources = sorted(package.rglob("*.py"))
    texts = [text for text in (path.read_bytes() for path in sources) if b"@compiled" in text]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:12]
