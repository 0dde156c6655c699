"""Options of attacks, and what they make together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bandlimiter.attacks.registration import (
    ATTACKS,
    attack_names,
    default_names,
    described,
    stage_names,
)
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    from bandlimiter.evaluation import Adaptive

_PLAIN = "Attacks on the plain model"
_ADAPTIVE = "Adaptive attacks, which know the defence"
_PROVEN = "With --sigma: certified below attacked accuracy"

_DRAWS = 8

_NO_STAGE = ", ".join(
    name for name in stage_names() if (stage := ATTACKS[name].stage) and not stage.default
)

Attack = Annotated[
    list[str] | None,
    typer.Option(
        help=f"{described(attack_names())}; repeatable. Default: {', '.join(default_names())}.",
        rich_help_panel=_PLAIN,
    ),
]
PaperAttack = Annotated[
    list[str] | None,
    typer.Option(
        help=f"{', '.join(attack_names('minimal'))}; repeatable. Default: those of the paper.",
        rich_help_panel=_PLAIN,
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
Baseline = Annotated[
    list[str] | None,
    typer.Option(
        help="Another defence to judge and attack beside: one-neighbour, gaussian, ball, "
        "bit-depth, jpeg; repeatable.",
        rich_help_panel="Attacks",
    ),
]
Rival = Annotated[
    list[str] | None, typer.Option(hidden=True, help="The former name of --baseline.")
]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        help=f"{', '.join(stage_names())}; repeatable. An image leaves with the first "
        f"that breaks it. Default: all but {_NO_STAGE}.",
        rich_help_panel=_ADAPTIVE,
    ),
]
Steps = Annotated[
    int, typer.Option(help="Gradients per image and stage.", rich_help_panel=_ADAPTIVE)
]
Queries = Annotated[
    int, typer.Option(help="Answers per image that square asks for.", rich_help_panel=_ADAPTIVE)
]
Restarts = Annotated[int, typer.Option(help="Random starts of APGD.", rich_help_panel=_ADAPTIVE)]
Norm = Annotated[
    str,
    typer.Option(
        help="linf, or l2 with --threat adaptive and an epsilon that is a length.",
        rich_help_panel=_ADAPTIVE,
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        help="With random answers: draws over which each query and gradient is averaged (8); with "
        "--sigma the noise vectors per gradient (32).",
        rich_help_panel=_ADAPTIVE,
    ),
]
Redraws = Annotated[
    int | None,
    typer.Option(
        help="How often final images are judged again: with fresh draws (3 by default), or under "
        "other direction seeds (3; with --quick 0).",
        rich_help_panel=_ADAPTIVE,
    ),
]
BrokenShare = Annotated[
    float,
    typer.Option(
        help="With --randomness fresh: the share of wrong answers from which an image counts as "
        "broken.",
        rich_help_panel=_ADAPTIVE,
    ),
]
Curve = Annotated[
    bool,
    typer.Option(
        "--curve",
        help="Also search for each image's smallest budget, and give accuracy over epsilon. "
        "Takes longer than everything else.",
        rich_help_panel=_ADAPTIVE,
    ),
]
GradientPoints = Annotated[
    str,
    typer.Option(
        help="part: in an attack's first steps gradients come from some of an average's points, in "
        "the last and for every verdict from all; a third of the time. all: always.",
        rich_help_panel=_ADAPTIVE,
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        help="L2 radii in pixels, certified and attacked on the same images. Default: "
        "0.25,0.5,0.75,1.",
        rich_help_panel=_PROVEN,
    ),
]
Linf = Annotated[
    str | None,
    typer.Option(
        help="L-inf budgets in pixels, attacked alone, or none. Default: 1/255,2/255,4/255,8/255.",
        rich_help_panel=_PROVEN,
    ),
]
Beside = Annotated[
    list[str] | None,
    typer.Option(
        help="Another model to attack the same way: [NAME:=]MODEL[=WEIGHTS], with what --model and "
        "--weights take; a hardened one is averaged under the noise on its card. Repeatable.",
        rich_help_panel=_PROVEN,
    ),
]
Samples = Annotated[
    int,
    typer.Option(
        help="The most evaluations that decide an image's certificate.", rich_help_panel=_PROVEN
    ),
]
Votes = Annotated[
    int, typer.Option(help="New votes that confirm each break.", rich_help_panel=_PROVEN)
]
Precision = Annotated[
    str,
    typer.Option(
        help="auto: a fast copy of the model (bfloat16 where the machine computes in it) searches "
        "and gives clear answers, float32 judges what was found and decides close ones. float32: "
        "it does everything.",
        rich_help_panel="Run",
    ),
]
Draw = Annotated[
    bool,
    typer.Option(
        "--draw",
        help="Draw survival over queries (with --stage square alone) and accuracy over the budget "
        "(with --curve) into --out; needs the extra spectrum.",
        rich_help_panel=_ADAPTIVE,
    ),
]


def require_drawing(out: Path | None, stages: tuple[str, ...], curve: bool, threat: str) -> None:
    """Refuse --draw where there will be nothing to draw, or nowhere to put it."""
    if out is None or threat == "transfer" or not (curve or stages == ("square",)):
        raise ConfigurationError(
            "expected --draw with --out, with adaptive attacks (--threat adaptive or "
            "both), and with --curve or --stage square alone; there is nothing to draw otherwise"
        )
    from bandlimiter.draw.plotting import new_figure

    new_figure(1, 1, 1)  # says now, and not after hours, that matplotlib is missing


def build_adaptive(
    stages: list[str] | None,
    *,
    steps: int,
    queries: int,
    restarts: int,
    norm: str,
    draws: int | None,
    redraws: int | None,
    broken_share: float,
    curve: bool,
    gradient_points: str,
) -> "Adaptive":
    """Return the settings of adaptive attacks."""
    from bandlimiter.evaluation import Adaptive

    return Adaptive(
        stages=tuple(stages) if stages else _default_stages(),
        steps=steps,
        queries=queries,
        restarts=restarts,
        norm=norm,
        draws=_DRAWS if draws is None else draws,
        redraws=redraws,
        broken_share=broken_share,
        curve=curve,
        gradient_points=cast(Any, gradient_points),
    )


def default_threat(attacks: list[str] | None, adversarial: list[Path] | None) -> str:
    """Return what attacks know unless it is said: both kinds; none but the given images alone."""
    return "transfer" if adversarial and not attacks else "both"


def _default_stages() -> tuple[str, ...]:
    from bandlimiter.evaluation import Adaptive

    return Adaptive().stages
