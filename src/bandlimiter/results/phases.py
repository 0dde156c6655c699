"""Where the time of a run went, from its timings."""

from collections.abc import Iterable, Mapping
from typing import Any


def seconds_by_phase(timings: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return seconds by phase, added up over all processes; most first.

    Examples
    --------
    >>> seconds_by_phase([{"phases": {"writing": 1.0}}, {"phases": {"attack search": 3.0}}, {}])
    {'attack search': 3.0, 'writing': 1.0}
    """
    total: dict[str, float] = {}
    for timing in timings:
        for name, seconds in timing.get("phases", {}).items():
            total[name] = total.get(name, 0.0) + seconds
    return dict(sorted(total.items(), key=lambda each: -each[1]))


def said_phases(seconds: Mapping[str, float]) -> str:
    """Return it in a line; empty where nothing was timed.

    Examples
    --------
    >>> said_phases({"attack search": 3.0, "writing": 1.0, "loading": 0.001})
    '4.0 s: attack search 75 %, writing 25 %'
    """
    total = sum(seconds.values())
    shares = ((name, round(100 * each / total)) for name, each in seconds.items() if total)
    parts = ", ".join(f"{name} {share} %" for name, share in shares if share)
    return f"{total:.1f} s: {parts}" if parts else ""
