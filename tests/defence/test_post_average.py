from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.defence import VOTES
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import SAMPLERS
from bandlimiter.tensors import Normalise
from tests.defence.written_out import neighbours, post_average

# Sums of 91 float64 numbers of order one, formed in another order: a few times 91 * 1e-16.
TOLERANCE = {"atol": 1e-12, "rtol": 0}


def batch(n: int, *shape: int) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("vote", VOTES)
@pytest.mark.parametrize("scale", [1.0, 0.3, "channels"])
def test_equals_the_written_out_average(convnet, vote, scale):
    if scale == "channels":
        scale = torch.tensor([0.2, 0.3, 0.4], dtype=torch.float64).view(3, 1, 1)
    defended = PostAverage(convnet, 0.8, directions=15, vote=vote, scale=scale)
    x = batch(6, 3, 8, 8)
    directions = defended.draw(x.shape[1:]).double()
    expected = post_average(convnet, x, directions, 0.8, scale, vote)
    torch.testing.assert_close(defended(x), expected, **TOLERANCE)


def test_the_scale_is_read_from_the_normaliser():
    """The offset is r long in normalised space: normalise(x + l v std) = normalise(x) + l v."""
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    model = nn.Sequential(Normalise(mean, std), network).double()
    defended = PostAverage(model, 1.5, directions=3)
    x = batch(2, 3, 4, 4)
    normalised = model[0](x)
    directions = defended.draw(x.shape[1:]).double()
    expected = post_average(network, normalised, directions, 1.5, 1.0)
    torch.testing.assert_close(defended(x), expected, **TOLERANCE)


def test_without_a_normaliser_the_scale_must_be_said(mlp):
    with pytest.raises(ValueError, match=r"scale=1\.0"):
        PostAverage(mlp, 1.0)


@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_batches_and_chunks_change_nothing(mlp, sampler, randomness):
    x = batch(64, 6)

    def defended(chunk):
        return PostAverage(
            mlp, 0.5, directions=4, sampler=sampler, scale=1.0, randomness=randomness, chunk=chunk
        )

    whole = defended("auto")(x)
    one = defended("auto")
    torch.testing.assert_close(torch.cat([one(row[None]) for row in x]), whole, **TOLERANCE)
    for chunk in (1, 7, 25, 1000):
        torch.testing.assert_close(defended(chunk)(x), whole, **TOLERANCE)


class Squares(nn.Module):
    """The squares of the input's coordinates."""

    def forward(self, x):
        return x.square()


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 9),
    k=st.integers(1, 5),
    chunk=st.integers(1, 40),
    seed=st.integers(-(2**63), 2**63 - 1),
    radius=st.floats(0, 3),
)
def test_a_quadratic_gains_its_mean_square_offset(n, k, chunk, seed, radius):
    """Steps come in pairs of opposite sign, so x^2 averages to x^2 + mean of (l v)^2.

    Over the 6 steps of a direction, l^2 sums to 2 (1 + 4 + 9) / 9 r^2.
    """
    defended = PostAverage(
        Squares(), radius, directions=k, scale=0.5, seed=seed, chunk=chunk, vote="logits"
    )
    x = batch(n, 3)
    squares = defended.draw([3]).double().square().sum(dim=0)
    gain = 28 / 9 * radius**2 * squares * 0.5**2 / (6 * k + 1)
    torch.testing.assert_close(defended(x), x.square() + gain, **TOLERANCE)


