"""Perceptrons survive a file unchanged; files that hold anything else are refused."""

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.models import (
    ACTIVATIONS,
    build_perceptron,
    load_perceptron,
    load_small_network,
    save_perceptron,
)


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in left
    )


def points(count=50, dtype=torch.float32):
    return torch.linspace(-3, 3, 2 * count, dtype=dtype).reshape(2, count).T.contiguous()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saved_and_loaded_it_is_the_same(tmp_path, activation, dtype, bias):
    # Twelve layers: as strings, "10.weight" would come before "2.weight".
    network = build_perceptron((2, *[3] * 11, 4), bias=bias, activation=activation, dtype=dtype)
    save_perceptron(network, tmp_path / "n.safetensors")
    loaded = load_perceptron(tmp_path / "n.safetensors")
    assert repr(loaded) == repr(network)
    assert same(loaded, network)
    assert not loaded.training
    assert torch.equal(loaded(points(dtype=dtype)), network(points(dtype=dtype)))


def test_the_file_is_a_plain_state_dict_that_names_its_activation(tmp_path):
    path = tmp_path / "n.safetensors"
    save_perceptron(build_perceptron((2, 3, 2), activation="hardtanh"), str(path))
    assert sorted(load_file(path)) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["activation"] == "hardtanh"


def test_a_single_layer(tmp_path):
    save_perceptron(build_perceptron((2, 3)), tmp_path / "n.safetensors")
    assert [type(module) for module in load_perceptron(tmp_path / "n.safetensors")] == [nn.Linear]


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(2, 3), nn.ReLU()),
        nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(0.2), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(2, 3), nn.ReLU6(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.Hardtanh(), nn.Linear(3, 2)),
        nn.Sequential(),
        nn.Linear(2, 3),
    ],
)
def test_what_the_file_could_not_tell_is_not_saved(network, tmp_path):
    with pytest.raises(ConfigurationError, match="nn.Sequential of Linear layers") as caught:
        save_perceptron(network, tmp_path / "n.safetensors")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["n.pt", "none/n.safetensors"])
def test_where_it_cannot_be_saved(tmp_path, name):
    with pytest.raises(ConfigurationError, match=r"\.safetensors|cannot write") as caught:
        save_perceptron(build_perceptron((2, 2)), tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".th"])
@pytest.mark.parametrize(
    "names",
    [
        "0 2 4",
        "1 4 7",
        "net.0 net.2 net.10",
        "layers.0 layers.1 layers.2",
        "module.a.9 module.a.10 module.a.11",
    ],
)
def test_plain_state_dicts_are_read_as_relu_networks(tmp_path, names, suffix):
    network = build_perceptron((2, 5, 4, 3), dtype=torch.float64)
    state = network.state_dict()
    state = {
        f"{new}.{what}": state[f"{old}.{what}"]
        for old, new in reversed([*zip((0, 2, 4), names.split(), strict=True)])
        for what in ("weight", "bias")
    }
    path = tmp_path / f"n{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    loaded = load_small_network(str(path))
    assert same(loaded, network)
    x = points(dtype=torch.float64)
    assert torch.equal(loaded(x), network(x))


def ones(*shape):
    return torch.ones(shape)


def linear_then(**others):
    return {"0.weight": ones(4, 2), "0.bias": ones(4), **others}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("state", "said"),
    [
        (nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)).state_dict(), "'1.(running|num_b)"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict(), r"'0.weight' .* \[4, 3, 3, 3\]"),
        (nn.Sequential(nn.Linear(2, 4), nn.PReLU()).state_dict(), r"'1.weight' .* \[1\]"),
        (linear_then(**{"2.weight": ones(3, 5)}), r"'2.weight' .* \[3, 5\], .* 4 outputs"),
        (linear_then(**{"2.bias": ones(3)}), "'2.bias' has no weight"),
        (linear_then(**{"2.weight": ones(3, 4), "2.bias": ones(4)}), r"'2.bias' .* be \[3\]"),
        (linear_then(**{"2.weight": ones(3, 4).double()}), "is torch.float.*, where others are"),
        (linear_then(**{"2.weight": ones(3, 4) / 0}), "'2.weight' holds infinite"),
        ({"0.weight": ones(3, 4).int()}, "'0.weight' is torch.int32"),
        ({"0.weight": ones(0, 4)}, r"'0.weight' is of shape \[0, 4\]"),
        ({"0.weight": ones(4, 2), "net.2.weight": ones(3, 4)}, "'.*weight' should be N.weight"),
        ({"00.weight": ones(4, 2)}, "'00.weight' should be N.weight"),
        ({"fc1.weight": ones(4, 2)}, "'fc1.weight' should be N.weight"),
        ({"0.weight_orig": ones(4, 2)}, "'0.weight_orig' should be N.weight"),
    ],
)
def test_every_other_file_is_refused_with_the_key_that_does_not_fit(tmp_path, state, said, suffix):
    path = tmp_path / f"n{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    with pytest.raises(LoadError, match=said) as caught:
        load_perceptron(path)
    assert "\n" not in str(caught.value)


def test_an_activation_that_nobody_knows(tmp_path):
    path = tmp_path / "n.safetensors"
    save_file({"0.weight": ones(4, 2)}, path, metadata={"activation": "gelu"})
    with pytest.raises(LoadError, match="names 'gelu'"):
        load_perceptron(path)


def test_a_function_builds_the_network(tmp_path, monkeypatch):
    network = "nn.Sequential(nn.Linear(2, 3), nn.Tanh())"
    source = f"from torch import nn\n\ndef build():\n    return {network}\n"
    (tmp_path / "planar_model_of_mine.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    network = load_small_network("planar_model_of_mine:build")
    assert isinstance(network[1], nn.Tanh)
    assert not network.training


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("no_such_network", ConfigurationError, r"file \(.*\) or as MODULE:FUNCTION; got 'no_such"),
        ("network.onnx", ConfigurationError, "or as MODULE:FUNCTION; got 'network.onnx'"),
        ("", ConfigurationError, "or as MODULE:FUNCTION; got ''"),
        ("no_such.safetensors", LoadError, "found none at no_such.safetensors"),
        ("no_such_module:build", ConfigurationError, "MODULE:FACTORY, got 'no_such_module:build'"),
        ("math:no_such", ConfigurationError, "a function 'no_such' in math"),
    ],
)
def test_sources_that_are_none(source, kind, said):
    with pytest.raises(kind, match=said) as caught:
        load_small_network(source)
    assert "\n" not in str(caught.value)
