"""What text tables read from an experiment's document, and how they write numbers."""

from collections.abc import Iterable
from typing import Any

from bandlimiter.report.paper import SETUPS, TABLE1, departures
from bandlimiter.results.attack_names import attack_name

PROTOCOLS = ("minimal", "fixed")

MEANINGS = (
    "minimal: the smallest perturbation found, counted if within epsilon (the paper's protocol); "
    "fixed: the whole of epsilon, spent on the plain model. Neither knows the defence."
)


def results_of(point: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results that experiments show: of attacks on the plain model."""
    return [
        result
        for result in point["results"]
        if result["protocol"] in PROTOCOLS and result["threat"] != "adaptive"
    ]


def attacks_of(points: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the attacks of all points, in order: key -> name for people."""
    found: dict[str, str] = {}
    for point in points:
        for result in results_of(point):
            found.setdefault(result["attack"], attack_name(result["attack"]))
    return found


def quick_line(points: Iterable[dict[str, Any]]) -> str:
    """Name the attacks that were quick versions; nothing where none was."""
    quick = {
        f"{attack_name(result['attack'])} {result['protocol']}": None
        for point in points
        for result in results_of(point)
        if result.get("quick")
    }
    return f"Quick versions, of fewer steps than the paper's: {', '.join(quick)}." if quick else ""


def protocols_of(points: Iterable[dict[str, Any]]) -> list[str]:
    """Return the protocols that any point has, the paper's first."""
    there = {result["protocol"] for point in points for result in results_of(point)}
    return [protocol for protocol in PROTOCOLS if protocol in there]


def find(point: dict[str, Any], attack: str, protocol: str) -> dict[str, Any] | None:
    """Return a point's result under an attack and protocol, or None."""
    for result in results_of(point):
        if (result["attack"], result["protocol"]) == (attack, protocol):
            return result
    return None


def clean_line(document: dict[str, Any]) -> str:
    """Say how many images there are, and what the plain model does with them."""
    clean = document["points"][0]["clean"]
    return f"{clean['images']} images; clean accuracy of the plain model {rate(clean, 'accuracy')}"


def paper_line(document: dict[str, Any]) -> str:
    """Say what the paper's rows were measured on, and what is different here."""
    settings = document["settings"]
    data = settings.get("paper_data")
    if data not in TABLE1:
        return "The paper has no figures for this data; nothing of it stands beside ours."
    setup = SETUPS[data]
    said = (
        f"The paper: {setup.model} on {setup.images:,} images of {setup.data}, r = "
        f"{setup.radius:g}, K = 15, epsilon = 8/255, clean accuracy {setup.clean:.4f}."
    )
    different = departures(settings, document["points"][0])
    if different:
        said += f" Other settings here, so figures do not compare: {', '.join(different)}."
    return said


def rate(holder: dict[str, Any] | None, key: str, *, lines: bool = False) -> str:
    """Write a rate and its interval, on two lines where there is little room."""
    if holder is None or holder.get(key) is None:
        return "-"
    low, high = holder[f"{key}_interval"]
    ends = f"{low:.2f}-{high:.2f}"
    return f"{holder[key]:.3f}\n{ends}" if lines else f"{holder[key]:.3f} ({ends})"


def share(value: float | None) -> str:
    """Write a share, or a dash for none."""
    return "-" if value is None else f"{value:.3f}"


def size(value: float | None, unit: float = 1.0) -> str:
    """Write a length in some unit, or a dash for none."""
    return "-" if value is None else f"{unit * value:.2f}"


def counted(result: dict[str, Any]) -> str:
    """Write how many adversarial images there are, of how many that were tried."""
    return f"{result['adversarials']}/{result['images']}"
