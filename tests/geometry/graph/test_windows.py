"""Windows hold what PyTorch's pooling takes the maximum of."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.geometry.graph.windows import adaptive_windows, axis_windows, pooling_windows

some = settings(max_examples=60, deadline=None)
POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


def integers(shape: list[int], seed: int) -> torch.Tensor:
    """[2, *shape] with ties and numbers below zero, which a padding by zeros would exceed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-9, 0, (2, *shape), generator=generator).double()


def largest(x: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    return x.flatten(1)[:, windows].amax(2)


@some
@given(data=st.data())
def test_pooling(data):
    axes = data.draw(st.integers(1, 3))

    def one_each(low: int, high: int) -> list[int]:
        return [data.draw(st.integers(low, high)) for _ in range(axes)]

    kernel, stride, dilation = one_each(1, 3), one_each(1, 3), one_each(1, 2)
    padding = [data.draw(st.integers(0, k // 2)) for k in kernel]
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    lengths = [span + data.draw(st.integers(0, 4)) for span in spans]
    x = integers([2, *lengths], data.draw(st.integers(0, 99)))
    rounded_up = data.draw(st.booleans())
    expected = POOL[axes](x, kernel, stride, padding, dilation, rounded_up)
    windows = pooling_windows(x.shape[1:], expected.shape[1:], kernel, stride, padding, dilation)
    assert windows.shape == (expected[0].numel(), torch.tensor(kernel).prod())
    assert torch.equal(largest(x, windows), expected.flatten(1))


@some
@given(data=st.data())
def test_adaptive_pooling(data):
    axes = data.draw(st.integers(1, 3))
    lengths = [data.draw(st.integers(1, 6)) for _ in range(axes)]
    outputs = [data.draw(st.integers(1, 7)) for _ in range(axes)]
    x = integers([3, *lengths], 0)
    expected = ADAPTIVE[axes](x, outputs)
    windows = adaptive_windows(x.shape[1:], expected.shape[1:], axes)
    assert torch.equal(largest(x, windows), expected.flatten(1))


@pytest.mark.parametrize("axes", [[0], [1], [2], [0, 2], [2, 0], [0, 1, 2]])
def test_axes(axes):
    x = integers([3, 4, 5], 1)
    windows = axis_windows(x.shape[1:], axes)
    expected = x.amax([axis + 1 for axis in axes]).reshape(2, -1)
    assert torch.equal(largest(x, windows), expected)
    # Each number is in one window.
    assert windows.flatten().sort().values.tolist() == list(range(60))
