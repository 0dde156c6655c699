"""From certified rows to certified accuracy, and the sentence that says how far it reaches."""

import math
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from bandlimiter.results.certified_rows import CertifiedRow
from bandlimiter.results.statistics import rate, rate_entries

_STEPS = 6
_NEARLY = 1 + 1e-9  # for a quotient that is whole but for its rounding


def summarise_certified(
    rows: Sequence[CertifiedRow], settings: dict[str, Any], reach: dict[str, float]
) -> dict[str, Any]:
    """Return the JSON document of a run.

    Parameters
    ----------
    rows
        At least one.
    settings
        Repeated in the document; ``epsilon`` (pixels, L-inf), ``samples`` and ``alpha`` are read.
    reach
        ``best``, ``best_pixels``: the largest radius that so many samples can certify at all;
        ``needed``, ``needed_pixels``: the radius that ``epsilon`` would need.

    Returns
    -------
    dict
        ``settings``, ``images``, ``accuracy`` (right and not abstaining; ``plain_accuracy`` is the
        plain model's), ``abstained``, medians over the certified images, ``mean_right_radius`` (0
        where wrong or abstaining), ``mean_samples``, ``curve`` (certified accuracy at round radii:
        the share of images that are right with a larger radius), ``reach``, ``verdict``. Rates
        stand beside their Wilson 95 % intervals under the same key with ``_interval``.
    """
    certified = [row for row in rows if row.certified is not None]
    radii = [row.right_radius for row in rows]
    document = {
        "settings": settings,
        "images": len(rows),
        **rate_entries(
            "plain_accuracy", rate(sum(row.plain == row.label for row in rows), len(rows))
        ),
        **rate_entries("accuracy", rate(sum(radius > 0 for radius in radii), len(rows))),
        **rate_entries("abstained", rate(len(rows) - len(certified), len(rows))),
        "median_radius": median(row.radius for row in certified) if certified else None,
        "median_radius_pixels": (
            median(row.radius_pixels for row in certified) if certified else None
        ),
        "mean_right_radius": mean(radii),
        "mean_samples": mean(row.samples for row in rows),
        "curve": [_point(radii, at, reach) for at in round_radii(reach["best"])],
        "reach": reach,
    }
    document["verdict"] = _verdict(settings, reach)
    return document


def round_radii(most: float) -> list[float]:
    """Return round numbers from 0 up to ``most`` > 0, about six.

    Examples
    --------
    >>> round_radii(0.1437)
    [0.0, 0.025, 0.05, 0.075, 0.1, 0.125]
    """
    rough = most / _STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * size for size in (1, 2, 2.5, 5, 10)), key=lambda size: abs(size - rough))
    return [
        float(f"{step * number:.6g}") for number in range(math.floor(most / step * _NEARLY) + 1)
    ]


def _point(radii: Sequence[float], at: float, reach: dict[str, float]) -> dict[str, Any]:
    pixels = at * reach["best_pixels"] / reach["best"]
    value = rate(sum(radius > at for radius in radii), len(radii))
    return {"radius": at, "radius_pixels": pixels, **rate_entries("certified_accuracy", value)}


def _verdict(settings: dict[str, Any], reach: dict[str, float]) -> str:
    times, dim = reach["needed_pixels"] / reach["best_pixels"], settings["coordinates"]
    covered = reach["best_pixels"] / math.sqrt(dim)
    short = (
        f"{times:.3g} times too short"
        if times > 1
        else "long enough for it where the margin is near 1"
    )
    return (
        f"An L-inf budget of {255 * settings['epsilon']:.3g}/255 allows perturbations of L2 length "
        f"{reach['needed_pixels']:.3g} in pixels ({reach['needed']:.3g} in the network's input "
        f"space). With {settings['samples']:,} samples at alpha = {settings['alpha']:g}, no "
        f"certificate of this average can exceed {reach['best_pixels']:.3g} in pixels "
        f"({reach['best']:.3g} in that space): {short}. The largest L-inf budget that one covers "
        f"is {255 * covered:.2g}/255."
    )
