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
    samples = [row.samples for row in answered if row.samples is not None and row.budget == 0]
    document: Entry = {
        "settings": settings,
        "images": len({row.image for row in answered}),
        "curves": {name: _curves(_of(answered, name)) for name in names},
        "smallest": _smallest(answered, names),
        "samples": mean(samples) if samples else None,
        "evaluations": {name: _evaluations(_of(answered, name)) for name in names},
        "contradictions": [
            {"image": row.image, "defence": row.defence, "budget": row.budget}
            for row in answered
            if row.contradicts
        ],
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
    points = document["curves"].get(OURS, {}).get("l2", ())
    shown = next((point for point in points if point["budget"]), None)
    if shown is None:
        return "No image was answered."
    proven, left = shown["certified_accuracy"], shown["attacked_accuracy"]
    said = [
        f"Within L2 {shown['budget']:g} (pixels), {_percent(proven)} of {document['images']} "
        f"images are certified right (alpha = {settings['alpha']:g} per image), and attacks "
        f"that know the defence leave {_percent(left)} right; the accuracy under the worst "
        "perturbation is between."
    ]
    undefended = document["curves"].get(NONE, {}).get("l2", ())
    beside = next((p for p in undefended if p["budget"] == shown["budget"]), None)
    if beside is not None:
        said.append(
            f"The same network without noise keeps {_percent(beside['attacked_accuracy'])}."
        )
    root = math.sqrt(settings["coordinates"])
    said.append(
        f"An L-inf budget contains L2 lengths up to {root:.3g} times its size, so that these "
        f"certificates cover L-inf {255 * shown['budget'] / root:.2g}/255 at L2 "
        f"{shown['budget']:g}; for larger ones there is only what attacks left, which proves nothing."
    )
    if wrong := document["contradictions"]:
        said.append(
            f"Do not trust the certificates: {len(wrong)} broken where that is proven impossible "
            f"(image {wrong[0]['image']} at {wrong[0]['budget']:g})."
        )
    if failed := document["failed"]:
        said.append(f"{len(failed)} image{'s' * (len(failed) > 1)} gave no answer.")
    return " ".join(said)


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
    """Pair by image: medians over different images would mix who is attacked with how easily."""
    both = [image for image in own if math.isfinite(other.get(image, math.inf))]
    ratios = sorted(own[image] / other[image] for image in both)
    middle = median(ratios) if ratios else math.inf
    return {
        "images": len(ratios),
        "ratio": middle if math.isfinite(middle) else None,
        "ratio_interval": median_interval(ratios),
    }
