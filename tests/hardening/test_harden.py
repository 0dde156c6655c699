"""Hardening as a whole: what it gains, and what it leaves alone."""

import copy
import math
import re

import pytest
import torch
import torch._inductor.config
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bandlimiter.data import ArrayImages
from bandlimiter.hardening import Recipe, harden, recalibrate
from bandlimiter.hardening.batches import split
from bandlimiter.hardening.noisy_accuracy import COPIES, measure
from tests.hardening.problems import (
    FRAGILE,
    ROBUST,
    SIGMA,
    briefly,
    convolutional,
    fragile,
    lasting,
    normal_cdf,
    pictures,
    refused,
    same_weights,
    two_classes,
)


def accuracy(model, x, y):
    with torch.no_grad():
        return float((model(x).argmax(dim=1) == y).float().mean())


def noisy(x, seed):
    return x + SIGMA * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


# --- what it gains ------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["gaussian", "consistency", Recipe("three", 3, 5.0, 0.1)])
def test_a_network_learns_to_look_at_what_noise_leaves(recipe):
    data, (x, y) = two_classes(1000, seed=0), two_classes(4000, seed=1)
    # By the number that it looks at, the network is right where z < 0.1, and best where z < 3.
    off = 5 * 0.5 / math.sqrt(4000)
    assert accuracy(fragile(), x, y) == 1
    assert accuracy(fragile(), noisy(x, 2), y) == pytest.approx(
        normal_cdf(FRAGILE / SIGMA), abs=off
    )
    hardened = harden(
        fragile(), data, sigma=SIGMA, recipe=recipe, epochs=6, batch=64, rate=0.2, compiled=False
    )
    after = accuracy(hardened.model, noisy(x, 2), y)
    assert normal_cdf(ROBUST / SIGMA) - 0.02 < after
    assert accuracy(hardened.model, x, y) == 1
    held_out = hardened.card.held_out
    assert held_out["images"] == 100
    assert held_out["noisy"] > 0.9
    assert hardened.history[0]["noisy"] < 0.7


def test_accuracy_is_measured_clean_and_on_independent_noisy_copies():
    x, y = two_classes(3000, seed=3)
    found, again, other = (
        measure(fragile(), ArrayImages("x", x, y), FRAGILE, seed) for seed in (0, 0, 1)
    )
    assert found.clean == 1
    for share, expected, trials in (
        (found.noisy, normal_cdf(1), COPIES * len(x)),
        (found.steady, normal_cdf(1) ** COPIES, len(x)),
    ):
        off = 5 * math.sqrt(expected * (1 - expected) / trials)
        assert share == pytest.approx(expected, abs=off)
    assert found == again
    assert found.noisy != other.noisy


def test_the_best_epoch_answers():
    # At such a rate epochs differ; the one that is kept is the best of those in the history.
    hardened = briefly(convolutional(), pictures(200), epochs=5, rate=0.5)
    steady = [row["steady"] for row in hardened.history]
    best = hardened.card.recipe["chosen_epoch"]
    assert steady[best] == max(steady) == hardened.card.held_out["steady"]
    assert hardened.history[best]["clean"] == hardened.card.held_out["clean"]
    assert [row["epoch"] for row in hardened.history] == list(range(6))


def test_what_the_card_says_of_held_out_images_is_what_the_model_does():
    x, y = pictures(200)
    hardened = briefly(convolutional(), (x, y), seed=4)
    held_out = split(ArrayImages("x", x, y), 4)[1]
    clean = accuracy(hardened.model, held_out.images(0, len(held_out)), held_out.labels)
    assert clean == pytest.approx(hardened.card.held_out["clean"])


# --- what it leaves alone -----------------------------------------------------------------


def test_the_model_and_others_chance_stay_as_they_are():
    model = convolutional().train()
    model[0].weight.requires_grad_(False)
    before, chance = copy.deepcopy(model), torch.get_rng_state()
    x, y = pictures(40)
    pixels = x.clone()
    hardened = briefly(model, (x, y))
    assert same_weights(model, before)
    assert all(part.training for part in model.modules())
    assert all(each.grad is None for each in model.parameters())
    assert torch.equal(torch.get_rng_state(), chance)
    assert torch.equal(x, pixels)
    assert not same_weights(hardened.model, before)
    assert not any(part.training for part in hardened.model.modules())
    assert torch.equal(hardened.model[0].weight, model[0].weight)
    assert [each.requires_grad for each in hardened.model.parameters()] == [False] + 5 * [True]


def test_the_same_seed_gives_the_same_weights_to_the_bit():
    model, data = convolutional(), pictures(60)
    first = briefly(model, data, seed=1)
    torch.manual_seed(99)
    again = briefly(model, data, seed=1)
    assert same_weights(first.model, again.model)
    assert lasting(first.history) == lasting(again.history)
    assert not same_weights(first.model, briefly(model, data, seed=2).model)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_may_be_off_around_it(mode):
    plain = briefly(convolutional(), pictures(40))
    with mode():
        hardened = briefly(convolutional(), pictures(40))
    assert same_weights(hardened.model, plain.model)


def test_pixels_may_ask_for_a_gradient():
    x, y = pictures(40)
    plain = briefly(convolutional(), (x, y))
    asking = x.clone().requires_grad_()
    assert same_weights(briefly(convolutional(), (asking, y)).model, plain.model)
    assert asking.grad is None


def test_every_form_of_data_gives_the_same():
    x, y = pictures(40)
    bytes_ = (x * 255).round().byte()
    dataset = TensorDataset(bytes_, y)
    forms = [(bytes_, y), (bytes_.float() / 255, y), dataset, DataLoader(dataset, batch_size=7)]
    first, *others = (briefly(convolutional(), data).model for data in forms)
    assert all(same_weights(first, other) for other in others)


