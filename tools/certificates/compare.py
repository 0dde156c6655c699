"""Draw the certified accuracy of several runs of ``bandlimiter certify`` in one picture.

python tools/certificates/compare.py RUN... --out STEM
"""

import argparse
import json
from pathlib import Path

from bandlimiter.draw import save_figure
from bandlimiter.draw.certified import draw_certified
from bandlimiter.results.certified_rows import read_certified


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("runs", type=Path, nargs="+", help="what --out was")
    given.add_argument("--out", type=Path, required=True, help="writes STEM.png and STEM.svg")
    args = given.parse_args()
    documents = [json.loads((run / "certified.json").read_text()) for run in args.runs]
    settings, reach = documents[0]["settings"], documents[0]["reach"]
    curves = {
        f"{document['settings']['sampler']}, {document['settings']['vote']}": [
            row.right_radius for row in read_certified(run)
        ]
        for document, run in zip(documents, args.runs, strict=True)
    }
    figure = draw_certified(
        curves,
        pixels=reach["best_pixels"] / reach["best"],
        needed=(f"{255 * settings['epsilon']:.3g}/255", reach["needed"]),
        title=f"{settings['model']}, r = {settings['radius']:g}, {settings['samples']:,} samples, "
        f"alpha = {settings['alpha']:g}, {documents[0]['images']} images",
    )
    for path in save_figure(figure, args.out):
        print(path)


if __name__ == "__main__":
    main()
