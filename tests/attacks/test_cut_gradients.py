"""A gradient that is cut on its way to the input is said to be missing, by every attack.

Whether the weights still want gradients changes nothing: logits then have a graph, which does
not lead to the input.
"""

import copy
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.attacks import (
    APGD,
    PGD,
    AttackedModel,
    MinimalPGD,
    Square,
    TransferAttack,
    build_attack,
)
from bandlimiter.attacks.cascade import run_cascade
from bandlimiter.errors import ConfigurationError, NoGradientError
from bandlimiter.evaluation.defence_under_test import has_gradient


class _NoSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        return None


class _Undefined(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()


def _jpeg(x):
    images = []
    for image in x.detach().cpu().numpy():
        pixels = Image.fromarray((255 * image).round().astype(np.uint8).transpose(1, 2, 0))
        file = io.BytesIO()
        pixels.save(file, "JPEG", quality=90)
        images.append(np.asarray(Image.open(file)).transpose(2, 0, 1) / np.float64(255))
    return torch.from_numpy(np.stack(images)).to(x)


@torch.no_grad()
def _under_no_grad(x):
    return (x - 0.5) * 2


@torch.inference_mode()
def _under_inference_mode(x):
    return (x - 0.5) * 2


CUTS = {
    "numpy": lambda x: torch.from_numpy((x.detach().numpy() * 31).round() / 31),
    "numpy, which torch refuses where gradients are wanted": lambda x: torch.from_numpy(x.numpy()),
    "asarray": lambda x: torch.as_tensor(np.asarray(x).copy()),
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "no_grad": _under_no_grad,
    "inference_mode": _under_inference_mode,
    "uint8": lambda x: (255 * x).to(torch.uint8).to(x.dtype) / 255,
    "int64": lambda x: (255 * x).long() / 255.0,
    "list": lambda x: torch.tensor(x.tolist(), dtype=x.dtype),
    "a Function that returns None": _NoSlope.apply,
    "a Function without backward": _Undefined.apply,
    "JPEG": _jpeg,
    "a constant": torch.zeros_like,
}
"""What may happen to an input so that no gradient comes back."""

ATTACKS = {
    "fgsm": build_attack("fgsm", "fixed"),
    "minimal fgsm": build_attack("fgsm", "minimal", quick=True),
    "pgd": PGD(steps=2),
    "minimal pgd": MinimalPGD(steps=2, searches=2),
    "apgd": APGD(steps=2),
    "apgd-dlr, l2": APGD(steps=2, loss="dlr", norm="l2"),
    "deepfool": build_attack("deepfool", "minimal", quick=True),
    "scaled deepfool": build_attack("deepfool", "fixed", quick=True),
    "cw": build_attack("cw", "minimal", quick=True),
}


class Cut(nn.Module):
    def __init__(self, net, cut):
        super().__init__()
        self.net, self.cut = net, cut

    def forward(self, x):
        return self.net(self.cut(x).to(x.dtype))


@pytest.fixture(params=list(CUTS))
def cut(request):
    return CUTS[request.param]


@pytest.fixture(params=[True, False], ids=["frozen", "live"])
def subject(request, convnet, cut):
    """A model whose gradient is cut, images, and the labels that it gives them."""
    model = Cut(convnet, cut).requires_grad_(not request.param)
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        return model, x, model(x).argmax(dim=1)


FEW = pytest.mark.parametrize(
    "cut", ["numpy", "inference_mode", "a Function that returns None"], indirect=True
)
"""No graph; tensors that can have none; a graph that leads nowhere."""


def test_every_attack_says_so(subject):
    all_say_so(*subject)


@FEW
@pytest.mark.parametrize("vote", ["softmax", "majority"])
def test_every_attack_says_so_of_a_defence(subject, vote):
    """Its passes are made again on the way back."""
    model, x, y = subject
    all_say_so(PostAverage(model, 0.1, directions=1, scale=1.0, vote=vote).eval(), x, y)


def all_say_so(model, x, y):
    assert not has_gradient(model, x[:1])
    for attack in ATTACKS.values():
        with pytest.raises(NoGradientError, match="with a gradient"):
            attack(AttackedModel(model), x, y, epsilon=0.1)
    with pytest.raises(NoGradientError):
        TransferAttack(APGD(steps=1), AttackedModel(model))(AttackedModel(model), x, y, epsilon=0.1)
    assert all(weight.grad is None for weight in model.parameters())


def test_a_cascade_goes_on_without(subject):
    model, x, y = subject
    attacks = [
        TransferAttack(APGD(steps=1), AttackedModel(model)),
        APGD(steps=1),
        Square(queries=5),
    ]
    found = run_cascade(attacks, AttackedModel(model), x, y, epsilon=0.5)
    assert found.without_gradient == ["transfer", "apgd"]
    assert set(found.stages) <= {"square", None}


@FEW
def test_evaluate_warns_and_goes_on(subject):
    model, x, y = subject
    defence = PostAverage(model, 0.1, directions=1, scale=1.0).eval()
    wanted = [weight.requires_grad for weight in model.parameters()]
    found = evaluate(model, defence, (x, y), [], threat="adaptive", quick=True)
    kinds = [(each["kind"], each["about"]) for each in found.tables["warnings"]]
    assert ("no-gradient", "plain") in kinds
    assert len(found.rows) == 6
    assert all(row.error is None and (row.gradients or 0) == 0 for row in found.rows)
    assert [weight.requires_grad for weight in model.parameters()] == wanted
    assert all(weight.grad is None for weight in model.parameters())


def test_weights_that_want_gradients_get_none_from_an_attack(convnet):
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = convnet(x).argmax(dim=1)
    for weight in convnet.parameters():
        weight.grad = torch.full_like(weight, 3.0)
    for attack in ATTACKS.values():
        attack(AttackedModel(convnet), x, y, epsilon=0.1)
    for weight in convnet.parameters():
        assert weight.requires_grad
        assert bool((weight.grad == 3).all())


def test_an_error_that_has_nothing_to_do_with_gradients_comes_through(convnet):
    class Failing(nn.Module):
        def forward(self, x):
            raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        PGD(steps=1).run(_inputs(Failing()))


def _inputs(model):
    from bandlimiter.attacks import AttackInput

    x = torch.full((2, 3, 8, 8), 0.5)
    return AttackInput(AttackedModel(model), x, torch.zeros(2, dtype=torch.int64), 0.1, range(2), 0)


# --- inference_mode ----------------------------------------------------------------------


def test_inference_mode_around_an_attack_is_named(convnet):
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    y = convnet(x).argmax(dim=1)
    for attack in ATTACKS.values():
        with torch.inference_mode(), pytest.raises(ConfigurationError, match="inference_mode"):
            attack(AttackedModel(convnet), x, y, epsilon=0.1)
        with torch.no_grad():
            attack(AttackedModel(convnet), x, y, epsilon=0.1)
    with torch.inference_mode(), pytest.raises(ConfigurationError, match="inference_mode"):
        run_cascade([APGD(steps=1), Square(queries=2)], AttackedModel(convnet), x, y, epsilon=0.1)


@pytest.mark.parametrize("threat", ["transfer", "adaptive"])
def test_inference_mode_around_evaluate_is_named(convnet, threat):
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    y = convnet(x).argmax(dim=1)
    defence = PostAverage(convnet, 0.1, directions=1, scale=1.0).eval()
    with torch.inference_mode(), pytest.raises(ConfigurationError, match="inference_mode"):
        evaluate(convnet, defence, (x, y), ["pgd"], threat=threat, quick=True)


def test_images_and_labels_made_in_inference_mode_are_attacked_as_others(convnet):
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = convnet(x).argmax(dim=1)
    with torch.inference_mode():
        made, labels = x.clone(), y.clone()
    for attack in (*ATTACKS.values(), Square(queries=5)):
        found = attack(AttackedModel(convnet), made, labels, epsilon=0.1)
        expected = attack(AttackedModel(convnet), x, y, epsilon=0.1)
        assert torch.equal(found.images, expected.images)
    defence = PostAverage(convnet, 0.1, directions=1, scale=1.0).eval()
    runs = [
        evaluate(convnet, defence, each, ["pgd"], quick=True) for each in ((x, y), (made, labels))
    ]
    assert runs[0].rows == runs[1].rows


def test_weights_made_in_inference_mode_are_named():
    with torch.inference_mode():
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    x = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        y = model(x).argmax(dim=1)
    with pytest.raises(ConfigurationError, match="inference_mode"):
        PGD(steps=1)(AttackedModel(model), x, y, epsilon=0.1)
    with pytest.raises(ConfigurationError, match="inference_mode"):
        run_cascade([APGD(steps=1), Square(queries=2)], AttackedModel(model), x, y, epsilon=0.1)
    PGD(steps=1)(AttackedModel(copy.deepcopy(model)), x, y, epsilon=0.1)  # as the message advises
