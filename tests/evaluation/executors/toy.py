"""A worker that computes rows from a shard, and does what it is told on some images."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.results import Row
from bandlimiter.results.runs import Shard, ShardResult
from bandlimiter.tensors import generator


def plan(shards: int, size: int = 2) -> list[Shard]:
    """Return a plan of so many shards of so many images."""
    return [Shard(f"{n:02d}", "toy", tuple(range(n * size, (n + 1) * size))) for n in range(shards)]


@dataclass(frozen=True)
class Toy:
    """``orders``: image -> what happens before it is worked on; ``once:...`` only the first time.

    ``after``: the same, when its shard is computed and not yet returned. ``folder`` is where
    processes leave marks; ``building`` an order obeyed on building.
    """

    folder: Path
    orders: Mapping[int, str] = field(default_factory=dict)
    after: Mapping[int, str] = field(default_factory=dict)
    building: str = ""

    def start(self) -> None:
        if "started" in vars(self):
            return
        obey(self.building, self.folder, "building")
        mark(self.folder / f"built-{os.getpid()}")
        vars(self)["started"] = True

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "started"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def merge(self, shard: Shard, parts: Sequence[ShardResult]) -> ShardResult:
        arrays = [part.arrays["images"] for part in parts if part.arrays]
        return ShardResult(
            [row for part in parts for row in part.rows],
            {"images": np.concatenate(arrays)} if arrays else {},
            {"threads": torch.get_num_threads()},
        )

    def failed(self, shard: Shard, error: str) -> ShardResult:
        (image,) = shard.images
        return ShardResult([row(image, -1, 0.0, error)])

    def do(self, shard: Shard) -> ShardResult:
        orders, folder = self.orders, self.folder
        for image in shard.images:
            obey(orders.get(image, ""), folder, f"before-{image}")
        rows, arrays = [], []
        for image in shard.images:
            values = torch.rand(400, 400, generator=generator(7, "toy", image))
            product = values @ values.softmax(1)  # sums of many numbers: threads could show
            rows.append(row(image, int(product.sum(0).argmax()), float(product.norm())))
            arrays.append(product[:4].numpy())
            if orders.get(image) == "large":
                arrays = [np.zeros((2_000_001, 1), np.float32)]
        for image in shard.images:
            obey(self.after.get(image, ""), folder, f"after-{image}")
        large = len(arrays[0]) > 4
        return ShardResult(
            rows,
            {"images": arrays[0] if large else np.stack(arrays)},
            {"threads": torch.get_num_threads()},
        )


def row(image: int, answer: int, length: float, error: str | None = None) -> Row:
    return Row(
        image=image, label=1, attack="toy", protocol="fixed", threat="transfer", quick=False,
        epsilon=0.1, plain_clean=answer, defended_clean=answer, found=error is None,
        within_budget=False, plain_adversarial=None, defended_adversarial=None,
        linf=length, l2=length, l2_normalised=None, error=error,
    )  # fmt: skip


def mark(path: Path) -> None:
    """Leave a file that is there whole or not at all, with the process's number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(str(os.getpid()))
    temporary.replace(path)


def obey(order: str, folder: Path, place: str) -> None:
    """Do what an order says."""
    if order.startswith("once:"):
        path = folder / place
        if path.exists():
            return
        order = order.removeprefix("once:")
        mark(path)
    elif order:
        mark(folder / f"{place}-{os.getpid()}")
    if order == "gather":
        while len(list(folder.glob("built-*"))) < 2:
            time.sleep(0.02)
    elif order == "large":
        pass
    elif order == "device":
        (folder / f"device-{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    elif order:
        _ORDERS[order]()


def _raise(error: BaseException) -> Callable[[], None]:
    def raising() -> None:
        raise error

    return raising


class OddError(Exception):
    """Has what no pipe carries."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.function = lambda: None


def _print() -> None:
    print("from python")
    os.write(1, b"from below python\n")
    sys.stdout.flush()


_ORDERS: Mapping[str, Callable[[], object]] = {
    "raise": _raise(ValueError("bad\nimage")),
    "unpicklable": _raise(OddError("odd")),
    "leave": lambda: sys.exit(3),
    "configuration": _raise(ConfigurationError("expected sense, got none")),
    "memory": _raise(MemoryError("full")),
    "accelerator": _raise(torch.AcceleratorError("device-side assert")),
    "no file": _raise(FileNotFoundError(2, "No such file")),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(5),
    "sleep": lambda: time.sleep(600),
    "print": _print,
}
