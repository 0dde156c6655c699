"""Hold PostAverage against a loop written from the paper alone, on a real network.

The loop works in the network's normalised input space, one image and one neighbour at a
time, and shares only the directions with the library. Prints plain and defended accuracy
and the largest difference of the averaged probabilities::

    python tools/check_defence.py --model cifar-resnet56 --weights resnet56.th --data npz:FILE
"""

import argparse
import time

import torch

from bandlimiter import PostAverage, load_data, load_model
from bandlimiter.models import Classifier


@torch.no_grad()
def written_out(classifier: Classifier, defended: PostAverage, images: torch.Tensor):
    """Averaged probabilities by the loop: [N, classes]."""
    normaliser, network = classifier.module[0], classifier.module[1]
    rows = []
    for image in images:
        x = normaliser(image[None])
        total = network(x).softmax(1)
        count = 1
        for direction in defended.drawn_directions:
            for step in (defended.radius / 3, 2 * defended.radius / 3, defended.radius):
                total += network(x + step * direction).softmax(1)
                total += network(x - step * direction).softmax(1)
                count += 2
        rows.append(total / count)
    return torch.cat(rows)


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    classifier = load_model(args.model, args.weights)
    defended = PostAverage(classifier.module, args.radius or classifier.paper_radius)
    data = load_data(args.data, args.limit)
    images, labels = data.images(0, len(data)), data.labels
    print(f"{args.model}, {args.data}, {torch.get_num_threads()} threads, r = {defended.radius}")

    plain = torch.cat([classifier.module(part).argmax(1) for part in images.split(100)])
    print(f"plain accuracy of {len(data)} images: {float((plain == labels).float().mean()):.4f}")

    started = time.monotonic()
    averaged = defended.predict(images)
    seconds = time.monotonic() - started
    right = float((averaged.labels == labels).float().mean())
    print(f"defended accuracy of the same: {right:.4f} ({len(data) / seconds:.1f} images/s)")

    checked = images[: args.check]
    difference = averaged.probabilities[: args.check] - written_out(classifier, defended, checked)
    print(
        f"largest difference of {len(checked)} images' probabilities from the loop's: "
        f"{float(difference.abs().max()):.2e}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--radius", type=float)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--check", type=int, default=100)
    main(parser.parse_args())
