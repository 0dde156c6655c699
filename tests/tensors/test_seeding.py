import torch
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter.tensors import generator

KEYS = st.lists(st.one_of(st.integers(), st.text()), max_size=3).map(tuple)


@given(st.integers(-(2**70), 2**70), KEYS)
def test_the_same_name_gives_the_same_numbers(seed, name):
    first = torch.rand(4, generator=generator(seed, *name))
    again = torch.rand(4, generator=generator(seed, *name))
    assert torch.equal(first, again)


@given(st.integers(), st.integers(), KEYS, KEYS)
def test_different_names_give_different_numbers(seed, other_seed, name, other):
    if (seed, *name) == (other_seed, *other):
        return
    first = torch.rand(4, generator=generator(seed, *name))
    second = torch.rand(4, generator=generator(other_seed, *other))
    assert not torch.equal(first, second)


def test_a_number_and_its_digits_are_different_names():
    first = torch.rand(4, generator=generator(0, 1))
    second = torch.rand(4, generator=generator(0, "1"))
    assert not torch.equal(first, second)


def test_neighbouring_streams_are_uncorrelated():
    # 400 streams of 100 numbers: correlations of neighbours are about N(0, 1/100), and
    # their mean over 399 pairs has a standard error of 0.005; 0.02 is four of them.
    draws = torch.stack([torch.rand(100, generator=generator(0, "image", i)) for i in range(400)])
    centred = draws - draws.mean(dim=1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    assert abs(float((unit[1:] * unit[:-1]).sum(dim=1).mean())) < 0.02
