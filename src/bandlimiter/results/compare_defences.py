"""The defences of a run side by side: under three kinds of attack, on the same images.

The kinds are the columns of the table that a reader should see first: the paper's protocol,
the whole budget without knowledge of the defence, and adaptive attacks. A column's accuracy
is the worst case over all its attacks: the share of images that stay right under every one.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bandlimiter.results.rows import NONE, OURS, Row
from bandlimiter.results.statistics import paired_difference, rate, rate_entries

COLUMNS = ("clean", "minimal", "fixed", "saved", "adaptive")


class Correctness:
    """Which images stay right, by defence and column.

    An image that gave no answer to one attack of a column is left out of the whole column: what
    that attack would have done is not known. ``own`` is the defence that others are compared with,
    and beside which the plain model was attacked.
    """

    def __init__(self, rows: Sequence[Row], own: str = OURS) -> None:
        self.own = own
        self.defences = list(dict.fromkeys(row.defence for row in rows))
        self._right: dict[tuple[str, str], dict[int, bool]] = defaultdict(dict)
        self._lost: dict[tuple[str, str], set[int]] = defaultdict(set)
        for row in rows:
            if row.error is not None:
                self._lost[row.defence, column_of(row)].add(row.image)
                if row.defence == own and not row.adaptive:
                    self._lost[NONE, column_of(row)].add(row.image)
                continue
            self._note(row.defence, "clean", row.image, row.defended_clean == row.label)
            column = column_of(row)
            self._note(row.defence, column, row.image, row.defended_right)
            if row.defence == own and not row.adaptive:
                self._note(NONE, column, row.image, row.plain_right)
            if row.defence == own:
                self._note(NONE, "clean", row.image, row.plain_clean == row.label)
        if NONE not in self.defences:
            self.defences.append(NONE)

    def right(self, defence: str, column: str) -> dict[int, bool]:
        """Image id -> whether it stays right under all of a column; empty for no such attack."""
        lost = self._lost[defence, column]
        return {i: right for i, right in self._right[defence, column].items() if i not in lost}

    def worst_case(self) -> dict[str, Any]:
        """An image counts only if it is right clean and under every attack of the run."""
        ours, plain = self._over_all(self.own), self._over_all(NONE)
        return {
            "images": len(ours),
            **rate_entries("plain_accuracy", rate(sum(plain.values()), len(plain))),
            **rate_entries("accuracy", rate(sum(ours.values()), len(ours))),
        }

    def _over_all(self, defence: str) -> dict[int, bool]:
        over: dict[int, bool] = {}
        lost: set[int] = set().union(*(self._lost[defence, column] for column in COLUMNS))
        for column in COLUMNS:
            for image, right in self._right[defence, column].items():
                over[image] = over.get(image, True) and right
        return {image: right for image, right in over.items() if image not in lost}

    def _note(self, defence: str, column: str, image: int, right: bool) -> None:
        column_of = self._right[defence, column]
        column_of[image] = column_of.get(image, True) and right


def compare_defences(correctness: Correctness) -> list[dict[str, Any]]:
    """Return a line for each defence, the run's own first and the plain model last.

    Each has ``defence`` and, for each column that was tried, its accuracy with interval and,
    for all but the run's own, ``COLUMN_difference``: how much more the run's own has, on the
    same images, with a paired 95 % interval (Tango 1998).
    """
    lines = []
    for name in sorted(
        correctness.defences, key=lambda name: (name != correctness.own, name == NONE)
    ):
        line: dict[str, Any] = {"defence": name}
        for column in COLUMNS:
            right = correctness.right(name, column)
            if not right:
                continue
            line.update(rate_entries(column, rate(sum(right.values()), len(right))))
            if name != correctness.own:
                line.update(_difference(column, correctness.right(correctness.own, column), right))
        lines.append(line)
    return lines


def _difference(column: str, ours: dict[int, bool], other: dict[int, bool]) -> dict[str, Any]:
    both = ours.keys() & other.keys()
    if not both:
        return {}
    only_ours = sum(ours[image] and not other[image] for image in both)
    only_other = sum(other[image] and not ours[image] for image in both)
    value, low, high = paired_difference(only_ours, only_other, len(both))
    return {f"{column}_difference": value, f"{column}_difference_interval": [low, high]}


def column_of(row: Row) -> str:
    """Return which of `COLUMNS` an attack belongs to."""
    return "adaptive" if row.adaptive else row.protocol
