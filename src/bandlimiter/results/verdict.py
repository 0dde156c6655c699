"""One plain sentence on what an evaluation's numbers say, made from the numbers."""

from typing import Any


def verdict(document: dict[str, Any]) -> str:
    """Say what follows from a summary, and what does not.

    Parameters
    ----------
    document
        ``clean``, ``results`` and ``worst_case`` as `summarise` makes them.
    """
    results = document["results"]
    minimal = _span(results, "minimal")
    fixed = _span(results, "fixed")
    worst = _percent(document["worst_case"]["accuracy"])
    quick = " (quick attacks: fewer steps than the paper's)" if _any_quick(results) else ""
    unseen = "and none of these attacks knew the defence, so its robustness is not shown"

    if minimal and fixed:
        return (
            f"Averaging brings back {minimal} of the smallest perturbations that fool the plain "
            f"model, but {fixed} of those that use the whole budget{quick}: over all attacks "
            f"{worst} of the images stay right, {unseen}."
        )
    if minimal:
        return (
            f"Averaging brings back {minimal} of the smallest perturbations that fool the plain "
            f"model{quick}; such points lie just across a boundary, where any small average "
            f"helps, {unseen}."
        )
    if fixed:
        return (
            f"Averaging brings back {fixed} of the perturbations that use the whole budget"
            f"{quick}: over all attacks {worst} of the images stay right, {unseen}."
        )
    judged = _span(results, "saved")
    if judged:
        return f"Averaging brings back {judged} of the given adversarial images, {unseen}."
    return "No attack found an adversarial image within the budget, so nothing was tested."


def _span(results: list[dict[str, Any]], protocol: str) -> str | None:
    """The defence rates of a protocol as one figure or a range."""
    rates = [
        result["defence_rate"]
        for result in results
        if result["protocol"] == protocol and result["defence_rate"] is not None
    ]
    if not rates:
        return None
    low, high = _percent(min(rates)), _percent(max(rates))
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _any_quick(results: list[dict[str, Any]]) -> bool:
    return any(result["quick"] for result in results)