def test_the_gradient_equals_the_loop_s(convnet):
    defended = PostAverage(convnet, 0.8, directions=5, scale=0.3, chunk=4)
    x = batch(3, 3, 8, 8).requires_grad_()
    weights = torch.linspace(-1, 1, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((defended(x) * weights).sum(), x)
    directions = defended.draw(x.shape[1:]).double()
    looped = (post_average(convnet, x, directions, 0.8, 0.3) * weights).sum()
    torch.testing.assert_close(gradient, torch.autograd.grad(looped, x)[0], **TOLERANCE)


def test_gradients_of_parameters_come_through_too(mlp):
    defended = PostAverage(mlp, 0.5, directions=2, scale=1.0, chunk=3)
    x = batch(4, 6)
    defended(x)[:, 0].sum().backward()
    gradient = mlp[0].weight.grad.clone()
    mlp.zero_grad()
    directions = defended.draw(x.shape[1:]).double()
    post_average(mlp, x, directions, 0.5, 1.0)[:, 0].sum().backward()
    torch.testing.assert_close(gradient, mlp[0].weight.grad, **TOLERANCE)


def test_memory_for_the_gradient_does_not_grow_with_the_evaluations():
    """Autograd keeps the logits of all points, and no activation of any."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 2000), nn.ReLU(), nn.Linear(2000, 2))
    x = torch.rand(4, 50, requires_grad=True)

    def kept(k: int) -> int:
        elements = 0

        def pack(tensor):
            nonlocal elements
            elements += tensor.numel()
            return tensor

        defended = PostAverage(model, 0.5, directions=k, scale=1.0, chunk=8)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            defended(x)
        return elements

    # 181 evaluations of 4 inputs keep their logits (two for the vote: 181 * 4 * 2 * 2) and
    # the input; one hidden layer at all of them would be 1.4 million numbers.
    assert kept(30) < 5_000


def test_majority_has_no_gradient(mlp):
    defended = PostAverage(mlp, 0.5, directions=2, scale=1.0, vote="majority")
    scores = defended(batch(2, 6).requires_grad_())
    assert not scores.requires_grad
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(2, dtype=torch.float64), **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_softmax_scores_exponentiate_to_a_distribution(dtype):
    torch.manual_seed(0)
    model = nn.Linear(6, 4).to(dtype)
    scores = PostAverage(model, 0.5, directions=3, scale=1.0)(batch(5, 6).to(dtype))
    assert scores.dtype == torch.promote_types(dtype, torch.float32)
    total = scores.exp().sum(dim=1)
    # log and exp of the averages each round once or twice, in float32 at least.
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


def test_scores_stay_finite_where_probabilities_underflow():
    model = nn.Linear(2, 2).double()
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([0.0, 5000.0]))
    scores = PostAverage(model, 0.1, directions=1, scale=1.0)(batch(1, 2))
    assert float(scores[0, 0].detach()) == pytest.approx(-5000)


def test_lower_precision_agrees_with_double(convnet):
    x = batch(8, 3, 8, 8)
    exact = PostAverage(convnet, 0.8, scale=0.3)(x)
    single = PostAverage(convnet.float(), 0.8, scale=0.3)(x.float())
    # float32 networks of this size are right to a few 1e-7, bf16 ones to a few 1e-3.
    torch.testing.assert_close(single.double(), exact, atol=2e-6, rtol=0)
    half = PostAverage(convnet.bfloat16(), 0.8, scale=0.3)(x.bfloat16())
    torch.testing.assert_close(half.double(), exact, atol=1e-2, rtol=0)


@pytest.mark.parametrize("vote", ["softmax", "weighted"])
def test_classes_that_a_model_rules_out_stay_out(mlp, vote):
    mask = torch.tensor([0.0, 0.0, 0.0, -torch.inf])
    defended = PostAverage(
        Wrapped(mlp, lambda z: z.abs() + mask), 0.5, directions=2, scale=1.0, vote=vote
    )
    x = batch(5, 6).requires_grad_()
    scores = defended(x)
    assert torch.isfinite(scores).all()
    assert (scores.argmax(dim=1) < 3).all()
    (gradient,) = torch.autograd.grad(scores[:, :3].sum(), x)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0


def test_radius_zero_is_the_plain_model(mlp):
    x = batch(3, 6)
    scores = PostAverage(mlp, 0.0, directions=3, scale=1.0)(x)
    torch.testing.assert_close(scores, mlp(x).log_softmax(dim=1), **TOLERANCE)


class Wrapped(nn.Module):
    def __init__(self, model, wrap):
        super().__init__()
        self.model, self.wrap = model, wrap

    def forward(self, x):
        return self.wrap(self.model(x))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: (z, None),
        lambda z: {"logits": z, "hidden": z * 2},
        lambda z: SimpleNamespace(logits=z),
    ],
)
def test_models_that_wrap_their_logits(mlp, wrap):
    x = batch(3, 6)
    plain = PostAverage(mlp, 0.5, directions=2, scale=1.0)(x)
    wrapped = PostAverage(Wrapped(mlp, wrap), 0.5, directions=2, scale=1.0)(x)
    assert torch.equal(plain, wrapped)


def test_predict_says_what_it_cost(mlp):
    defended = PostAverage(mlp, 0.5, directions=4, scale=1.0)
    x = batch(5, 6)
    prediction = defended.predict(x)
    torch.testing.assert_close(prediction.probabilities, defended(x).exp(), **TOLERANCE)
    assert torch.equal(prediction.labels, defended(x).argmax(dim=1))
    assert prediction.samples.tolist() == [25] * 5
    assert prediction.decided.all()


@pytest.mark.parametrize("vote", VOTES)
def test_probabilities_are_a_distribution_for_every_vote(mlp, vote):
    defended = PostAverage(mlp, 0.5, directions=4, scale=1.0, vote=vote)
    total = defended.predict(batch(5, 6)).probabilities.sum(dim=1)
    torch.testing.assert_close(total, torch.ones_like(total), **TOLERANCE)


def test_states_of_before_the_offsets_were_a_part_are_read():
    """The file: ``torch.save`` of the state of `kept` below, with seed 7, of an earlier version."""
    path = Path(__file__).parent / "state_before_composition.pt"
    state = torch.load(path, weights_only=True)
    kept = PostAverage(nn.Linear(4, 3), 2.0, directions=2, scale=1.0, seed=1)
    kept.load_state_dict(state)
    assert (kept.seed, kept.radius, kept.directions) == (7, 0.5, 2)
    assert torch.equal(kept.drawn_directions, state["directions"])
    written = kept.state_dict()
    assert written.keys() == state.keys()
    assert all(torch.equal(written[name], value) for name, value in state.items())
    same = PostAverage(kept.model, 0.5, directions=2, scale=1.0, seed=7)
    assert torch.equal(same.draw((4,)), kept.drawn_directions)


def test_states_within_other_modules_have_their_prefix(mlp):
    def nested(seed):
        average = PostAverage(mlp, 0.5, directions=4, scale=1.0, seed=seed)
        return nn.Sequential(nn.Identity(), average)

    one, other = nested(3), nested(4)
    x = batch(2, 6)
    expected = one(x)
    assert {"1.directions", "1.seed", "1.radius"} <= one.state_dict().keys()
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(x), expected, rtol=0, atol=0)


def test_k_is_what_the_constructor_calls_it(mlp):
    average = PostAverage(mlp, 0.5, directions=4, scale=1.0)
    assert average.directions == 4
    average(batch(1, 6))
    assert average.directions == 4
    assert average.drawn_directions.shape == (4, 6)
    with pytest.warns(DeprecationWarning, match="directions"):
        assert average.directions_count == 4


def test_state_dict_keeps_directions_seed_and_radius(mlp):
    x = batch(3, 6)
    defended = PostAverage(mlp, 0.5, directions=4, scale=1.0, seed=9)
    scores = defended(x)
    state = defended.state_dict()
    assert {"directions", "seed", "radius"} <= set(state)

    other = PostAverage(mlp, 2.0, directions=4, scale=1.0, seed=1)
    other(x)
    other.load_state_dict(state)
    assert (other.seed, other.radius) == (9, 0.5)
    torch.testing.assert_close(other(x), scores, **TOLERANCE)


@pytest.mark.parametrize(
    "other", [{"directions": 15}, {"directions": 2}, {"sampler": "ball"}, {"sampler": "sphere"}]
)
def test_a_draw_of_another_kind_is_refused(mlp, other):
    defended = PostAverage(mlp, 0.5, directions=4, scale=1.0)
    defended(batch(1, 6))
    wrong = PostAverage(mlp, 0.5, **{"directions": 4, "scale": 1.0, **other})
    with pytest.raises(ConfigurationError, match="points from"):
        wrong.load_state_dict(defended.state_dict())


def test_casting_the_module_leaves_the_offsets_alone():
    model = nn.Sequential(Normalise([0.4] * 3, [0.229, 0.224, 0.225]), nn.Flatten())
    model.append(nn.Linear(48, 3))
    defended = PostAverage(model, 1.0, directions=2)
    x = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    defended(x)
    before = defended.neighbours(x[0])
    for cast in (torch.bfloat16, torch.float64):
        defended.to(cast)
        assert torch.equal(defended.neighbours(x[0]), before)
        assert model[2].weight.dtype == cast


class Cheap:
    """A sampler that does not keep to its 6K + 1 evaluations."""

    name, steps, centre = "cheap", (1.0,), False

    def vectors(self, directions, dim, rng):
        return torch.zeros(directions, dim, dtype=torch.float64)


def test_a_sampler_that_spends_another_number_is_refused(mlp):
    with pytest.raises(ConfigurationError, match="expected 25 points .* got 4"):
        PostAverage(mlp, 0.5, directions=4, scale=1.0, sampler=Cheap())(batch(1, 6))
    with pytest.raises(ConfigurationError, match="a sampler or its name"):
        PostAverage(mlp, 0.5, scale=1.0, sampler=Cheap)


def test_a_class_without_votes_wins_the_weighted_vote_where_logits_are_negative():
    """The authors' rule, kept as it is: the docstring warns of it."""
    logits = torch.tensor([-1.0, -2.0, -3.0]).expand(1, 7, 3)
    assert VOTES["weighted"].scores(logits).tolist() == [[-7.0, 0.0, 0.0]]


def test_a_seed_names_the_draw(mlp):
    x = batch(3, 6)

    def scores(seed):
        return PostAverage(mlp, 0.5, directions=4, scale=1.0, seed=seed)(x)

    assert torch.equal(scores(1), scores(1))
    assert not torch.equal(scores(1), scores(2))


def test_fresh_draws_differ_between_inputs_and_calls_and_come_again(mlp):
    x = batch(1, 6).repeat(2, 1)

    def new():
        return PostAverage(mlp, 0.5, directions=4, scale=1.0, randomness="fresh")

    defended = new()
    first, second = defended(x), defended(x)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)
    assert torch.equal(first, new()(x))


