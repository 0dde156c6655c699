"""A folded network is the network: in float64, to rounding, on images that folding did not see."""

import copy
import logging

import pytest
import torch
from torch import nn

from bandlimiter.acceleration.folding import fold_in_place, folded
from tests.acceleration import networks
from tests.acceleration.networks import Block, randomised

# Float64 rounds at 1.1e-16; sums of a few thousand terms, through at most 60 layers.
ROUNDING = 1e-11


def norms(network: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())


def fold_and_compare(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Fold a copy, hold it against the network, and return how many norms are left."""
    draws = torch.Generator().manual_seed(1)
    before = copy.deepcopy(network).double()
    after = copy.deepcopy(before)
    count = fold_in_place(after, torch.rand(2, *shape, generator=draws).double())
    assert count == norms(before) - norms(after)
    unseen = torch.rand(3, *shape, generator=draws).double()
    with torch.no_grad():
        expected, found = before(unseen), after(unseen)
    error = float((found - expected).abs().max() / expected.abs().max())
    assert error <= ROUNDING, error
    return norms(after)


def test_the_packaged_network_folds_whole(sample, photos):
    assert fold_and_compare(sample.module, (3, 32, 32)) == 0


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 64), ("mobilenet_v2", 64), ("googlenet", 96)]
)
def test_networks_of_torchvision_fold_whole(name, size):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    options = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    network = randomised(models.get_model(name, weights=None, **options))
    assert norms(network) > 15
    assert fold_and_compare(network, (3, size, size)) == 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolution_takes_up_its_norm(bias, groups):
    torch.manual_seed(0)
    assert fold_and_compare(randomised(Block(bias=bias, groups=groups)), (4, 6, 6)) == 0


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(6, 8), nn.BatchNorm1d(8)),
        (nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8)),
        (nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4), nn.Flatten()),
        (nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4, affine=False)),
        (nn.Unflatten(1, (1, 1, 2, 3)), nn.Conv3d(1, 8, (1, 2, 3)), nn.BatchNorm3d(8)),
    ],
)
def test_other_dimensions_fold(layers):
    torch.manual_seed(0)
    network = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert fold_and_compare(randomised(network), (6,)) == 0


def test_a_sequence_of_vectors_is_normalised_along_another_dimension():
    torch.manual_seed(0)
    # [N, 4, 4]: as many positions as features, so that only the meaning differs.
    network = nn.Sequential(
        nn.Unflatten(1, (4, 2)), nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(16, 3)
    )
    assert fold_and_compare(randomised(network), (8,)) == 1


@pytest.mark.parametrize(
    "kind",
    [
        networks.OutputUsedTwice,
        networks.ChangedInPlace,
        networks.ThroughAView,
        networks.SharedNorm,
        networks.ConvCalledTwice,
        networks.PreActivation,
    ],
)
def test_what_does_not_fold_is_left_alone(kind):
    torch.manual_seed(0)
    assert fold_and_compare(randomised(kind()), (4, 6, 6)) == 1


def test_control_flow_on_values_is_no_obstacle():
    torch.manual_seed(0)
    assert fold_and_compare(randomised(networks.Branching()), (4, 6, 6)) == 0


@pytest.mark.parametrize("where", [1, 2, 9])
def test_where_the_probe_shows_a_path_past_the_norm_nothing_is_folded(where, caplog):
    torch.manual_seed(0)
    network = randomised(networks.BrightPassBy())
    probe = 0.5 * torch.rand(10, 4, 6, 6)
    probe[where] = 1
    with caplog.at_level(logging.INFO, "bandlimiter"):
        kept = folded(network, probe)
    assert "not folded: the folded network differs" in caplog.text
    assert norms(kept) == 1
    assert norms(folded(network, probe.clamp(max=0.5))) == 0


def test_large_images_are_checked_two_at_the_least():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(2**20, 2), nn.BatchNorm1d(2))
    seen = []
    network[0].forward = lambda x: seen.append(len(x)) or x.flatten(1)
    folded(randomised(network), torch.rand(5, 2**20))
    assert seen == [1, 1, 2, 1, 1]  # before, watched, after


def test_layers_that_extend_a_convolution_fold_only_where_that_is_right():
    torch.manual_seed(0)
    padding, standard = Block(), Block()
    padding.conv = networks.PadsItself(4, 8, 3)
    standard.conv = networks.Standardised(4, 8, 3)
    assert fold_and_compare(randomised(padding), (4, 6, 6)) == 0
    assert fold_and_compare(randomised(standard), (4, 6, 6)) == 1


def test_norms_without_running_statistics_or_with_hooks_stay():
    torch.manual_seed(0)
    untracked = randomised(Block(nn.BatchNorm2d(8, track_running_stats=False)))
    assert fold_and_compare(untracked, (4, 6, 6)) == 1
    for part in ("bn", "conv"):
        hooked = randomised(Block())
        getattr(hooked, part).register_forward_hook(lambda module, args, output: 2 * output)
        assert fold_and_compare(hooked, (4, 6, 6)) == 1


@pytest.mark.parametrize("kind", [networks.WeightUsedElsewhere, networks.HiddenInAList])
def test_a_network_that_folding_would_change_stays_whole_and_says_so(kind, caplog):
    torch.manual_seed(0)
    network = randomised(kind())
    x = torch.rand(3, 4, 6, 6)
    with caplog.at_level(logging.INFO):
        kept = folded(network, x)
    assert "not folded: the folded network differs" in caplog.text
    with torch.no_grad():
        assert torch.equal(kept(x), network(x))


def test_weights_are_rounded_to_float32_once():
    torch.manual_seed(0)
    network = randomised(Block())
    conv, bn = network.requires_grad_(False).conv, network.bn
    factor = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
    expected = conv.weight.double() * factor[:, None, None, None]
    found = folded(network, torch.rand(2, 4, 6, 6)).conv.requires_grad_(False)
    # One rounding is half a unit in the last place, 2^-24; two would reach past 2^-23.
    assert float(((found.weight.double() - expected) / expected).abs().max()) <= 2**-24 * (1 + 1e-6)
    shift = bn.bias.double() - bn.running_mean.double() * factor
    assert torch.allclose(found.bias.double(), shift, rtol=2**-24 * (1 + 1e-6), atol=1e-12)
