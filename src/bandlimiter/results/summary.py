"""From rows to the numbers of the paper's Table 1, in the JSON document's keys."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from bandlimiter.results.rows import Row, Status
from bandlimiter.results.statistics import Rate, mcnemar, rate
from bandlimiter.results.verdict import verdict


def summarise(rows: Sequence[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON document of an evaluation.

    Parameters
    ----------
    rows
        All rows of a run, at least one; a run that was cut short gives the numbers of
        the images it got to.
    settings
        Repeated in the document.

    Returns
    -------
    dict
        ``settings``, ``clean``, ``results`` (one entry an attack, protocol and threat),
        ``worst_case``, ``verdict``. Each rate stands beside its Wilson 95 % interval
        under the same key with ``_interval``; a rate of nothing is None.
    """
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.attack, row.protocol, row.threat].append(row)
    document = {
        "settings": settings,
        "clean": _clean(rows),
        "results": [_result(group) for group in groups.values()],
        "worst_case": _worst_case(rows),
    }
    document["verdict"] = verdict(document)
    return document


def _clean(rows: Iterable[Row]) -> dict[str, Any]:
    images = list({row.image: row for row in rows}.values())
    plain = [row.plain_clean == row.label for row in images]
    defended = [row.defended_clean == row.label for row in images]
    return {
        "images": len(images),
        **_rate("accuracy", rate(sum(plain), len(images))),
        **_rate("defended_accuracy", rate(sum(defended), len(images))),
        "mcnemar_p": _compare(plain, defended),
    }


def _result(rows: Sequence[Row]) -> dict[str, Any]:
    first = rows[0]
    status = [row.status for row in rows]
    adversarial = [row for row in rows if row.adversarial]
    broken = status.count(Status.BROKEN)
    plain = [row.plain_right for row in rows]
    defended = [row.defended_right for row in rows]
    return {
        "attack": first.attack,
        "protocol": first.protocol,
        "threat": first.threat,
        "quick": first.quick,
        "images": len(rows),
        "adversarials": len(adversarial),
        "beyond_budget": status.count(Status.BEYOND_BUDGET),
        "not_found": status.count(Status.NOT_FOUND),
        **_rate("attacked_accuracy", rate(sum(plain), len(rows))),
        **_rate("defended_attacked_accuracy", rate(sum(defended), len(rows))),
        **_rate("defence_rate", rate(len(adversarial) - broken, len(adversarial))),
        "mcnemar_p": _compare(plain, defended),
        "mean_linf": _mean(row.linf for row in adversarial),
        "mean_l2": _mean(row.l2 for row in adversarial),
        "mean_l2_normalised": _mean(
            row.l2_normalised for row in adversarial if row.l2_normalised is not None
        ),
    }


def _worst_case(rows: Sequence[Row]) -> dict[str, Any]:
    """An image counts only if it is classified right clean and under every attack of the run."""
    plain: dict[int, bool] = defaultdict(lambda: True)
    defended: dict[int, bool] = defaultdict(lambda: True)
    for row in rows:
        plain[row.image] &= row.plain_right
        defended[row.image] &= row.defended_right and row.defended_clean == row.label
    return {
        "images": len(plain),
        **_rate("plain_accuracy", rate(sum(plain.values()), len(plain))),
        **_rate("accuracy", rate(sum(defended.values()), len(defended))),
    }


def _rate(name: str, value: Rate) -> dict[str, Any]:
    return {name: value.value, f"{name}_interval": value.interval}


def _compare(plain: Sequence[bool], defended: Sequence[bool]) -> float:
    pairs = list(zip(plain, defended, strict=True))
    return mcnemar(pairs.count((True, False)), pairs.count((False, True)))


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return mean(numbers) if numbers else None
