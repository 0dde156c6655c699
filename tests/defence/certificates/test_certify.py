import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from bandlimiter import Certificate, PostAverage, certify
from bandlimiter.defence.certificates import certified_radius
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import Gaussian, UniformBall

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def defended(model, radius=6.0, **settings):
    return PostAverage(model, radius, **{"sampler": "ball", "randomness": "fresh", **settings})


class Watched(nn.Module):
    """A linear model of x [N, 3] with two classes that keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.batches = []
        self.eval()

    def forward(self, x):
        self.batches.append(x.clone())
        return torch.stack([9 * x[:, 0], torch.zeros(len(x), dtype=x.dtype)], dim=1)

    @property
    def points(self):
        # The first passes look whether answers depend on the batch, and count the classes.
        return torch.cat(self.batches[5:])


@pytest.mark.parametrize("vote", ["softmax", "majority"])
@pytest.mark.parametrize("sampler", ["ball", "gaussian"])
def test_real_images(sample, photos, sampler, vote):
    x = photos.images(0, 3)
    defence = defended(sample.module, sampler=sampler, vote=vote)
    found = certify(defence, x, samples=122, selection=30, keys=photos.ids[:3].tolist())
    assert isinstance(found, Certificate)
    assert found.labels.dtype == torch.int64
    assert found.labels.tolist() == sample.module(x).argmax(dim=1).tolist()  # sure of these three
    expected = certified_radius(sampler, found.margin.numpy(), 6.0, 3072)
    np.testing.assert_array_equal(found.radius.numpy(), expected)
    assert (found.radius > 0).all()
    # The normaliser's smallest std, rounded to float32.
    torch.testing.assert_close(found.radius_pixels, found.radius * min(STD), rtol=1e-7, atol=0)
    assert found.samples.tolist() == [152] * 3

    alone = certify(defence, x[2:], samples=122, selection=30, keys=[int(photos.ids[2])])
    # Outputs of a pass depend, in their last bits, on what else is in it.
    torch.testing.assert_close(alone.margin, found.margin[2:], rtol=0, atol=1e-5)


@pytest.mark.parametrize("vote", ["softmax", "majority"])
@pytest.mark.parametrize(("sampler", "dim"), [("ball", 1), ("gaussian", 1), ("gaussian", 2)])
def test_a_half_space_is_certified_up_to_its_border_and_not_beyond(sampler, dim, vote):
    """The average's label changes at the plane, and for these laws no classifier is lost
    earlier than the half-space: certified radii come close to the distance and stay below."""
    model = nn.Linear(dim, 2).double().eval()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
        model.weight[0, 0] = 1e4  # so steep that scores are votes
    radius, distance = 2.0, torch.tensor([0.3, 0.8, 1.2, 1.6], dtype=torch.float64)
    x = torch.zeros(8, dim, dtype=torch.float64)
    x[:, 0] = torch.cat([distance, -distance])
    defence = defended(model, radius, sampler=sampler, vote=vote, scale=1.0)
    found = certify(defence, x, samples=20_000, alpha=1e-9)
    assert found.labels.tolist() == [0] * 4 + [1] * 4
    assert (found.radius <= x[:, 0].abs()).all()  # fails with probability 8e-9
    # 20,000 samples at alpha 1e-9 leave six standard errors of a share: 0.02 of 0.5 or less.
    assert (found.radius > x[:, 0].abs() - 0.2).all()


def test_with_many_coordinates_a_gaussian_half_space_too():
    """n = 3072, where the exact share of the votes is Phi(distance / sigma)."""
    model = nn.Linear(3072, 2).eval()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
        model.weight[0] = 1 / 3072**0.5
    sigma, x = 6 / 3072**0.5, torch.full((1, 3072), 0.1 / 3072**0.5)
    defence = defended(model, sampler="gaussian", vote="majority", scale=1.0)
    found = certify(defence, x, samples=4000)
    share = norm.cdf(0.1 / sigma)
    error = (share * (1 - share) / 4000) ** 0.5
    # Clopper and Pearson's bound lies z(alpha) errors below a share that is off by up to four.
    low, high = share - (3.1 + 4) * error, share - (3.1 - 4) * error
    assert 2 * low - 1 < float(found.margin) < 2 * high - 1
    assert 0 < float(found.radius) < 0.1


def test_abstains_at_a_tie_and_promises_nothing():
    found = certify(defended(Watched(), 1.0, scale=1.0), torch.zeros(5, 3), samples=200)
    assert found.labels.tolist() == [-1] * 5
    assert found.radius.tolist() == found.radius_pixels.tolist() == [0.0] * 5
    assert (found.margin <= 0).all()


@pytest.mark.parametrize(("sampler", "law"), [("ball", UniformBall), ("gaussian", Gaussian)])
def test_points_are_fresh_draws_of_the_law_each_used_once(sampler, law):
    model = Watched()
    scale = torch.tensor([0.5, 1.0, 2.0])
    defence = defended(model, 3.0, sampler=sampler, scale=scale)
    x = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    found = certify(defence, x, samples=500, selection=100, keys=["a", "b"])
    assert len(model.points) == int(found.samples.sum()) == 1200
    assert len(torch.unique(model.points, dim=0)) == 1200
    assert torch.equal(found.radius_pixels, 0.5 * found.radius)
    predicted = len(model.batches)
    defence.predict(x, keys=["a", "b"])  # neither are they those of a prediction
    drawn = torch.cat([model.points, torch.cat(model.batches[predicted:])])
    assert len(torch.unique(drawn, dim=0)) == 1200 + 2 * 91

    offsets = ((model.points[:1200] - x[0]) / scale).double()
    if law is UniformBall:
        assert offsets.norm(dim=1).max() <= 3.0 + 1e-5  # float32 rounding of 3
        share = (offsets.norm(dim=1) < 2.0).double().mean()
        assert abs(share - (2 / 3) ** 3) < 5 * 0.5 / 1200**0.5
    else:
        torch.testing.assert_close(
            offsets.std(dim=0), torch.full((3,), 3**0.5).double(), rtol=0.1, atol=0
        )  # five standard errors, 1 / sqrt(2 * 1200) each


def test_draws_are_named_by_seed_and_key_and_more_samples_extend_fewer():
    def points(seed, key, samples):
        model = Watched()
        defence = defended(model, 1.0, scale=1.0, seed=seed)
        certify(defence, torch.ones(1, 3), samples=samples, selection=61, keys=[key])
        return model.points

    once = points(0, 7, 100)
    assert torch.equal(once, points(0, 7, 100))
    assert torch.equal(once, points(0, 7, 500)[: len(once)])
    assert not torch.isin(points(1, 7, 100), once).all(dim=1).any()
    assert not torch.isin(points(0, 8, 100), once).all(dim=1).any()


def test_without_keys_inputs_are_counted():
    defence = defended(Watched(), 1.0, scale=1.0, sampler="gaussian")
    x = torch.full((2, 3), 0.2)
    first, second = certify(defence, x, samples=100), certify(defence, x, samples=100)
    assert len({*first.margin.tolist(), *second.margin.tolist()}) == 4
    again = certify(defended(Watched(), 1.0, scale=1.0, sampler="gaussian"), x, samples=100)
    assert torch.equal(again.margin, first.margin)


def test_passes_stay_small_however_many_samples():
    model = Watched()
    defence = defended(model, 1.0, scale=1.0, chunk=16)
    certify(defence, torch.ones(3, 3), samples=1000)
    assert max(map(len, model.batches)) <= 16


def test_needs_no_gradient_and_leaves_no_trace(sample, photos):
    defence = defended(sample.module)
    x = photos.images(0, 1).requires_grad_()
    found = certify(defence, x, samples=61, selection=10)
    assert not found.margin.requires_grad
    assert defence.directions is None
    assert not sample.module.training


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
    ],
)
def test_refuses_what_cannot_be_certified_with_the_reason(settings, words):
    with pytest.raises(ConfigurationError, match=words) as refusal:
        certify(defended(Watched(), **{"radius": 1.0, "scale": 1.0, **settings}), torch.ones(1, 3))
    assert "\n" not in str(refusal.value)


def test_refuses_samplers_that_look_at_the_input_or_are_unknown(mlp):
    with pytest.raises(ConfigurationError, match="looks at the input"):
        certify(defended(mlp, 1.0, sampler="boundary", scale=1.0), torch.ones(1, 6).double())

    class Mine:
        name, steps, centre = "mine", (1.0,), False

        def vectors(self, directions, dim, rng):
            return torch.zeros(6 * directions + 1, dim, dtype=torch.float64)

    with pytest.raises(ConfigurationError, match="no certificate is known"):
        certify(defended(mlp, 1.0, sampler=Mine(), scale=1.0), torch.ones(1, 6).double())


def test_refuses_a_model_in_training_mode_but_not_a_wrapper(mlp):
    x = torch.ones(1, 6).double()
    certify(defended(mlp, 1.0, scale=1.0).train(False), x, samples=61)
    mlp.train()
    with pytest.raises(ConfigurationError, match="eval mode"):
        certify(defended(mlp, 1.0, scale=1.0), x)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"samples": 0}, "at least 1 of samples"),
        ({"selection": 0}, "at least 1 of selection"),
        ({"samples": 9}, "at least 10 samples"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
    ],
)
def test_refuses_numbers_out_of_range(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        certify(defended(Watched(), 1.0, scale=1.0), torch.ones(1, 3), **arguments)


def test_refuses_what_predict_refuses(mlp):
    defence = defended(mlp, 1.0, scale=1.0)
    with pytest.raises(InputError, match="2 keys"):
        certify(defence, torch.ones(2, 6).double(), keys=[1])
    with pytest.raises(InputError, match="NaN"):
        certify(defence, torch.full((1, 6), float("nan")).double())
    with pytest.raises(ConfigurationError, match="PostAverage"):
        certify(mlp, torch.ones(1, 6).double())
