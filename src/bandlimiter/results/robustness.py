"""From robust rows to both sides of the truth: what is proven, and what attacks leave."""

import math
from collections.abc import Iterable, Sequence
from statistics import mean, median
from typing import Any

from bandlimiter.results.budgets import median_interval
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.rows import NONE, OURS
from bandlimiter.results.statistics import rate, rate_entries

Entry = dict[str, Any]

_ALARM = 5.0
"""Standard errors beyond a tie at which chance no longer explains a break that cannot be."""


def summarise_robust(rows: Sequence[RobustRow], settings: dict[str, Any]) -> Entry:
    """Return the JSON document of a run.

    Parameters
    ----------
    rows
        At least one.
    settings
        Repeated in the document; ``coordinates`` (of an image), ``alpha`` and ``votes`` are read.

    Returns
    -------
    dict
        ``settings``, ``images``, ``curves`` (for each classifier and norm a list over the budgets:
        ``attacked_accuracy`` and, where there are certificates, ``certified_accuracy`` on the same
        images; the accuracy under the worst attack within the budget lies between them),
        ``smallest`` (where they were searched for: medians of the smallest L-inf budgets, and
        ``ratios`` to those of other classifiers image by image), ``samples`` (per image, of the
        certificates), ``evaluations`` (per image, of the attacks), ``contradictions`` (images that
        were broken where it is proven that nothing can), ``failed``, ``verdict``. Rates stand
        beside their Wilson 95 % intervals under the same key with ``_interval``.
    """
    answered = [row for row in rows if row.error is None]
    names = list(dict.fromkeys(row.defence for row in answered))
    samples = [
        row.samples
        for row in _of(answered, OURS)
        if row.samples is not None and row.norm == "l2" and row.budget == 0
    ]
    document: Entry = {
        "settings": settings,
        "images": len({row.image for row in answered}),
        "curves": {name: _curves(_of(answered, name)) for name in names},
        "smallest": _smallest(answered, names),
        "samples": mean(samples) if samples else None,
        "evaluations": {name: _evaluations(_of(answered, name)) for name in names},
        "contradictions": _contradictions(answered),
        "failed": [
            {"image": image, "error": error}
            for image, error in {row.image: row.error for row in rows if row.error}.items()
        ],
    }
    document["verdict"] = robust_verdict(document)
    return document


def robust_verdict(document: Entry) -> str:
    """Say in a few sentences what is proven, what is broken, and what L-inf budgets ask for."""
    settings = document["settings"]
    points = [point for point in document["curves"].get(OURS, {}).get("l2", ()) if point["budget"]]
    if not points:
        return "No image was answered."
    proven = next((p for p in points if p.get("certified_accuracy") is not None), None)
    said = [
        _both_sides(proven, document)
        if proven
        else f"None of these radii can be certified with {settings['samples']:,} samples; take "
        f"smaller ones or a larger sigma. Within L2 {points[0]['budget']:g} (pixels), attacks that "
        f"know the defence leave {_percent(points[0]['attacked_accuracy'])} of "
        f"{document['images']} images right."
    ]
    shown = proven or points[0]
    undefended = document["curves"].get(NONE, {}).get("l2", ())
    beside = next((p for p in undefended if p["budget"] == shown["budget"]), None)
    if beside is not None:
        said.append(
            f"The same network without noise keeps {_percent(beside['attacked_accuracy'])}."
        )
    root = math.sqrt(settings["coordinates"])
    if proven:
        said.append(
            f"An L-inf budget contains L2 lengths up to {root:.3g} times its size: a certificate "
            f"at L2 {shown['budget']:g} covers L-inf {255 * shown['budget'] / root:.2g}/255. For "
            "larger L-inf budgets there is only what attacks left, which proves nothing."
        )
    if wrong := document["contradictions"]:
        said.append(_of_contradictions(wrong, settings["votes"]))
    if failed := document["failed"]:
        said.append(f"{len(failed)} image{'s' * (len(failed) > 1)} gave no answer.")
    return " ".join(said)


def _both_sides(point: Entry, document: Entry) -> str:
    images = document["images"]
    shown = f"{images} image{'s' * (images != 1)}"
    return (
        f"Within L2 {point['budget']:g} (pixels), {_percent(point['certified_accuracy'])} of "
        f"{shown} are certified right (alpha = {document['settings']['alpha']:g} per image), and "
        f"attacks that know the defence leave {_percent(point['attacked_accuracy'])} right; the "
        "accuracy under the worst perturbation is between."
    )


