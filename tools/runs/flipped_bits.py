"""What one flipped bit in a run's database costs, and what `runs recover` gives back.

python tools/runs/flipped_bits.py --tries 3000
"""

import argparse
import datetime
import random
import tempfile
from collections import Counter
from pathlib import Path

import torch

from bandlimiter.errors import LoadError
from bandlimiter.results import Row
from bandlimiter.results.runs import RunStore, Shard, ShardResult, StoredRun, recover
from bandlimiter.tensors.device import processor_name

SHARDS, IMAGES = 40, 25
PLAN = [
    Shard(f"{n:04d}-pgd", "pgd", tuple(range(n * IMAGES, (n + 1) * IMAGES))) for n in range(SHARDS)
]


def row(image: int) -> Row:
    return Row(
        image=image, label=3, attack="pgd", protocol="minimal", threat="transfer", quick=False,
        epsilon=8 / 255, plain_clean=3, defended_clean=3, found=True, within_budget=True,
        plain_adversarial=5, defended_adversarial=3, linf=image / 255, l2=0.3, l2_normalised=1.25,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dice, refused = random.Random(args.seed), 0
    lost: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as base:
        run = Path(base) / "run"
        with RunStore(run, {"seed": 0}, PLAN, settings={"classes": ["cat"] * 10}) as store:
            for shard in PLAN:
                store.put(shard, ShardResult([row(image) for image in shard.images]))
        whole = (run / "run.sqlite").read_bytes()
        for _ in range(args.tries):
            data = bytearray(whole)
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
            (run / "run.sqlite").write_bytes(data)
            try:
                StoredRun.open(run)
            except LoadError:
                refused += 1
            try:
                lost[SHARDS - recover(run)[0]] += 1
            except LoadError:
                lost[SHARDS] += 1
    processor = processor_name(torch.device("cpu"))
    print(
        f"{args.tries} bits flipped one at a time in a database of {len(whole):,} bytes, {SHARDS} "
        f"shards of {IMAGES} rows; {processor}, {datetime.date.today()}"
    )
    print(f"refused until recovered: {refused / args.tries:.2%}")
    for shards, count in sorted(lost.items()):
        print(f"{shards:3} shards lost after recovery: {count / args.tries:.2%}")


if __name__ == "__main__":
    main()
