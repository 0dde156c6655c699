"""Registers: the numbered values that a network's steps read and write."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class Step(Protocol):
    """One operation: it reads its sources and writes its target."""

    @property
    def sources(self) -> tuple[int, ...]: ...  # noqa: D102  (described above)
    @property
    def target(self) -> int: ...  # noqa: D102


def last_uses(steps: Sequence[Step], result: int) -> dict[int, int]:
    """Return the number of the step after which each register is no longer needed."""
    uses = {result: len(steps)}
    for number, step in reversed(list(enumerate(steps))):
        for source in step.sources:
            uses.setdefault(source, number)
    return uses


def forget(registers: dict[int, Any], uses: dict[int, int], number: int) -> None:
    """Drop the registers that no step after ``number`` reads."""
    for register in [r for r in registers if uses.get(r, -1) <= number]:
        del registers[register]


def alive(uses: dict[int, int], written: Iterable[int], number: int) -> list[int]:
    """Return the registers of ``written`` that a step from ``number`` on still reads."""
    return [register for register in written if uses.get(register, -1) >= number]