def test_fresh_draws_by_key(mlp):
    x = batch(3, 6)
    defended = PostAverage(mlp, 0.5, directions=4, scale=1.0, randomness="fresh")
    first = defended.predict(x, keys=["a", "b", "c"]).probabilities
    again = defended.predict(x.flip(0), keys=["c", "b", "a"]).probabilities.flip(0)
    torch.testing.assert_close(first, again, **TOLERANCE)
    with pytest.raises(InputError, match="3 keys"):
        defended.predict(x, keys=["a"])


def test_neighbours_are_the_points_of_eq_8(mlp):
    defended = PostAverage(mlp, 0.6, directions=3, scale=0.5)
    x = batch(1, 6)[0]
    expected = torch.stack(neighbours(x, defended.draw([6]).double(), 0.6, 0.5))
    torch.testing.assert_close(defended.neighbours(x), expected, **TOLERANCE)


def test_the_radius_in_pixels():
    layer = Normalise([0.5] * 3, [0.229, 0.224, 0.225])
    defended = PostAverage(nn.Sequential(layer, nn.Flatten()), 30)
    rms = (torch.tensor([0.229, 0.224, 0.225]) ** 2).mean().sqrt()
    assert defended.pixel_radius == pytest.approx(30 * float(rms), rel=1e-6)
    assert PostAverage(nn.Flatten(), 3, scale=0.5).pixel_radius == 1.5


