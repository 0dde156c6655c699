"""``bandlimiter evaluate`` on a Gaussian average: certified below attacked accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandlimiter.cli import options
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    import typer
    from torch import nn

    from bandlimiter.cli.setup import Defended
    from bandlimiter.data import ImageSet
    from bandlimiter.evaluation import Adaptive

QUICK_DRAWS = 8


_UNUSED = (
    *("epsilon", "norm", "protocol", "redraws", "broken_share", "gradient_points"),
    *("stop", "save_adversarial", "directions"),
)
"""Options of the other evaluation, which play no part here."""


def require_used(context: "typer.Context") -> None:
    """Refuse options that stand on the command line and would change nothing."""
    for name in _UNUSED:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigurationError(
                f"expected no --{name.replace('_', '-')} where an average is certified and "
                "attacked: budgets are --at and --linf; or name a --threat"
            )


def budgets(name: str, text: str | None, usual: Sequence[float]) -> tuple[float, ...]:
    """Read ``0.25,0.5`` or ``1/255,2/255``; ``none`` for none at all."""
    if text is None:
        return tuple(usual)
    if text == "none":
        return ()
    try:
        return tuple(options.parse_epsilon(part) for part in text.split(","))
    except ConfigurationError:
        raise ConfigurationError(
            f"expected --{name} like 0.25,0.5 (or none), got {text!r}"
        ) from None


def applies(defended: "Defended", image: Any, *, certain: bool) -> bool:
    """Whether certificates of this defence exist; with ``certain``, say why where they do not."""
    from bandlimiter.defence.certificates import reach
    from bandlimiter.evaluation import can_certify

    if certain:
        reach(defended.defence, image[0].numel(), 100, 0.5)
    return can_certify(defended.defence, image)


def others(
    defended: "Defended", beside: Sequence[str], baselines: Sequence[str]
) -> "dict[str, nn.Module]":
    """Return what stands beside, by name: baselines of the average, and other models.

    ``MODEL`` or ``MODEL=WEIGHTS``, with ``NAME:=`` before it for another name than that; a hardened
    model is averaged under the noise on its card.
    """
    from bandlimiter.defence import PostAverage
    from bandlimiter.defence.baselines import build_baseline
    from bandlimiter.models import load_model
    from bandlimiter.tensors import freeze

    around = defended.defence.variant(model=defended.classifier.module)
    found: dict[str, nn.Module] = {name: build_baseline(name, around).eval() for name in baselines}
    for text in beside:
        name, named, rest = text.partition(":=")
        if not name:
            raise ConfigurationError(f"expected --beside [NAME:=]MODEL[=WEIGHTS], got {text!r}")
        model, _, weights = (rest if named else text).partition("=")
        classifier = load_model(model, Path(weights) if weights else None)
        freeze(classifier.module.to(defended.device))
        card = classifier.card
        module = classifier.module
        found[name] = module if card is None else PostAverage(module, sigma=card.sigma)
    if len(found) < len(baselines) + len(beside):
        given = ", ".join([*baselines, *beside])
        raise ConfigurationError(f"expected each --baseline and --beside once, got {given}")
    return found


def adaptive_of(given: "Adaptive", draws: int | None, stages: Any, quick: bool) -> "Adaptive":
    """Return the attacks: APGD alone unless stages are named, on 32 noise vectors per gradient."""
    from dataclasses import replace

    kept = replace(
        given,
        stages=tuple(stages) if stages else ("apgd",),
        draws=draws or (QUICK_DRAWS if quick else 32),
        curve=False,
    )
    return kept.quickened() if quick else kept


def run(
    defended: "Defended",
    images: "ImageSet",
    adaptive: "Adaptive",
    *,
    at: str | None,
    linf: str | None,
    out: Path | None,
    **given: Any,
) -> dict[str, Any]:
    """Certify and attack; return the document with the seconds by phase."""
    from bandlimiter.cli.certify_report import require_pictures
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.evaluation import robust_accuracy
    from bandlimiter.evaluation.robust_run import LINF, RADII

    if out is not None:
        require_pictures()
    with rows_progress("images") as progress:
        found = robust_accuracy(
            defended.classifier.module,
            defended.defence,
            images,
            at=budgets("at", at, RADII),
            linf=budgets("linf", linf, LINF),
            adaptive=adaptive,
            out=out,
            progress=progress,
            **given,
        )
    if out is not None:
        draw(out, found.tables)
    return {**found.tables, "seconds": found.seconds}


def show(document: dict[str, Any]) -> None:
    """Print the verdict first, then the tables."""
    from rich.console import Console

    from bandlimiter.report.tables.robust import robustness_tables
    from bandlimiter.report.tables.to_terminal import terminal_table
    from bandlimiter.results.phases import said_phases

    console, settings = Console(), document["settings"]
    console.print(document["verdict"], highlight=False, markup=False)
    attacks = settings["adaptive"]
    console.print(
        f"{settings['sampler']}, sigma = {settings['sigma']:g} in pixels, vote {settings['vote']}; "
        f"{attacks['steps']} steps of {attacks['draws']} draws, breaks confirmed by "
        f"{settings['votes']:,} votes",
        highlight=False,
        markup=False,
    )
    for table in robustness_tables(document):
        console.print(terminal_table(table))
    if took := said_phases(document.get("seconds", {})):
        console.print(f"time: {took}", highlight=False, markup=False)


def draw(out: Path, document: dict[str, Any]) -> None:
    """Write the picture, robust_accuracy.png and .svg."""
    from bandlimiter.draw.plotting import save_figure
    from bandlimiter.draw.robust_accuracy import draw_robust_accuracy

    settings = document["settings"]
    figure = draw_robust_accuracy(
        document,
        title=f"{settings['model']}, {settings['sampler']}, sigma = {settings['sigma']:g}, "
        f"{document['images']} images",
    )
    save_figure(figure, out / "robust_accuracy")
