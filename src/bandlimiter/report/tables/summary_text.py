"""What a report says of a run before any table: the verdict, and what is missing."""

from bandlimiter.report.tables.study import Study, defence_rates
from bandlimiter.results import OURS

_KINDS = {
    "minimal": "smallest perturbations that fool the plain model",
    "fixed": "perturbations that use the whole budget",
    "saved": "given adversarial images",
}


def verdict_of(study: Study) -> str:
    """Say what follows from a run, in words."""
    if not study.rows:
        return study.said or "No image has an answer yet, so nothing can be said."
    if not study.judges:
        return _attacks_only(study)
    if study.sweep:
        return _of_sweep(study)
    if OURS in study.defences:
        verdict: str = study.document["verdict"]
        return verdict
    return study.said or _of_several(study)


def missing_of(study: Study) -> str | None:
    """Say what of a run is not there yet; None where all is."""
    if study.state == "done":
        return None
    state = "in use, still at work" if study.state == "in use" else "unfinished"
    said = f"{state}: {study.finished} of {study.planned} shards"
    if study.damaged:
        said += f", {study.damaged} damaged and left out"
    return said


def failures_of(study: Study) -> str | None:
    """Say how many images gave no answer; None where all did."""
    images = len({row.image for row in study.failed})
    if not images:
        return None
    how = "as an abstention" if study.kind == "certify" else "in no rate"
    if images == 1:
        return f"1 image gave no answer and counts {how}"
    return f"{images} images gave no answer and count {how}"


def _of_sweep(study: Study) -> str:
    sweep = study.sweep
    first, last = study.shown(study.defences[0]), study.shown(study.defences[-1])
    name = "" if sweep is None else f" ({first} to {last})"
    return f"{len(study.defences)} defences{name}. {_brought_back(study)}"


def _of_several(study: Study) -> str:
    count = len(study.defences)
    return f"{count} defence{'s' * (count > 1)}. {_brought_back(study)}"


def _brought_back(study: Study) -> str:
    results = [result for each in study.by_defence.values() for result in each["results"]]
    said = []
    for protocol, kind in _KINDS.items():
        rates = defence_rates(results, protocol)
        if rates:
            low, high = f"{100 * min(rates):.0f} %", f"{100 * max(rates):.0f} %"
            said.append(f"{low if low == high else f'{low} to {high}'} of the {kind}")
    if not said:
        return "No attack found an adversarial image within the budget, so nothing was tested."
    text = f"By attack and defence, they bring back {' and '.join(said)}."
    if any(result["threat"] == "adaptive" for result in results):
        return text
    return f"{text} None of these attacks knew the defence: its robustness is not shown."


def _attacks_only(study: Study) -> str:
    images = {row.image for row in study.rows}
    found = {row.image for row in study.rows if row.adversarial}
    return (
        f"Attacks on the plain model, kept for defences to answer to: {len(found)} of "
        f"{len(images)} images are fooled. No defence is judged here."
    )
