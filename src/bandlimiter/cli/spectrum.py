"""``bandlimiter spectrum``: a small network's exact Fourier transform, plain and averaged."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options, small_network
from bandlimiter.cli.guard import guarded
from bandlimiter.cli.output import own_stdout, print_json
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.geometry import Regions
    from bandlimiter.spectrum import RadialSpectrum
    from bandlimiter.spectrum.radial import Filter

    Floats = NDArray[np.float64]

PLAIN, BALL = "plain", "ball"
_PER_DECADE = 8


@guarded
def spectrum(
    network: small_network.Network = None,
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
    directions: options.Directions = 15,
    sampler: options.SamplerName = "directions",
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
    with own_stdout():
        subject = small_network.build_subject(
            network,
            data,
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
            BALL: averaging_filter(radius),
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
            **_findings(regions, radial, output, directions),
        }
        out.mkdir(parents=True, exist_ok=True)
        document["files"] = [
            str(path)
            for path in (
                out / "spectrum.json",
                *_write_radial(out, radial, output, document),
                *_write_plane(out, regions, filters, output, plane, grid),
            )
        ]
        from bandlimiter.cli.files import write_json

        write_json(out / "spectrum.json", document)
    if as_json:
        print_json(document)
    else:
        _show(document)


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


def _amplitudes(radial: "RadialSpectrum", output: int, kinks: bool = False) -> "dict[str, Floats]":
    """Root mean squares over directions by name, plain first."""
    plain = radial.kinks if kinks else radial.power
    after = radial.filtered_kinks if kinks else radial.filtered
    powers = {PLAIN: plain, **after}
    return {name: power[:, output] ** 0.5 for name, power in powers.items()}


def _findings(
    regions: "Regions", radial: "RadialSpectrum", output: int, directions: int
) -> dict[str, Any]:
    import numpy as np

    from bandlimiter.spectrum import decay_exponent, region_shares

    highest = float(radial.magnitudes[-1])
    # The last decade; where that reaches down to the network's own scale, the last half.
    fitted_from = highest / (10 if regions.dim <= 2 else 10**0.5)
    last = radial.magnitudes >= fitted_from * 0.999

    def exponents(kinks: bool) -> dict[str, float]:
        curves = _amplitudes(radial, output, kinks)
        # An affine network has no kinks, and nothing decays.
        return {
            name: float(decay_exponent(radial.magnitudes[last], values[last, None] ** 2)[0])
            for name, values in curves.items()
            if (values[last] > 0).all()
        }

    curves = _amplitudes(radial, output)
    gains = {
        name: float(np.sqrt(np.mean(np.square(values[last] / curves[PLAIN][last]))))
        for name, values in curves.items()
        if name != PLAIN
    }
    angles = np.random.default_rng(0).normal(size=(256, regions.dim))
    band = highest * angles / np.linalg.norm(angles, axis=1, keepdims=True)
    shares = region_shares(regions, band)
    return {
        "magnitudes": radial.magnitudes.tolist(),
        "rms": {name: values.tolist() for name, values in curves.items()},
        "rms_kinks": {
            name: values.tolist() for name, values in _amplitudes(radial, output, True).items()
        },
        "decay_exponents": exponents(False),
        "decay_exponents_kinks": exponents(True),
        "fitted_from": fitted_from,
        "gain": gains,
        "floor": (6 * directions + 1) ** -0.5,
        "shares": {
            "smallest_half": shares.of_smallest(0.5),
            "smallest_tenth": shares.of_smallest(0.1),
        },
    }


def _write_radial(
    out: Path, radial: "RadialSpectrum", output: int, document: dict[str, Any]
) -> list[Path]:
    from bandlimiter.cli.files import write_csv
    from bandlimiter.draw import draw_radial, save_figure

    whole, kinks = _amplitudes(radial, output), _amplitudes(radial, output, True)
    header = ["magnitude", *whole, *(f"{name}, kinks" for name in kinks)]
    rows = zip(radial.magnitudes, *whole.values(), *kinks.values(), strict=True)
    figure = draw_radial(
        radial.magnitudes,
        whole,
        kinks,
        exponents=document["decay_exponents"],
        kink_exponents=document["decay_exponents_kinks"],
        title=f"radius {document['settings']['radius']:g}, {document['regions']} regions",
    )
    return [write_csv(out / "radial.csv", header, rows), *save_figure(figure, out / "radial")]


def _write_plane(
    out: Path,
    regions: "Regions",
    filters: "Mapping[str, Filter]",
    output: int,
    half_side: float,
    grid: int,
) -> list[Path]:
    import numpy as np

    from bandlimiter.cli.files import write_csv
    from bandlimiter.cli.progress import rows_progress
    from bandlimiter.draw import draw_plane, save_figure
    from bandlimiter.spectrum import regions_transform

    if regions.dim == 1:
        return []  # a line of frequencies: radial.csv has it
    axis = np.linspace(-half_side, half_side, grid)
    waves = np.zeros((grid * grid, regions.dim))
    waves[:, :2] = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    with rows_progress("frequencies") as update:
        transform = regions_transform(
            regions, waves, progress=lambda done, total: update(done, total, "plane")
        )[:, output]
    gains = {name: np.abs(transfer(waves)) for name, transfer in filters.items()}
    amplitudes = {PLAIN: np.abs(transform)}
    amplitudes |= {name: gain * amplitudes[PLAIN] for name, gain in gains.items()}
    table = write_csv(
        out / "plane.csv",
        ["frequency_1", "frequency_2", *amplitudes],
        zip(waves[:, 0], waves[:, 1], *amplitudes.values(), strict=True),
    )
    squares = {name: values.reshape(grid, grid) for name, values in amplitudes.items()}
    return [table, *save_figure(draw_plane(axis, squares), out / "plane")]


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "decay exponent", "of the kinks", "gain")
    gains = {PLAIN: 1.0, **document["gain"]}
    for name, gain in gains.items():
        whole, kinks = (
            document[key].get(name) for key in ("decay_exponents", "decay_exponents_kinks")
        )
        cells = ["none" if value is None else f"{value:.2f}" for value in (whole, kinks)]
        table.add_row(name, *cells, f"{gain:.3g}")
    console = Console()
    console.print(table)
    half = document["shares"]["smallest_half"]
    console.print(
        f"Fitted from |w| = {document['fitted_from']:.3g} to {document['magnitudes'][-1]:.3g}; "
        f"a draw's gain tends to 1/sqrt(6K + 1) = {document['floor']:.3f}. The smaller half of "
        f"{document['regions']} regions fills {half['volume']:.1%} of the box and makes "
        f"{half['kinks']:.1%} of the kinks' energy at high frequencies.",
        highlight=False,
    )
    console.print("wrote " + ", ".join(document["files"]), highlight=False, markup=False)
