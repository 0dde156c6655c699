"""The operations that can be read, by their names in PyTorch's operator set (ATen).

A module's layers, the functional forms and the methods of tensors all come down to these,
so that one entry covers ``nn.ReLU``, ``F.relu``, ``x.relu_()`` and ``torch.relu``.
"""

from collections.abc import Callable
from typing import Any

import torch

from bandlimiter.errors import ConfigurationError
from bandlimiter.geometry.activation import Activation, clamp, hardtanh, leaky

aten = torch.ops.aten
Operation = Callable[..., Any]

KNOWN = (
    "Linear, convolutions (not circular ones), BatchNorm, ReLU, LeakyReLU, ReLU6, Hardtanh, max "
    "and average pooling, sums, concatenation, padding, slicing, reshaping, Dropout and Identity"
)


def _relu(x: Any) -> Activation:
    return leaky(0.0)


def _leaky_relu(x: Any, negative_slope: float = 0.01) -> Activation:
    return leaky(negative_slope)


def _hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> Activation:
    return hardtanh(low, high)


def _rrelu(
    x: Any, noise: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *_: Any
) -> Activation:
    if training:
        raise ConfigurationError("expected RReLU in evaluation mode; call .eval() first")
    return leaky((lower + upper) / 2)


def _prelu(x: Any, weight: torch.Tensor) -> Activation:
    if weight.numel() != 1:
        raise ConfigurationError(
            f"expected a PReLU with one slope for all channels, got {weight.numel()} slopes"
        )
    return leaky(float(weight))


def _threshold(x: Any, threshold: float, value: float) -> Activation:
    if threshold != value:
        raise ConfigurationError(
            f"expected a continuous Threshold (its value equal to its threshold), got value "
            f"{value} below {threshold}"
        )
    return clamp(threshold, None)


ACTIVATIONS: dict[Operation, Callable[..., Activation]] = {
    **dict.fromkeys((aten.relu.default, aten.relu_.default), _relu),
    **dict.fromkeys((aten.leaky_relu.default, aten.leaky_relu_.default), _leaky_relu),
    **dict.fromkeys((aten.hardtanh.default, aten.hardtanh_.default), _hardtanh),
    **dict.fromkeys((aten.relu6.default, aten.relu6_.default), lambda x: hardtanh(0.0, 6.0)),
    **dict.fromkeys(
        (aten.clamp.default, aten.clamp_.default), lambda x, low=None, high=None: clamp(low, high)
    ),
    **dict.fromkeys((aten.clamp_min.default, aten.clamp_min_.default), lambda x, m: clamp(m, None)),
    **dict.fromkeys((aten.clamp_max.default, aten.clamp_max_.default), lambda x, m: clamp(None, m)),
    **dict.fromkeys((aten.abs.default, aten.abs_.default), lambda x: leaky(-1.0)),
    **dict.fromkeys((aten.threshold.default, aten.threshold_.default), _threshold),
    aten._prelu_kernel.default: _prelu,
    aten.rrelu_with_noise.default: _rrelu,
}
"""Operations on one tensor -> the activation, from the operation's own arguments."""

MAX_POOLS = (
    aten.max_pool1d.default,
    aten.max_pool2d_with_indices.default,
    aten.max_pool3d_with_indices.default,
)
ADAPTIVE_MAX_POOLS = (aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default)
LARGEST_ALONG = (aten.amax.default, aten.max.dim)
LARGER_OF_TWO = (aten.maximum.default, aten.max.other)
MAXIMA = {*MAX_POOLS, *ADAPTIVE_MAX_POOLS, *LARGEST_ALONG, *LARGER_OF_TWO}

SOFTMAXES = (aten._softmax.default, aten._log_softmax.default)

SAME = (
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.lift_fresh.default,
)
"""Nothing changes but memory."""

CASTS = (aten._to_copy.default,)
"""To another type or memory format. Everything is read in one precision."""

RESHAPES = (aten.view.default, aten._unsafe_view.default, aten.reshape.default)
"""State the whole shape, with the batch."""

NORMS = (aten.native_batch_norm.default, aten._native_batch_norm_legit_no_training.default)

FIRST_ONLY = {
    *ACTIVATIONS,
    *MAX_POOLS,
    *ADAPTIVE_MAX_POOLS,
    *LARGEST_ALONG,
    *SOFTMAXES,
    *RESHAPES,
    *NORMS,
    aten.expand.default,
    aten.convolution.default,
    aten._adaptive_avg_pool2d.default,
    aten._adaptive_avg_pool3d.default,
    aten.avg_pool1d.default,
    aten.avg_pool2d.default,
    aten.avg_pool3d.default,
    aten.mv.default,
    aten.mean.dim,
    aten.sum.dim_IntList,
    aten.permute.default,
    aten.transpose.int,
    aten.slice.Tensor,
    aten.select.int,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten.index.Tensor,
    aten.index_select.default,
    aten.flip.default,
    aten.roll.default,
    aten.repeat.default,
    aten.constant_pad_nd.default,
    aten.reflection_pad1d.default,
    aten.reflection_pad2d.default,
    aten.reflection_pad3d.default,
    aten.replication_pad1d.default,
    aten.replication_pad2d.default,
    aten.replication_pad3d.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.channel_shuffle.default,
    aten.upsample_nearest1d.default,
    aten.upsample_nearest2d.default,
    aten.upsample_nearest3d.default,
    aten.upsample_linear1d.default,
    aten.upsample_bilinear2d.default,
    aten.upsample_bicubic2d.default,
    aten.upsample_trilinear3d.default,
    aten.neg.default,
    aten.neg_.default,
    aten.div.Tensor,
    aten.div_.Tensor,
    aten.div.Scalar,
    aten.mul.Scalar,
    aten.add.Scalar,
    aten.sub.Scalar,
    aten.rsub.Scalar,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.unbind.int,
}
"""What is known as a function of the first argument; the others must be constants."""

ONE_FACTOR = {aten.mul.Tensor, aten.mul_.Tensor, aten.mm.default, aten.bmm.default}
"""Products: affine as long as only one factor is computed from the input."""

ALL_TOGETHER = {
    aten.add.Tensor,
    aten.add_.Tensor,
    aten.sub.Tensor,
    aten.sub_.Tensor,
    aten.cat.default,
    aten.stack.default,
}
"""Affine in all arguments together."""

NUMBER_BY_NUMBER = {*ALL_TOGETHER, aten.mul.Tensor, aten.mul_.Tensor, aten.div.Tensor}
"""Constants of theirs may have one entry for each input of the batch."""

WITH_BIAS = {aten.addmm.default}
"""bias + x @ matrix: affine in the second argument."""

CONSTANTS = (
    aten.zeros_like.default,
    aten.ones_like.default,
    aten.full_like.default,
    aten.empty_like.default,
    aten.new_zeros.default,
    aten.new_ones.default,
    aten.new_full.default,
)
"""Take a tensor's shape and not its numbers."""

IN_PLACE = {
    aten.add_.Tensor: aten.add.Tensor,
    aten.sub_.Tensor: aten.sub.Tensor,
    aten.mul_.Tensor: aten.mul.Tensor,
    aten.div_.Tensor: aten.div.Tensor,
    aten.neg_.default: aten.neg.default,
}
"""What an affine operation in place computes."""
