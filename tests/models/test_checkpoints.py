"""Weights come from whole, harmless files that fit, or not at all."""

import contextlib
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bandlimiter.errors import LoadError
from bandlimiter.models import CifarResNet, load_model, load_weights, read_weights


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "best_prec1": 91.7, "epoch": 3},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {key: v for key, v in state.items() if "num_batches" not in key},
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_torch_checkpoints(network, tmp_path, wrap, legacy):
    path = tmp_path / "weights.th"
    torch.save(wrap(network.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_weights(other, path)
    assert same(network, other)


def test_a_network_with_a_part_called_module_loads_its_own_file(network, tmp_path):
    path = tmp_path / "weights.pt"
    wrapped = nn.DataParallel(network)
    torch.save(wrapped.state_dict(), path)
    other = nn.DataParallel(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    load_weights(other, path)
    assert same(wrapped, other)


@pytest.mark.parametrize("seed", range(40))
def test_corrupted_bytes_are_a_load_error_or_harmless(network, tmp_path, seed):
    path = tmp_path / "weights.th"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    draw = torch.Generator().manual_seed(seed)
    for place in torch.randint(len(content), (8,), generator=draw).tolist():
        content[place] = int(torch.randint(256, (1,), generator=draw))
    path.write_bytes(content)
    with contextlib.suppress(LoadError):  # anything else ends the test
        read_weights(path)


def test_safetensors(network, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), path)
    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    load_weights(other, path)
    assert same(network, other)


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, legacy):
    path, marker = tmp_path / "weights.pt", tmp_path / "ran"
    content = {"state_dict": Malicious(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(LoadError, match="would run the file's code"):
        read_weights(path)
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(LoadError):
        read_weights(path)
    assert not marker.exists()


def test_a_whole_pickled_model_is_refused(network, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(network, path)
    with pytest.raises(LoadError, match="state_dict"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".th", ".pt", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_files(network, tmp_path, suffix, share):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        zipped = suffix == ".pt"
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(LoadError, match="damaged|not"):
        read_weights(path)


def test_other_failures(network, tmp_path):
    with pytest.raises(LoadError, match="found none"):
        read_weights(tmp_path / "none.pt")
    with pytest.raises(LoadError, match="found none"):
        read_weights(tmp_path)
    text = tmp_path / "text.pt"
    text.write_text("not a checkpoint")
    with pytest.raises(LoadError):
        read_weights(text)
    numbers = tmp_path / "numbers.pt"
    torch.save({"a": 1, "b": 2}, numbers)
    with pytest.raises(LoadError, match="expected a state dict in .*, found no tensors"):
        read_weights(numbers)
    empty = tmp_path / "empty.pt"
    torch.save({}, empty)
    with pytest.raises(LoadError, match="state dict"):
        read_weights(empty)


def test_weights_of_another_architecture(tmp_path):
    path = tmp_path / "resnet32.safetensors"
    save_file(CifarResNet(32).state_dict(), path)
    with pytest.raises(LoadError, match="0 missing, .* unexpected"):
        load_model("cifar-resnet20", path)
    with pytest.raises(LoadError, match="missing"):
        load_model("cifar-resnet56", path)


def test_weights_of_another_width(network, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(network.state_dict(), path)
    with pytest.raises(LoadError, match="of another shape"):
        load_weights(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), path)
