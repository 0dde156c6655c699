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
    regions: "Regions",
    radial: "RadialSpectrum",
    *,
    output: int,
    radius: float,
    directions: int,
) -> dict[str, Any]:
    """Return what the document says beside its settings, from the curves along radii."""
    from bandlimiter.spectrum import region_shares
    from bandlimiter.spectrum.bands import band_frequencies

    highest = float(radial.magnitudes[-1])
    # The last decade; where that reaches down to the network's own scale, the last half.
    fitted_from = highest / (10 if regions.dim <= 2 else 10**0.5)
    last = radial.magnitudes >= fitted_from * 0.999
    curves, kinks = (_amplitudes(radial, output, which) for which in (False, True))
    # Rates are those of the limit where |w| passes the box's scale, and for a filter its own.
    reached = {name: _is_high(regions, fitted_from, name, radius) for name in curves}
    band = band_frequencies(regions.dim, highest, 1.0, 256, seed=0)
    shares = region_shares(regions, band, output=output)
    return {
        "magnitudes": radial.magnitudes.tolist(),
        "rms": {name: values.tolist() for name, values in curves.items()},
        "rms_kinks": {name: values.tolist() for name, values in kinks.items()},
        "fitted_from": fitted_from,
        "decay_exponents": _exponents(radial.magnitudes, curves, last, reached),
        "decay_exponents_kinks": _exponents(radial.magnitudes, kinks, last, reached),
        "gain": {name: _gain(curves, name, last) for name in curves if name != PLAIN},
        # On a line the paper's points and the sphere have no floor: cos does not decay.
        "floor": (6 * directions + 1) ** -0.5 if regions.dim > 1 else None,
        "shares": {
            "smallest_half": shares.of_smallest(0.5),
            "smallest_tenth": shares.of_smallest(0.1),
        },
    }


def _is_high(regions: "Regions", lowest: float, name: str, radius: float) -> bool:
    """Whether a fit from ``lowest`` on is about the limit of high frequencies."""
    import numpy as np

    diagonal = float(np.linalg.norm(regions.upper - regions.lower))
    return lowest * diagonal >= 30 and (name == PLAIN or lowest * radius >= 2 * regions.dim)


def _exponents(
    magnitudes: "Floats",
    curves: "Mapping[str, Floats]",
    last: "NDArray[np.bool_]",
    reached: Mapping[str, bool],
) -> dict[str, float | None]:
    """Fit each curve's rate; None where it is zero, or the range says nothing of the limit."""
    from bandlimiter.spectrum import decay_exponent

    return {
        name: float(decay_exponent(magnitudes[last], values[last, None] ** 2)[0])
        if reached[name] and (values[last] > 0).all()
        else None
        for name, values in curves.items()
    }


def _gain(curves: "Mapping[str, Floats]", name: str, last: "NDArray[np.bool_]") -> float | None:
    """Return the root mean square of a curve over the plain one's, None where that is zero."""
    import numpy as np

    plain, values = curves[PLAIN][last], curves[name][last]
    if not (plain > 0).all():
        return None
    return float(np.sqrt(np.mean(np.square(values / plain))))


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
    for name in document["decay_exponents"]:
        rates = (document[key][name] for key in ("decay_exponents", "decay_exponents_kinks"))
        gain = 1.0 if name == PLAIN else document["gain"][name]
        cells = ["none" if rate is None else f"{rate:.2f}" for rate in rates]
        table.add_row(name, *cells, "none" if gain is None else f"{gain:.3g}")
    console = Console()
    console.print(table)
    console.print(" ".join(_sentences(document)), highlight=False)
    console.print("wrote " + ", ".join(document["files"]), highlight=False, markup=False)


def _sentences(document: dict[str, Any]) -> list[str]:
    lowest, highest = document["fitted_from"], document["magnitudes"][-1]
    said = [f"Fitted from |w| = {lowest:.3g} to {highest:.3g}."]
    if None in document["decay_exponents"].values():
        said.append(
            "No exponent where that does not reach the limit: it takes |w| times the box's "
            "diagonal of 30, and for averages |w| times the radius of twice the dimensions "
            "(raise --highest or --radius)."
        )
    if document["floor"] is not None:
        said.append(f"A draw's gain tends to 1/sqrt(6K + 1) = {document['floor']:.3f}.")
    if document["regions"] > 1:
        half = document["shares"]["smallest_half"]
        said.append(
            f"The smaller half of {document['regions']} regions fills {half['volume']:.1%} of the "
            f"box and makes {half['kinks']:.1%} of the kinks' energy in the limit."
        )
    return said
