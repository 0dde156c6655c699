"""How far it is from `evaluate` to an attack and back: files, functions and frames.

Two evaluations of a tiny network under the interpreter's profiler: FGSM alone in memory, and both
threats with a run's folder. Files and functions are those of this package that were entered; frames
those between the caller and the deepest, and down to ``Attack.__call__``::

    python tools/evaluation/way.py
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import bandlimiter
from bandlimiter import PostAverage, evaluate

ROOM = str(Path(bandlimiter.__file__).parent)


class Way:
    """Counts what is entered while it is the profiler."""

    def __init__(self) -> None:
        self.functions: set[Any] = set()
        self.deepest = self.to_attack = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; what the interpreter calls."""
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(ROOM):
            return
        self.functions.add(code)
        depth = own_frames(frame)
        self.deepest = max(self.deepest, depth)
        if code.co_qualname == "Attack.__call__" and not self.to_attack:
            self.to_attack = depth

    @property
    def line(self) -> str:
        """Cells of a Markdown table."""
        files = {code.co_filename for code in self.functions}
        return f"| {len(files)} | {len(self.functions)} | {self.deepest} | {self.to_attack} |"


def own_frames(frame: FrameType | None) -> int:
    depth = 0
    while frame is not None:
        depth += frame.f_code.co_filename.startswith(ROOM)
        frame = frame.f_back
    return depth


def followed(work: Callable[[], object]) -> Way:
    work()  # what is loaded late is loaded now
    way = Way()
    sys.setprofile(way)
    try:
        work()
    finally:
        sys.setprofile(None)
    return way


def main() -> None:
    torch.manual_seed(0)
    layers = (torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    model = torch.nn.Sequential(*layers).eval()
    x = torch.rand(4, 3, 2, 2)
    data = x, model(x).argmax(dim=1)
    defence = PostAverage(model, radius=0.1, directions=2, scale=1.0)
    with tempfile.TemporaryDirectory() as folder:
        outs = iter(Path(folder, name) for name in ("first", "second"))
        ways = {
            "FGSM in memory": lambda: evaluate(
                model, defence, data, ["fgsm"], protocol="fixed", threat="transfer"
            ),
            "both threats, with a folder": lambda: evaluate(
                model, defence, data, ["fgsm"], quick=True, out=next(outs)
            ),
        }
        print("| | files | functions | frames | frames to the attack |\n|---|---|---|---|---|")
        for name, work in ways.items():
            print(f"| {name} {followed(work).line}")


if __name__ == "__main__":
    main()
