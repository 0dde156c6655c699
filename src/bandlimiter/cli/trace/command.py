"""``bandlimiter trace``: where a network bends, along a line or in a plane, exactly."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from bandlimiter.attacks.registration import attack_names
from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.files import make_folder
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.errors import ConfigurationError

_DATA, _LINE, _PLANE = "Model and data", "Line", "Plane"

_MOST = 200_000
"""Breakpoints, or regions, unless told otherwise: minutes of work."""


@one_line_errors
def trace(
    model: options.Model = "sample",
    weights: options.Weights = None,
    weights_key: options.WeightsKey = None,
    data: options.Data = None,
    size: options.Size = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="The normaliser's std, for a MODULE:FACTORY that hides its own; 1 states "
            "lengths in pixels.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    image: Annotated[
        int | None,
        typer.Option(
            help="Start at image N of --data, counted from 0. Default: the first one that is "
            "classified as labelled.",
            rich_help_panel=_LINE,
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Start at this image file instead.", rich_help_panel=_LINE),
    ] = None,
    end: Annotated[
        Path | None,
        typer.Option(
            "--to",
            help="End at this image file. Default: at the start's adversarial image.",
            rich_help_panel=_LINE,
        ),
    ] = None,
    attack: Annotated[
        str,
        typer.Option(
            help="What finds the adversarial image, the closest it can: "
            f"{', '.join(attack_names('minimal'))}.",
            rich_help_panel=_LINE,
        ),
    ] = "pgd",
    epsilon: Annotated[
        str,
        typer.Option(help="Its L-inf budget in pixels.", rich_help_panel=_LINE),
    ] = "8/255",
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Fewer attack steps.", rich_help_panel=_LINE),
    ] = False,
    random: Annotated[
        bool,
        typer.Option("--random", help="End in a random direction.", rich_help_panel=_LINE),
    ] = False,
    length: Annotated[
        float | None,
        typer.Option(
            help="How far, in normalised units. Default: as far as the adversarial image.",
            rich_help_panel=_LINE,
        ),
    ] = None,
    max_breakpoints: Annotated[
        int | None,
        typer.Option(
            help="Stop beyond so many, and keep the part of the line so far. Default: 200000.",
            rich_help_panel=_LINE,
        ),
    ] = None,
    plane: Annotated[
        bool,
        typer.Option(
            "--plane",
            help="Cut out the plane through start, end and a third point.",
            rich_help_panel=_PLANE,
        ),
    ] = False,
    third: Annotated[
        str | None,
        typer.Option(
            help="An image file, or an image's number in --data. Default: a random direction at "
            "right angles.",
            rich_help_panel=_PLANE,
        ),
    ] = None,
    around: Annotated[
        str | None,
        typer.Option(
            help="The window's centre: image (the start; the default), end, or boundary (where "
            "the label changes between them).",
            rich_help_panel=_PLANE,
        ),
    ] = None,
    extent: Annotated[
        float | None,
        typer.Option(
            help="Half the window's width, in normalised units. Default: start and end are "
            "inside, or less where that would be far more than 10,000 regions.",
            rich_help_panel=_PLANE,
        ),
    ] = None,
    max_regions: Annotated[
        int | None,
        typer.Option(
            help="Stop beyond so many, and keep the part of the window so far. Default: 200000.",
            rich_help_panel=_PLANE,
        ),
    ] = None,
    samples: Annotated[
        bool,
        typer.Option(
            "--samples",
            help="Mark the defence's samples around the image (around the end, if the window "
            "is), projected on the plane.",
            rich_help_panel=_PLANE,
        ),
    ] = False,
    radius: options.Radius = None,
    directions: options.Directions = 15,
    sampler: options.SamplerName = None,
    out: Annotated[
        Path, typer.Option(help="Folder for pictures and numbers.", rich_help_panel="Run")
    ] = Path("trace"),
    seed: options.Seed = 0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Find every place where a network bends, between an image and its adversarial image.

    A network of ReLUs and max-pooling is affine, except where a unit switches on or off or
    a pooling window gets another winner. Along the line x(t) = start + t (end - start), t
    from 0 to 1, such a place is a [bold]breakpoint[/bold], and the unit's boundary is
    crossed there. All breakpoints are found, exactly, in float64. A unit that is crossed
    twice is as it was: [bold]flips[/bold] count the units that differ at the two ends, and
    are at most as many.

    [bold]Normalised units[/bold] are those of the network's input after its normaliser, in
    which the paper states its radii: a change d of the pixels is |d / std| long.

    With --plane: all [bold]linear regions[/bold] in a square window of a plane, the
    decision boundary, and the points in it. A ResNet has many: a window 0.02 wide holds
    thousands.

    Writes trace.json, breakpoints.csv (t, layer, unit, threshold) and line.png and .svg; with
    --plane regions.csv (region, area, centre, label) and plane.png and .svg instead.

    For instance:

      bandlimiter trace --random --length 0.1

      bandlimiter trace --image 7 --attack deepfool --json

      bandlimiter trace --plane --around boundary --samples
    """
    _check(locals())
    budget = options.parse_epsilon(epsilon)
    make_folder(out)
    with own_stdout():
        from bandlimiter.cli.setup import build_defended
        from bandlimiter.cli.trace import endpoints, run

        defended = build_defended(
            model,
            weights,
            weights_key=weights_key,
            radius=radius if samples else 0.0,  # what is not averaged has no radius
            directions=directions,
            sampler=sampler,
            scale=scale,
            seed=seed,
            device=device,
        )
        images = endpoints.Images(defended, data, size)
        task = run.Task(defended, images.start(image, start), out, seed)
        if end is not None:
            task.end = images.by_file(end)
        else:
            task.find_end(attack, budget, quick=quick, length=length, random=random)
        task.settings |= {"data": images.name, "size": images.size}
        if plane:
            other = None if third is None else images.by_name(third)
            document = task.run_plane(
                other, around or "image", extent, max_regions or _MOST, samples=samples
            )
        else:
            document = task.run_line(max_breakpoints or _MOST)
    answer(document, as_json, task.show)


def _check(given: dict[str, Any]) -> None:
    """Refuse options that do not go together, before anything is loaded."""
    for one, other in (("image", "start"), ("end", "random")):
        if given[one] not in (None, False) and given[other] not in (None, False):
            raise ConfigurationError(f"expected {_option(one)} or {_option(other)}, got both")
    for name, needed in (
        ("length", "random"),
        *((name, "plane") for name in ("third", "around", "extent", "max_regions", "samples")),
        ("radius", "samples"),
    ):
        if given[name] not in (None, False) and not given[needed]:
            raise ConfigurationError(
                f"expected {_option(name)} together with {_option(needed)}, got it alone"
            )
    for name in ("length", "extent"):
        if given[name] is not None and not (math.isfinite(given[name]) and given[name] > 0):
            raise ConfigurationError(
                f"expected a finite {_option(name)} above 0, got {given[name]}"
            )
    if given["plane"] and given["max_breakpoints"] is not None:
        raise ConfigurationError("expected --max-regions for a plane, got --max-breakpoints")
    for name in ("max_breakpoints", "max_regions"):
        if given[name] is not None and given[name] < 1:
            raise ConfigurationError(f"expected {_option(name)} of 1 or more, got {given[name]}")
    if given["around"] not in (None, "image", "end", "boundary"):
        raise ConfigurationError(
            f"expected --around image, end or boundary; got {given['around']!r}"
        )


def _option(name: str) -> str:
    return "--" + {"start": "from", "end": "to"}.get(name, name.replace("_", "-"))
