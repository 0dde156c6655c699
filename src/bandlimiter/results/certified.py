"""From certified rows to certified accuracy, and the sentence that says how far it reaches."""

import math
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

import numpy as np

from bandlimiter.results.certified_logs import certified_shares, log_of
from bandlimiter.results.certified_rows import CertifiedRow
from bandlimiter.results.statistics import rate, rate_entries

_STEPS = 6
_NEARLY = 1 + 1e-9  # for a quotient that is whole but for its rounding


def summarise_certified(
    rows: Sequence[CertifiedRow], settings: dict[str, Any], reach: float
) -> dict[str, Any]:
    """Return the JSON document of a run.

    Parameters
    ----------
    rows
        At least one.
    settings
        Repeated in the document; ``at``, ``epsilon`` (pixels, L-inf), ``coordinates``, ``samples``
        and ``alpha`` are read.
    reach
        The largest radius that so many samples can certify at all, in pixels.

    Returns
    -------
    dict
        ``settings``, ``images``, ``accuracy`` (clean certified accuracy: the average's label is
        known and right; ``plain_accuracy`` is the plain model's), ``abstained``, ``median_radius``
        over the certified images, ``mean_right_radius`` (0 where wrong or abstaining),
        ``mean_samples``, ``seconds_per_image``, ``failed`` (images without an answer, which
        count as abstentions, and why), ``samples`` (median, 90 % and 99 % of images need no
        more), ``shares`` (quartiles of the rows' ``share``), ``curve`` (certified accuracy at the
        radii of ``settings`` or at round ones: an image counts that is right with this radius or
        more),
        ``reach``, ``verdict``. Rates stand beside their 95 % intervals under the same key with
        ``_interval``: Wilson's, in ``curve`` Clopper and Pearson's.
    """
    certified = [row for row in rows if row.certified is not None]
    log = log_of(rows, "")
    spent = np.array([row.samples for row in rows])
    document = {
        "settings": settings,
        "images": len(rows),
        **rate_entries(
            "plain_accuracy", rate(sum(row.plain == row.label for row in rows), len(rows))
        ),
        **rate_entries("accuracy", rate(sum(row.right for row in rows), len(rows))),
        **rate_entries("abstained", rate(len(rows) - len(certified), len(rows))),
        "median_radius": median(row.radius for row in certified) if certified else None,
        "mean_right_radius": float(log.radius.clip(0).mean()),
        "mean_samples": mean(row.samples for row in rows),
        "seconds_per_image": mean(row.seconds for row in rows),
        "failed": [{"image": row.image, "error": row.error} for row in rows if row.error],
        "samples": {
            name: float(np.quantile(spent, share))
            for name, share in (("median", 0.5), ("90 %", 0.9), ("99 %", 0.99))
        },
        "shares": np.quantile([row.share for row in rows], [0.25, 0.5, 0.75]).tolist(),
        "curve": [_point(rows, at, reach) for at in settings["at"] or round_radii(reach)],
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


def _point(rows: Sequence[CertifiedRow], at: float, reach: float) -> dict[str, Any]:
    """Return certified accuracy at a radius; None where the samples cannot reach it."""
    if at > reach:
        return {"radius": at, "certified_accuracy": None, "certified_accuracy_interval": None}
    shares, intervals = certified_shares(log_of(rows, "").radius, [at])
    return {
        "radius": at,
        "certified_accuracy": float(shares[0]),
        "certified_accuracy_interval": intervals[0].tolist(),
    }


def _verdict(settings: dict[str, Any], reach: float) -> str:
    dim, epsilon = settings["coordinates"], settings["epsilon"]
    needed = epsilon * math.sqrt(dim)
    short = (
        f"{needed / reach:.3g} times too short"
        if needed > reach
        else "long enough for it where nearly all votes agree"
    )
    return (
        f"An L-inf budget of {255 * epsilon:.3g}/255 allows perturbations of L2 length "
        f"{needed:.3g} in pixels. With {settings['samples']:,} samples at alpha = "
        f"{settings['alpha']:g}, no certificate of this average can exceed {reach:.3g}: {short}. "
        f"The largest L-inf budget that one covers is {255 * reach / math.sqrt(dim):.2g}/255."
    )