def test_training_mode_is_left_alone(mlp):
    mlp.train()
    PostAverage(mlp, 0.5, directions=1, scale=1.0)(batch(1, 6))
    assert mlp.training


def test_out_of_memory_halves_the_chunk(caplog):
    class Small(nn.Module):
        def forward(self, x):
            if len(x) > 10:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return x[:, :2]

    defended = PostAverage(Small(), 0.5, directions=3, scale=1.0, chunk=64, vote="logits")
    x = batch(5, 4)
    torch.testing.assert_close(defended(x), x[:, :2], **TOLERANCE)
    assert "going on with" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius": -1}, "radius"),
        ({"radius": float("nan")}, "radius"),
        ({"directions": 0}, "direction"),
        ({"vote": "loudest"}, "softmax, logits, majority, weighted"),
        ({"sampler": "cube"}, "sampler"),
        ({"randomness": "some"}, "fixed or fresh"),
        ({"scale": 0.0}, "positive"),
        ({"scale": [0.2, 0.2, 0.2]}, "view"),
        ({"scale": torch.tensor([1.0, -1.0])}, "positive"),
        ({"chunk": 0}, "chunk"),
    ],
)
def test_settings_out_of_range_are_value_errors(mlp, arguments, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        PostAverage(mlp, **{"radius": 1.0, "scale": 1.0, **arguments})
    assert isinstance(caught.value, ValueError)


def test_bad_input_is_a_value_error(mlp):
    defended = PostAverage(mlp, 0.5, directions=1, scale=1.0)
    with pytest.raises(ValueError, match="batch"):
        defended(torch.zeros(0, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match="batch"):
        defended(torch.zeros(6, dtype=torch.float64))
    with pytest.raises(ValueError, match="floating point inputs"):
        defended(torch.zeros(1, 6, dtype=torch.int64))
    with pytest.raises(ValueError, match="inputs without NaN"):
        defended(torch.full((1, 6), torch.nan, dtype=torch.float64))
    nan = PostAverage(Wrapped(mlp, lambda z: z * torch.nan), 0.5, directions=1, scale=1.0)
    with pytest.raises(ValueError, match="logits without NaN"):
        nan(batch(1, 6))
    with pytest.raises(ConfigurationError, match="stop"):
        defended.predict(batch(1, 6), stop="soon")


def test_a_scale_that_does_not_broadcast_is_refused(convnet):
    for shape in [(3,), (5, 1, 1), (1, 1, 3, 8, 8)]:
        defended = PostAverage(convnet, 1.0, directions=1, scale=torch.ones(shape))
        with pytest.raises(ConfigurationError, match="broadcasts"):
            defended(batch(1, 3, 8, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_cuda_agrees_with_cpu(convnet, randomness):
    x = batch(16, 3, 8, 8)

    def scores(device):
        model = nn.Sequential(Normalise([0.4] * 3, [0.3] * 3), convnet).double().cpu()
        defended = PostAverage(model, 0.8, randomness=randomness)  # wrapped first, moved after
        return defended.to(device)(x.to(device)).cpu()

    torch.testing.assert_close(scores("cpu"), scores("cuda"), atol=1e-10, rtol=0)
