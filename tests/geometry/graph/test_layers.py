"""Each layer of PyTorch that can be read is read as what it is."""

import pytest
from torch import nn

from bandlimiter.geometry.graph import BendStep, MaxStep
from bandlimiter.tensors import Normalise
from tests.geometry.graph.checks import is_read

CONVOLUTIONS = {
    "1d": (nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), (3, 9)),
    "1d, groups": (nn.Conv1d(4, 6, 2, groups=2, bias=False), (4, 5)),
    "2d": (nn.Conv2d(3, 5, 3, padding=1), (3, 6, 7)),
    "2d, strides of their own": (nn.Conv2d(3, 5, (3, 2), stride=(2, 3), padding=(0, 1)), (3, 7, 8)),
    "2d, dilated": (nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 7, 6)),
    "2d, depthwise": (nn.Conv2d(4, 8, 3, groups=4), (4, 5, 5)),
    "2d, as wide as before": (nn.Conv2d(2, 3, (3, 5), padding="same"), (2, 6, 7)),
    "2d, reflecting": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5, 6)),
    "2d, replicating": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 5, 6)),
    "1d, reflecting": (nn.Conv1d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5)),
    "1d, replicating": (nn.Conv1d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 5)),
    "3d, replicating": (nn.Conv3d(2, 3, 2, padding=1, padding_mode="replicate"), (2, 3, 3, 4)),
    "3d": (nn.Conv3d(2, 3, 2, stride=(1, 2, 1), padding=1), (2, 3, 4, 5)),
    "transposed": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
        (4, 4, 5),
    ),
    "transposed 1d": (nn.ConvTranspose1d(3, 2, 4, stride=3), (3, 5)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    graph = is_read(*CONVOLUTIONS[name])
    assert not graph.layers


AFFINE = {
    "linear": (nn.Linear(4, 3), (4,)),
    "linear without bias": (nn.Linear(4, 3, bias=False), (4,)),
    "batch norm of vectors": (nn.BatchNorm1d(4), (4,)),
    "batch norm of sequences": (nn.BatchNorm1d(4), (4, 5)),
    "batch norm of images": (nn.BatchNorm2d(3), (3, 4, 5)),
    "batch norm without weights": (nn.BatchNorm2d(3, affine=False, eps=0.3), (3, 4, 5)),
    "our normalisation": (Normalise((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)), (3, 4, 5)),
    "average": (nn.AvgPool2d(3, stride=2, padding=1), (3, 6, 7)),
    "average of what is there": (
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=False, ceil_mode=True),
        (3, 6, 7),
    ),
    "average, rounded up": (nn.AvgPool2d((2, 3), ceil_mode=True), (2, 5, 7)),
    "average by a divisor": (nn.AvgPool2d(2, divisor_override=3), (2, 4, 6)),
    "average 1d": (nn.AvgPool1d(3, stride=2, padding=1), (3, 8)),
    "average 3d": (nn.AvgPool3d(2, stride=1), (2, 3, 4, 3)),
    "global average": (nn.AdaptiveAvgPool2d(1), (3, 5, 6)),
    "averages that do not divide": (nn.AdaptiveAvgPool2d((3, 4)), (3, 5, 6)),
    "averages of more than there is": (nn.AdaptiveAvgPool2d(7), (3, 5, 6)),
    "averages 1d": (nn.AdaptiveAvgPool1d(3), (3, 7)),
    "averages 3d": (nn.AdaptiveAvgPool3d(2), (2, 3, 5, 4)),
    "pixel shuffle": (nn.PixelShuffle(2), (8, 3, 4)),
    "pixel unshuffle": (nn.PixelUnshuffle(2), (2, 4, 6)),
    "channel shuffle": (nn.ChannelShuffle(3), (6, 2, 3)),
    "nearest": (nn.Upsample(scale_factor=2), (2, 3, 4)),
    "nearest to a size": (nn.Upsample(size=(5, 7)), (2, 3, 4)),
    "nearest 1d": (nn.Upsample(scale_factor=2), (2, 3)),
    "nearest 3d": (nn.Upsample(scale_factor=2), (2, 3, 2, 2)),
    "linear 1d": (nn.Upsample(scale_factor=2, mode="linear"), (2, 3)),
    "trilinear": (nn.Upsample(scale_factor=2, mode="trilinear"), (2, 3, 2, 2)),
    "bicubic": (nn.Upsample(size=(5, 7), mode="bicubic"), (2, 3, 4)),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4)),
    "bilinear at corners": (nn.Upsample(size=7, mode="bilinear", align_corners=True), (2, 3, 4)),
    "zeros": (nn.ZeroPad2d((1, 2, 0, 3)), (2, 3, 4)),
    "constants": (nn.ConstantPad2d((1, 2, -1, 3), 0.7), (2, 3, 4)),
    "reflections": (nn.ReflectionPad2d((1, 2, 0, 2)), (2, 3, 4)),
    "replications": (nn.ReplicationPad2d((1, 2, 0, 3)), (2, 3, 4)),
    "reflections 3d": (nn.ReflectionPad3d(1), (2, 3, 4, 2)),
    "flatten": (nn.Flatten(), (2, 3, 4)),
    "flatten some": (nn.Flatten(2, 3), (2, 3, 4)),
    "unflatten": (nn.Unflatten(1, (2, 3)), (6, 4)),
    "identity": (nn.Identity(), (2, 3)),
    "dropouts": (nn.Sequential(nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(0.5)), (2, 3, 4)),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_layers(name):
    graph = is_read(*AFFINE[name])
    assert not graph.layers


