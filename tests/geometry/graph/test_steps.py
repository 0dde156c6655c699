"""A graph runs in any precision, can be differentiated, and says how much memory it takes."""

import copy
import itertools

import pytest
import torch
from torch import nn

from bandlimiter.geometry.graph import MaxStep, read_graph
from tests.geometry.graph.checks import Written, close, inputs, randomised

CPU = torch.device("cpu")
SHAPE = (3, 8, 8)


class Branched(nn.Module):
    """Everything that keeps registers alive: branches, a sum past layers, a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU6())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, dilation=1), nn.LeakyReLU(0.1))
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        h = self.first(x)
        both = torch.cat([h, h + self.second(h), torch.zeros(len(x), 0, 8, 8)], 1)
        return self.head(self.pool(both).mean((2, 3)) - 0.5)


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return randomised(Branched())


def test_another_precision(module):
    graph = read_graph(module, SHAPE).to(CPU, torch.float32)
    x = inputs(3, SHAPE)
    found = graph(x.float())
    assert found.dtype == torch.float32
    # Float32 has seven digits; a few hundred terms of order one in three layers cost one or two.
    torch.testing.assert_close(found.double(), module(x), rtol=1e-5, atol=1e-5)
    close(graph.to(CPU, torch.float64).to(CPU, torch.float32)(x.float()), found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_flow(module, dtype):
    graph = read_graph(module, SHAPE).to(CPU, dtype)
    x = inputs(2, SHAPE)
    wanted, found = x.clone().requires_grad_(), x.to(dtype).requires_grad_()
    module(wanted)[:, 1].sum().backward()
    graph(found)[:, 1].sum().backward()
    # Digits of float32 as above; in float64 to spare.
    near = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found.grad.double(), wanted.grad, rtol=near, atol=near)


def test_the_module_is_left_alone(module):
    module.register_forward_hook(lambda layer, given, result: 2 * result)
    module.float().second[1].train()
    before = copy.deepcopy(module.state_dict())
    graph = read_graph(module, SHAPE)
    after = module.state_dict()
    assert list(before) == list(after)
    for name, value in before.items():
        assert value.dtype == after[name].dtype
        assert torch.equal(value, after[name])
    assert [part.training for part in module.modules()].count(True) == 1
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert len(module._forward_hooks) == 1
    x = inputs(2, SHAPE)
    expected = copy.deepcopy(module).double()(x)
    for value in module.state_dict().values():
        value.zero_()
    close(graph(x), expected)


def held(graph, x: torch.Tensor) -> int:
    """The most numbers for one input that registers and gathered windows hold in a walk."""
    registers, most = {0: x}, x[0].numel()
    for number, step in enumerate(graph.steps):
        gathered = 0
        if isinstance(step, MaxStep):
            gathered = step.gather(registers[step.source])[0].numel()
        registers[step.target] = step.apply(registers)
        most = max(most, gathered + sum(value[0].numel() for value in registers.values()))
        graph.forget(registers, number)
    assert list(registers) == [graph.result]
    return most


def test_numbers_per_point(module):
    graph = read_graph(module, SHAPE)
    assert graph.numbers_per_point == held(graph, inputs(1, SHAPE))
    nothing = read_graph(nn.Identity(), (3, 4))
    assert nothing.numbers_per_point == held(nothing, inputs(1, (3, 4))) == 12


def test_a_walk_yields_each_layer_before_it_is_done(module):
    graph = read_graph(module, SHAPE)
    x = inputs(2, SHAPE)
    registers = {0: x}
    names = []
    for layer in graph.walk(registers):
        assert layer.source in registers
        assert layer.target not in registers
        names.append(layer.name)
    assert names == [layer.name for layer in graph.layers] == ["first.2", "second.1", "pool"]
    close(registers[graph.result], module(x))


def test_what_does_not_reach_the_output_is_no_step():
    def body(x):
        x.relu().abs()
        return 2 * x

    graph = read_graph(Written(body), (3,))
    assert len(graph.steps) == 1
    assert not graph.layers


def test_registers_are_written_once_and_read_later(module):
    steps = read_graph(module, SHAPE).steps
    targets = [step.target for step in steps]
    assert all(a < b for a, b in itertools.pairwise(targets))
    assert all(source < step.target for step in steps for source in step.sources)
