"""One look for each defence of each run, the same in every figure of a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bandlimiter.report.tables import Study
from bandlimiter.results import NONE

# Okabe and Ito's colours, which colour-blind readers tell apart; each lighter for dark pages.
_APART = (
    ("#0072b2", "#5db2f0"),
    ("#d55e00", "#f59254"),
    ("#009e73", "#3ecfa3"),
    ("#b8598f", "#e59bc8"),
    ("#9a7500", "#e6bb45"),
    ("#4d4dbf", "#a5a5f7"),
    ("#8a4b2a", "#d19d7f"),
    ("#1f8fa8", "#6fd3e8"),
)
_PLAIN = ("#6b6b6b", "#b0b0b0")
# Viridis (matplotlib), whose lightness rises evenly: the order of a sweep is seen. Its bright
# end is cut off on a light page, its dark end on a dark one.
_RISING = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "pentagon")


@dataclass(frozen=True)
class Look:
    """How a curve is drawn: a colour on light pages, one on dark pages, dash and marker."""

    light: str
    dark: str
    dash: str = "solid"
    symbol: str = "circle"

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"light": self.light, "dark": self.dark, "dash": self.dash, "symbol": self.symbol}


Looks = dict[tuple[int, str], Look]
"""Place of a run on the page, name of a defence -> look."""


def looks_of(studies: Sequence[Study]) -> Looks:
    """Choose looks: a sweep's points rise from dark to bright, others differ, plain is grey."""
    looks: Looks = {}
    apart = 0
    for place, study in enumerate(studies):
        looks[place, NONE] = Look(*_PLAIN, _DASHES[place % 4], _SYMBOLS[-1])
        for number, name in enumerate(study.defences):
            if study.sweep:
                share = number / max(1, len(study.defences) - 1)
                pair = _rising(0.85 * share), _rising(0.25 + 0.75 * share)
                looks[place, name] = Look(*pair, _DASHES[place % 4], _SYMBOLS[number % 8])
            else:
                looks[place, name] = apart_look(apart)
                apart += 1
    return looks


def apart_look(number: int) -> Look:
    """Return one of many looks that differ; dashes let one curve be seen under another."""
    round_, place = divmod(number, len(_APART))
    dash, symbol = (place + round_) % len(_DASHES), (place + round_) % len(_SYMBOLS)
    return Look(*_APART[place], _DASHES[dash], _SYMBOLS[symbol])


def _rising(share: float) -> str:
    place = share * (len(_RISING) - 1)
    below = min(int(place), len(_RISING) - 2)
    part = place - below
    parts = zip(_RISING[below], _RISING[below + 1], strict=True)
    return "#" + "".join(f"{round(low + part * (high - low)):02x}" for low, high in parts)
