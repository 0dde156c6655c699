"""Models of a user's own: by module, by file, as a program; what goes wrong is one line."""

import sys

import pytest
import torch
from torch import nn

from bandlimiter import load_model
from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models import load_small_network

BUILD = (
    "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3))\n"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory that is forgotten afterwards, with the modules imported in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["bandlimiter", "predict", "--model", "own"])
    before = set(sys.modules)
    (tmp_path / "of_mine").mkdir()
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize("spelling", ["./of_mine/nets.py", "of_mine/nets.py", "absolute", "dotted"])
def test_a_file_or_a_module_may_be_named(folder, spelling):
    (folder / "of_mine" / "nets.py").write_text("import beside_it, at_the_top\n" + BUILD)
    (folder / "of_mine" / "beside_it.py").write_text("")
    (folder / "at_the_top.py").write_text("")
    names = {"absolute": str(folder / "of_mine" / "nets.py"), "dotted": "of_mine.nets"}
    if spelling == "dotted":  # only a module that is run from its folder finds its neighbours
        (folder / "beside_it.py").write_text("")
    module = load_model(f"{names.get(spelling, spelling)}:build").module
    assert module(torch.rand(2, 3, 2, 2)).shape == (2, 3)
    assert not any(part.training for part in module.modules())


def test_a_name_may_be_the_module_itself(folder):
    (folder / "ready_net.py").write_text(BUILD + "net = build()\n")
    module = load_model("ready_net.py:net").module
    assert module(torch.rand(2, 3, 2, 2)).shape == (2, 3)
    assert not module.training


def test_a_file_in_the_working_directory_needs_no_dot(folder):
    (folder / "a-net.py").write_text(BUILD)
    assert isinstance(load_small_network("a-net.py:build"), nn.Sequential)
    assert load_model("a-net.py:build").name == "a-net.py:build"  # imported once, found again


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "import argparse\np = argparse.ArgumentParser()\n"
            "p.add_argument('--ckpt', required=True)\np.parse_args()\n",
            "arguments are required: --ckpt",
        ),
        ("import sys\nsys.exit()\n", "exit code None"),
        ("import sys\nsys.exit('no data here')\n", "no data here"),
        ("raise SystemExit(3)\n", "exit code 3"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("raise ValueError('two\\nlines')\n", "ValueError: two lines"),
        ("from .relative import x\n", "ImportError"),
        ("def build(:\n", "SyntaxError"),
    ],
)
@pytest.mark.parametrize("where", ["import", "factory"])
def test_what_ends_or_fails_is_one_line(folder, capsys, code, words, where):
    if where == "factory" and "(:" not in code:
        code = "def build():\n" + "".join(f"    {line}\n" for line in code.splitlines())
    (folder / "ends_badly.py").write_text(code)
    with pytest.raises(LoadError, match=words) as caught:
        load_model("ends_badly.py:build")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err == ""
    assert ("ends_badly" in sys.modules) == (where == "factory" and "(:" not in code)


def test_code_sees_no_arguments_and_its_words_are_kept(folder, capsys):
    (folder / "talks.py").write_text(
        "import argparse, sys\nprint('heard', file=sys.stderr)\nprint('said')\n"
        "args = argparse.ArgumentParser().parse_args()\n" + BUILD
    )
    load_model("talks.py:build")
    assert capsys.readouterr() == ("said\n", "heard\n")
    assert sys.argv == ["bandlimiter", "predict", "--model", "own"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("of_mine/nets.py", "FACTORY"),
        ("of_mine/nets.py:nobody", "no function|found none"),
        ("of_mine/none.py:build", "found none at"),
        ("of_mine/:build", "found none at"),
        ("of_mine/nets.py:pair", "nothing else, got tuple"),
        ("of_mine/nets.py:needs", "missing 1 required positional argument"),
        ("of_mine/torch.py:build", "imported already"),
    ],
)
def test_other_mistakes_are_one_line(folder, name, words):
    more = "def pair(): return build(), 3\ndef needs(size): return size\n"
    (folder / "of_mine" / "nets.py").write_text(BUILD + more)
    (folder / "of_mine" / "torch.py").write_text(BUILD)
    with pytest.raises((ConfigurationError, LoadError), match=words) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.Dropout(0.5)).eval()


def exported(dynamic=True):
    x = torch.rand(2, 3, 2, 2)
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    return torch.export.export(small(), (x,), dynamic_shapes=shapes)


def test_models_come_as_files(tmp_path):
    torch.jit.script(small().train()).save(tmp_path / "script.pt")
    torch.jit.trace(small(), torch.rand(2, 3, 2, 2)).save(tmp_path / "trace.ts")
    torch.export.save(exported(), tmp_path / "program.pt2")
    x = torch.rand(3, 3, 2, 2)
    for suffix in ("torchscript", "jit", "PT", "model", ""):
        copied = tmp_path / f"copy.{suffix}".rstrip(".")
        copied.write_bytes((tmp_path / "script.pt").read_bytes())
        torch.testing.assert_close(load_model(str(copied)).module(x), small()(x))
    for name in ("script.pt", "trace.ts", "program.pt2"):
        found = load_model(str(tmp_path / name)).module
        torch.testing.assert_close(found(x), small()(x))
        torch.testing.assert_close(load_small_network(str(tmp_path / name))(x), small()(x))


def test_files_that_are_no_model_are_one_line(tmp_path):
    torch.save(small().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(LoadError, match="--weights"):
        load_model(str(tmp_path / "weights.pt"))
    with pytest.raises(ConfigurationError, match="found none"):
        load_model(str(tmp_path / "nothing.pt2"))
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(LoadError, match=r"text\.pt, which is damaged or neither"):
        load_model(str(tmp_path / "text.pt"))
    torch.export.save(exported(dynamic=False), tmp_path / "one_size.pt2")
    with pytest.raises(ConfigurationError, match="dynamic batch dimension"):
        load_model(str(tmp_path / "one_size.pt2"))
    whole = (tmp_path / "one_size.pt2").read_bytes()
    (tmp_path / "half.pt2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match=r"half\.pt2, which is damaged or neither"):
        load_model(str(tmp_path / "half.pt2"))
    with pytest.raises(ConfigurationError, match="whole model"):
        load_model(str(tmp_path / "one_size.pt2"), tmp_path / "weights.pt")


def test_a_weights_key_needs_a_file():
    with pytest.raises(ConfigurationError, match="weights file"):
        load_model("sample", weights_key="ema")
