"""Certificates end to end: what they promise, in which units, from which draws."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from bandlimiter import Certificate, PostAverage, certify
from bandlimiter.defence.certificates import noise_length, reach
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import Gaussian, UniformBall
from bandlimiter.tensors import Normalise

SIGMA = 0.25


def defended(model, **settings):
    return PostAverage(model, **{"sigma": SIGMA, **settings})


class Watched(nn.Module):
    """A linear model of x [N, 3] with two classes that keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.eval()

    def forward(self, x):
        self.batches.append(x.clone())
        return torch.stack([9 * (x[:, 0] - 0.5), torch.zeros(len(x), dtype=x.dtype)], dim=1)


def half_space(dim, dtype=torch.float32, steep=1e4):
    """Class 0 where the first coordinate is positive, so surely that scores are votes."""
    model = nn.Linear(dim, 2).to(dtype).eval()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
        model.weight[0, 0] = steep
    return model


@pytest.mark.parametrize("vote", ["softmax", "majority"])
@pytest.mark.parametrize("sampler", ["ball", "gaussian"])
def test_real_images(sample, photos, sampler, vote):
    x, at = photos.images(0, 3), [0.0005, 0.001, 50.0]
    defence = defended(sample.module, sigma=0.01, sampler=sampler, vote=vote)
    found = certify(defence, x, at=at, samples=320, keys=photos.ids[:3].tolist())
    assert isinstance(found, Certificate)
    assert found.labels.dtype == torch.int64
    assert found.labels.tolist() == sample.module(x).argmax(dim=1).tolist()  # sure of these three
    assert found.certified[:, :2].all()
    assert found.undecided[:, 2].all()  # beyond reach
    assert not found.certified[:, 2].any()
    assert found.radius.tolist() == [0.001] * 3
    assert found.at.tolist() == at
    assert (found.share > 0.8).all()  # a half is a tie
    alone = certify(defence, x[2:], at=at, samples=320, keys=[int(photos.ids[2])])
    assert (alone.labels, alone.samples) == (found.labels[2:], found.samples[2:])


@pytest.mark.parametrize("vote", ["softmax", "majority"])
@pytest.mark.parametrize(("sampler", "dim"), [("ball", 1), ("gaussian", 1), ("gaussian", 2)])
def test_a_half_space_is_certified_up_to_its_border_and_not_beyond(sampler, dim, vote):
    """The average's label changes at the plane, and for these laws no classifier is lost
    earlier than the half-space: certified radii come close to the distance and stay below."""
    distance = torch.tensor([0.05, 0.1, 0.2, 0.35])
    x = torch.zeros(8, dim)
    x[:, 0] = torch.cat([distance, -distance])
    defence = defended(half_space(dim), sampler=sampler, vote=vote)
    found = certify(defence, x, samples=20_000, alpha=1e-9, until_width=0.01)
    assert found.labels.tolist() == [0] * 4 + [1] * 4
    assert (found.radius <= x[:, 0].abs()).all()  # fails with probability 8e-9
    # 20,000 samples at alpha 1e-9 and bets of a mixture: within 0.025 of a share of 1/2 or more.
    assert (found.radius > x[:, 0].abs() - 0.06).all()


def test_with_many_coordinates_a_gaussian_half_space_too():
    """n = 3072, where the exact share of the votes is Phi(distance / sigma)."""
    model = half_space(3072)
    with torch.no_grad():
        model.weight[0] = 100.0
    x = torch.full((1, 3072), 0.1 / 3072**0.5)
    found = certify(defended(model), x, samples=4000, give_up=0, at=[0.3])
    share, count = norm.cdf(0.1 / SIGMA), 4000
    assert abs(float(found.share) - share) < 4 * (share * (1 - share) / count) ** 0.5
    assert found.undecided.all()
    assert int(found.samples) == 4100