@pytest.mark.slow
def test_minutes_decide_on_the_number_of_steps_alone():
    model, data = convolutional(), pictures(60)
    by_clock = briefly(model, data, minutes=0.05)  # enough for a step on any machine
    steps = by_clock.card.recipe["steps"]
    assert by_clock.history[-1]["step"] == steps >= 1
    per_epoch = math.ceil(54 / 8)
    by_number = briefly(model, data, epochs=steps / per_epoch)
    assert by_number.card.recipe["steps"] == steps
    assert same_weights(by_clock.model, by_number.model)
    assert lasting(by_clock.history) == lasting(by_number.history)


@pytest.mark.parametrize(("epochs", "steps"), [(0.01, 1), (0.5, 3), (0.7, 4), (1, 6), (1.5, 9)])
def test_epochs_may_be_parts_of_one(epochs, steps):
    hardened = briefly(fragile(), two_classes(50, 0), epochs=epochs)  # 45 images, six of 7
    assert hardened.card.recipe["steps"] == steps
    assert [row["step"] for row in hardened.history] == sorted({0, *range(6, steps, 6), steps})


def test_doubles_stay_doubles():
    hardened = briefly(fragile().double(), two_classes(60, 0))
    assert hardened.card.recipe["augment"] == "none"
    assert hardened.model.weight.dtype == torch.float64


def test_inputs_that_are_no_images_have_units_of_their_own():
    # Scaled by a power of two, numbers round as before: so do all predictions and the history.
    x, y = two_classes(60, 0)
    plain = briefly(fragile().double(), (x, y), part="head", rate=1e-9, averaged=False)
    scaled = fragile().double()  # never in bfloat16, whose noise is rounded to steps of its own
    with torch.no_grad():
        scaled.weight.div_(8)
    hardened = briefly(scaled, (8 * x, y), part="head", rate=1e-9, averaged=False, sigma=8 * SIGMA)
    for ours, expected in zip(lasting(hardened.history), lasting(plain.history), strict=True):
        assert ours["noisy"] == expected["noisy"]
    assert hardened.card.sigma == 8 * SIGMA


def test_the_card_says_pixels_of_pixels_alone():
    x, y = two_classes(60, 0)
    assert briefly(convolutional(), pictures(60)).card.unit == "pixels in [0, 1]"
    assert briefly(fragile(), (100 * x, y), sigma=100 * SIGMA).card.unit != "pixels in [0, 1]"


def test_an_augmentation_of_one_s_own():
    seen = []

    def upside_down(x, rng):
        seen.append(len(x))
        return x.flip(2)

    x, y = pictures(60)
    own = briefly(convolutional(), (x, y), augment=upside_down)
    assert seen == 14 * [7]  # 54 images in seven batches, two epochs
    by_name, none = (
        briefly(convolutional(), (x, y), augment=name) for name in ("crop-flip", "none")
    )
    assert not same_weights(own.model, none.model)
    assert not same_weights(by_name.model, none.model)
    assert same_weights(by_name.model, briefly(convolutional(), (x, y)).model)
    assert by_name.card.recipe["augment"] == "crop-flip"


def test_progress_tells_of_each_step():
    told = []
    briefly(convolutional(), pictures(60), progress=lambda *each: told.append(each))
    assert [done for done, _, _ in told] == list(range(15))
    assert {total for done, total, _ in told if done} == {14}
    said = [re.fullmatch(r"epoch (\d), noisy accuracy [01]\.\d+", what) for _, _, what in told[1:]]
    epochs = [int(each[1]) for each in said]
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2}


class Keeping(nn.Module):
    """Keeps what it computed in its latest pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        self.kept = self.layer(x)
        return self.kept


def test_modules_that_keep_activations_can_be_copied_afterwards():
    hardened = briefly(Keeping(), two_classes(60, 0), minutes=0.02)
    twin = copy.deepcopy(hardened.model)
    assert same_weights(twin, hardened.model)


def test_inputs_in_space_and_time():
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Flatten(), nn.Linear(16, 2))
    x = torch.rand(40, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    hardened = briefly(network, (x, torch.arange(40) % 2))
    assert hardened.card.unit == "those of the input"


def test_statistics_of_single_images_stay_as_they_are():
    # InstanceNorm has running statistics as well, which depend on each image by itself.
    network = convolutional()
    norm = nn.InstanceNorm2d(4, track_running_stats=True)
    network = nn.Sequential(network[0], norm, *network[1:])
    norm.running_mean.fill_(0.25)
    twin = recalibrate(network.eval(), pictures(20)[0], SIGMA)
    assert torch.equal(twin[1].running_mean, norm.running_mean)
    assert not torch.equal(twin[2].running_mean, network[2].running_mean)


def test_what_was_refused_at_once_binds_no_folder(tmp_path):
    data = two_classes(60, 0)
    refused(fragile(), data, rate=1e30, out=tmp_path)
    hardened = briefly(fragile(), data, rate=0.05, out=tmp_path)
    assert hardened.card.recipe["rate"] == 0.05


def test_without_a_compiler_it_runs_eagerly_and_says_so(caplog):
    data = two_classes(60, 0)
    broken = {"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}
    with torch._inductor.config.patch(broken):
        hardened = briefly(fragile(), data, compiled=True)
    assert "training runs eagerly, as torch.compile failed" in caplog.text
    assert same_weights(hardened.model, briefly(fragile(), data).model)
