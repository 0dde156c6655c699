"""A vote of one's own: what it states decides whether answers stop early and can be certified."""

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, certify
from bandlimiter.defence import VOTES, Vote, register_vote
from bandlimiter.errors import ConfigurationError


class Steeper(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return 32 * self.model(x)


def sharpened(logits):
    return (32 * logits).softmax(dim=-1)


def winners(logits):
    return (logits == logits.amax(dim=-1, keepdim=True)).to(logits.dtype)


@pytest.fixture
def own():
    """Registers votes, until the test ends."""
    before = dict(VOTES)
    register_vote("sharpened", Vote(lambda z: sharpened(z).mean(dim=1), torch.clone, sharpened))
    register_vote(
        "winners", Vote(lambda z: winners(z).mean(dim=1), torch.clone, winners, one_hot=True)
    )
    register_vote("largest", Vote(lambda z: z.amax(dim=1), lambda z: z.softmax(dim=1)))
    yield
    VOTES.clear()
    VOTES.update(before)


@pytest.fixture
def x():
    return torch.rand(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_probabilities_of_the_steeper_model_are_the_sharpened_vote(own, mlp, x):
    """32 times a float is exact, so certificates and answers are equal to the last bit."""
    keys = list("abcdef")
    own_vote = PostAverage(mlp, sigma=0.2, vote="sharpened")
    steeper = PostAverage(Steeper(mlp).eval(), sigma=0.2, vote="softmax")
    for asked in ({"at": [0.05, 0.2], "samples": 500}, {"samples": 200}):
        found, expected = (certify(each, x, keys=keys, **asked) for each in (own_vote, steeper))
        assert all(map(torch.equal, found, expected))
        assert found.certified.any()
    for stop in ("exact", "anytime"):
        found, expected = (each.predict(x, stop=stop, keys=keys) for each in (own_vote, steeper))
        assert all(map(torch.equal, found, expected))


def test_a_one_hot_vote_is_certified_by_counting(own, mlp, x):
    found, expected = (
        certify(PostAverage(mlp, sigma=0.2, vote=vote), x, at=[0.05, 0.2], keys=list("abcdef"))
        for vote in ("winners", "majority")
    )
    assert all(map(torch.equal, found, expected))


def test_a_vote_without_a_share_neither_stops_nor_is_certified(own, mlp, x):
    defence = PostAverage(mlp, sigma=0.2, vote="largest")
    assert not defence.can_stop
    assert defence.predict(x).labels.shape == (6,)
    with pytest.raises(ConfigurationError, match="softmax, majority, sharpened and winners can"):
        defence.predict(x, stop="exact")
    with pytest.raises(ConfigurationError, match="softmax, majority, sharpened or winners to"):
        certify(defence, x, at=[0.1])


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(ConfigurationError, match="got 'majority'; the names taken are softmax, "):
        register_vote("majority", VOTES["softmax"])
