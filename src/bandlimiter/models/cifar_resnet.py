"""The CIFAR ResNets of He et al. (2016), section 4.2, with parameter-free shortcuts."""

import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

DEPTHS = (20, 32, 44, 56, 110)
"""The depths with published checkpoints: 6n + 2 layers, n blocks a stage."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""The family's published checkpoints normalise with ImageNet's statistics."""


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters (He et al., option A)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.pad = (channels - in_channels) // 2

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x
        if self.pad:
            shortcut = x[:, :, :: self.stride, :: self.stride]
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.pad, self.pad))
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class CifarResNet(nn.Module):
    """He et al.'s ResNet for 32x32 images; takes *normalised* input.

    Parameter names agree with the checkpoints that the paper used (Y. Idelbayev,
    pytorch_resnet_cifar10): ``conv1``, ``bn1``, ``layer1.0.conv1`` ... ``linear``.

    Parameters
    ----------
    depth
        6n + 2: 20, 32, 44, 56, 110.
    classes
        Number of outputs.
    """

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits: [N, 3, 32, 32] normalised -> [N, classes]."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: torch.Tensor = self.linear(out.mean(dim=(2, 3)))
        return logits


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [Block(channels, channels, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Block(in_channels, channels, stride), *rest)
