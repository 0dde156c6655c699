"""One plain sentence on what an evaluation's numbers say, made from the numbers."""

from typing import Any

_KINDS = {
    "minimal": "of the smallest perturbations that fool the plain model",
    "fixed": "of the perturbations that use the whole budget",
    "saved": "of the given adversarial images",
}


def verdict(document: dict[str, Any]) -> str:
    """Say what follows from a summary, and what does not.

    Parameters
    ----------
    document
        ``clean``, ``results`` and ``worst_case`` as `summarise` makes them.
    """
    results = document["results"]
    parts = [f"{share} {_KINDS[kind]}" for kind in _KINDS if (share := _share(results, kind))]
    if not parts:
        return "No attack found an adversarial image within the budget, so nothing was tested."
    worst = _percent(document["worst_case"]["accuracy"])
    quick = any(result["quick"] for result in results)
    return (
        f"The defence brings back {_joined(parts)}"
        f"{' (quick attacks: fewer steps than the paper)' if quick else ''}: over all attacks "
        f"{worst} of the images stay right. {_caveat(results)}"
    )


def _share(results: list[dict[str, Any]], protocol: str) -> str | None:
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


def _caveat(results: list[dict[str, Any]]) -> str:
    protocols = {result["protocol"] for result in results}
    said = []
    if protocols == {"minimal"}:
        said.append(
            "Smallest perturbations lie just across a boundary; what the whole budget does was "
            "not tried"
        )
    if any(result["threat"] == "unknown" for result in results):
        said.append("What the makers of the given images knew is not known here")
    if any(result["threat"] == "transfer" for result in results):
        said.append("None of these attacks knew the defence: its robustness is not shown")
    return ". ".join(said) + "."


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _percent(share: float) -> str:
    whole = f"{100 * share:.0f} %"
    # 499 of 500 is not all, and 1 of 500 not none.
    return f"{100 * share:.1f} %" if whole in ("0 %", "100 %") and share not in (0, 1) else whole
