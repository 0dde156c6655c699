"""Our convolution is PyTorch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.geometry.graph import convolution as ours
from bandlimiter.geometry.graph.convolution import convolution

aten = torch.ops.aten


def drawn(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_shape(data):
    def between(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = between(1, 2)
    kernel, stride = [between(1, 4), between(1, 4)], [between(1, 3), between(1, 3)]
    padding, dilation = [between(0, 3), between(0, 3)], [between(1, 2), between(1, 2)]
    transposed = data.draw(st.booleans()) and groups == 1
    lengths = [max(1, d * (k - 1) + 1 - 2 * p) + between(0, 4)
               for k, d, p in zip(kernel, dilation, padding, strict=True)]  # fmt: skip
    if transposed:
        lengths = [length + 2 * p for length, p in zip(lengths, padding, strict=True)]
    x = drawn(1, between(0, 3), 4, *lengths)
    weight = drawn(2, 4, 4 // groups, *kernel)
    bias = drawn(3, 4) if data.draw(st.booleans()) else None
    rest = (stride, padding, dilation, transposed, [0, 0], groups)
    expected = aten.convolution.default(x, weight, bias, *rest)
    with torch.no_grad():
        found = convolution(x, weight, bias, *rest)
    # Sums of at most 64 terms of order one, in another order.
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2**12, 2**30])
def test_however_many_images_are_done_at_once(size, monkeypatch):
    monkeypatch.setattr(ours, "_COLUMN_BYTES", size)
    x, weight = drawn(1, 5, 3, 6, 7), drawn(2, 4, 3, 3, 3)
    rest = ([1, 2], [1, 0], [1, 1], False, [0, 0], 1)
    with torch.no_grad():
        found = convolution(x, weight, None, *rest)
    expected = aten.convolution.default(x, weight, None, *rest)
    # Sums of 27 terms of order one, in another order.
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_memory_in_another_order():
    x, weight = drawn(1, 2, 6, 7, 3).permute(0, 3, 1, 2), drawn(2, 3, 3, 4, 3).transpose(1, 2)
    weight = weight.transpose(0, 1)[:, :3]
    rest = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    with torch.no_grad():
        found = convolution(x, weight, None, *rest)
    expected = aten.convolution.default(x, weight, None, *rest)
    # Sums of 27 terms of order one, in another order.
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_flow_where_they_are_asked_for():
    x, weight = drawn(1, 2, 3, 5, 5), drawn(2, 4, 3, 3, 3)
    rest = (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    assert torch.autograd.gradcheck(
        lambda x, weight: convolution(x, weight, *rest),
        (x.requires_grad_(), weight.requires_grad_()),
    )