def test_a_normaliser_or_pixels_of_255_inside_change_no_radius():
    """The same function of the pixels, three times: the noise is in pixels, whatever follows."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3)).eval()

    class Scaled(nn.Module):
        def forward(self, x):
            return x * 255

    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.5]
    after, of_255 = (nn.Sequential(nn.Flatten(), nn.Linear(12, 20)) for _ in range(2))
    with torch.no_grad():
        weight, bias = plain[1].weight, plain[1].bias
        wide, shift = (torch.tensor(v).repeat_interleave(4) for v in (std, mean))
        after[1].weight.copy_(weight * wide)
        after[1].bias.copy_(bias + weight @ shift)
        of_255[1].weight.copy_(weight / 255)
        of_255[1].bias.copy_(bias)
    models = [
        plain,
        nn.Sequential(Normalise(mean, std), after, nn.ReLU(), plain[3]).eval(),
        nn.Sequential(Scaled(), of_255, nn.ReLU(), plain[3]).eval(),
    ]
    x = (torch.rand(6, 3, 2, 2) * 255).round() / 255
    found = [
        certify(defended(model, sigma=0.1), x, samples=2000, keys=range(6)) for model in models
    ]
    assert len(found[0].radius.unique()) > 3
    for other in found[1:]:  # a vote on an edge may fall to the other side: a hundredth of sigma
        torch.testing.assert_close(other.radius, found[0].radius, rtol=0, atol=2e-3)
        assert torch.equal(other.labels, found[0].labels)


def test_abstains_at_a_tie_and_promises_nothing():
    x = torch.full((5, 3), 0.5)
    found = certify(defended(Watched()), x, samples=200, alpha=1e-6, at=[0.1])
    assert found.labels.tolist() == [-1] * 5
    assert found.radius.tolist() == [0.0] * 5
    assert not found.certified.any()


def test_a_label_can_be_known_where_no_radius_is():
    x = torch.tensor([[0.55, 0, 0]])
    found = certify(defended(half_space(3)), x - 0.5, samples=5000, at=[0.2])
    assert found.labels.tolist() == [0]
    assert found.radius.tolist() == [0.0]
    assert not found.certified.any()
    assert not found.undecided.any()


@pytest.mark.parametrize(("sampler", "law"), [("ball", UniformBall), ("gaussian", Gaussian)])
def test_points_are_fresh_draws_of_the_law_each_used_once(sampler, law):
    model = Watched()
    defence = defended(model, sampler=sampler, chunk=64)
    x = torch.tensor([[0.4, 0.2, 0.6], [0.4, 0.2, 0.6]])
    defence.points_per_pass(x)  # looks at the model with x itself
    model.batches.clear()
    certify(defence, x, at=[0.3], samples=640, selection=96, give_up=0, keys=["a", "b"])
    points = torch.cat([batch for batch in model.batches if len(batch) == 64])
    assert len(torch.unique(points, dim=0)) == len(points) == 2 * (640 + 96)
    offsets = (points - x[0]).double()
    errors = 5 / (2 * len(points)) ** 0.5
    torch.testing.assert_close(
        offsets.std(dim=0), torch.full((3,), SIGMA).double(), rtol=errors, atol=0
    )
    if law is UniformBall:
        assert offsets.norm(dim=1).max() <= noise_length("ball", SIGMA, 3) + 1e-3  # and rounding


def test_draws_are_named_by_seed_and_key_and_more_samples_extend_fewer():
    def points(seed, key, samples):
        model = Watched()
        x = torch.full((1, 3), 0.5)
        defence = defended(model, seed=seed, chunk=32)
        defence.points_per_pass(x)
        model.batches.clear()
        certify(defence, x, samples=samples, selection=64, give_up=0, keys=[key], at=[0.001])
        return torch.cat([batch for batch in model.batches if len(batch) == 32])

    once = points(0, 7, 96)
    assert torch.equal(once, points(0, 7, 96))
    assert torch.equal(once, points(0, 7, 512)[: len(once)])
    known = set(map(tuple, once.tolist()))
    assert not known & set(map(tuple, points(1, 7, 96).tolist()))
    assert not known & set(map(tuple, points(0, 8, 96).tolist()))


def test_without_keys_inputs_are_counted():
    x = torch.full((2, 3), 0.52)
    settings = {"samples": 320, "give_up": 0, "at": [0.1]}
    defence = defended(Watched())
    first, second = certify(defence, x, **settings), certify(defence, x, **settings)
    assert len({*first.share.tolist(), *second.share.tolist()}) > 2
    again = certify(defended(Watched()), x, **settings)
    assert torch.equal(again.share, first.share)


@pytest.mark.parametrize("chunk", [5, 16, 48])
def test_all_passes_have_one_size_and_no_answer_depends_on_it(chunk):
    x = torch.tensor([[0.5, 0, 0], [0.6, 0, 0], [1.0, 0, 0], [0.1, 1, 1]])
    settings = {"samples": 500, "at": [0.1, 0.2, 0.4], "keys": range(4)}
    model = Watched()
    found = certify(defended(model, chunk=chunk), x, **settings)
    sizes = [len(batch) for batch in model.batches]
    assert max(sizes) == chunk
    assert set(sizes[6:]) == {chunk}  # the first ones look at the model and count classes
    expected = certify(defended(Watched()), x, **settings)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_inputs_off_the_lattice_are_rounded_and_the_way_counts():
    """One step of the lattice is 1/4080: half of it per coordinate at most."""
    x = torch.tensor([[0.3, 0.2, 0.1]]) * 255
    x = torch.cat([x.round() / 255, (x.round() + 0.03) / 255])
    defence = defended(half_space(3))
    with pytest.raises(InputError, match="got input 1 off it"):
        certify(defence, x, exact=True)
    assert len(certify(defence, x[:1], exact=True).labels) == 1
    # At a radius that only an input on the lattice reaches, as the other has to go farther.
    most = reach(defence, 3, 1000, 1e-3)
    far = torch.tensor([[10.0, 0, 0]])
    far = torch.cat([far, far + 0.4 / 4080])
    found = certify(defence, far, at=[0.1, most * (1 - 1e-6)], samples=1000)
    assert found.certified.tolist() == [[True, True], [True, False]]
    assert found.undecided.tolist() == [[False, False], [False, True]]


def test_a_radius_by_itself_is_as_in_the_grid_and_narrow_ones_take_longer():
    x = torch.tensor([[0.3, 0, 0]])
    defence = defended(half_space(3))
    all_of_them = certify(defence, x, samples=5000, keys=[0])
    coarse = certify(defence, x, samples=5000, keys=[0], until_width=0.2)
    assert int(coarse.samples) < int(all_of_them.samples)
    assert abs(float(all_of_them.radius) - 0.3) < 0.05
    assert float(coarse.radius) <= 0.3
    assert len(all_of_them.at) == 200


def test_a_width_ends_no_search_for_the_label():
    """Even one that is wider than all radii: whether the label holds at all is decided first."""
    x, count = torch.tensor([[0.05, 0, 0]]), np.int64(4000)
    found = certify(defended(half_space(3)), x, samples=count, keys=[0], until_width=10.0)
    assert found.labels.tolist() == [0]


def test_reach_is_what_unanimous_votes_certify():
    """At alpha 0.001 and 100,000 samples, somewhat below Clopper and Pearson's 3.81 sigma."""
    defence = defended(half_space(3))
    assert 3.6 < reach(defence, 3, 100_000, 1e-3) / SIGMA < 3.81
    most = reach(defence, 3, 1000, 1e-3)
    far = torch.tensor([[10.0, 0, 0]])
    found = certify(defence, far, at=[most * (1 - 1e-6)], samples=1000)
    assert found.certified.all()
    beyond = certify(defence, far, at=[0.1, most * (1 + 1e-6)], samples=1000)
    assert beyond.certified.tolist() == [[True, False]]
    assert int(beyond.samples) < 200  # nothing is spent on what cannot be reached


