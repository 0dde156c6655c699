"""What ``bandlimiter spectrum`` says: findings, files, and the table on the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bandlimiter.geometry import Regions
    from bandlimiter.spectrum import RadialSpectrum
    from bandlimiter.spectrum.radial import Filter

    Floats = NDArray[np.float64]

PLAIN, BALL = "plain", "ball"


def findings(
    regions: "Regions", radial: "RadialSpectrum", output: int, directions: int
) -> dict[str, Any]:
    """Return what the document says beside its settings, from the curves along radii."""
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


def _amplitudes(radial: "RadialSpectrum", output: int, kinks: bool = False) -> "dict[str, Floats]":
    """Root mean squares over directions by name, plain first."""
    plain = radial.kinks if kinks else radial.power
    after = radial.filtered_kinks if kinks else radial.filtered
    powers = {PLAIN: plain, **after}
    return {name: power[:, output] ** 0.5 for name, power in powers.items()}


def write_radial(
    out: Path, radial: "RadialSpectrum", output: int, document: dict[str, Any]
) -> list[Path]:
    """Write the curves along radii: radial.csv, .png and .svg."""
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


def write_plane(
    out: Path,
    regions: "Regions",
    filters: "Mapping[str, Filter]",
    output: int,
    half_side: float,
    grid: int,
) -> list[Path]:
    """Transform a square of frequencies and write plane.csv, .png and .svg."""
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


def show(document: dict[str, Any]) -> None:
    """Print exponents and gains as a table, and where the files are."""
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
