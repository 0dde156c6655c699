"""Compiled code says what the network says, for every batch; where there is none, it is said."""

import copy
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from bandlimiter import PostAverage, accelerate
from bandlimiter.errors import BandlimiterError, ConfigurationError
from tests.acceleration.networks import Block, Branching, randomised


def operations(model, x):
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        model(x)
    return {event.key for event in seen.key_averages()}


@pytest.mark.slow
def test_one_compilation_serves_every_batch_and_every_caller(sample, photos):
    fast = accelerate(sample, "float32", "compile")
    assert fast.backend == "compile"
    assert fast.score_error < 1e-5  # 20 layers of float32 sums
    x = photos.images(0, 130)
    with torch.no_grad():
        expected = sample.module(x)
    # A stance: any further compilation is an error.
    with torch.compiler.set_stance("fail_on_recompile"):
        for count in (1, 2, 3, 17, 91, 128, 130):
            found = fast.model(x[:count])
            assert torch.allclose(found, expected[:count], atol=1e-4), count
        for other in (
            x.contiguous(memory_format=torch.channels_last),
            x.double(),
            x.flip(3).flip(3)[:, :, :, :],
            torch.cat([x, x])[:130],
        ):
            assert torch.allclose(fast.model(other), expected, atol=1e-4)
        with torch.inference_mode():
            made = x[:4].clone()
            assert torch.allclose(fast.model(made), expected[:4], atol=1e-4)
        assert torch.allclose(fast.model(made), expected[:4], atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.allclose(fast.model(x[:4]), expected[:4], atol=1e-4)
        with torch.no_grad():
            assert torch.allclose(
                fast.model(x[:4].clone().requires_grad_()), expected[:4], atol=1e-4
            )
        with pytest.raises(BandlimiterError, match="inference copy"):
            fast.model(x[:4].clone().requires_grad_())
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(fast.model, x.split(10)))
        assert torch.allclose(torch.cat(parts), expected, atol=1e-4)
    # Frozen: weights are constants in oneDNN's layout, and convolutions take up what follows.
    assert "mkldnn::_convolution_pointwise" in operations(fast.model, x[:4])

    larger = nn.functional.interpolate(x[:3], size=40)
    with torch.no_grad():
        assert torch.allclose(fast.model(larger), sample.module(larger), atol=1e-4)
    assert "mkldnn::_convolution_pointwise" in operations(fast.model, larger)

    twin = copy.deepcopy(fast.model)
    changed = {name: 2 * value for name, value in twin.state_dict().items() if "linear" in name}
    twin.load_state_dict({**twin.state_dict(), **changed})
    assert torch.allclose(twin(x[:5]), 2 * expected[:5], atol=2e-4)
    assert torch.allclose(fast.model(x[:5]), expected[:5], atol=1e-4)


@pytest.mark.slow
def test_post_averaging_a_compiled_bfloat16_copy(sample, photos):
    fast = accelerate(sample, "bfloat16", "auto")
    assert (fast.backend, fast.dtype) == ("compile", torch.bfloat16)
    assert fast.agreement == 1.0
    assert 1e-3 < fast.score_error < 0.1
    x = photos.images(0, 6)
    plain = PostAverage(sample.module, radius=6).eval().predict(x)
    defended = PostAverage(fast.model, radius=6).eval().predict(x)
    # A mean of 91 scores is no further off than the worst of them; 2: on other points.
    error = float((defended.probabilities - plain.probabilities).abs().max())
    assert error <= 2 * fast.score_error
    two = plain.probabilities.topk(2).values
    clear = two[:, 0] - two[:, 1] > 2 * error
    assert clear.sum() >= 5
    assert torch.equal(defended.labels[clear], plain.labels[clear])


def test_a_network_that_cannot_be_traced_runs_eagerly_and_says_so(caplog):
    torch.manual_seed(0)
    network, probe = randomised(Branching()), torch.rand(4, 4, 6, 6)
    with caplog.at_level(logging.WARNING, "bandlimiter"):
        found = accelerate(network, "bfloat16", "auto", probe=probe, most_score_error=1)
    assert found.backend == "eager"
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("going on without compile bfloat16: ")
    assert "\n" not in line
    with pytest.raises(ConfigurationError, match="that compile can run on this machine, got"):
        accelerate(network, "float32", "compile", probe=probe)


def test_a_switched_off_compiler_is_not_taken_for_compiled():
    network, probe = randomised(Block()), torch.rand(4, 4, 6, 6)
    off = torch._dynamo.config.patch(disable=True)
    with off, pytest.raises(ConfigurationError, match="switched off"):
        accelerate(network, "float32", "compile", probe=probe)


@pytest.mark.slow
def test_without_a_compiler_the_copy_is_eager_and_one_line_says_so(tmp_path):
    script = """
import logging, torch
from bandlimiter import accelerate
from bandlimiter.errors import ConfigurationError
from tests.acceleration.networks import Block, randomised
logging.basicConfig(format="%(name)s: %(message)s")
network, probe = randomised(Block()), torch.rand(4, 4, 6, 6)
print(accelerate(network, "bfloat16", probe=probe, most_score_error=1).backend)
try:
    accelerate(network, "float32", "compile", probe=probe)
except ConfigurationError as error:
    print(error)
"""
    environment = {
        **os.environ,
        "CXX": "/nonexistent/c++",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    backend, complaint = done.stdout.splitlines()
    assert backend == "eager"
    for text in (complaint, done.stderr):
        assert "InvalidCxxCompiler" in text
    lines = [line for line in done.stderr.splitlines() if line.startswith("bandlimiter")]
    assert len(lines) == 1
    assert "going on without compile" in lines[0]
