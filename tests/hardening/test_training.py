"""Steps: the noise that a network sees, what of it moves, and what a step depends on."""

import copy
import io
import math

import pytest
import torch
from torch import nn

import bandlimiter
from bandlimiter.errors import ConfigurationError
from bandlimiter.hardening import RECIPES, Recipe
from bandlimiter.hardening.training import Training
from tests.hardening.problems import convolutional, is_one_line, pictures, same_weights
from tests.hardening.steps import SIGMA, Recording, settings, trained

# --- noise --------------------------------------------------------------------------------


def noises(steps=4, count=40, **changed):
    """What was added to pixels: [steps, draws, count, pixels], in units of sigma."""
    model = Recording(3 * 6 * 6)
    x, y = pictures(count)
    x = x.round()  # at both ends of the range, where clipping would show
    given = settings(**{"steps": 100, **changed})
    training = Training(model, given)
    for _ in range(steps):
        training.step(x, y)
    draws = given.recipe.draws
    added = torch.stack(model.given).reshape(steps, draws, count, -1) - x.flatten(1)
    return added.double() / given.sigma


def test_noise_is_normal_with_mean_0_and_deviation_sigma_in_each_pixel():
    z = noises(steps=50, recipe=Recipe("r", draws=2))
    n = z.numel()
    # Five deviations: of a mean 1 / sqrt(n), of a square's mean sqrt(2 / n), of a fourth power's
    # mean sqrt(96 / n); a normal's are 1 and 3. Rounding to float32 is a thousandth of these.
    assert abs(float(z.mean())) < 5 / math.sqrt(n)
    assert abs(float(z.square().mean()) - 1) < 5 * math.sqrt(2 / n)
    assert abs(float(z.pow(4).mean()) - 3) < 5 * math.sqrt(96 / n)
    per_pixel = z.square().mean(dim=(0, 1, 2))
    assert (abs(per_pixel - 1) < 6 * math.sqrt(2 * len(per_pixel) / n)).all()


@pytest.mark.parametrize("axis", ["step", "draw", "image", "pixel"])
def test_noise_is_independent_between(axis):
    z = noises(recipe=Recipe("r", draws=3))
    dim = ["step", "draw", "image", "pixel"].index(axis)
    first, second = z.narrow(dim, 0, 1), z.narrow(dim, 1, 1)
    product = (first * second).flatten()
    # A product of two independent normals has mean 0 and variance 1.
    assert abs(float(product.mean())) < 5 / math.sqrt(len(product))


def test_noise_is_drawn_by_the_seed():
    assert torch.equal(noises(seed=1), noises(seed=1))
    assert not torch.equal(noises(seed=1), noises(seed=2))


def test_noise_is_in_pixels_before_the_normaliser():
    mean, std = [0.5, 0.4, 0.3], [0.5, 0.2, 0.1]
    inner = Recording(3 * 6 * 6)
    x, y = pictures(60)
    Training(nn.Sequential(bandlimiter.Normalise(mean, std), inner), settings()).step(x, y)
    (seen,) = inner.given
    for channel in range(3):
        pixels = seen[:, channel] * std[channel] + mean[channel]
        added = (pixels - x.repeat(2, 1, 1, 1)[:, channel]).double() / SIGMA
        n = added.numel()
        assert abs(float(added.square().mean()) - 1) < 5 * math.sqrt(2 / n)


def test_pixels_that_are_handed_in_stay_as_they_are():
    x, y = pictures(12)
    before = x.clone()
    Training(convolutional(), settings()).step(x, y)
    assert torch.equal(x, before)


# --- the schedule and the average ---------------------------------------------------------


@pytest.mark.parametrize("steps", range(1, 21))
def test_any_number_of_steps_can_be_planned(steps):
    model = Recording(3 * 6 * 6)
    assert trained(model, steps, steps=steps).done == steps


def test_the_rate_is_one_cycle():
    training = Training(convolutional(), settings(steps=40, rate=0.3))
    x, y = pictures(12)
    rates = []
    for _ in range(40):
        rates.append(training.rate)
        training.step(x, y)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert max(rates) == pytest.approx(0.3)
    assert peak == 9  # a quarter of 40 steps, counted from 0
    assert rates[-1] < 1e-4 * max(rates)


def test_a_step_is_nesterov_s_with_weight_decay():
    # Without noise to speak of and on one batch: the steps of the textbook, in float64.
    model = Recording(3 * 6 * 6).double()
    by_hand = copy.deepcopy(model)
    given = settings(sigma=1e-12, recipe=RECIPES["gaussian"], rate=0.1)
    training = Training(model, given)
    x, y = pictures(12)
    momenta = [torch.zeros_like(each) for each in by_hand.parameters()]
    for _ in range(5):
        rate = training.rate
        training.step(x, y)
        loss = nn.functional.cross_entropy(by_hand(x.double()).float(), y)
        grads = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for each, grad, momentum in zip(by_hand.parameters(), grads, momenta, strict=True):
                slope = grad + 5e-4 * each
                momentum.mul_(0.9).add_(slope)
                each.sub_(rate * (slope + 0.9 * momentum))
    for ours, expected in zip(model.parameters(), by_hand.parameters(), strict=True):
        # The loss is computed in float32: some 1e-7 of each gradient, times rates of 0.1.
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-7)


