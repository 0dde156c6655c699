"""BatchNorm statistics under noise: closed forms, torch's own recomputation, and nothing else."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, TensorDataset

import bandlimiter
from bandlimiter.data import ArrayImages
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.hardening import recalibrate
from tests.hardening.problems import convolutional, is_one_line, pictures, same_weights

SIGMA = 0.25


def one_layer(width=2):
    return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, 2)).eval()


def vectors(count, seed=0, width=2):
    return torch.rand(count, width, generator=torch.Generator().manual_seed(seed))


def require_statistics(layer, x, sigma):
    """Mean and variance per channel of x [count, channels] plus noise, as far as chance allows.

    The noise's mean deviates by sigma / sqrt(count). The variance of the sum is that of x plus
    sigma^2; its sample deviates by sigma^2 sqrt(2 / count), and by twice the covariance of x with
    noise, 2 sigma sqrt(var(x) / count). Five of these.
    """
    count, var = len(x), x.var(dim=0)
    torch.testing.assert_close(
        layer.running_mean, x.mean(dim=0), rtol=0, atol=5 * sigma / math.sqrt(count)
    )
    off = 5 * (sigma**2 * math.sqrt(2) + 2 * sigma * float(var.max().sqrt())) / math.sqrt(count)
    torch.testing.assert_close(layer.running_var, var + sigma**2, rtol=0, atol=off)
    assert off < sigma**2  # else the test would not see whether there was noise


# --- closed forms -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [250, 1000, 3000])
@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_numbers_have_their_own_variance_and_that_of_the_noise(count, sigma):
    x = 0.3 + 0.1 * vectors(count)
    require_statistics(recalibrate(one_layer(), x, sigma)[0], x, sigma)


def test_images_have_them_in_each_channel():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 64, 2)).eval()
    x = pictures(500, size=8)[0] * torch.tensor([0.2, 0.5, 1.0]).view(3, 1, 1)
    layer = recalibrate(model, x, SIGMA)[0]
    require_statistics(layer, x.transpose(0, 1).flatten(1).T, SIGMA)


def test_noise_is_added_before_the_normaliser():
    mean, std = [0.5, 0.4, 0.3], [0.5, 0.2, 0.1]
    first = bandlimiter.Normalise(mean, std)
    model = nn.Sequential(first, nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3 * 64, 2)).eval()
    x = torch.full((500, 3, 8, 8), 0.5)
    layer = recalibrate(model, x, SIGMA)[1]
    # Of 32,000 samples each, five deviations: sqrt(2 / 32000) relative to the variance.
    expected = torch.tensor([(SIGMA / each) ** 2 for each in std])
    torch.testing.assert_close(layer.running_var, expected, rtol=5 * math.sqrt(2 / 32_000), atol=0)
    centred = layer.running_mean - (0.5 - torch.tensor(mean)) / torch.tensor(std)
    assert (centred.abs() < 5 * expected.sqrt() / math.sqrt(32_000)).all()


def test_without_noise_they_are_what_torch_computes_for_the_whole_network():
    model, (x, y) = convolutional().double(), pictures(250)
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # torch's function trains all parts
    ours = recalibrate(model, x, 1e-14)
    theirs = copy.deepcopy(model)
    update_bn(DataLoader(TensorDataset(x.double(), y), batch_size=250), theirs)
    for name, value in theirs.named_buffers():
        # Noise of 1e-14 and a few roundings of float64 (2e-16) in sums of 9,000 terms.
        torch.testing.assert_close(dict(ours.named_buffers())[name], value, rtol=1e-11, atol=1e-12)


def test_deeper_layers_see_what_noise_does_to_the_ones_before():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.BatchNorm1d(1)).eval()
    model.append(nn.Linear(1, 2))
    with torch.no_grad():
        model[0].weight.fill_(2.0)
    count = 5000
    layer = recalibrate(model, torch.zeros(count, 1), SIGMA)[2]
    # max(0, z) with z normal of deviation s has mean s / sqrt(2 pi), variance s^2 (1/2 - 1/(2 pi)).
    s = 2 * SIGMA
    mean, var = s / math.sqrt(2 * math.pi), s * s * (0.5 - 0.5 / math.pi)
    assert float(layer.running_mean) == pytest.approx(mean, abs=5 * math.sqrt(var / count))
    # Its fourth central moment is 0.63 s^4, which bounds the variance of the variance.
    assert float(layer.running_var) == pytest.approx(var, abs=5 * s * s * math.sqrt(0.63 / count))


def test_each_image_counts_once_whatever_the_batches_are():
    # 250 zeros and two ones, of which batches of 250 would make a half.
    x = torch.zeros(252, 1).double()
    x[250:] = 1
    layer = recalibrate(nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2)).double().eval(), x, 1e-9)[
        0
    ]
    # Where a few are left out, both are off by those that are missing, at most two of 252.
    assert float(layer.running_mean) == pytest.approx(2 / 252, abs=2.1 / 252)
    assert float(layer.running_var) == pytest.approx(2 / 252, abs=2.1 / 252)


def test_images_may_come_sorted_by_class():
    # As folders give them: what lies between batches belongs to the variance.
    x = torch.cat([torch.full((500, 2), 0.1), torch.full((500, 2), 0.9)]).float()
    require_statistics(recalibrate(one_layer(), x, 0.5)[0], x, 0.5)


def test_the_images_that_are_used_are_of_all_classes():
    x = torch.cat([torch.full((500, 1), 0.1), torch.full((500, 1), 0.9)])
    layer = recalibrate(one_layer(1), x, 0.1, most=500)[0]
    # Drawn at random, 500 of 1,000: the mean's deviation is 0.4 sqrt(1 / 500 - 1 / 1000).
    assert float(layer.running_mean) == pytest.approx(0.5, abs=5 * 0.4 * math.sqrt(1 / 1000))


# --- and nothing else ---------------------------------------------------------------------


def test_nothing_else_changes():
    model = convolutional()
    model.train()
    model[1].momentum = 0.3
    before = copy.deepcopy(model)
    twin = recalibrate(model, pictures(60)[0], SIGMA)
    assert same_weights(model, before)
    assert all(part.training for part in model.modules())
    assert not any(part.training for part in twin.modules())
    changed = {
        name
        for name, value in twin.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert twin[1].momentum == model[1].momentum == 0.3


def test_what_was_collected_before_does_not_matter():
    model, other = convolutional(), convolutional()
    nn.init.normal_(other[1].running_mean)
    nn.init.constant_(other[1].running_var, 7.0)
    x, _ = pictures(60)
    assert same_weights(recalibrate(model, x, SIGMA), recalibrate(other, x, SIGMA))


def test_dropout_rests():
    x, _ = pictures(300)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    plain(x[:2])
    dropping = nn.Sequential(nn.Dropout(0.5), *copy.deepcopy(plain))
    ours, without = recalibrate(dropping, x, SIGMA)[2], recalibrate(plain, x, SIGMA)[1]
    assert same_weights(ours, without)


def test_no_chance_is_drawn_from_anyone_else():
    model = convolutional()
    before = torch.get_rng_state()
    recalibrate(model, pictures(30)[0], SIGMA)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_seed_gives_the_same_statistics():
    model, (x, _) = convolutional(), pictures(300)
    first, again = (recalibrate(model, x, SIGMA, seed=3) for _ in range(2))
    assert same_weights(first, again)
    assert not same_weights(first, recalibrate(model, x, SIGMA, seed=4))


def test_labels_are_not_looked_at():
    model, (x, _) = convolutional(), pictures(60)
    nonsense = torch.full((60,), -12345)
    twins = (recalibrate(model, given, SIGMA) for given in (x, (x, nonsense)))
    assert same_weights(*twins)


def test_every_form_of_images_gives_the_same():
    model, (x, y) = convolutional(), pictures(300)
    x = (x * 255).round().byte()
    dataset = TensorDataset(x, y)
    forms = [x, x.float() / 255, (x, y), dataset, DataLoader(dataset, batch_size=64)]
    first, *others = (recalibrate(model, given, SIGMA) for given in forms)
    assert all(same_weights(first, other) for other in others)


class Counted(ArrayImages):
    """Images that count how often each was read."""

    def __init__(self, x):
        super().__init__("counted", x, torch.zeros(len(x), dtype=torch.int64))
        self.read = torch.zeros(len(x), dtype=torch.int64)

    def images(self, start, stop):
        self.read[self.ids[start:stop]] += 1
        return super().images(start, stop)

    def take(self, index):
        part = copy.copy(self)
        part.labels, part.ids, part._pixels = (
            each[index] for each in (self.labels, self.ids, self._pixels)
        )
        return part


def test_no_more_images_are_read_than_asked_and_none_twice():
    images = Counted(pictures(600)[0])
    recalibrate(convolutional(), images, SIGMA, most=400)
    # The first is also looked at for its size; some for whole batches may be missing.
    read = images.read[1:]
    assert 360 <= read.sum() <= 400
    assert read.max() == 1


def test_the_packaged_network_s_noisy_accuracy_rises(sample, photos):
    # From 0.14 to 0.36 with statistics of 5,000 training images; the share of 200 images deviates
    # by 0.034, and so few as 300 to take statistics of cost less than that.
    x, labels = photos.images(300, 500), photos.labels[300:]
    noisy = x + SIGMA * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    twin = recalibrate(sample.module, photos.take(torch.arange(300)), SIGMA)
    with torch.no_grad():
        before, after = (
            float((each(noisy).argmax(dim=1) == labels).float().mean())
            for each in (sample.module, twin)
        )
    assert after > before + 0.1


# --- what cannot be -----------------------------------------------------------------------


def refused(model, x, sigma=SIGMA, kind=ConfigurationError, **settings):
    with pytest.raises(kind, match="expected") as caught:
        recalibrate(model, x, sigma, **settings)
    assert is_one_line(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.Linear(2, 2)),
        nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 2)),
    ],
)
def test_networks_without_statistics(model):
    assert "use harden to train it" in refused(model, torch.rand(9, 2))


def test_a_program_of_fixed_operations():
    model = convolutional()
    x, _ = pictures(9)
    for program in (torch.jit.trace(model, x), torch.jit.script(model)):
        refused(program, x)
    batch = torch.export.Dim("n")
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: batch},))
    refused(exported.module(), x)


class Uncopyable(nn.BatchNorm1d):
    def __deepcopy__(self, memo):
        raise RuntimeError("two\nlines")


def test_a_network_that_cannot_be_copied():
    assert "copy.deepcopy" in refused(nn.Sequential(Uncopyable(2), nn.Linear(2, 2)), vectors(9))


@pytest.mark.parametrize("sigma", [0, -0.1, math.nan, math.inf, "0.1", None, True])
def test_a_sigma_that_is_none(sigma):
    assert "sigma above 0" in refused(convolutional(), pictures(9)[0], sigma)


def test_images_that_are_too_few_or_none():
    model, (x, _) = convolutional(), pictures(9)
    assert "got 1" in refused(model, x[:1])
    assert "two images" in refused(model, x, most=1)
    assert "0, 1" in refused(model, x * 255, kind=InputError)
    refused(model, x * math.nan, kind=InputError)
    refused(model, x[:0], kind=InputError)


def test_a_network_that_overflows():
    model = convolutional()
    with torch.no_grad():
        model[0].weight.mul_(1e30)  # its square is no float32
    assert "overflows" in refused(model, pictures(9)[0])


class Masked(nn.Module):
    """A network with a buffer that is infinite on purpose, as masks of attention are."""

    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(2), nn.Linear(2, 2)
        self.register_buffer("mask", torch.tensor([0.0, -math.inf]))

    def forward(self, x):
        return self.last(self.norm(x) * self.mask.softmax(dim=0))


def test_other_buffers_may_hold_anything():
    x = torch.rand(20, 2)
    twin = recalibrate(Masked(), x, SIGMA)
    assert twin.norm.num_batches_tracked == 1
