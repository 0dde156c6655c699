"""Early stopping of real defended models, against their full averages."""

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.defence.stopping import draw_orders
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.sampling import INPUT_SAMPLERS, SAMPLERS
from tests.kernels import OtherKernels


class Counting(nn.Module):
    """Counts the inputs that a model sees, and remembers the passes."""

    def __init__(self, model):
        super().__init__()
        self.model, self.passes = model, []

    def forward(self, x):
        self.passes.append(len(x))
        return self.model(x)


@pytest.fixture(scope="module")
def hard(sample, photos):
    """A real network and 60 real images, half of them mixed in pairs into hard ones."""
    images = photos.images(0, 60)
    mixed = 0.5 * images[:30] + 0.5 * images[30:]
    return sample.module, torch.cat([images[:30], mixed])


@pytest.mark.slow
@pytest.mark.parametrize("vote", ["softmax", "majority"])
@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_exact_never_changes_a_label(hard, vote, randomness):
    model, x = hard

    def predict(stop):
        defended = PostAverage(model, 6, directions=5, vote=vote, randomness=randomness, seed=1)
        return defended.predict(x, stop=stop)

    full, early = predict("never"), predict("exact")
    assert torch.equal(full.labels, early.labels)
    assert early.decided.all()
    assert early.samples.double().mean() < 25 < int(full.samples[0])  # of 31
    assert early.samples.max() > early.samples.min()  # hard images cost more


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("vote", ["softmax", "majority"])
@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_exact_changes_no_label_where_each_pass_rounds_otherwise(mlp, vote, randomness, dtype):
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    model, x = OtherKernels(mlp.to(dtype)), x.to(dtype)

    def predict(stop):
        settings = {"directions": 3, "scale": 1.0, "vote": vote, "randomness": randomness}
        return PostAverage(model, 0.5, **settings).predict(x, stop=stop)

    full, early = predict("never"), predict("exact")
    two = full.probabilities.topk(2).values
    assert float((two[:, 0] - two[:, 1]).min()) > 1e-4  # beyond the rounding of float32
    assert torch.equal(early.labels, full.labels)
    assert early.decided.all()
    assert int(early.samples.sum()) < 40 * 19


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_names_one_of_the_largest_where_rounding_alone_decides(mlp, dtype):
    """Two classes tie on paper, so that which of them leads may change from pass to pass."""
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        mlp[2].weight[3], mlp[2].bias[3] = mlp[2].weight[2], mlp[2].bias[2]
    defended = PostAverage(OtherKernels(mlp.to(dtype)), 0.5, directions=3, scale=1.0)
    full, early = defended.predict(x.to(dtype)), defended.predict(x.to(dtype), stop="exact")
    assert (full.labels >= 2).all()
    announced = full.probabilities.gather(1, early.labels[:, None])[:, 0]
    # Logits of order one are off by some roundings of their terms, and probabilities by as much.
    behind = float((full.probabilities.amax(dim=1) - announced).max())
    assert behind <= 100 * torch.finfo(dtype).eps


@pytest.mark.slow
def test_anytime_stops_early_at_its_level(hard):
    """The guarantee is for each image; over 60 images and five orders, at alpha = 0.05, 15 wrong
    labels are expected at most, and 31 are four deviations above that."""
    model, x = hard
    wrong = 0
    for seed in range(5):
        defended = PostAverage(model, 6, directions=5, seed=seed)
        full, early = defended.predict(x), defended.predict(x, stop="anytime", alpha=0.05)
        wrong += int((full.labels != early.labels).sum())
        assert early.samples.double().mean() < 16
    assert wrong <= 31


def test_the_samples_are_the_evaluations_that_were_spent(convnet):
    model = Counting(convnet)
    x = torch.rand(9, 3, 8, 8, dtype=torch.float64)
    defended = PostAverage(model, 0.8, directions=3, scale=1.0, chunk=16)
    for stop in ("exact", "anytime"):
        model.passes.clear()
        answers = defended.predict(x, stop=stop, alpha=0.2)
        spent = int(answers.samples.sum())
        assert spent <= sum(model.passes) <= 4 / 3 * spent  # filled up to a few sizes
        assert set(model.passes) <= {1, 2, 3, 4, 6, 8, 12, 16}