def test_the_answer_is_the_exponential_average_over_a_twentieth_of_the_steps():
    model = Recording(3 * 6 * 6).double()
    steps = 60
    training = Training(model, settings(steps=steps))
    x, y = pictures(12)
    kept = 1 - 1 / (steps / 20)
    average = None
    for _ in range(20):
        training.step(x, y)
        now = model.last.weight.detach().clone()
        average = now if average is None else kept * average + (1 - kept) * now
        # Each of 20 steps rounds a few times.
        torch.testing.assert_close(
            training.average.last.weight.detach(), average, rtol=0, atol=100 * 2**-53
        )


def test_statistics_are_averaged_with_the_weights():
    training = trained(convolutional(), 10, steps=200)
    ours, average = (each[1].running_mean for each in (training.model, training.average))
    assert not torch.equal(ours, average)
    assert torch.isfinite(average).all()


def test_without_an_average_the_network_answers():
    model = convolutional()
    assert trained(model, 1, averaged=False).average is None


# --- what a step depends on ---------------------------------------------------------------


def test_a_step_leaves_other_people_s_chance_alone_and_does_not_listen_to_it():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = convolutional()
    torch.set_rng_state(before)
    trained(one)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = convolutional()
    torch.manual_seed(3)
    trained(other)
    assert same_weights(one, other)


def test_dropout_draws_anew_in_each_step():
    model = nn.Sequential(nn.Dropout(0.5), Recording(3 * 6 * 6))
    trained(model, sigma=1e-9)
    first, second, third = (seen.abs() < 1e-6 for seen in model[1].given)
    assert 0.4 < float(first.float().mean()) < 0.6  # of 2,592 numbers: ten deviations
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize("averaged", [True, False])
def test_a_restored_state_goes_on_as_if_nothing_had_been(averaged):
    x, y = pictures(12)
    whole, cut = convolutional(), convolutional()
    straight = trained(whole, 7, averaged=averaged)
    buffer = io.BytesIO()
    torch.save(trained(cut, 3, averaged=averaged).state(), buffer)
    buffer.seek(0)
    training = Training(convolutional(seed=9), settings(averaged=averaged))
    training.restore(torch.load(buffer, weights_only=True))
    for _ in range(4):
        training.step(x, y)
    assert training.done == straight.done == 7
    assert training.rate == straight.rate
    assert same_weights(training.model, straight.model)
    if averaged:
        assert same_weights(training.average, straight.average)


def test_tables_of_indices_are_not_averaged():
    model = convolutional()
    model.register_buffer("places", torch.arange(20))
    x, y = pictures(12)
    training = Training(model, settings(steps=600, averaged=True))
    for _ in range(50):
        training.step(x, y)
    assert torch.equal(training.average.places, torch.arange(20))
    assert training.average[1].num_batches_tracked == 50


def test_the_loss_is_that_of_the_network_in_training_mode():
    model = convolutional().double()  # never in bfloat16
    model[3].p = 0.0
    x, y = pictures(12)
    x = x.double()
    expected = nn.functional.cross_entropy(copy.deepcopy(model).train()(x), y)
    loss = Training(model, settings(sigma=1e-9, recipe=RECIPES["gaussian"])).step(x, y)
    # Noise of 1e-9 moves the loss by some thousand times as much, at most.
    assert loss == pytest.approx(expected.item(), abs=1e-5)


# --- one line -----------------------------------------------------------------------------


class Detached(Recording):
    def forward(self, x):
        return super().forward(x).detach()


class Gradless(Recording):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class Multiplied(Recording):
    def forward(self, x):
        return 0 * super().forward(x)


@pytest.mark.parametrize("kind", [Detached, Gradless, Multiplied])
def test_a_forward_that_cuts_the_gradient(kind):
    with pytest.raises(ConfigurationError, match="expected a gradient at the 2 weights") as caught:
        trained(kind(3 * 6 * 6))
    assert is_one_line(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers(value):
    model = Recording(3 * 6 * 6)
    with torch.no_grad():
        model.last.weight[0, 0] = value
    before = copy.deepcopy(model)
    with pytest.raises(ConfigurationError, match="a loss that is a number.*step 1.*NaN") as caught:
        trained(model)
    assert is_one_line(caught.value)
    assert torch.equal(model.last.weight[1:], before.last.weight[1:])


def test_a_rate_at_which_training_diverges():
    with pytest.raises(ConfigurationError, match="--rate below 1e"):
        trained(convolutional(), 12, rate=1e30, recipe=RECIPES["gaussian"])
