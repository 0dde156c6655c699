"""What an experiment's numbers say, in two sentences made from the numbers."""

from typing import Any


def say(document: dict[str, Any]) -> str:
    """Return the verdict on an experiment: what the paper's protocol shows, and what it hides.

    Parameters
    ----------
    document
        ``experiment`` and ``points``, each with ``clean`` and ``results``.
    """
    points = document["points"]
    small, whole = _rates(points, "minimal"), _rates(points, "fixed")
    quick = any(result["quick"] for point in points for result in point["results"])
    said = []
    if small:
        said.append(
            f"Of the smallest perturbations that fool the plain model {_range(small)} come back"
            f"{_over(document)}{' (quick attacks: fewer steps than the paper)' if quick else ''}."
        )
    if whole:
        said.append(
            f"Of those that spend the whole budget, knowing as little of the defence, "
            f"{_range(whole)}: what the first number shows is how small those perturbations are."
        )
    if not said:
        return "No attack found an adversarial image within the budget, so nothing was tested."
    failed = max(point["failed"]["images"] for point in points)
    if failed:
        images = "1 image" if failed == 1 else f"{failed} images"
        said.append(f"{images} gave no answer to some attack and counted in none of its rates.")
    said.append(
        "None of these attacks knew the defence; bandlimiter evaluate asks what is left then."
    )
    return " ".join(said)


def _over(document: dict[str, Any]) -> str:
    points = document["points"]
    if document["experiment"] == "table2":
        times = [f"{point['seconds']['ratio']:.1f}" for point in points if point["seconds"]]
        numbers = ", ".join(str(point["directions"]) for point in points)
        return f" with K = {numbers}, at {', '.join(times)} times the plain model's time"
    if document["experiment"] == "figure2":
        return (
            f" for r from {points[0]['radius']:.3g} to {points[-1]['radius']:.3g}{_clean(points)}"
        )
    if document["experiment"] == "figure3":
        ends = [f"{255 * points[i]['epsilon']:.3g}/255" for i in (0, -1)]
        return f" for budgets from {ends[0]} to {ends[1]}"
    return ""


def _clean(points: list[dict[str, Any]]) -> str:
    """Say what a sweep of radii costs on clean images."""
    plain = points[0]["clean"]["accuracy"]
    defended = [point["clean"]["defended_accuracy"] for point in points]
    return (
        f", where {_range(defended)} of clean images are right ({_percent(plain)} without defence)"
    )


def _rates(points: list[dict[str, Any]], protocol: str) -> list[float]:
    return [
        result["defence_rate"]
        for point in points
        for result in point["results"]
        if result["protocol"] == protocol and result["defence_rate"] is not None
    ]


def _range(shares: list[float]) -> str:
    low, high = _percent(min(shares)), _percent(max(shares))
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
