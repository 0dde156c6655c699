"""A scale is read from a normaliser only where an offset times that scale is what it is given."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bandlimiter import Normalise, PostAverage
from bandlimiter.defence.scale import resolve_scale
from bandlimiter.errors import ConfigurationError
from tests.soundness.entry_points import ANSWERS, network, pixels

STD = [0.2, 0.3, 0.4]


class Before(nn.Module):
    """Something that happens to the pixels before they are normalised."""

    def __init__(self, before, std=STD, after=None):
        super().__init__()
        self.before, self.normalise = before, Normalise([0.5] * len(std), std)
        self.net = after or network()

    def forward(self, x):
        return self.net(self.normalise(self.before(x)))


def any_size(channels=3):
    """A network that takes images of any size."""
    torch.manual_seed(0)
    pool = nn.AdaptiveAvgPool2d(4)
    return nn.Sequential(pool, nn.Flatten(), nn.Linear(16 * channels, 4)).eval()


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.normalise, self.net = Normalise([0.5] * 3, STD), any_size()

    def forward(self, x):
        return self.net(x)


REFUSED = {
    "to [-1, 1] first": lambda: Before(lambda x: 2 * x - 1),
    "channels in another order, 0 to 255": lambda: Before(
        lambda x: 255 * x[:, [2, 1, 0]], [51.0, 76.5, 102.0]
    ),
    "scaled up": lambda: Before(lambda x: F.interpolate(x, scale_factor=2.0), after=any_size()),
    "pooled": lambda: Before(lambda x: F.avg_pool2d(x, 2), after=any_size()),
    "cropped": lambda: Before(lambda x: x[:, :, 4:-4, 4:-4], after=any_size()),
    "a convolution first": lambda: Before(nn.Conv2d(3, 3, 3, padding=1)),
    "gamma": lambda: Before(lambda x: x.clamp_min(0) ** 2.2),
    "scaled up by half": lambda: Before(
        lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"), after=any_size()
    ),
    "one that does not run": Unused,
}


class Twice(Before):
    """Normalises what is normalised."""

    def forward(self, x):
        return self.net(self.normalise(self.normalise(x)))


class Named(Before):
    """Hands the input over by its name."""

    def forward(self, x):
        return self.net(self.normalise(x=self.before(x)))


REFUSED |= {
    "used twice": lambda: Twice(None, after=any_size()),
    "by name": lambda: Named(lambda x: 255 * x, after=any_size()),
}


class Views(Before):
    """Averages over an image and its mirror, in one batch."""

    def forward(self, x):
        logits = self.net(self.normalise(torch.cat([x, x.flip(-1)])))
        return (logits[: len(x)] + logits[len(x) :]) / 2


class OneByOne(Before):
    """Shows its network one image after another."""

    def forward(self, x):
        return torch.cat([self.net(self.normalise(one)) for one in x.split(1)])


class Locked(Before):
    """Holds a lock while it runs, which a run that breaks off would never give back."""

    def __init__(self):
        super().__init__(None, after=any_size())
        self.busy = False

    def forward(self, x):
        assert not self.busy
        self.busy = True
        logits = self.net(self.normalise(x))
        self.busy = False
        return logits


def built(member):
    torch.manual_seed(0)
    return REFUSED[member]().eval()


@pytest.mark.parametrize("member", REFUSED)
def test_refused_in_one_line_that_says_what_to_give(member):
    with pytest.raises(ConfigurationError, match="expected a model whose Normalise layer") as told:
        PostAverage(built(member), 1.0)
    assert "\n" not in str(told.value)
    assert "give scale" in str(told.value)


@pytest.mark.parametrize("entry", ANSWERS)
@pytest.mark.parametrize("member", ["to [-1, 1] first", "gamma", "one that does not run"])
def test_every_entry_point_that_takes_a_defence_refuses(member, entry, monkeypatch):
    if entry.startswith("accelerate") or entry == "certify":
        pytest.skip("takes a model without a radius, or noise in pixels")
    import tests.soundness.entry_points as entry_points

    monkeypatch.setattr(
        entry_points, "defended", lambda model, **settings: PostAverage(model, 1.0, **settings)
    )
    x = pixels()
    with pytest.raises(ConfigurationError, match="give scale"):
        ANSWERS[entry](built(member), x, torch.zeros(len(x), dtype=torch.int64))


def test_the_advice_is_right():
    model = Before(lambda x: 255 * x, [51.0, 76.5, 102.0]).eval()
    with pytest.raises(ConfigurationError) as told:
        PostAverage(model, 1.0)
    assert "scale=torch.tensor([0.2, 0.3, 0.4]).view(-1, 1, 1)" in str(told.value)
    plain = nn.Sequential(Normalise([0.5 / 255] * 3, STD), network()).eval()
    advised = PostAverage(model, 1.0, scale=torch.tensor(STD).view(-1, 1, 1), directions=2)
    x = pixels()
    # float32, whose pixels have been through 255 and back
    torch.testing.assert_close(
        advised(x), PostAverage(plain, 1.0, directions=2)(x), rtol=1e-4, atol=1e-4
    )


READ = {
    "first": lambda: Before(lambda x: x),
    "clipped before": lambda: Before(lambda x: x.clamp(0, 1)),
    "mirrored before": lambda: Before(lambda x: x.flip(-1)),
    "padded before": lambda: Before(lambda x: F.pad(x, [2] * 4), after=any_size()),
    "changed in place before": lambda: Before(lambda x: x.add_(0.0)),
    "views in one batch": lambda: Views(None, after=any_size()),
    "one image after another": lambda: OneByOne(None, after=any_size()),
    "behind a lock": Locked,
    "inside a part": lambda: nn.Sequential(nn.Identity(), Before(lambda x: x)),
    "in DataParallel": lambda: nn.DataParallel(Before(lambda x: x)),
    "compiled": lambda: torch.compile(Before(lambda x: x), backend="eager"),
    "in float64": lambda: Before(lambda x: x).double(),
    "in half precision": lambda: Before(lambda x: x).bfloat16(),
}


@pytest.mark.parametrize("member", READ)
def test_read_where_the_pixels_arrive_as_they_are(member):
    scale = resolve_scale(READ[member]().eval(), None)
    # bfloat16 keeps eight bits of the std
    torch.testing.assert_close(scale.flatten().float(), torch.tensor(STD), rtol=1 / 256, atol=0)


class ToSize(nn.Module):
    """Brings images to 48 x 48, and leaves those alone that are."""

    def forward(self, x):
        return x if x.shape[-1] == 48 else F.interpolate(x, 48, mode="bilinear")


@pytest.mark.parametrize("ask", ["forward", "predict", "neighbours first"])
def test_a_resize_is_judged_by_the_images_that_come(ask):
    defence = PostAverage(Before(ToSize(), after=any_size()).eval(), 1.0, directions=1)
    call = defence if ask == "forward" else defence.predict
    if ask == "neighbours first":
        defence.neighbours(torch.rand(3, 48, 48))
    call(torch.rand(2, 3, 48, 48))
    with pytest.raises(ConfigurationError, match=r"shape \(3, 32, 32\) became \(3, 48, 48\)"):
        call(torch.rand(2, 3, 32, 32))
    call(torch.rand(2, 3, 48, 48))


def test_a_lock_is_given_back():
    model = Locked().eval()
    defence = PostAverage(model, 1.0, directions=1)
    defence.predict(pixels())
    assert not model.busy


def test_chance_is_left_as_it_was():
    model = Before(lambda x: x + 0 * torch.rand_like(x), after=any_size()).eval()
    before = torch.get_rng_state()
    PostAverage(model, 1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_look_changes_nothing():
    model = Before(nn.BatchNorm2d(3, affine=False))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = len(model.normalise._forward_pre_hooks)
    PostAverage(model.eval(), 1.0)
    assert len(model.normalise._forward_pre_hooks) == hooks
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("before", "channels", "given"),
    [
        (lambda x: x, 3, 1),
        (lambda x: x.mean(1, keepdim=True), 1, 3),  # gray made of colour
        (lambda x: x.expand(-1, 3, -1, -1), 3, 1),  # colour made of gray
    ],
)
def test_other_channels_than_the_normaliser_s_are_refused(before, channels, given):
    model = Before(before, STD[:channels], after=any_size(channels)).eval()
    with pytest.raises(ConfigurationError, match=r"channels|is given shape"):
        PostAverage(model, 1.0).predict(torch.rand(1, given, 6, 6))
