"""Labels and samples of every way to average, on whole sets of images."""

from typing import Any

import torch
from averaging_ways import Way

SHARES = (0.5, 0.9, 0.95, 0.99)


def compare(ways: dict[str, Way], x: torch.Tensor, loop: str) -> dict[str, Any]:
    """Answer all images in every way that averages, and count labels other than the loop's."""
    reference = ways[loop].answer(x).labels
    full: dict[torch.dtype, torch.Tensor] = {torch.float32: reference}
    rows = {}
    for name, way in ways.items():
        if not way.averages or name == loop:
            continue
        found = way.answer(x)
        if way.evaluations is not None and way.dtype not in full:
            full[way.dtype] = found.labels
        samples = found.samples.double().sort(descending=True).values
        rows[name] = {
            "images": len(x),
            "agreement": float((found.labels == reference).double().mean()),
            "agreement_same_dtype": float((found.labels == full[way.dtype]).double().mean()),
            "mean_samples": float(samples.mean()),
            "quantiles": {q: float(samples.quantile(q)) for q in SHARES},
            "spent_on_hardest_5_percent": float(samples[: -(-len(x) // 20)].sum() / samples.sum()),
            "samples": found.samples.tolist() if way.evaluations is None else None,
        }
    return rows


def print_labels(name: str, rows: dict[str, Any]) -> None:
    print(f"\n{name}: labels against the float32 loop's, and against the same dtype's full average")
    print(
        f"{'':30} {'images':>6} {'agree':>7} {'same':>7} {'samples':>8} "
        f"{' '.join(f'{q:>5.0%}' for q in SHARES)}  spent on the hardest 5 %"
    )
    for way, row in rows.items():
        quantiles = " ".join(f"{value:5.0f}" for value in row["quantiles"].values())
        print(
            f"{way:30} {row['images']:6} {row['agreement']:7.4f} "
            f"{row['agreement_same_dtype']:7.4f} {row['mean_samples']:8.2f} {quantiles}  "
            f"{row['spent_on_hardest_5_percent']:.2f}"
        )