def _of_contradictions(found: Sequence[Entry], votes: int) -> str:
    """Say whether chance explains that an image was broken within its certified radius."""
    images = len({(each["image"], each["defence"]) for each in found})
    worst = max(found, key=lambda each: each["wrong"] or 0)
    told = f"(image {worst['image']} at L2 {worst['l2']:.3g}, radius {worst['certified']:g})"
    words = "1 image seems" if images == 1 else f"{images} images seem"
    if (worst["wrong"] or 0) - 0.5 > _ALARM / (2 * math.sqrt(votes)):
        return (
            f"Do not trust the certificates: {words} broken where that is proven impossible {told}."
        )
    return f"{words} broken within the certified radius {told}, by votes close enough to be chance."


def _contradictions(rows: Sequence[RobustRow]) -> list[Entry]:
    """Return the images that an attack of any norm broke within a radius that is certified."""
    radii: dict[tuple[int, str], float] = {}
    for row in rows:
        if row.certified:
            key = row.image, row.defence
            radii[key] = max(radii.get(key, 0.0), row.budget or 0.0)
    found: dict[tuple[int, str], Entry] = {}
    for row in rows:
        key = row.image, row.defence
        if row.broken and row.l2 <= radii.get(key, -1.0):
            entry = {
                **{"image": row.image, "defence": row.defence, "l2": row.l2, "wrong": row.wrong},
                "certified": radii[key],
            }
            if key not in found or row.l2 < found[key]["l2"]:
                found[key] = entry
    return list(found.values())


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.0f} %"


def _of(rows: Iterable[RobustRow], name: str) -> list[RobustRow]:
    return [row for row in rows if row.defence == name]


def _curves(rows: Sequence[RobustRow]) -> dict[str, list[Entry]]:
    norms = dict.fromkeys(row.norm for row in rows if row.budget is not None)
    return {norm: _curve([row for row in rows if row.norm == norm]) for norm in norms}


def _curve(rows: Sequence[RobustRow]) -> list[Entry]:
    budgets = sorted({row.budget for row in rows if row.budget is not None})
    return [_point(budget, [row for row in rows if row.budget == budget]) for budget in budgets]


def _point(budget: float, rows: Sequence[RobustRow]) -> Entry:
    proven = [row.certified for row in rows if row.certified is not None]
    attacked = rate(sum(row.right for row in rows), len(rows))
    entry = {"budget": budget, "images": len(rows), **rate_entries("attacked_accuracy", attacked)}
    if proven:
        entry |= rate_entries("certified_accuracy", rate(sum(proven), len(proven)))
        entry["gap"] = (attacked.value or 0.0) - sum(proven) / len(proven)
    return entry


def _evaluations(rows: Sequence[RobustRow]) -> float | None:
    """Return the mean over images of what the attacks of all norms took."""
    most: dict[tuple[int, str, bool], int] = {}
    for row in rows:
        key = row.image, row.norm, row.budget is None
        most[key] = max(most.get(key, 0), row.evaluations)
    images = {row.image for row in rows}
    return sum(most.values()) / len(images) if images else None


def _smallest(rows: Sequence[RobustRow], names: Sequence[str]) -> dict[str, Entry] | None:
    searched = {
        name: {
            row.image: row.linf if row.broken else math.inf
            for row in _of(rows, name)
            if row.budget is None and row.clean_right
        }
        for name in names
    }
    if not any(searched.values()):
        return None
    return {
        name: {
            **_median(sorted(lengths.values())),
            "ratios": {
                other: _ratio(lengths, searched[other])
                for other in names
                if other != name and searched[other]
            },
        }
        for name, lengths in searched.items()
    }


def _median(lengths: Sequence[float]) -> Entry:
    middle = median(lengths) if lengths else math.inf
    return {
        "attacked": len(lengths),
        "found": sum(map(math.isfinite, lengths)),
        "median": middle if math.isfinite(middle) else None,
        "median_interval": median_interval(lengths),
    }


def _ratio(own: dict[int, float], other: dict[int, float]) -> Entry:
    """Pair by image: medians over different images would mix who is attacked with how easily.

    A search that found nothing says that a budget is larger than all that were tried: its ratio
    counts as 0 or infinite; where neither found one, nothing is said.
    """
    both = [i for i in own if i in other and math.isfinite(min(own[i], other[i]))]
    ratios = sorted(own[image] / other[image] for image in both)
    middle = median(ratios) if ratios else math.inf
    return {
        "images": len(ratios),
        "ratio": middle if math.isfinite(middle) else None,
        "ratio_interval": median_interval(ratios),
    }
