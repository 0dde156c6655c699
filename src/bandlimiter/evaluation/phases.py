"""Where the time of an evaluation goes: seconds by phase, in whichever process it is spent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ATTACKS = "attack search"
ANSWERS = "answers of the defence"
BOUND = "comparing precisions"
PLAIN = "answers of the plain model"
SEEDS = "other seeds"
CERTIFICATES = "certificates"
CHECKS = "sanity checks"
EXAMPLES = "examples"
LOADING = "loading"
WRITING = "writing"
OTHER = "other"

_clock: "ContextVar[_Clock | None]" = ContextVar("clock", default=None)


class _Clock:
    """Gives each moment to the innermost phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = time.perf_counter()

    def enter(self, name: str) -> None:
        self._settle()
        self._stack.append(name)

    def leave(self) -> None:
        self._settle()
        self._stack.pop()

    def _settle(self) -> None:
        now = time.perf_counter()
        if self._stack:
            name = self._stack[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Yield seconds by phase of what goes on inside; whatever no `phase` claims is `OTHER`.

    On a GPU, work counts where its result is waited for.
    """
    clock = _Clock()
    before = _clock.set(clock)
    clock.enter(OTHER)
    try:
        yield clock.seconds
    finally:
        clock.leave()
        _clock.reset(before)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Give the time inside to a phase, except what phases within take; nothing outside `timed`."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.enter(name)
    try:
        yield
    finally:
        clock.leave()
