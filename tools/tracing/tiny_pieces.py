"""Do adversarial points lie in tiny regions? The paper says so (section 2.2); this measures.

The length of the affine piece around a point, along random isotropic lines and along the
line from the clean image, at: the clean image; PGD's minimal and full-budget adversarial
images; and, for each of the two, a random point at the same distance. The lines are
the same for all points of an image; lengths are in the network's normalised input space::

    python tools/tracing/tiny_pieces.py --model cifar-resnet20 --weights FILE --data npz:FILE \
        --out DIR
"""

import argparse
import json
from typing import Any

import numpy as np
import torch
from intervals import Estimate, geometric_ratio, mean
from ledger import Ledger, Row
from rich.console import Console
from rich.table import Table
from subjects import Subject, adversarial, directions, lengths, load_subject, parser, run, unit

from bandlimiter.geometry.tracing import piece_around

PAIRS = {"minimal": "random, minimal's distance", "fixed": "random, fixed's distance"}
"""Each kind of adversarial point, and the random one to compare it with."""

KINDS = ("clean", *(kind for pair in PAIRS.items() for kind in pair))


def places(subject: Subject, found: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Return the points [N, ...] of each kind, in normalised units."""
    clean = subject.points(subject.pixels)
    points = {"clean": clean}
    for protocol, beside in PAIRS.items():
        points[protocol] = subject.points(found[protocol])
        distance = lengths(points[protocol] - clean).view(-1, 1, 1, 1)
        isotropic = [directions(clean[0], 1, seed, beside, key) for key in subject.ids.tolist()]
        points[beside] = clean + distance * torch.cat(isotropic)
    return points


def measure(subject: Subject, points: dict[str, torch.Tensor], args) -> list[Row]:
    """Return a row for each image: by kind, the pieces along the lines and along its own."""

    def row(i: int) -> Row:
        clean = points["clean"][i]
        across = directions(clean, args.lines, args.seed, "lines", int(subject.ids[i]))
        pieces, along = {}, {}
        for kind in KINDS:
            # The clean image's own line is the one to the minimal adversarial point.
            end = points["minimal" if kind == "clean" else kind][i]
            own = unit((end - clean)[None])
            d = torch.cat([across, own])
            x = points[kind][i].expand_as(d)
            *pieces[kind], along[kind] = piece_around(subject.graph, x, d).length.tolist()
        return {"across": pieces, "along": along}

    ledger = Ledger(args.out / "tiny_pieces.jsonl", {"lines": args.lines})
    return ledger.fill(map(str, subject.ids.tolist()), row, "pieces")


def summarise(rows: list[Row], points: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return, by kind, lengths over all lines and ratios paired by image."""
    across = {kind: np.array([row["across"][kind] for row in rows]) for kind in KINDS}
    along = {kind: np.array([row["along"][kind] for row in rows]) for kind in KINDS}
    typical = {kind: np.exp(np.log(across[kind]).mean(axis=1)) for kind in KINDS}
    found: dict[str, Any] = {"images": len(rows), "lines": across["clean"].shape[1], "kinds": {}}
    for kind in KINDS:
        found["kinds"][kind] = {
            "distance": mean(lengths(points[kind] - points["clean"])),
            "median": float(np.median(across[kind])),
            "geometric_mean": Estimate(*np.exp(mean(np.log(typical[kind])))),
            "to_clean": geometric_ratio(typical[kind], typical["clean"]),
            "along": Estimate(*np.exp(mean(np.log(along[kind])))),
        }
    found["adversarial_to_random"] = {
        kind: {
            "across": geometric_ratio(typical[kind], typical[beside]),
            "along": geometric_ratio(along[kind], along[beside]),
            "smaller_for": float((typical[kind] < typical[beside]).mean()),
        }
        for kind, beside in PAIRS.items()
    }
    return found


def show(console: Console, found: dict[str, Any]) -> None:
    table = Table(title="length of the affine piece around a point [95 %, bootstrap over images]")
    headings = (
        "distance",
        "median",
        "geometric mean",
        "to the clean image's",
        "along its own line",
    )
    for heading in ("at", *headings):
        table.add_column(heading, justify="left" if heading == "at" else "right")
    for kind, row in found["kinds"].items():
        table.add_row(
            kind,
            f"{row['distance']:.2f}",
            f"{row['median']:.3e}",
            f"{row['geometric_mean']:.3e}",
            f"{row['to_clean']:.3f}",
            f"{row['along']:.3e}",
        )
    console.print(table)


def verdict(ratio: Estimate) -> str:
    if ratio.high < 1:
        return "shorter than"
    return "longer than" if ratio.low > 1 else "not to be told from"


def sentence(name: str, found: dict[str, Any]) -> str:
    own = found["adversarial_to_random"]
    parts = [
        f"at {kind} adversarial points pieces are {verdict(own[kind]['across'])} those at random "
        f"points of equal distance, {own[kind]['across']:.3f} times as long along random lines "
        f"(shorter for {100 * own[kind]['smaller_for']:.0f} % of the images)"
        for kind in PAIRS
    ]
    kinds = found["kinds"]
    part = kinds["minimal"]["distance"].value / kinds["clean"]["geometric_mean"].value
    return (
        f"{name}, {found['images']} images, {found['lines']} lines each: {'; '.join(parts)}; next "
        f"to the clean image's, {kinds['minimal']['to_clean']:.3f} and "
        f"{kinds['fixed']['to_clean']:.3f}; and the clean image's own piece is 1/{part:.0f} of the "
        "way to its minimal adversarial point."
    )


def main(args: argparse.Namespace) -> None:
    console = Console(width=170)
    subject = load_subject(args)
    found = {kind: adversarial(subject, kind, args.out, args.seed) for kind in PAIRS}
    points = places(subject, found, args.seed)
    rows = measure(subject, points, args)
    result = summarise(rows, points)
    show(console, result)
    console.print(sentence(args.model, result), soft_wrap=True)
    document = {"model": args.model, "seed": args.seed, **result}
    (args.out / "tiny_pieces.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    options = parser(__doc__, limit=200)
    options.add_argument("--lines", type=int, default=20, help="random lines through a point")
    run(main, options)
