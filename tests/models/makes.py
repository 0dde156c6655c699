"""One small network, in every make in which people hand models over."""

import io
import warnings
from functools import cache
from pathlib import Path

import torch
from torch import nn

import bandlimiter

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def eager():
    torch.manual_seed(0)
    first = (bandlimiter.Normalise([0.5] * 3, [0.25] * 3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    rest = (nn.ReLU(), nn.Dropout(0.5), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5))
    return nn.Sequential(*first, *rest).eval()


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def exported(model, example=X, dynamic=True):
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    return torch.export.export(model, (example,), dynamic_shapes=shapes)


def loaded(script):
    buffer = io.BytesIO()
    torch.jit.save(script, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def traced(model, example=X):
    return torch.jit.trace(model, example, check_trace=False)


def wrapped_program():
    around = Wrapped(exported(eager()).module())
    around.training = False  # eval() is refused by the program inside
    return around


def partly_on_meta():
    model = eager()
    model[7].to("meta")
    return model


WORKING = {
    "eager": eager,
    "traced": lambda: traced(eager()),
    "scripted": lambda: torch.jit.script(eager()),
    "loaded": lambda: loaded(traced(eager())),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(eager())),
    "frozen-loaded": lambda: loaded(torch.jit.freeze(torch.jit.script(eager()))),
    "optimised": lambda: torch.jit.optimize_for_inference(torch.jit.script(eager())),
    "script-inside": lambda: nn.Sequential(nn.Identity(), loaded(traced(eager()))).eval(),
    "exported": lambda: exported(eager()).module(),
    "exported-inside": lambda: nn.Sequential(nn.Identity(), exported(eager()).module()),
    "exported-wrapped": wrapped_program,
    "compiled": lambda: torch.compile(eager(), backend="eager"),
    "fx": lambda: torch.fx.symbolic_trace(eager()),
    "data-parallel": lambda: nn.DataParallel(eager()),
    "half": lambda: eager().half(),
    "bfloat16": lambda: eager().bfloat16(),
    "double": lambda: eager().double(),
    "traced-bfloat16": lambda: traced(eager().bfloat16(), X.bfloat16()),
    "exported-bfloat16": lambda: exported(eager().bfloat16(), X.bfloat16()).module(),
}
"""Makes that answer as the eager network does."""

REFUSED = {
    "program": (lambda: exported(eager()), r"give its \.module\(\)"),
    "one-size": (lambda: exported(eager(), dynamic=False).module(), "dynamic batch dimension"),
    "one-size-inside": (
        lambda: Wrapped(exported(eager(), dynamic=False).module()),
        "dynamic batch dimension",
    ),
    "exported-in-training": (lambda: exported(eager().train()).module(), "exported in eval mode"),
    "traced-in-training": (lambda: traced(eager().train()).eval(), "exported in eval mode"),
    "fx-in-training": (lambda: torch.fx.symbolic_trace(eager().train()), "eval"),
    "scripted-in-training": (lambda: torch.jit.script(eager().train()), "eval"),
    "meta": (lambda: eager().to("meta"), "on the meta device"),
    "partly-meta": (partly_on_meta, "on the meta device"),
    "no-module": (lambda: eager().forward, r"torch\.nn\.Module"),
}
"""Makes that no entry point takes, and what is said."""


@cache
def made(name):
    """Make one, once, without PyTorch's words on what is old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (WORKING.get(name) or REFUSED[name][0])()


def factories(folder: Path) -> Path:
    """Write a module with a function for each make."""
    path = folder / "own_makes.py"
    names = {name.replace("-", "_"): name for name in (*WORKING, *REFUSED)}
    body = "".join(f"def {f}():\n    return made({name!r})\n" for f, name in names.items())
    path.write_text(f"from tests.models.makes import made\n{body}")
    return path
