"""What is no result: settings and versions, what failed, what it took."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Cell, Column, Table
from bandlimiter.results import OURS, Row
from bandlimiter.results.phases import seconds_by_phase

_LONGEST = 12
"""Of lists so many entries are shown."""


def settings_table(study: Study) -> Table:
    """Return all that a run was asked for, with versions; nested settings have dotted names."""
    settings = {key: value for key, value in study.settings.items() if key != "class_names"}
    rest = {key: value for key, value in study.identity.items() if key not in settings}
    return Table(
        "settings",
        "Settings and versions",
        [Column("setting", "setting", text=True), Column("value", "value", text=True)],
        [[name, value] for part in (settings, rest) for name, value in _flat(part)],
    )


def failure_table(study: Study) -> Table:
    """Return which images gave no answer under which attack, and why."""
    images: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    for row in study.failed:
        key: tuple[str, str, str, str]
        if isinstance(row, Row):
            key = (study.shown(row.defence), row.attack, row.protocol, row.error or "")
        else:
            key = (OURS, study.kind, "", row.error or "")
        images[key].append(row.image)
    return Table(
        "failures",
        "Images without an answer",
        [
            Column("images", "images", text=True),
            Column("defence", "defence", text=True),
            Column("attack", "attack", text=True),
            Column("protocol", "protocol", text=True),
            Column("error", "why", text=True),
        ],
        [[_listed(sorted(set(found))), *key] for key, found in images.items()],
        "They count as abstentions." if study.kind == "certify" else "They count in no rate.",
    )


def timing_table(study: Study) -> Table:
    """Return what each kind of work took."""
    total: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    keys = [
        key
        for key in ("attack", "protocol", "threat", "trial", "defence", "what")
        if any(key in timing for timing in study.timings)
    ]
    for timing in study.timings:
        if isinstance(timing.get("seconds"), int | float):
            total[tuple(str(timing.get(key, "")) for key in keys)].append(timing)
    return Table(
        "timings",
        "What it took",
        [
            *(Column(key, key, text=True) for key in keys),
            Column("shards", "shards"),
            Column("images", "images"),
            Column("seconds", "seconds", digits=1),
            Column("seconds_an_image", "seconds per image", digits=3),
        ],
        [[*key, *_took(timings)] for key, timings in total.items()],
        "Wall-clock time where the work was done, added up over shards.",
    )


def phase_table(study: Study) -> Table:
    """Return where the time went, over all processes."""
    seconds = seconds_by_phase(study.timings)
    total = sum(seconds.values())
    return Table(
        "phases",
        "Where the time went",
        [
            Column("phase", "phase", text=True),
            Column("seconds", "seconds", digits=1),
            Column("share", "share of all", digits=2),
        ],
        [[name, each, each / total] for name, each in seconds.items() if total],
        "Wall-clock time, added up over processes. On a GPU, work counts where its result is "
        "waited for.",
    )


def _took(timings: Sequence[Mapping[str, Any]]) -> list[Cell]:
    images = sum(int(timing.get("images", 0)) for timing in timings)
    seconds = float(sum(timing["seconds"] for timing in timings))
    return [len(timings), images, seconds, seconds / images if images else None]


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return _listed(value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _listed(values: Sequence[Any]) -> str:
    """Return the first few of many, and how many there are."""
    if not values:
        return "none"
    shown = ", ".join(_text(value) for value in values[:_LONGEST])
    return shown if len(values) <= _LONGEST else f"{shown}, ... ({len(values)} in all)"
