"""ONNX Runtime says what the network says."""

import copy
import logging

import pytest
import torch

from bandlimiter import PostAverage, accelerate
from bandlimiter.acceleration import onnx_session
from bandlimiter.errors import ConfigurationError, MissingExtraError
from tests.acceleration.networks import Block, BranchesWhenLarge, Branching, randomised


@pytest.fixture(scope="module")
def fast(sample):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs the extra onnx")
    return accelerate(sample, "float32")


def test_auto_takes_it_for_float32_and_every_batch_is_right(sample, fast, photos):
    assert fast.backend == "onnxruntime"
    assert fast.score_error < 1e-5  # 20 layers of float32 sums
    x = photos.images(0, 130)
    with torch.no_grad():
        expected = sample.module(x)
    for count in (1, 2, 17, 130):
        assert torch.allclose(fast.model(x[:count]), expected[:count], atol=1e-4), count
    plain = PostAverage(sample.module, radius=6).eval().predict(x[:3])
    defended = PostAverage(fast.model, radius=6).eval().predict(x[:3])
    assert torch.allclose(defended.probabilities, plain.probabilities, atol=1e-5)


def test_another_image_size_and_a_copy_are_exported_anew(sample, fast, photos):
    larger = torch.nn.functional.interpolate(photos.images(0, 3), size=40)
    twin = copy.deepcopy(fast.model)
    with torch.no_grad():
        assert torch.allclose(twin(larger), sample.module(larger), atol=1e-4)


def test_what_cannot_be_exported_goes_on_eagerly(fast, caplog):
    network, probe = randomised(Branching()), torch.rand(4, 4, 6, 6)
    with pytest.raises(ConfigurationError, match="that onnxruntime can run"):
        accelerate(network, "float32", "onnxruntime", probe=probe)
    with caplog.at_level(logging.WARNING, "bandlimiter"):
        assert accelerate(network, "float32", probe=probe).backend == "eager"
    assert "going on without onnxruntime" in caplog.text


def test_images_of_another_size_that_cannot_be_exported_run_eagerly(fast, caplog):
    torch.manual_seed(0)
    network = randomised(BranchesWhenLarge())
    found = accelerate(network, "float32", probe=torch.rand(4, 4, 8, 8))
    assert found.backend == "onnxruntime"
    x = torch.rand(3, 4, 16, 16)
    with caplog.at_level(logging.WARNING, "bandlimiter"), torch.no_grad():
        for count in (3, 1):
            # Float32 sums of 36 terms, folded and not.
            assert torch.allclose(found.model(x[:count]), network(x[:count]), atol=1e-5)
    ours = [record for record in caplog.records if record.name.startswith("bandlimiter")]
    (line,) = [record.message for record in ours]  # the exporter has warnings of its own
    assert line.startswith("inputs of shape (4, 16, 16) run eagerly: ")
    assert "\n" not in line


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setattr(onnx_session, "is_installed", lambda: False)
    network, probe = randomised(Block()), torch.rand(4, 4, 6, 6)
    with pytest.raises(MissingExtraError, match=r"pip install 'bandlimiter\[onnx\]'"):
        accelerate(network, "float32", "onnxruntime", probe=probe)