ACTIVATIONS = {
    "ReLU": (nn.ReLU(), 1),
    "ReLU in place": (nn.ReLU(inplace=True), 1),
    "LeakyReLU": (nn.LeakyReLU(0.3), 1),
    "ReLU6": (nn.ReLU6(), 2),
    "ReLU6 in place": (nn.ReLU6(inplace=True), 2),
    "Hardtanh": (nn.Hardtanh(-0.3, 0.6), 2),
    "Threshold": (nn.Threshold(0.4, 0.4), 1),
    "Threshold in place": (nn.Threshold(-0.4, -0.4, inplace=True), 1),
    "PReLU": (nn.PReLU(init=0.2), 1),
    "RReLU": (nn.RReLU(0.1, 0.5), 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    layer, thresholds = ACTIVATIONS[name]
    [step] = is_read(layer, (3, 4)).layers
    assert isinstance(step, BendStep)
    assert step.shape == (3, 4)
    assert len(step.activation.thresholds) == thresholds


MAXIMA = {
    "1d": (nn.MaxPool1d(3, stride=2, padding=1), (2, 8)),
    "1d, dilated": (nn.MaxPool1d(2, stride=1, dilation=3), (2, 8)),
    "2d": (nn.MaxPool2d(2), (3, 6, 7)),
    "2d, as a ResNet begins": (nn.MaxPool2d(3, stride=2, padding=1), (3, 6, 7)),
    "2d, dilated": (nn.MaxPool2d((2, 3), stride=1, dilation=(2, 1), padding=(1, 0)), (2, 5, 6)),
    "2d, rounded up": (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 6, 8)),
    "3d": (nn.MaxPool3d(2, stride=(1, 2, 1), padding=1), (2, 3, 4, 3)),
    "adaptive 1d": (nn.AdaptiveMaxPool1d(3), (2, 7)),
    "adaptive 2d": (nn.AdaptiveMaxPool2d((3, 1)), (2, 5, 4)),
    "adaptive 3d": (nn.AdaptiveMaxPool3d(2), (2, 3, 5, 4)),
}


@pytest.mark.parametrize("name", MAXIMA)
def test_max_pooling(name):
    [step] = is_read(*MAXIMA[name]).layers
    assert isinstance(step, MaxStep)
