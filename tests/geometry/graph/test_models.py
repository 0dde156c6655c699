"""Networks as people write them are read whole."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bandlimiter.geometry.graph import BendStep, MaxStep, read_graph
from tests.geometry.graph.checks import inputs, is_read, randomised


class Block(nn.Module):
    """With the shortcut that the first article on CIFAR calls A: zeros for new channels."""

    def __init__(self, given: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.planes, self.shrinks = planes, stride != 1 or given != planes

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x) if self.shrinks else x
        return F.relu(out)

    def shortcut(self, x):
        quarter = self.planes // 4
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter), "constant", 0)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(4, 4, 1), Block(4, 4, 1))
        self.layer2 = nn.Sequential(Block(4, 8, 2), Block(8, 8, 1))
        self.linear = nn.Linear(8, 10)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer2(self.layer1(out))
        out = F.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        return self.linear(out)


def test_a_resnet_for_small_images():
    torch.manual_seed(0)
    graph = is_read(ResNet(), (3, 16, 16))
    blocks = [f"layer{n}.{m}.relu" for n in (1, 2) for m in (0, 1)]
    # Functions have no names of their own: the block's, and which one of it.
    named = [name for block in blocks for name in (block, f"{block}#2")]
    assert [layer.name for layer in graph.layers] == ["relu", *named]


def test_the_packaged_network(sample):
    graph = read_graph(sample.module, (3, 32, 32))
    x = inputs(2, (3, 32, 32)).float()
    with torch.no_grad():
        expected = sample.module(x)
    # The module runs in float32: seven digits, and twenty layers cost one or two of them.
    scale = float(expected.abs().max())
    torch.testing.assert_close(graph(x.double()).float(), expected, rtol=0, atol=1e-5 * scale)


# The size of an image; how many activations and how many poolings by maxima there are.
TORCHVISION = {
    "resnet18": (64, 17, 1),
    "densenet121": (32, 121, 1),
    "mobilenet_v2": (32, 35, 0),
    "squeezenet1_0": (64, 26, 3),
    "shufflenet_v2_x0_5": (64, 37, 1),
    "vgg11": (32, 10, 5),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    models = pytest.importorskip("torchvision").models
    size, bends, maxima = TORCHVISION[name]
    torch.manual_seed(0)
    graph = is_read(randomised(getattr(models, name)(num_classes=10)), (3, size, size))
    kinds = [type(layer) for layer in graph.layers]
    assert (kinds.count(BendStep), kinds.count(MaxStep)) == (bends, maxima)
