"""What equation 4's rows say: estimates over images, a table, and a sentence."""

from typing import Any

import numpy as np
from intervals import Estimate, geometric_ratio, mean, rank_correlation
from ledger import Row
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

KINDS = ("adversarial", "random")

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Lengths of perturbations, in units of the image's minimal adversarial one."""


def column(rows: list[Row], kind: str, what: str) -> np.ndarray:
    """Return [N, scales]."""
    return np.array([row[kind][what] for row in rows], dtype=np.float64)


def by_scale(rows: list[Row]) -> list[dict[str, Any]]:
    """Return what was seen at each scale, and N's prediction of the ratio between kinds."""
    found, length = [], np.array([row["length"] for row in rows])
    flips, change, margins = (
        {kind: column(rows, kind, what) for kind in KINDS} for what in ("flips", "change", "margin")
    )
    for i, scale in enumerate(SCALES):
        n, df = (
            {kind: np.maximum(of[kind][:, i], 1e-300) for kind in KINDS} for of in (flips, change)
        )
        some = np.minimum(*n.values()) >= 1  # of no flips there is no ratio
        found.append(
            {
                "scale": scale,
                "flips": {kind: mean(flips[kind][:, i]) for kind in KINDS},
                "change": {kind: mean(change[kind][:, i]) for kind in KINDS},
                "margin": {kind: mean(margins[kind][:, i]) for kind in KINDS},
                "predicted": geometric_ratio(*(n[kind][some] for kind in KINDS)),
                "measured": geometric_ratio(*(df[kind][some] for kind in KINDS)),
                "rank": {
                    kind: rank_correlation(flips[kind][:, i], change[kind][:, i]) for kind in KINDS
                },
                # Longer perturbations cross more and change more: per length N must tell more.
                "rank_per_length": {
                    kind: rank_correlation(flips[kind][:, i] / length, change[kind][:, i] / length)
                    for kind in KINDS
                },
                "rank_of_length": {
                    kind: rank_correlation(length, change[kind][:, i]) for kind in KINDS
                },
            }
        )
    return found


def over_scales(rows: list[Row]) -> dict[str, Estimate]:
    """Return the mean over images of the rank correlation over an image's own pairs."""
    distance = np.array([row["length"] for row in rows])[:, None] * np.array(SCALES)
    one = [
        mean([_spearman(row[kind]["flips"], row[kind]["change"]) for row in rows]) for kind in KINDS
    ]
    flips, change = (
        np.hstack([column(rows, kind, what) for kind in KINDS]) for what in ("flips", "change")
    )
    both = np.hstack([distance, distance])
    return {
        **dict(zip(KINDS, one, strict=True)),
        "both kinds": mean([_spearman(*pair) for pair in zip(flips, change, strict=True)]),
        "both kinds, length instead of N": mean(
            [_spearman(*pair) for pair in zip(both, change, strict=True)]
        ),
    }


def _spearman(first, second) -> float:
    return float(spearmanr(first, second).statistic)


def exact(rows: list[Row]) -> dict[str, Any] | None:
    """Return crossings beside flips, for the images that were traced."""
    traced = [row for row in rows if "crossings" in row["random"]]
    if not traced:
        return None
    place = SCALES.index(1.0)
    crossings = {k: np.array([row[k]["crossings"] for row in traced]) for k in KINDS}
    flips = {k: column(traced, k, "flips")[:, place] for k in KINDS}
    return {
        "images": len(traced),
        "crossings": {k: mean(crossings[k]) for k in KINDS},
        "crossings_to_flips": {k: mean(crossings[k] / flips[k]) for k in KINDS},
        "predicted": geometric_ratio(*crossings.values()),
    }


def show(console: Console, found: dict[str, Any]) -> None:
    table = Table(
        title="means [95 %, bootstrap over images]; ratios: geometric means; rank: Spearman's "
        "correlation of N with the change of the logits, over images"
    )
    for heading in (
        "length / minimal",
        "direction",
        "N (flips)",
        "|change of logits|",
        "of margin",
    ):
        table.add_column(heading, justify="right")
    for heading in ("N ratio", "change ratio", "rank of N", "rank per length"):
        table.add_column(heading, justify="right")
    for row in found["scales"]:
        for kind in KINDS:
            ratios = (f"{row['predicted']:.2f}", f"{row['measured']:.2f}")
            table.add_row(
                f"{row['scale']:g}",
                kind,
                f"{row['flips'][kind]:.0f}",
                f"{row['change'][kind]:.2f}",
                f"{row['margin'][kind]:.2f}",
                *(ratios if kind == "adversarial" else ("", "")),
                f"{row['rank'][kind]:.2f}",
                f"{row['rank_per_length'][kind]:.2f}",
            )
    console.print(table)
    for name, estimate in found["rank_over_scales"].items():
        console.print(f"rank correlation over an image's own pairs, {name}: {estimate:.2f}")
    if found["exact"]:
        console.print(f"exact crossings, {found['exact']['images']} images:", style="bold")
        for key in ("crossings", "crossings_to_flips"):
            for kind in KINDS:
                console.print(f"  {key}, {kind}: {found['exact'][key][kind]:.4g}")
        console.print(f"  ratio adversarial / random: {found['exact']['predicted']:.2f}")


def sentence(name: str, found: dict[str, Any]) -> str:
    row = found["scales"][SCALES.index(1.0)]
    return (
        f"{name}, {found['images']} images, at equal length: adversarial perturbations cross "
        f"{row['predicted']:.2f} times as many hyperplanes as random ones, and change the logits "
        f"{row['measured']:.1f} times as much; among perturbations of one kind N's rank "
        f"correlation with the change is {row['rank']['adversarial']:.2f} (adversarial) and "
        f"{row['rank']['random']:.2f} (random), the length's own "
        f"{row['rank_of_length']['adversarial']:.2f} and {row['rank_of_length']['random']:.2f}, "
        f"and that of N with the change, both divided by the length, "
        f"{row['rank_per_length']['adversarial']:.2f} and {row['rank_per_length']['random']:.2f}."
    )
