"""Memory of a large sum: many simplices at many frequencies, never held at once.

OMP_NUM_THREADS=1 python benchmarks/streaming.py SIMPLICES FREQUENCIES

Prints the wall time and how far the peak of resident memory rose above what was resident
once the inputs, the libraries and the compiled loops were there. Run by transforms.py.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from bandlimiter.spectrum import simplex_transform

STATUS = Path("/proc/self/status")


def resident(field: str) -> int:
    """Return bytes: VmRSS (now) or VmHWM (the peak), or the peak for both without /proc."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(count: int, frequencies: int) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    vertices = rng.random((count, 3, 2))
    values = rng.standard_normal((count, 3, 1))
    angle = rng.uniform(0, 2 * np.pi, frequencies)
    waves = 100 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    simplex_transform(vertices[:4096], values[:4096], waves[:2])  # compiles

    before = resident("VmRSS")
    start = time.perf_counter()
    simplex_transform(vertices, values, waves)
    seconds = time.perf_counter() - start
    above = resident("VmHWM") - before
    given = vertices.nbytes + values.nbytes + waves.nbytes
    whole = 16 * count * frequencies
    each = seconds / (count * frequencies) * 1e9
    print(f"streamed: {count} simplices x {frequencies} frequencies, n = 2, |w| 100")
    print(f"{seconds:.1f} s, {each:.1f} ns an evaluation; inputs {given / 2**20:.1f} MiB")
    print(f"peak at most {above / 2**20:.2f} MiB above them (all terms: {whole / 2**20:.0f} MiB)")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
