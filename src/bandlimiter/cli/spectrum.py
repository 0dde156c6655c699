"""``bandlimiter spectrum``: a small network's exact Fourier transform, plain and averaged."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandlimiter.cli import options, small_network, spectrum_report
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.files import make_folder
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.geometry import Regions
    from bandlimiter.spectrum import RadialSpectrum
    from bandlimiter.spectrum.radial import Filter

    Floats = NDArray[np.float64]

_PER_DECADE = 8


@one_line_errors
def spectrum(
    network: small_network.Network = None,
    weights_key: small_network.WeightsKey = None,
    data: small_network.Data = None,
    points: small_network.Points = 400,
    widths: small_network.Widths = "16,16",
    activation: small_network.Activation = "relu",
    bias: small_network.Bias = True,
    epochs: small_network.Epochs = 500,
    save: small_network.Save = None,
    lower: small_network.Lower = None,
    upper: small_network.Upper = None,
    limit: small_network.Limit = 200_000,
    radius: Annotated[
        float,
        typer.Option(help="r of the average, in units of the input.", rich_help_panel="Average"),
    ] = 0.2,
    directions: Annotated[
        int, typer.Option(help="K of the sampler: 6K + 1 points.", rich_help_panel="Average")
    ] = 15,
    sampler: Annotated[
        str,
        typer.Option(
            help="directions (the paper's), orthogonal, ball, sphere or gaussian: whose draw "
            "stands beside the ball's integral.",
            rich_help_panel="Average",
        ),
    ] = "directions",
    output: Annotated[
        int, typer.Option(help="Which output, from 0.", rich_help_panel="Frequencies")
    ] = 0,
    highest: Annotated[
        float | None,
        typer.Option(
            help="The highest |w| along radii. Default: 300; from three inputs on less, as the "
            "frequencies to look at grow like |w|^(n - 1).",
            rich_help_panel="Frequencies",
        ),
    ] = None,
    plane: Annotated[
        float,
        typer.Option(
            help="Half the side of the square of frequencies.", rich_help_panel="Frequencies"
        ),
    ] = 60.0,
    grid: Annotated[
        int, typer.Option(help="Frequencies along that side.", rich_help_panel="Frequencies")
    ] = 121,
    out: Annotated[
        Path, typer.Option(help="Folder for pictures and numbers.", rich_help_panel="Run")
    ] = Path("spectrum"),
    seed: options.Seed = 0,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Transform a small network exactly, before and after averaging.

    Compares the average over the ball (the paper's eq. 5 and 6) with the average over a
    sampler's 6K + 1 points (eq. 8). Writes radial.png and .svg, radial.csv (root mean
    squares over directions), plane.png, .svg and .csv (|F|; from two inputs on, over the
    first two frequencies) and spectrum.json.
    """
    _check(highest, plane, grid)
    make_folder(out)
    with own_stdout():
        subject = small_network.build_subject(
            network,
            data,
            weights_key=weights_key,
            points=points,
            widths=widths,
            activation=activation,
            bias=bias,
            epochs=epochs,
            save=save,
            lower=lower,
            upper=upper,
            seed=seed,
        )
        from bandlimiter.cli.progress import waiting
        from bandlimiter.geometry import enumerate_regions
        from bandlimiter.spectrum import averaging_filter

        with waiting("finding regions (compiles its loops when first run)"):
            regions = enumerate_regions(subject.network, subject.lower, subject.upper, limit=limit)
        if not 0 <= output < regions.network.outputs:
            raise ConfigurationError(
                f"expected an --output from 0 to {regions.network.outputs - 1}, got {output}"
            )
        filters: dict[str, Filter] = {
            spectrum_report.BALL: averaging_filter(radius),
            f"{sampler} (K = {directions})": averaging_filter(
                radius, sampler, directions=directions, seed=seed
            ),
        }
        radial = _radial(regions, highest or _highest(regions), filters, seed)
        document = {
            "settings": {
                **subject.settings,
                "lower": regions.lower.tolist(),
                "upper": regions.upper.tolist(),
                "radius": radius,
                "sampler": sampler,
                "directions": directions,
                "output": output,
            },
            "regions": len(regions),
            **spectrum_report.findings(
                regions, radial, output=output, radius=radius, directions=directions
            ),
        }
        document["files"] = [
            str(path)
            for path in (
                out / "spectrum.json",
                *spectrum_report.write_radial(out, radial, output, document),
                *spectrum_report.write_plane(out, regions, filters, output, plane, grid),
            )
        ]
        from bandlimiter.cli.files import write_json

        write_json(out / "spectrum.json", document)
    answer(document, as_json, spectrum_report.show)


def _check(highest: float | None, plane: float, grid: int) -> None:
    if highest is not None and not (math.isfinite(highest) and highest >= 10):
        raise ConfigurationError(f"expected --highest of 10 or more, got {highest}")
    if not (math.isfinite(plane) and plane > 0):
        raise ConfigurationError(f"expected --plane above 0, got {plane}")
    if grid < 2:
        raise ConfigurationError(f"expected a --grid of 2 or more, got {grid}")


def _highest(regions: "Regions") -> float:
    """Return the highest modulus that some ten thousand directions resolve."""
    import numpy as np

    extent = {3: 100.0, 4: 30.0}.get(regions.dim)
    diagonal = float(np.linalg.norm(regions.upper - regions.lower))
    return 300.0 if extent is None else max(10.0, extent / diagonal)


def _radial(
    regions: "Regions", highest: float, filters: "Mapping[str, Filter]", seed: int
) -> "RadialSpectrum":
    import numpy as np

    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.spectrum import radial_spectrum

    steps = round(_PER_DECADE * math.log10(highest)) + 1
    with rows_progress("magnitudes") as update:
        return radial_spectrum(
            regions,
            np.geomspace(1.0, highest, steps),
            band=highest ** (1 / (steps - 1)),
            filters=filters,
            seed=seed,
            progress=lambda done, total: update(done, total, "transforming"),
        )
