"""Options of attacks, and what they make together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    from bandlimiter.evaluation import Adaptive

_PLAIN = "Attacks on the plain model"
_KNOWING = "Attacks that know the defence"

Attack = Annotated[
    list[str] | None,
    typer.Option(
        help="fgsm, pgd, deepfool, cw; repeatable. Default: all four.", rich_help_panel=_PLAIN
    ),
]
Adversarial = Annotated[
    list[Path] | None,
    typer.Option(
        help="Judge saved adversarial images (safetensors); repeatable. Alone, no attack is run.",
        rich_help_panel=_PLAIN,
    ),
]
Protocol = Annotated[
    str,
    typer.Option(
        help="minimal (the paper's: the smallest perturbation found), fixed (the whole "
        "budget) or both.",
        rich_help_panel=_PLAIN,
    ),
]
Epsilon = Annotated[
    str, typer.Option(help="Budget in pixels: L-inf, unless --norm l2.", rich_help_panel="Attacks")
]
Threat = Annotated[
    str | None,
    typer.Option(
        help="transfer (attacks see the plain model only), adaptive (they know the defence) or "
        "both. Default: both; with --adversarial alone, transfer.",
        rich_help_panel="Attacks",
    ),
]
Targets = Annotated[
    str | None,
    typer.Option(
        help="Targeted attacks: least-likely (the class of the plain model's smallest logit), next "
        "(label + 1), or a file: .csv with columns image and target, or .npy with a class for each "
        "image's number. Default: any wrong class is a success.",
        rich_help_panel="Attacks",
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Fewer attack steps, not the paper's: on the defence at most 10, and 100 queries.",
        rich_help_panel="Attacks",
    ),
]
Rival = Annotated[
    list[str] | None,
    typer.Option(
        help="Another defence to judge and attack beside: one-neighbour, gaussian, ball, "
        "bit-depth, jpeg; repeatable.",
        rich_help_panel="Attacks",
    ),
]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        help="transfer, pgd, apgd, apgd-dlr, square; repeatable. An image leaves with the first "
        "that breaks it. Default: all but pgd.",
        rich_help_panel=_KNOWING,
    ),
]
Steps = Annotated[int, typer.Option(help="Gradients an image and stage.", rich_help_panel=_KNOWING)]
Queries = Annotated[
    int, typer.Option(help="Answers an image that square asks for.", rich_help_panel=_KNOWING)
]
Restarts = Annotated[int, typer.Option(help="Random starts of APGD.", rich_help_panel=_KNOWING)]
Norm = Annotated[
    str,
    typer.Option(
        help="linf, or l2 with --threat adaptive and an epsilon that is a length.",
        rich_help_panel=_KNOWING,
    ),
]
Draws = Annotated[
    int,
    typer.Option(
        help="With --randomness fresh: draws over which each query and gradient is averaged.",
        rich_help_panel=_KNOWING,
    ),
]
Redraws = Annotated[
    int,
    typer.Option(
        help="How often final images are judged again: with fresh draws, or under other "
        "direction seeds.",
        rich_help_panel=_KNOWING,
    ),
]
BrokenShare = Annotated[
    float,
    typer.Option(
        help="With --randomness fresh: the share of wrong answers from which an image counts as "
        "broken.",
        rich_help_panel=_KNOWING,
    ),
]
Curve = Annotated[
    bool,
    typer.Option(
        "--curve",
        help="Also search for each image's smallest budget, and give accuracy over epsilon. "
        "Takes longer than everything else.",
        rich_help_panel=_KNOWING,
    ),
]
Draw = Annotated[
    bool,
    typer.Option(
        "--draw",
        help="Draw survival over queries (with --stage square alone) and accuracy over the budget "
        "(with --curve) into --out; needs the extra spectrum.",
        rich_help_panel=_KNOWING,
    ),
]


def require_drawing(out: Path | None, stages: tuple[str, ...], curve: bool, threat: str) -> None:
    """Refuse --draw where there will be nothing to draw, or nowhere to put it."""
    if out is None or threat == "transfer" or not (curve or stages == ("square",)):
        raise ConfigurationError(
            "expected --draw with --out, with attacks that know the defence (--threat adaptive or "
            "both), and with --curve or --stage square alone; there is nothing to draw otherwise"
        )
    from bandlimiter.draw.canvas import new_figure

    new_figure(1, 1, 1)  # says now, and not after hours, that matplotlib is missing


def build_adaptive(
    stages: list[str] | None,
    *,
    steps: int,
    queries: int,
    restarts: int,
    norm: str,
    draws: int,
    redraws: int,
    broken_share: float,
    curve: bool,
) -> "Adaptive":
    """Return the settings of attacks that know the defence."""
    from bandlimiter.evaluation import Adaptive

    return Adaptive(
        stages=tuple(stages) if stages else _default_stages(),
        steps=steps,
        queries=queries,
        restarts=restarts,
        norm=norm,
        draws=draws,
        redraws=redraws,
        broken_share=broken_share,
        curve=curve,
    )


def default_threat(attacks: list[str] | None, adversarial: list[Path] | None) -> str:
    """Return what attacks know unless it is said: both kinds; none but the given images alone."""
    return "transfer" if adversarial and not attacks else "both"


def _default_stages() -> tuple[str, ...]:
    from bandlimiter.evaluation import Adaptive

    return Adaptive().stages