def test_a_radius_in_the_units_of_x_is_a_sigma():
    """r / sqrt(n) a coordinate for the Gaussian, of the same law as sigma."""
    settings = {"sampler": "gaussian", "randomness": "fresh", "vote": "majority", "scale": 0.5}
    by_radius = PostAverage(half_space(3), 2 * SIGMA * 3**0.5, **settings)
    x = torch.tensor([[0.2, 0, 0], [0.5, 0, 0]])
    one, other = (
        certify(each, x, samples=1000, keys=range(2))
        for each in (by_radius, defended(half_space(3)))
    )
    assert torch.equal(one.labels, other.labels)
    torch.testing.assert_close(one.radius, other.radius, rtol=0, atol=0.01)


def test_needs_no_gradient_and_leaves_no_trace(sample, photos):
    defence = defended(sample.module)
    x = photos.images(0, 1).requires_grad_()
    found = certify(defence, x, samples=61, selection=10)
    assert not any(column.requires_grad for column in found)
    assert defence.drawn_directions is None
    assert not sample.module.training


def test_one_answer_with_a_proof():
    x = torch.tensor([[0.5, 0, 0], [0.2, 0, 0], [-0.02, 0, 0]])
    found = defended(half_space(3)).predict(x, at=0.25, budget=2000, keys=range(3))
    assert found.labels.tolist()[:2] == [0, 0]
    assert found.certified.tolist() == [True, False, False]
    assert found.undecided.tolist() == [False, False, False]
    assert (found.samples <= 2000).all()
    hurried = defended(half_space(3)).predict(x + 0.06, at=0.25, budget=200, keys=range(3))
    assert hurried.undecided.tolist() == [False, True, False]  # 0.26 is too near to 0.25
    assert (hurried.samples <= 200).all()
    for arguments, words in (
        ({"at": 0.25, "budget": 1}, "budget of 64"),
        ({"at": 0.25, "stop": "exact"}, "no stop with at"),
        ({"at": 0.25, "budget": 0}, "budget of 64"),
        ({"at": 0.25, "budget": 100.5}, "budget of 64"),
        ({"at": -1.0}, "increasing radii"),
        ({"at": 9.0}, "at most"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            defended(half_space(3)).predict(x, **arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_in_half_precision_are_certified_less_far(dtype):
    """A constant image that half precision holds between two points of the lattice."""
    value = next(
        float(v)
        for v in torch.linspace(0.5, 1, 400).to(dtype)
        if abs(float(v) * 4080 % 1 - 0.5) < 0.1
    )
    x = torch.full((1, 3072), value, dtype=dtype)
    model = nn.Sequential(nn.Flatten(), half_space(3072)).eval()
    with pytest.raises(InputError, match="off it"):
        certify(defended(model), x, exact=True)
    moved = 3072**0.5 * 0.4 / 4080
    most = reach(defended(model), 3072, 1000, 1e-3)
    found = certify(defended(model), x, at=[most - moved], samples=1000)
    assert not found.certified.any()


def test_memory_that_runs_out_ends_in_smaller_passes(caplog):
    class Full(nn.Module):
        def forward(self, x):
            if len(x) > 20:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return torch.stack([x[:, 0], 0 * x[:, 0]], dim=1)

    x = torch.tensor([[0.3, 0, 0]])
    found = certify(defended(Full().eval()), x, at=[0.1], samples=500)
    assert found.labels.tolist() == [0]
    assert "going on with" in caplog.text

    class Few(Full):
        def forward(self, x):
            if len(x) > 8:
                raise RuntimeError("at most 8\nplease")
            return super().forward(x)

    with pytest.raises(InputError, match=r"takes 32 inputs at once.*chunk=N"):
        certify(defended(Few().eval()), x, at=[0.1], samples=500)
    assert certify(defended(Few().eval(), chunk=8), x, at=[0.1], samples=500).labels.tolist() == [0]


@pytest.mark.parametrize("budget", [64, 100, 257, 1000, np.int64(640)])
@pytest.mark.parametrize("count", [1, 3])
def test_a_budget_is_kept(budget, count):
    """All evaluations are counted, those that fill passes up among them."""
    model, made = Watched(), 0
    x = torch.full((count, 3), 0.51)
    defence = defended(model)
    defence.require_fitting(x)
    defence.points_per_pass(x)
    model.batches.clear()
    found = defence.predict(x, at=0.001, budget=budget, keys=range(count))
    made = sum(map(len, model.batches))
    assert made - 1 <= count * budget  # and one to count the classes
    assert (found.samples <= int(budget)).all()
    assert made > count * int(budget) // 4


def test_radii_out_of_reach_are_named(caplog):
    certify(defended(half_space(3)), torch.full((1, 3), 0.9), at=[0.1, 7.0], samples=100)
    assert "left undecided: 7" in caplog.text


def test_scores_reach_less_far_than_votes():
    """Their bets take 99 %, 90 % ... of the capital at the most."""
    far = torch.tensor([[30.0, 0, 0]])
    by_vote = {
        vote: reach(defended(half_space(3), vote=vote), 3, 1000, 1e-3)
        for vote in ("majority", "softmax")
    }
    assert 0.9 < by_vote["softmax"] / by_vote["majority"] < 1
    for vote, most in by_vote.items():
        defence = defended(half_space(3), vote=vote)
        at = [most * (1 - 1e-6), most * (1 + 1e-6)]
        found = certify(defence, far, at=at, samples=1000)
        assert found.certified.tolist() == [[True, False]]
        with pytest.raises(ConfigurationError, match="at least 1[24] samples"):
            certify(defence, far, samples=11)


def test_keys_are_numbers_however_they_are_held():
    x, defence = torch.full((1, 3), 0.52), defended(Watched())
    settings = {"samples": 320, "give_up": 0, "at": [0.1]}
    found = [
        float(certify(defence, x, keys=keys, **settings).share)
        for keys in ([7], np.array([7]), torch.tensor([7]), range(7, 8))
    ]
    assert len(set(found)) == 1
    with pytest.raises(InputError, match="texts or whole numbers"):
        certify(defence, x, keys=[0.5], **settings)


def test_sigma_goes_wherever_a_radius_goes(tmp_path):
    """Copies, checkpoints, neighbours and other laws; and no state is taken for another kind."""
    defence = defended(half_space(3 * 4 * 4))
    assert defence.variant(seed=3).sigma == SIGMA
    assert defence.variant(sampler="ball").sampler.name == "ball"
    by_radius = defence.variant(radius=2.0)
    assert (by_radius.sigma, by_radius.radius) == (None, 2.0)
    again = PostAverage(half_space(3), 6.0, scale=1.0).variant(sigma=0.5)
    assert (again.sigma, again.randomness, again.sampler.name) == (0.5, "fresh", "gaussian")
    for shape in ((3, 4, 4), (3, 32, 32)):  # whatever was seen before
        around = defence.neighbours(torch.zeros(shape), key=0)
        errors = 5 / (2 * around.numel()) ** 0.5
        assert float(around.std()) == pytest.approx(SIGMA, rel=errors)
    assert "sigma=0.25" in repr(defence)
    assert defence.settings["sigma"] == SIGMA
    assert defence.settings["radius"] is None
    with pytest.raises(ConfigurationError, match=r"radius_at\(n\)"):
        _ = defence.radius
    other = PostAverage(half_space(3 * 4 * 4), sigma=0.1)
    other.load_state_dict(defence.state_dict())
    assert other.sigma == SIGMA
    for one, two in ((defence, by_radius), (by_radius, defence)):
        with pytest.raises(ConfigurationError, match="expected the state of a defence with"):
            one.load_state_dict(two.state_dict())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sampler": "directions"}, "mutually singular"),
        ({"sampler": "orthogonal"}, "mutually singular"),
        ({"sampler": "sphere"}, "mutually singular"),
        ({"randomness": "fixed"}, "deterministic function of x"),
        ({"radius": 0.0}, "radius above 0"),
        ({"vote": "logits"}, "no bounds"),
        ({"vote": "weighted"}, "no bounds"),
        ({"scale": torch.tensor([1.0, 2.0, 1.0])}, "same noise in each coordinate.*give sigma"),
    ],
)
def test_refuses_what_cannot_be_certified_with_the_reason(settings, words):
    by_radius = {"radius": 1.0, "scale": 1.0, "sampler": "ball", "randomness": "fresh"}
    with pytest.raises(ConfigurationError, match=words) as refusal:
        certify(PostAverage(Watched(), **{**by_radius, **settings}), torch.ones(1, 3))
    assert "\n" not in str(refusal.value)


def test_refuses_samplers_that_look_at_the_input_or_are_unknown(mlp):
    given = {"scale": 1.0, "randomness": "fresh"}
    with pytest.raises(ConfigurationError, match="looks at the input"):
        certify(PostAverage(mlp, 1.0, sampler="boundary", **given), torch.ones(1, 6).double())

    class Mine:
        name, steps, centre = "mine", (1.0,), False

        def vectors(self, directions, dim, rng):
            return torch.zeros(6 * directions + 1, dim, dtype=torch.float64)

    with pytest.raises(ConfigurationError, match="no certificate is known"):
        certify(PostAverage(mlp, 1.0, sampler=Mine(), **given), torch.ones(1, 6).double())


def test_refuses_a_model_in_training_mode_but_not_a_wrapper(mlp):
    x = torch.ones(1, 6).double()
    certify(defended(mlp).train(False), x, samples=61)
    mlp.train()
    with pytest.raises(ConfigurationError, match="eval mode"):
        certify(defended(mlp), x)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 0}, "whole number of samples"),
        ({"samples": 1e5}, "whole number of samples"),
        ({"selection": 0}, "whole number of selection"),
        ({"alpha": "a"}, "alpha"),
        ({"alpha": None}, "alpha"),
        ({"alpha": 1e-310, "samples": 1000}, "at least 1035 samples"),
        ({"give_up": "a"}, "give up at"),
        ({"give_up": None}, "give up at"),
        ({"until_width": "a"}, "positive width"),
        ({"samples": 9}, "at least 12 samples"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"give_up": 1.0}, "give up at"),
        ({"give_up": float("nan")}, "give up at"),
        ({"at": []}, "got none"),
        ({"at": [0.2, 0.1]}, "increasing"),
        ({"at": [0.2, 0.2]}, "increasing"),
        ({"at": [0.0, 0.2]}, "positive"),
        ({"at": [0.2, float("inf")]}, "finite"),
        ({"at": [float("nan")]}, "finite"),
        ({"at": ["near"]}, "radii like"),
        ({"at": 0.25}, "radii like"),
        ({"at": [5.0, 6.0]}, r"at most 0\.\d+ among those"),
        ({"until_width": -0.1}, "positive width"),
        ({"until_width": 1e-5}, "width of 0.0009"),
        ({"until_width": 0.1, "at": [0.1]}, "no radii to certify at beside"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, words):
    with pytest.raises(ConfigurationError, match=words) as refusal:
        certify(defended(Watched()), torch.ones(1, 3), **arguments)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sigma": 0}, "sigma above 0"),
        ({"sigma": -0.25}, "sigma above 0"),
        ({"sigma": float("nan")}, "sigma above 0"),
        ({"sigma": float("inf")}, "sigma above 0"),
        ({"sigma": "0.25"}, "sigma above 0"),
        ({"sigma": 0.25, "radius": 6}, "got both"),
        ({}, "got neither"),
        ({"sigma": 0.25, "sampler": "directions"}, "no standard deviation"),
        ({"sigma": 0.25, "sampler": "sphere"}, "no standard deviation"),
        ({"sigma": 0.25, "randomness": "fixed"}, "randomness='fresh' with sigma"),
        ({"sigma": 0.25, "scale": 0.5}, "no scale with sigma"),
        ({"radius": "6"}, "finite radius"),
    ],
)
def test_refuses_sigma_that_means_nothing(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        PostAverage(Watched(), **settings)


def test_refuses_what_predict_refuses(mlp):
    defence = defended(mlp)
    with pytest.raises(InputError, match="2 keys"):
        certify(defence, torch.ones(2, 6).double(), keys=[1])
    with pytest.raises(InputError, match="NaN"):
        certify(defence, torch.full((1, 6), float("nan")).double())
    with pytest.raises(ConfigurationError, match="PostAverage"):
        certify(mlp, torch.ones(1, 6).double())
