"""One plain statement on what an evaluation's numbers say, made from the numbers."""

from typing import Any

from bandlimiter.results.rows import NONE, OURS
from bandlimiter.results.targeted import targeted_verdict

_NOTHING = "No attack found an adversarial image within the budget, so nothing was tested."

_KINDS = {
    "minimal": "of the smallest perturbations that fool the plain model",
    "fixed": "of the perturbations that use the whole budget",
    "saved": "of the given adversarial images",
}


def verdict(document: dict[str, Any], defence: str = OURS) -> str:
    """Say what follows from a summary, and what does not.

    Parameters
    ----------
    document
        ``results``, ``side_by_side``, ``worst_case``, ``targeted`` and ``warnings`` as
        `summarise` makes them.
    defence
        The one that it is about.
    """
    if document["targeted"] is None:
        parts = [_brought_back(document), _attacked(document, defence), _caveat(document)]
    else:
        parts = [targeted_verdict(document, defence)]
    said = " ".join(part for part in parts if part) or _NOTHING
    return " ".join(part for part in (said, _failed(document), _warned(document)) if part)


def _brought_back(document: dict[str, Any]) -> str:
    """What the defence does to images that were made to fool the plain model."""
    results = [result for result in document["results"] if result["threat"] != "adaptive"]
    parts = [f"{share} {_KINDS[kind]}" for kind in _KINDS if (share := _share(results, kind))]
    if not parts:
        return ""
    quick = any(result["quick"] for result in results)
    return (
        f"The defence brings back {_joined(parts)}"
        f"{' (quick attacks: fewer steps than the paper)' if quick else ''}."
    )


def _attacked(document: dict[str, Any], defence: str) -> str:
    """What is left under adaptive attacks."""
    lines = {line["defence"]: line for line in document["side_by_side"]}
    ours, plain = lines.get(defence, {}), lines.get(NONE, {})
    if ours.get("adaptive") is None:
        worst = document["worst_case"]["accuracy"]
        return (
            f"Over all attacks {_percent(worst)} of the images stay right."
            if _hit(document)
            else ""
        )
    left, clean = ours["adaptive"], ours["clean"]
    if clean == 0:
        return "The defended model is right on no image, so adaptive attacks had nothing to do."
    quick = any(each["quick"] for each in document["results"] if each["threat"] == "adaptive")
    beside = (
        "" if plain.get("adaptive") is None else f" (undefended: {_percent(plain['adaptive'])})"
    )
    return (
        f"{'Quick adaptive' if quick else 'Adaptive'} attacks, which know the defence, leave "
        f"{_percent(left)} of the images right{beside}, of {_percent(clean)} without attack: "
        f"{_conclusion(ours, plain)}."
    )


def _conclusion(ours: dict[str, Any], plain: dict[str, Any]) -> str:
    """Judge by intervals, never by point estimates alone."""
    if ours["adaptive_interval"][1] < ours["clean"] / 4:
        return "it is no protection against an attacker who knows it"
    difference = plain.get("adaptive_difference_interval")
    if difference is not None and difference[0] > 0:
        return (
            "it withstands these attacks better than the plain model does, which is evidence and "
            "no proof: stronger attacks may exist"
        )
    return "that it protects against an attacker who knows it is not shown"


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


def _caveat(document: dict[str, Any]) -> str:
    results = document["results"]
    if any(result["threat"] == "adaptive" for result in results) or not _hit(document):
        return ""
    said = []
    if {result["protocol"] for result in results} == {"minimal"}:
        said.append(
            "Smallest perturbations lie just across a boundary; what the whole budget does was "
            "not tried."
        )
    if any(result["threat"] == "unknown" for result in results):
        said.append("What the makers of the given images knew is not known here.")
    if any(result["threat"] == "transfer" for result in results):
        said.append("None of these attacks knew the defence: its robustness is not shown.")
    return " ".join(said)


def _hit(document: dict[str, Any]) -> bool:
    return any(result["adversarials"] for result in document["results"])


def _failed(document: dict[str, Any]) -> str:
    """Say how many images are missing from all this."""
    failed = document.get("failed", {"images": 0})["images"]
    if not failed:
        return ""
    return (
        f"{failed} image{'s' * (failed > 1)} gave no answer to some attack and "
        f"{'are' if failed > 1 else 'is'} left out there."
    )


def _warned(document: dict[str, Any]) -> str:
    kinds = sorted({warning["kind"] for warning in document["warnings"]})
    return f"Do not trust these numbers as they stand: {', '.join(kinds)}." if kinds else ""


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _percent(share: float) -> str:
    whole = f"{100 * share:.0f} %"
    # 499 of 500 is not all, and 1 of 500 not none.
    return f"{100 * share:.1f} %" if whole in ("0 %", "100 %") and share not in (0, 1) else whole
