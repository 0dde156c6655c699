"""What is made for a shape is made once; where it cannot be, the network runs, as one line says."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from bandlimiter.acceleration.backends import MadeForShape, UnavailableError


class Doubled(MadeForShape):
    """Made for up to 8 features: twice the network, so that one sees which of them ran."""

    def __init__(self, network):
        super().__init__(network)
        self.made = []

    def make(self, x):
        self.made.append(tuple(x.shape[1:]))
        if x.shape[1] > 8:
            raise KeyError("too large\nfor this")
        return lambda inputs: 2 * self._network(inputs)


def test_each_shape_and_number_of_threads_is_made_once():
    runner = Doubled(nn.Identity())
    small, other = torch.rand(3, 4), torch.rand(2, 5)
    runner.prepare(small)
    for x in (small, other, small[:1], other):
        assert torch.equal(runner(x), 2 * x)
    assert runner.made == [(4,), (5,)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert torch.equal(runner(small), 2 * small)
    finally:
        torch.set_num_threads(threads)
    assert runner.made == [(4,), (5,), (4,)]


def test_what_cannot_be_made_runs_as_it_is_and_is_told_once(caplog):
    runner, x = Doubled(nn.Identity()), torch.rand(2, 9)
    with pytest.raises(UnavailableError, match="^KeyError: 'too large"):
        runner.prepare(x)
    runner.made.clear()
    with caplog.at_level(logging.WARNING, "bandlimiter"), ThreadPoolExecutor(4) as pool:
        for found in pool.map(runner, [x] * 8):
            assert torch.equal(found, x)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("inputs of shape (9,) run eagerly: KeyError: ")
    assert runner.made == [(9,)]


def test_an_input_that_the_network_does_not_take_is_told_in_its_words(caplog):
    runner = Doubled(nn.Linear(4, 2))
    for _ in range(2):  # nothing is kept of it
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            runner(torch.rand(2, 9))
    assert not caplog.records
    assert runner(torch.rand(2, 4)).shape == (2, 2)
