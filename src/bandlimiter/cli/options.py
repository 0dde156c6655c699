"""Options that commands share, and how their values are read."""

from pathlib import Path
from typing import Annotated

import typer

from bandlimiter.defence.votes import VOTES, described_votes
from bandlimiter.errors import ConfigurationError

Model = Annotated[
    str,
    typer.Option(
        help="sample, sample-hardened, a folder of harden or recalibrate, cifar-resnet20 ... "
        "cifar-resnet110, torchvision:NAME, timm:NAME, efficientnet-lite0, or yours, which takes "
        "pixels in [0, 1]: MODULE:FACTORY, FILE.py:FACTORY, or a file of TorchScript (.pt) or "
        "torch.export (.pt2).",
        rich_help_panel="Model and data",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="A safetensors file or a torch checkpoint.", rich_help_panel="Model and data"
    ),
]
WeightsKey = Annotated[
    str | None,
    typer.Option(
        help="Key of the weights in that file, such as state_dict_ema. Default: the weights that "
        "fit; if several do, those that are not a training average (EMA).",
        rich_help_panel="Model and data",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="sample, cifar10:PATH, imagefolder:PATH (one folder per class), npz:FILE (keys "
        "x, y), foolbox:NAME. Default: sample, for models of CIFAR-10.",
        rich_help_panel="Model and data",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        help="Resize and centre-crop image files to N x N (shorter side to N, or N * 256/224 for "
        "N >= 64). Default: the model's own input size if it declares one, else files are used as "
        "they are.",
        rich_help_panel="Model and data",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Of cifar10:PATH, the test or the training images (test, train). Default: train for "
        "harden and recalibrate, test for all other commands.",
        rich_help_panel="Model and data",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(help="Take the first N images.", rich_help_panel="Model and data"),
]
Subset = Annotated[
    int | None,
    typer.Option(help="Take N images at random.", rich_help_panel="Model and data"),
]
Radius = Annotated[
    float | None,
    typer.Option(
        help="r, a length in the network's normalised input space. Default: the paper's "
        "(6 for CIFAR-10, 30 for ImageNet), converted to this model's normaliser.",
        rich_help_panel="Defence",
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        help="Instead of --radius: the standard deviation of each pixel under noise, in pixels of "
        "[0, 1], before the normaliser. Implies --sampler gaussian (or ball), fresh draws and "
        "--vote majority. Default for a hardened model: the one on its card.",
        rich_help_panel="Defence",
    ),
]
Directions = Annotated[
    int,
    typer.Option(help="K; an answer costs 6K + 1 evaluations.", rich_help_panel="Defence"),
]
SamplerName = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="directions (the paper's), orthogonal, ball, sphere, gaussian, or boundary (towards "
        "the closest region boundaries). Default: directions.",
        rich_help_panel="Defence",
    ),
]
VoteName = Annotated[
    str | None,
    typer.Option(
        "--vote",
        help=f"{described_votes(VOTES)}. Default: softmax; with --sigma majority.",
        rich_help_panel="Defence",
    ),
]
Randomness = Annotated[
    str | None,
    typer.Option(
        help="fixed: one draw for all images; fresh: one per image. Default: fixed.",
        rich_help_panel="Defence",
    ),
]
Scale = Annotated[
    float | None,
    typer.Option(
        help="The normaliser's std, for a MODULE:FACTORY that hides its own; 1 states the "
        "radius in pixels.",
        rich_help_panel="Defence",
    ),
]
Stop = Annotated[
    str,
    typer.Option(
        help="When the defended model may answer early: never; exact (as soon as no other label "
        "can win); anytime (each label may differ, with a probability of at most --alpha); auto "
        "is exact where the vote allows it.",
        rich_help_panel="Speed",
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        help="Level of --stop anytime, in (0, 1). Default: 0.001.", rich_help_panel="Speed"
    ),
]
Accelerate = Annotated[
    bool,
    typer.Option(
        "--accelerate",
        help="Let a folded, compiled copy of the model (bf16 where the processor has it) answer "
        "for the defence. Compiling takes half a minute; scores change by rounding, how much "
        "is measured and kept with the settings.",
        rich_help_panel="Speed",
    ),
]
ShardImages = Annotated[
    int | None,
    typer.Option(
        help="Images that are worked on, kept and lost together. Default: 25, fewer of large "
        "ones, 250 on a GPU.",
        rich_help_panel="Workers",
    ),
]
Seed = Annotated[int, typer.Option(help="Names every random draw.", rich_help_panel="Run")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel="Run")]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON document on stdout and nothing else.", rich_help_panel="Run"
    ),
]
Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Run"),
]


def parse_epsilon(text: str) -> float:
    """Read ``8/255`` or ``0.031``.

    Raises
    ------
    ConfigurationError
        For anything else.

    Examples
    --------
    >>> parse_epsilon("51/255")
    0.2
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigurationError(f"expected epsilon like 8/255 or 0.03, got {text!r}") from None
