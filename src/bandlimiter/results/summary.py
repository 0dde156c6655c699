"""From rows to the JSON document: the paper's Table 1, the worst case, defences side by side."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean, stdev
from typing import Any

from bandlimiter.results.budgets import smallest_budgets
from bandlimiter.results.compare_defences import Correctness, compare_defences
from bandlimiter.results.rows import OURS, Row, Status
from bandlimiter.results.statistics import mcnemar, rate, rate_entries
from bandlimiter.results.targeted import targeted_entry, targeted_lines
from bandlimiter.results.verdict import verdict


def summarise(
    rows: Sequence[Row],
    settings: dict[str, Any],
    warnings: Sequence[dict[str, Any]] = (),
    defence: str = OURS,
) -> dict[str, Any]:
    """Return the JSON document of an evaluation.

    Parameters
    ----------
    rows
        All rows of a run, at least one; a run that was cut short gives the numbers of
        the images it got to.
    settings
        Repeated in the document.
    warnings
        What checks found, each with ``kind``, ``about`` and ``message``; repeated.
    defence
        The one that ``clean``, ``results``, ``worst_case`` and ``verdict`` are about.

    Returns
    -------
    dict
        ``settings``, ``clean``, ``results`` (one entry for each attack, protocol and threat),
        ``worst_case``, ``side_by_side`` (a line for each defence), ``targeted`` (how often
        targeted attacks reach their targets, see `targeted_lines`), ``smallest_budgets``
        (where they were searched for), ``failed`` (images without an answer to some attack,
        which count in none of its rates), ``warnings``, ``verdict``. Each rate stands beside
        its Wilson 95 % interval under the same key with ``_interval``; a rate of nothing is
        None.
    """
    correctness = Correctness(rows, defence)
    failed = [row for row in rows if row.error is not None]
    rows = [row for row in rows if row.error is None]
    own = [row for row in rows if row.defence == defence]
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in own:
        groups[row.attack, row.protocol, row.threat].append(row)
    document: dict[str, Any] = {
        "settings": settings,
        "clean": _clean(own),
        "results": [_result(group) for group in groups.values()],
        "worst_case": correctness.worst_case(),
        "side_by_side": compare_defences(correctness),
        "targeted": targeted_lines([*rows, *failed], defence),
        "smallest_budgets": smallest_budgets(rows),
        "failed": _failed(failed),
        "warnings": list(warnings),
    }
    document["verdict"] = verdict(document, defence)
    return document


def _failed(rows: Iterable[Row]) -> dict[str, Any]:
    """Count the images that gave no answer, under any attack, by what happened."""
    images: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        images[row.error or ""].add(row.image)
    return {
        "images": len(set().union(*images.values())),
        "errors": [{"error": error, "images": sorted(ids)} for error, ids in images.items()],
    }


def _clean(rows: Iterable[Row]) -> dict[str, Any]:
    images = list({row.image: row for row in rows}.values())
    plain = [row.plain_clean == row.label for row in images]
    defended = [row.defended_clean == row.label for row in images]
    return {
        "images": len(images),
        **rate_entries("accuracy", rate(sum(plain), len(images))),
        **rate_entries("defended_accuracy", rate(sum(defended), len(images))),
        "mcnemar_p": _compare(plain, defended),
    }


def _result(rows: Sequence[Row]) -> dict[str, Any]:
    first = rows[0]
    status = [row.status for row in rows]
    adversarial = [row for row in rows if row.adversarial]
    broken = status.count(Status.BROKEN)
    plain = [row.plain_right for row in rows]
    defended = [row.defended_right for row in rows]
    # An attack on the defence stops when the defence is wrong: it has no rate of its own.
    defence_rate = (
        rate(0, 0) if first.adaptive else rate(len(adversarial) - broken, len(adversarial))
    )
    return {
        "attack": first.attack,
        "protocol": first.protocol,
        "threat": first.threat,
        "quick": first.quick,
        "norm": first.norm,
        "images": len(rows),
        "adversarials": len(adversarial),
        "beyond_budget": status.count(Status.BEYOND_BUDGET),
        "not_found": status.count(Status.NOT_FOUND),
        **rate_entries("attacked_accuracy", rate(sum(plain), len(rows))),
        **rate_entries("defended_attacked_accuracy", rate(sum(defended), len(rows))),
        **rate_entries("defence_rate", defence_rate),
        "mcnemar_p": _compare(plain, defended),
        "mean_linf": _mean(row.linf for row in adversarial),
        "mean_l2": _mean(row.l2 for row in adversarial),
        "mean_l2_normalised": _mean(
            row.l2_normalised for row in adversarial if row.l2_normalised is not None
        ),
        "stages": _stages(rows),
        "mean_queries": _mean(row.queries for row in rows if row.queries is not None),
        "mean_gradients": _mean(row.gradients for row in rows if row.gradients is not None),
        "other_seeds": _other_seeds(rows),
        "targeted": targeted_entry(rows),
    }


def _stages(rows: Sequence[Row]) -> dict[str, int] | None:
    """How many images each stage of a cascade broke."""
    if not any(row.stage for row in rows):
        return None
    return dict(Counter(row.stage for row in rows if row.stage))


def _other_seeds(rows: Sequence[Row]) -> dict[str, Any] | None:
    """The defended model's accuracy on the same images under other direction seeds."""
    count = len(rows[0].other_seeds_clean)
    if not count:
        return None
    accuracies = [mean(row.right_under_seed(i) for row in rows) for i in range(count)]
    return {
        "accuracies": accuracies,
        "mean": mean(accuracies),
        "standard_deviation": stdev(accuracies) if count > 1 else None,
    }


def _compare(plain: Sequence[bool], defended: Sequence[bool]) -> float:
    pairs = list(zip(plain, defended, strict=True))
    return mcnemar(pairs.count((True, False)), pairs.count((False, True)))


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return mean(numbers) if numbers else None