@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_a_budget_averages_the_first_points_of_the_order_that_the_seed_names(mlp, randomness):
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    settings = {"directions": 2, "scale": 1.0, "seed": 3, "randomness": randomness}
    answers = PostAverage(mlp, 0.5, **settings).predict(x, stop="exact", budget=4)
    shown = PostAverage(mlp, 0.5, **settings)
    for row, one in enumerate(x):
        probabilities = mlp(shown.neighbours(one)).softmax(dim=1)
        name = () if randomness == "fixed" else ("input", row)
        (order,) = draw_orders(13, seed=3, names=[name])
        torch.testing.assert_close(answers.probabilities[row], probabilities[order[:4]].mean(dim=0))
        shown.predict(one[None])  # the next input gets the next draw


@pytest.mark.parametrize("sampler", [*SAMPLERS, *INPUT_SAMPLERS])
@pytest.mark.parametrize("randomness", ["fixed", "fresh"])
def test_batches_chunks_and_order_of_inputs_change_no_answer(sampler, randomness):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)).double().eval()
    x = torch.rand(12, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    keys = [f"image {i}" for i in range(12)]

    def predict(rows, chunk="auto"):
        defended = PostAverage(
            model,
            0.5,
            directions=4,
            sampler=sampler,
            scale=1.0,
            randomness=randomness,
            chunk=chunk,
        )
        return defended.predict(
            x[rows], stop="anytime", alpha=0.1, keys=[keys[row] for row in rows]
        )

    whole = predict(list(range(12)))
    for rows in ([0], [5, 2], list(range(11, -1, -1))):
        for chunk in (1, 7, 1000):
            part = predict(rows, chunk)
            assert torch.equal(part.labels, whole.labels[rows])
            # Sums of at most 25 float64 numbers; a network's outputs depend on the batch.
            torch.testing.assert_close(
                part.probabilities, whole.probabilities[rows], atol=1e-12, rtol=0
            )


def test_a_stream_is_predicted_like_a_batch(mlp):
    x = torch.rand(23, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for randomness in ("fixed", "fresh"):
        for stop in ("never", "exact", "anytime"):

            def defended(randomness=randomness):
                return PostAverage(mlp, 0.5, directions=4, scale=1.0, randomness=randomness)

            whole = defended().predict(x, stop=stop, alpha=0.1)
            parts = list(defended().predict_stream(x.split([1, 2, 20]), stop=stop, alpha=0.1))
            assert [len(part.labels) for part in parts] == [1, 2, 20]
            assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
            torch.testing.assert_close(
                torch.cat([part.probabilities for part in parts]),
                whole.probabilities,
                atol=1e-12,
                rtol=0,
            )


def test_a_stream_is_read_as_predictions_are_taken(mlp):
    read = []

    def batches():
        for number in range(10):
            read.append(number)
            yield torch.rand(40, 6, dtype=torch.float64)

    stream = PostAverage(mlp, 0.5, directions=1, scale=1.0, chunk=8).predict_stream(batches())
    next(stream)
    assert len(read) == 2  # 64 inputs are gathered, no more


def test_a_stream_may_change_shape_and_dtype_of_its_inputs():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    defended = PostAverage(model, 0.5, directions=1, scale=1.0)
    batches = [torch.rand(2, 3, size, size) for size in (8, 12, 12)]
    batches.append(batches[-1].double())
    parts = list(defended.predict_stream(batches))
    assert [len(part.labels) for part in parts] == [2] * 4
    assert [part.probabilities.dtype for part in parts] == [*[torch.float32] * 3, torch.float64]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((2, 6), float("nan")).double(), "NaN"),
        (torch.zeros(2, 6, dtype=torch.uint8), "uint8; divide"),
        (torch.zeros(0, 6).double(), "a batch"),
    ],
    ids=["NaN", "8-bit", "empty"],
)
def test_a_stream_answers_the_batches_before_one_that_it_refuses(mlp, bad, message):
    good = torch.rand(3, 6, dtype=torch.float64)
    stream = PostAverage(mlp, 0.5, directions=1, scale=1.0).predict_stream([good, good, bad, good])
    assert len(next(stream).labels) == 3
    assert len(next(stream).labels) == 3
    with pytest.raises(InputError, match=message):
        next(stream)


