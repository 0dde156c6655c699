"""What could be won by computing the first layer's response to the offsets once.

OMP_NUM_THREADS=2 python benchmarks/averaging_first_layer.py [--threads 2] [--model, ...]

The first layer is linear: its response to x + l v is its response to x plus l times that to
v, which a fixed draw would keep. That saves making the points and the first convolution, and
costs a sum over the first layer's outputs. Measured in turns: making the points; the part of
the network up to its first convolution; that sum; a whole pass of the fast copy.
"""

from collections.abc import Callable
from typing import Any

import torch
from timing import begin, end, median, model_parser, take_turns
from torch import nn

from bandlimiter import PostAverage, accelerate, load_data, load_model
from bandlimiter.tensors import find_normaliser


class Until(nn.Module):
    """The normaliser and the first convolution, in bf16, as the copy runs them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.normaliser = find_normaliser(model) or nn.Identity()
        convolutions = (m for m in model.modules() if isinstance(m, nn.Conv2d))
        self.convolution = next(convolutions).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the first layer's outputs."""
        with torch.autocast(x.device.type, torch.bfloat16):
            first: torch.Tensor = self.convolution(self.normaliser(x))
        return first


def main() -> None:
    args = model_parser(__doc__ or "", limit=128).parse_args()
    described = begin(threads=args.threads)
    classifier = load_model(args.model, args.weights)
    x = load_data(args.data, args.limit, size=classifier.input_size or 224).images(0, args.limit)
    defended = PostAverage(classifier.module, classifier.paper_radius or 6.0)
    around = defended.offsets.around(x, range(len(x)))
    owner = torch.arange(len(x))
    points = around.at(owner, owner % defended.evaluations)
    fast = accelerate(classifier.module, probe=x).model
    until = Until(classifier.module)
    kept = until(points)
    owned, lengths = kept.clone(), torch.rand(len(x), 1, 1, 1).to(kept.dtype)

    calls: dict[str, Callable[[], Any]] = {
        "making the points": lambda: around.at(owner, owner % defended.evaluations),
        "normaliser and first convolution": lambda: until(points),
        "the sum that would replace both": lambda: owned[owner].addcmul(lengths, kept[owner]),
        "a whole pass": lambda: fast(points),
    }
    times = take_turns(calls, args.rounds)
    whole = median(times["a whole pass"]) + median(times["making the points"])
    for name, seconds in times.items():
        print(f"{name:34} {1e3 * median(seconds):7.2f} ms {median(seconds) / whole:7.1%}")
    saved = sum(median(times[name]) for name in list(calls)[:2]) - median(times[list(calls)[2]])
    print(f"a pass could be at most {whole / (whole - saved):.3f} times as fast")
    end(args.json, {"machine": described, "seconds": times})


if __name__ == "__main__":
    main()
