"""What a fast copy makes of this machine: gradients a second by pass size, and predict's share.

OMP_NUM_THREADS=2 python benchmarks/fast_copy.py [--model NAME --weights FILE --data SOURCE]

Gradients (of the log-sum of the logits, by the inputs): of the model as it is, of the copy that
attacks follow, and of that copy compiled. Then evaluations a second of `PostAverage.predict` on
compiled copies, over the bare forward of the copy at its best pass size.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from timing import begin, end, model_parser
from torch import nn

from bandlimiter import PostAverage, accelerate, load_data, load_model
from bandlimiter.evaluation.precision import make_copies

PASSES = (4, 12, 25, 50, 100, 128)
SECONDS = 2.0


def rate(call: Callable[[], int]) -> float:
    """Return evaluations a second of what returns how many it made, after one untimed call."""
    call()
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS:
        count += call()
    return count / spent


def slope_of(network: nn.Module, x: torch.Tensor) -> int:
    """Take a gradient by x [N, ...]; return N."""
    at = x.clone().requires_grad_()
    torch.autograd.grad(network(at).logsumexp(dim=1).sum(), at)
    return len(x)


def main() -> None:
    given = model_parser(__doc__ or "", limit=500)
    args = given.parse_args()
    numbers: dict[str, Any] = {"machine": begin(threads=args.threads)}
    model = load_model(args.model, args.weights).module
    data = load_data(args.data, args.limit)
    x = data.images(0, len(data))
    copies = make_copies(model, x[:1])
    if copies is None:
        raise SystemExit("expected a model with a fast copy")
    began = time.perf_counter()
    compiled = torch.compile(copies.gradients, dynamic=True)
    slope_of(compiled, x[: PASSES[0]])
    slope_of(compiled, x[: PASSES[1]])
    numbers["seconds to compile"] = time.perf_counter() - began
    print(f"gradients a second (compiled in {numbers['seconds to compile']:.0f} s)")
    ways = {"the model": model, copies.name: copies.gradients, f"{copies.name}, compiled": compiled}
    for name, network in ways.items():
        found = {n: rate(lambda n=n, on=network: slope_of(on, x[:n])) for n in PASSES}
        numbers[name] = found
        print(f"  {name:20}", ", ".join(f"{n}: {value:.0f}" for n, value in found.items()))
    fast = accelerate(model, backend="compile", probe=x[:128]).model
    defence = PostAverage(fast, 6.0)

    def answer(count: int, stop: str) -> int:
        return int(defence.predict(x[:count], stop=stop).samples.sum())  # type: ignore[arg-type]

    def forward(n: int) -> int:
        with torch.no_grad():
            fast(x[:n])
        return n

    bare = {n: rate(lambda n=n: forward(n)) for n in (*PASSES, 64, 256) if n <= len(x)}
    best = max(bare.values())
    print(f"predict, over the bare copy's best of {best:.0f} evaluations a second")
    for count in sorted({1, 16, len(x)}):
        shares = {
            stop: rate(lambda c=count, s=stop: answer(c, s)) / best
            for stop in ("never", "exact", "anytime")
        }
        numbers[f"predict, {count} images"] = shares
        said = ", ".join(f"{stop} {share:.3f}" for stop, share in shares.items())
        print(f"  {count} images: {said}")
    end(args.json, numbers)


if __name__ == "__main__":
    main()
