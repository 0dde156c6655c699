"""Limits that are reached, and what cannot be traced: one line that says what to do."""

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.geometry.graph import read_graph
from bandlimiter.geometry.tracing import TraceLimitError, count_flips, piece_around, trace_line
from tests.geometry.checks import refuses
from tests.geometry.tracing.networks import SHAPE, network_of, two_images


@pytest.mark.parametrize("memory", [1e-9, 0.2, 512])
def test_a_trace_that_is_stopped_is_exact_as_far_as_it_goes(memory):
    network = network_of("relu", "max overlapping", "leaky", seed=8)
    start, end = two_images(8)
    whole = trace_line(network, start, end)
    allowed = len(whole) // 2
    with pytest.raises(TraceLimitError) as caught:
        trace_line(network, start, end, max_breakpoints=allowed, memory=memory)
    trace = caught.value.trace
    with refuses(TraceLimitError, f"at most {allowed} breakpoints", f"got {len(trace)}", "shorter"):
        raise caught.value
    assert len(trace) > allowed
    assert (trace.reached < 1) == (memory < 1)
    first = slice(int((whole.t <= trace.reached + 1e-12).sum()))
    np.testing.assert_allclose(trace.t, whole.t[first], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(trace.layer, whole.layer[first])
    np.testing.assert_array_equal(np.sort(trace.unit), np.sort(whole.unit[first]))
    # Roundings of interpolation in another order.
    t = np.linspace(0, trace.reached, 100)
    np.testing.assert_allclose(trace.at(t), whole.at(t), rtol=0, atol=1e-11)
    assert sum(trace.crossings.values()) == len(trace)
    assert trace_line(network, start, end, max_breakpoints=len(whole)).reached == 1


def test_progress_goes_to_the_end():
    told: list[tuple[int, int, str]] = []
    network = network_of("relu", seed=8)
    trace = trace_line(
        network, *two_images(8), memory=1e-9, progress=lambda *said: told.append(said)
    )
    done, total, what = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == total[-1]
    assert what[-1] == f"{len(trace)} breakpoints"
    assert len(told) > 10


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ([0.0, 1], [0.0, 1], ("two different inputs", "the same one twice")),
        ([0.0, 1], [np.nan, 1], ("two finite inputs", "NaN")),
        ([0.0, np.inf], [0.0, 1], ("two finite inputs", "infinite")),
        ([0.0, 1], [0.0, 1, 2], ("inputs of one shape without batch", "(2,) and (3,)")),
        (0.0, 1.0, ("inputs of one shape without batch", "()")),
        (["a"], ["b"], ("array of real numbers",)),
    ],
)
def test_points_that_do_not_serve(start, end, words):
    with refuses(InputError, *words):
        trace_line(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), start, end)


def test_a_batch_is_not_an_input():
    network = network_of("relu")
    with refuses(ConfigurationError, "inputs [N, 1, 2, 7, 7]", "Conv2d (0) failed"):
        trace_line(network, torch.zeros(1, *SHAPE), torch.ones(1, *SHAPE))
    with refuses(ConfigurationError, "inputs of shape (2, 7, 7)", "got (1, 2, 7, 7)"):
        trace_line(read_graph(network, SHAPE), torch.zeros(1, *SHAPE), torch.ones(1, *SHAPE))


@pytest.mark.parametrize("ask", [count_flips, piece_around])
def test_batches_that_do_not_serve(ask):
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    for first, second in ((1, 2), (0, 0)):
        with refuses(InputError, "of one shape", f"({first}, 2) and ({second}, 2)"):
            ask(network, torch.zeros(first, 2), torch.ones(second, 2))
    with refuses(InputError, "of one shape", "(2,) and (2,)"):
        ask(network, torch.zeros(2), torch.ones(2))
    with refuses(InputError, "finite", "NaN or infinite"):
        ask(network, torch.zeros(1, 2), torch.tensor([[0.0, torch.nan]]))


@pytest.mark.parametrize("memory", [0, -1, np.nan])
def test_no_memory(memory):
    with refuses(ConfigurationError, "memory above 0 mebibytes", str(memory)):
        trace_line(nn.ReLU(), [0.0], [1.0], memory=memory)


def test_layers_that_are_not_piecewise_linear():
    network = nn.Sequential(nn.Linear(2, 3), nn.GELU())
    with refuses(ConfigurationError, "piecewise linear", "GELU (layer 1)"):
        trace_line(network, [0.0, 0], [1.0, 1])
