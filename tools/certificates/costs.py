"""What a certificate costs beside the network's evaluations: the draws, and the bound.

python tools/certificates/costs.py
"""

import time
from collections.abc import Callable
from functools import partial

import torch

from bandlimiter.defence.certificates.evidence import EVIDENCE
from bandlimiter.defence.certificates.margins import BLOCK
from bandlimiter.sampling import build_sampler, draw_vectors
from bandlimiter.tensors import generator

SAMPLES, REPEATS = 1000, 3


def quickest(work: Callable[[], object]) -> float:
    """Return processor seconds, the least of three: what else runs disturbs only upwards."""
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> None:
    torch.set_num_threads(1)
    for shape in ((3, 32, 32), (3, 224, 224)):
        for name in ("ball", "gaussian"):
            draw = partial(
                draw_vectors, build_sampler(name), BLOCK // 6, torch.Size(shape), 0, "costs"
            )
            seconds = quickest(draw) * SAMPLES / BLOCK
            print(f"{SAMPLES:,} draws, {name}, {shape}: {seconds:.2f} s")
    for classes in (10, 1000):
        gains = torch.rand(1, classes, SAMPLES, generator=generator(0, "costs")).double()
        stakes = torch.ones(1, classes, dtype=torch.float64)
        seconds = quickest(partial(EVIDENCE["softmax"].bounds, gains, stakes, 1e-3))
        print(f"bound of {SAMPLES:,} scores, {classes} classes: {seconds:.3f} s")


if __name__ == "__main__":
    main()
