import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.tensors import ChunkLimit, map_chunks


@given(st.integers(1, 200), st.integers(1, 70))
def test_chunks_cover_everything_once_within_the_limit(count, size):
    x = torch.arange(count)
    seen: list[int] = []

    def run(start, stop):
        seen.append(stop - start)
        return x[start:stop], x[start:stop] * 2

    same, doubled = map_chunks(run, count, ChunkLimit(size), x)
    assert torch.equal(same, x)
    assert torch.equal(doubled, 2 * x)
    assert max(seen) <= size
    assert max(seen) - min(seen) <= 1  # no short last pass


def test_a_pass_that_does_not_fit_is_halved_and_logged(caplog):
    x = torch.arange(50)

    def run(start, stop):
        if stop - start > 7:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (x[start:stop],)

    limit = ChunkLimit(50)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(map_chunks(run, 50, limit, x)[0], x)
    assert limit.resolve(x) <= 7
    assert "out of memory with 50 inputs per pass; going on with 25" in caplog.text


def test_one_input_that_does_not_fit_is_an_error():
    def run(start, stop):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        map_chunks(run, 8, ChunkLimit(8), torch.arange(8))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def run(start, stop):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        map_chunks(run, 8, ChunkLimit(8), torch.arange(8))


@pytest.mark.parametrize("most", [1, 4])
def test_a_model_that_takes_few_inputs_at_once_is_told_of_the_chunk(most):
    x = torch.arange(8)

    def run(start, stop):
        if stop - start > most:
            raise RuntimeError("shape '[1, 12]' is invalid")
        return (x[start:stop],)

    with pytest.raises(InputError, match=r"takes 8 inputs at once.*is invalid.*chunk=N"):
        map_chunks(run, 8, ChunkLimit(8), x)
    assert torch.equal(map_chunks(run, 8, ChunkLimit(most), x)[0], x)


def test_one_bad_input_among_many_is_not_taken_for_a_lack_of_room():
    def run(start, stop):
        if start <= 5 < stop:
            raise ValueError("number 5")
        return (torch.arange(start, stop),)

    with pytest.raises(ValueError, match="number 5") as caught:
        map_chunks(run, 8, ChunkLimit(8), torch.arange(8))
    assert not isinstance(caught.value, InputError)


def test_a_real_failure_of_the_cpu_allocator_is_recognised():
    x = torch.arange(4)

    def run(start, stop):
        if stop - start > 1:
            torch.empty(2**62, dtype=torch.uint8)  # more than any machine has
        return (x[start:stop],)

    assert torch.equal(map_chunks(run, 4, ChunkLimit(4), x)[0], x)


def test_auto_follows_the_input_and_keeps_what_was_learnt():
    limit = ChunkLimit("auto")
    small, large = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 224, 224)
    assert limit.resolve(small) > limit.resolve(large) >= 1
    assert limit.resolve(torch.zeros(1, 6)) <= 1024  # a wide network may follow
    limit.halve(64)
    assert limit.resolve(small) == 32
    assert limit.resolve(large) < 32


@pytest.mark.parametrize("size", [0, -1, 2.5, "large", None])
def test_a_chunk_is_auto_or_a_positive_number(size):
    with pytest.raises(ConfigurationError, match="chunk"):
        ChunkLimit(size)
