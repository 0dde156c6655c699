"""What is hashed of code: what it does, and not how it is written."""

import importlib
import sys

from torch import nn

from bandlimiter.evaluation.fingerprints import meaning
from bandlimiter.evaluation.values import hash_of


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
