"""What it takes to keep ten thousand rows: seconds to write, to read, to make a page; the size.

python benchmarks/store.py [--rows 10000]

Rows are those of an evaluation of the packaged images under two attacks, 25 images per shard.
"""

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from timing import begin, end

from bandlimiter.report.html import Shown, write_page
from bandlimiter.results import Row
from bandlimiter.results.runs import RunStore, Shard, ShardResult, StoredRun

TOGETHER = 25


def row(image: int, attack: str) -> Row:
    """Return a row with numbers of as many digits as real ones have."""
    length = 0.5 / (image + 1) ** 0.5
    return Row(
        image=image, label=image % 10, attack=attack, protocol="minimal", threat="transfer",
        quick=False, epsilon=8 / 255, plain_clean=image % 10, defended_clean=image % 10, found=True,
        within_budget=image % 7 > 0, plain_adversarial=(image + 1) % 10,
        defended_adversarial=(image + image % 3) % 10, linf=length / 50, l2=length,
        l2_normalised=length * 4.4, queries=image % 50, gradients=image % 50,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    described = begin(threads=1)
    plan = [
        Shard(f"{start:05d}-{attack}", attack, tuple(range(start, start + TOGETHER)))
        for attack in ("pgd", "fgsm")
        for start in range(0, args.rows // 2, TOGETHER)
    ]
    results = [ShardResult([row(i, each.item) for i in each.images]) for each in plan]
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder) / "run", Path(folder) / "page.html"
        times = [time.perf_counter()]
        with RunStore(run, {"seed": 0}, plan, settings={}) as store:
            for shard, result in zip(plan, results, strict=True):
                store.begin(shard)
                store.put(shard, result)
        times.append(time.perf_counter())
        stored = StoredRun.open(run)
        times.append(time.perf_counter())
        write_page([Shown.of(stored)], page)
        times.append(time.perf_counter())
        size, count = (run / "run.sqlite").stat().st_size, len(stored.rows())
        page_size = page.stat().st_size
    write, read, report = (b - a for a, b in pairwise(times))
    print(f"{count} rows in {len(plan)} shards: {size / 1e6:.2f} MB")
    print(f"write, each shard synced: {write:.2f} s ({1e3 * write / len(plan):.1f} ms per shard)")
    print(f"read and verify: {read:.2f} s")
    print(f"make the page ({page_size / 1e6:.2f} MB): {report:.2f} s")
    end(args.json, {"machine": described, "write": write, "read": read, "report": report})


if __name__ == "__main__":
    main()
