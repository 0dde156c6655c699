"""How often targeted attacks reach their targets, which is not the complement of accuracy.

A targeted attack that ends in another wrong class has failed: its image stays as it was. So
accuracies under targeted attacks say nothing of untargeted ones, and what counts is the rate of
success: the share of attacked images whose answer is the target.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bandlimiter.results.compare_defences import COLUMNS, column_of
from bandlimiter.results.rows import NONE, OURS, Row
from bandlimiter.results.statistics import Rate, rate, rate_entries


def targeted_entry(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return how often one attack reached the targets; None for an untargeted one.

    ``attacked``: images that the attacked model has right, and whose label is not the target;
    ``plain_at_target`` and ``defended_at_target``, with intervals: the share of these to whose
    adversarial image, within the budget, a model gives the target; ``elsewhere``: on how many
    of them the defended model is wrong, and not at the target. An attack on the defence itself
    says nothing of the plain model: None.
    """
    if all(row.target is None for row in rows):
        return None
    attacked = [row for row in rows if row.attacked]
    at_target = [row.defended_at_target for row in attacked]
    plain = rate(sum(row.plain_at_target for row in attacked), len(attacked))
    wrong = sum(not row.defended_right for row in attacked if row.adversarial)
    return {
        "attacked": len(attacked),
        **rate_entries("plain_at_target", rate(0, 0) if rows[0].adaptive else plain),
        **rate_entries("defended_at_target", rate(sum(at_target), len(attacked))),
        "elsewhere": wrong - sum(at_target),
    }


def targeted_lines(rows: Sequence[Row], defence: str = OURS) -> list[dict[str, Any]] | None:
    """Return a line for each defence, ``defence`` first, the plain model last; None if untargeted.

    For each kind of attack that was tried: the share of attacked images that reach their
    target under at least one attack of the kind, with interval, and ``KIND_attacked``, how many
    these are. An image that gave no answer to one attack of a kind is left out of it.
    """
    if all(row.target is None for row in rows):
        return None
    hit: dict[tuple[str, str], dict[int, bool]] = defaultdict(dict)
    lost: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in rows:
        answers = [(row.defence, row.defended_at_target)]
        if row.defence == defence and not row.adaptive:
            answers.append((NONE, row.plain_at_target))
        for answering, reached in answers:
            key = answering, column_of(row)
            if row.error is not None:
                lost[key].add(row.image)
            elif row.attacked:
                hit[key][row.image] = hit[key].get(row.image, False) or reached
    names = {row.defence for row in rows} | {NONE}
    return [
        {"defence": name, **_line(name, hit, lost)}
        for name in sorted(names, key=lambda name: (name != defence, name == NONE, name))
    ]


def _line(
    name: str,
    hit: dict[tuple[str, str], dict[int, bool]],
    lost: dict[tuple[str, str], set[int]],
) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for column in COLUMNS:
        known = [
            reached
            for image, reached in hit[name, column].items()
            if image not in lost[name, column]
        ]
        if known:
            value: Rate = rate(sum(known), len(known))
            line.update({**rate_entries(column, value), f"{column}_attacked": len(known)})
    return line


def targeted_verdict(document: dict[str, Any], defence: str = OURS) -> str:
    """Say how often the targets were reached, and what does not follow from it."""
    lines = {line["defence"]: line for line in document["targeted"]}
    ours, plain = lines.get(defence, {}), lines[NONE]
    said = [
        f"With {what}, targeted attacks on the plain model reach their target on "
        f"{_percent(plain, kind)} of the attacked images; of these images the defended model "
        f"answers the target on {_percent(ours, kind)}."
        for kind, what in (("minimal", "the smallest budget"), ("fixed", "the whole budget"))
        if kind in ours and kind in plain
    ]
    if "adaptive" in ours:
        beside = f" (undefended: {_percent(plain, 'adaptive')})" if "adaptive" in plain else ""
        said.append(
            "Targeted adaptive attacks reach their target on "
            f"{_percent(ours, 'adaptive')} of the attacked images{beside}."
        )
    if not said:
        return "No image was attacked, so nothing was tested."
    quick = any(result["quick"] for result in document["results"])
    if quick:
        said.append("These were quick attacks.")
    said.append(
        "Other wrong answers count as no success here: what untargeted attacks leave is not shown."
    )
    return " ".join(said)


def _percent(line: dict[str, Any], kind: str) -> str:
    low, high = line[f"{kind}_interval"]
    return f"{100 * line[kind]:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
