"""What is hashed of code: what it does, and not how it is written."""

import importlib
import sys

import pytest
import torch
from torch import nn

from bandlimiter.evaluation.fingerprints import meaning
from bandlimiter.evaluation.values import changing, hash_of


class Ending(nn.Module):
    """A module that holds a function of a user's own."""

    def __init__(self, end):
        super().__init__()
        self.end = end

    def forward(self, x):
        return self.end(x)


def test_only_what_code_does_counts():
    plain = "def f(x):\n    return x + 1\n"
    said = '"""A module."""\n\n\ndef f(x):\n    """Say so."""\n    return x + 1  # one\n'
    assert meaning(plain) == meaning(said) != meaning(plain.replace("1", "2"))


def test_a_comment_beside_a_user_s_code_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = (
        "SIGN = 1\n\n\ndef helper(z):\n    return SIGN * z\n\n\ndef end(z):\n    return helper(z)\n"
    )
    variants = {
        "same": source,
        "comment": "# Note.\n" + source.replace("def end(z):", 'def end(z):\n    """Doc."""'),
        "other function": source + "\n\ndef unused():\n    return 3\n",
        "constant": source.replace("SIGN = 1", "SIGN = -1"),
        "helper": source.replace("SIGN * z", "SIGN - z"),
    }
    found = {}
    for name, text in variants.items():
        (tmp_path / "ends_of_mine.py").write_text(text)
        sys.modules.pop("ends_of_mine", None)
        importlib.invalidate_caches()
        found[name] = hash_of(Ending(importlib.import_module("ends_of_mine").end))
    assert found["same"] == found["comment"] == found["other function"]
    assert len({found["same"], found["constant"], found["helper"]}) == 3


CALLS = []


class Stateful(nn.Module):
    """Answers alike each time, whatever it notes meanwhile."""

    def __init__(self, kind, factor=1.0):
        super().__init__()
        self.kind, self.factor = kind, factor
        self.calls, self.seen, self.last, self.ready = 0, [], None, False
        self.register_buffer("batches", torch.zeros(()))
        self.body = nn.Flatten()
        noted = {}
        if kind == "hook":
            self.body.register_forward_hook(lambda part, given, out: noted.update(out=out))

    def forward(self, x):
        if self.kind == "counter":
            self.calls += 1
        elif self.kind == "list":
            self.seen.append(x.mean())
        elif self.kind == "activations":
            self.last = x
        elif self.kind == "new attribute":
            self.kept = x
        elif self.kind == "buffer":
            self.batches += 1
        elif self.kind == "global":
            CALLS.append(1)
        elif self.kind == "built late":
            self.ready = True
        return self.factor * self.body(x)


@pytest.mark.parametrize(
    "kind",
    ["counter", "list", "activations", "new attribute", "buffer", "hook", "global", "built late"],
)
def test_what_a_model_notes_while_it_runs_is_no_setting(kind):
    x = torch.full((1, 1, 2, 2), 0.25)

    def named(model):
        return hash_of(model, frozenset(changing(model, model, x)))

    model = Stateful(kind)
    new = named(model)
    for value in (0.1, 0.7, 0.9):
        model(torch.full((2, 1, 2, 2), value))
    assert named(model) == new == named(Stateful(kind))
    assert new != named(Stateful(kind, factor=2.0))
    assert new != named(Stateful("none"))


def test_a_model_that_fails_is_hashed_with_all_that_it_has():
    def fail(x):
        raise TypeError("no")

    assert changing(Stateful("counter"), fail, torch.zeros(1, 2)) == set()
