"""Networks whose BatchNorms have something to do, and small ones with one trap each."""

import torch
from torch import nn


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every BatchNorm statistics and weights that an identity could not pass for."""
    draws = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for values, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.5, 0.5),
            ):
                if values is not None:
                    values.data.uniform_(low, high, generator=draws)
    return network.eval()


class Block(nn.Module):
    """conv, bn and a linear head, joined as a subclass says."""

    def __init__(self, norm: nn.Module | None = None, bias: bool = False, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, bias=bias, groups=groups)
        self.bn = norm or nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def features(self, x):
        return self.bn(self.conv(x))

    def forward(self, x):
        return self.head(self.features(x).relu().mean(dim=(2, 3)))


class OutputUsedTwice(Block):
    def features(self, x):
        made = self.conv(x)
        return self.bn(made) + made


class ChangedInPlace(Block):
    def features(self, x):
        made = self.conv(x)
        made.relu_()
        return self.bn(made)


class ThroughAView(Block):
    def features(self, x):
        made = self.conv(x)
        return self.bn(made) + made[:, :1]


class SharedNorm(Block):
    def features(self, x):
        return self.bn(self.bn(self.conv(x)))


class ConvCalledTwice(Block):
    def features(self, x):
        return self.bn(self.conv(x)) + self.conv(x.flip(0))


class WeightUsedElsewhere(Block):
    def features(self, x):
        return self.bn(self.conv(x)) * self.conv.weight.mean()


class PreActivation(Block):
    """bn, relu, conv: nothing may be folded."""

    def __init__(self) -> None:
        super().__init__(nn.BatchNorm2d(4))

    def features(self, x):
        return self.conv(self.bn(x).relu())


class Branching(Block):
    """Control flow that reads values, which no symbolic trace follows."""

    def features(self, x):
        return super().features(x if float(x.mean()) > 0.1 else x.abs())


class BranchesWhenLarge(Block):
    """Can be traced on small images only."""

    def features(self, x):
        return super().features(x if x.shape[-1] <= 8 or float(x.mean()) > 0.1 else x.abs())


class BrightPassBy(Block):
    """Bright images pass the norm by."""

    def features(self, x):
        made = self.conv(x)
        return self.bn(made) if float(x.mean()) < 0.7 else made


class OneFormatOnly(Block):
    """index_add takes no bfloat16 into float32, which it meets under autocast."""

    def forward(self, x):
        made = super().forward(x)
        index = torch.arange(len(x))
        return torch.zeros(len(x), 5).index_add(0, index, self.conv(x)[:, :5, 0, 0]) + made


class Float64Inside(nn.Module):
    """Holds float64 numbers that a cast of the module leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4).double()
        self.basis = torch.eye(4).double()

    def forward(self, x):
        return self.linear(x) @ self.basis


class HiddenInAList(Block):
    """The norm is also held where no module looks for children."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [self.bn]

    def features(self, x):
        return self.hidden[0](self.conv(x))


class PadsItself(nn.Conv2d):
    def forward(self, x):
        return super().forward(nn.functional.pad(x, (1, 0, 1, 0)))


class Standardised(nn.Conv2d):
    """Its output does not scale with its weights."""

    def forward(self, x):
        weight = self.weight / self.weight.std(dim=(1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias)