def test_what_is_refused_does_not_move_the_fresh_draws(mlp):
    x = torch.rand(2, 6, dtype=torch.float64)
    settings = {"directions": 2, "scale": 1.0, "randomness": "fresh"}
    defended = PostAverage(mlp, 0.5, **settings)
    for arguments in ({"stop": "soon"}, {"stop": "exact", "budget": 99}, {"budget": 3}):
        with pytest.raises(ConfigurationError):
            defended.predict(x, **arguments)
    expected = PostAverage(mlp, 0.5, **settings).predict(x)
    assert torch.equal(defended.predict(x).probabilities, expected.probabilities)


@pytest.mark.parametrize("stop", ["never", "exact", "anytime"])
def test_probabilities_have_the_dtype_of_the_scores(mlp, stop):
    x = torch.rand(2, 6)
    for dtype in (torch.float32, torch.float64):
        model = mlp.to(dtype)
        found = PostAverage(model, 0.5, directions=2, scale=1.0).predict(x.to(dtype), stop=stop)
        assert found.probabilities.dtype == dtype


def test_a_lone_large_image_is_not_taken_point_by_point():
    model = Counting(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    defended = PostAverage(model, 0.5, scale=1.0, chunk=5)
    defended.predict(torch.full((1, 3, 8, 8), 0.5), stop="exact")  # close to a tie: all are needed
    assert 91 <= sum(model.passes) <= 4 / 3 * 91
    assert len(model.passes) < 40


@pytest.mark.parametrize("vote", ["logits", "weighted"])
def test_votes_without_bounds_refuse_to_stop(mlp, vote):
    defended = PostAverage(mlp, 0.5, scale=1.0, vote=vote)
    assert not defended.can_stop
    x = torch.rand(2, 6, dtype=torch.float64)
    for stop in ("exact", "anytime"):
        with pytest.raises(ValueError, match=vote):
            defended.predict(x, stop=stop)
    assert len(defended.predict(x).labels) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stop": "soon"}, "never, exact or anytime"),
        ({"stop": "anytime", "alpha": 0.0}, "alpha in"),
        ({"stop": "anytime", "alpha": 1.5}, "alpha in"),
        ({"stop": "exact", "budget": 0}, "budget of 1 to 91"),
        ({"stop": "exact", "budget": 92}, "budget of 1 to 91"),
        ({"budget": 10}, "no budget"),
    ],
)
def test_settings_out_of_range_are_refused(mlp, arguments, message):
    defended = PostAverage(mlp, 0.5, scale=1.0)
    with pytest.raises(ConfigurationError, match=message):
        defended.predict(torch.rand(2, 6, dtype=torch.float64), **arguments)


class Overflowing(nn.Module):
    """Returns a number that is none for some inputs."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.where(x[:, :2] > 0.9, self.value, x[:, :2])


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_an_overflow_is_no_vote(value):
    """-inf for one class is a probability of zero, for all of them it is none."""
    model = Overflowing(value)
    defended = PostAverage(model, 0.01, directions=2, scale=1.0, vote="majority")
    for stop in ("never", "exact", "anytime"):
        with pytest.raises(InputError, match=r"\+inf"):
            defended.predict(torch.full((3, 4), 0.95), stop=stop)
        if value == float("-inf"):
            x = torch.tensor([[0.95, 0.1, 0.5, 0.5]])
            assert int(defended.predict(x, stop=stop).labels) == 1


def test_memory_that_ends_halves_the_pass(mlp):
    class Small(nn.Module):
        def forward(self, x):
            if len(x) > 10:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return mlp(x)

    x = torch.rand(20, 6, dtype=torch.float64)
    settings = {"directions": 4, "scale": 1.0}
    expected = PostAverage(mlp, 0.5, **settings).predict(x, stop="anytime", alpha=0.1)
    found = PostAverage(Small(), 0.5, **settings).predict(x, stop="anytime", alpha=0.1)
    assert torch.equal(found.labels, expected.labels)
