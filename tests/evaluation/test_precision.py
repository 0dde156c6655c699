"""Runs that search in fast copies: what they say is float32's, whatever the copy does."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, evaluate, load_data, load_model
from bandlimiter.acceleration.precision import has_bfloat16
from bandlimiter.attacks import AttackedModel, Randomness
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation import precision, read_adversarial, screened
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.defence_under_test import DefenceUnderTest
from bandlimiter.evaluation.executors import Processes
from bandlimiter.evaluation.precision import make_copies
from bandlimiter.results import NONE
from bandlimiter.results.runs import StoredRun

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return load_model("sample").module


@pytest.fixture(scope="module")
def defence(network: nn.Module) -> PostAverage:
    return PostAverage(network, 6.0, directions=2)


@pytest.mark.slow
def test_all_labels_are_what_float32_says_of_these_images(
    tmp_path: Path, network: nn.Module, defence: PostAverage
) -> None:
    """The images are the copy's finds; whoever asks the models about them hears the same."""
    data = load_data("sample", 8)
    adaptive = Adaptive(stages=("apgd", "square"), steps=5, queries=10, redraws=1)
    run = evaluate(
        *(network, defence, data, ["pgd", "cw"]),
        quick=True,
        adaptive=adaptive,
        epsilon=2 / 255,
        out=tmp_path / "run",
        save_adversarial=True,
    )
    assert {row.precision for row in run.rows} == {
        precision.make_copies(network, data.images(0, 1)).name
    }
    clean = dict(zip(data.ids.tolist(), data.images(0, 8), strict=True))
    x = torch.stack(list(clean.values()))
    with torch.no_grad():
        plain, defended = network(x).argmax(dim=1), defence(x).argmax(dim=1)
    labels = dict(zip(clean, zip(plain.tolist(), defended.tolist(), strict=True), strict=True))
    other = defence.variant(seed=defence.seed + 1)
    for file in sorted((tmp_path / "run").glob("adversarial-*.safetensors")):
        attack = read_adversarial(file)
        found = dict(zip(attack._place, attack._images, strict=True))
        rows = {
            row.image: row
            for row in run.rows
            if row.found and _file_of(row) == file.stem.removeprefix("adversarial-")
        }
        assert rows.keys() == found.keys()
        assert rows
        at = torch.stack([found[image] for image in rows])
        with torch.no_grad():
            answers = [accepted(m(at)) for m in (network, defence, other)]
        for row, p, d, o in zip(rows.values(), *answers, strict=True):
            own = slice(0, 1) if row.defence == NONE else slice(0, 2)
            assert row.plain_adversarial in p
            assert row.defence == NONE or row.defended_adversarial in d
            assert (row.plain_clean, row.defended_clean)[own] == labels[row.image][own]
            if row.adaptive and row.defence == "post-averaging":
                assert row.other_seeds_adversarial[0] in o


def accepted(logits: torch.Tensor) -> list[list[int]]:
    """Labels [N] that rounding leaves open: smallest perturbations may lie on a boundary.

    Other batch sizes and processors move logits by some 1e-6 of their size, here of about 10.
    """
    near = logits >= logits.amax(dim=1, keepdim=True) - 1e-4
    return [row.nonzero().flatten().tolist() for row in near]


def _file_of(row: object) -> str:
    name = f"{row.attack}-{row.protocol}"
    return f"{name}-on-{row.defence}" if row.adaptive else name


@pytest.mark.slow
def test_a_copy_that_is_worse_than_it_seemed_changes_no_label(
    tmp_path: Path, network: nn.Module, defence: PostAverage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """d is made far too small, so that checks find more; shards are then done again, once."""
    data = load_data("sample", 8)
    options = {"attacks": ["fgsm"], "quick": True, "threat": "transfer", "shard_images": 2}
    exact = evaluate(network, defence, data, precision="float32", **options)
    monkeypatch.setattr(screened, "LEAST_BOUND", 1e-9)
    monkeypatch.setattr(screened.ScreenedAverage, "measure", _measured_as_nothing)
    monkeypatch.setattr(screened, "_CHECKED", 3)
    out = tmp_path / "run"
    auto = evaluate(network, defence, data, out=out, **options)
    same = ["image", "defended_clean", "defended_adversarial", "linf", "status"]
    for one, other in zip(exact.rows, auto.rows, strict=True):
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]
    stored = StoredRun.open(out)
    largest = max(seen.get("largest_difference", 0) for seen in stored.timings())
    assert largest > 1e-9
    # In the end all were held to be off by what was seen anywhere, or more.
    assert min(result.facts["bound"] for result in stored.results()) >= largest


@pytest.mark.slow
def test_what_a_shard_gives_does_not_depend_on_the_shards_before_it(
    tmp_path: Path, network: nn.Module, defence: PostAverage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean answers are checked once per slice, by whichever shard comes first."""
    monkeypatch.setattr(screened, "_CHECKED", 1)
    options = {"quick": True, "threat": "transfer", "protocol": "minimal"}
    facts = {}
    for name, attacks in {"after": ["fgsm", "deepfool"], "alone": ["deepfool"]}.items():
        folder = tmp_path / name
        evaluate(network, defence, load_data("sample", 2), attacks, out=folder, **options)
        stored = StoredRun.open(folder)
        (facts[name],) = [
            result.facts
            for result in stored.results()
            if any(row.attack == "deepfool" for row in result.rows)
        ]
        facts[name].pop("probe", None)  # kept by a run's first shard
    assert facts["after"] == facts["alone"]


def _measured_as_nothing(self: screened.ScreenedAverage, x: torch.Tensor) -> None:
    self.hold(1e-9)


def test_float32_makes_no_copy(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bandlimiter.evaluation.worker.make_copies", _refused)
    defence = PostAverage(network, 6.0, directions=1)
    options = {"quick": True, "threat": "transfer"}
    run = evaluate(
        network, defence, load_data("sample", 2), ["fgsm"], precision="float32", **options
    )
    assert {row.precision for row in run.rows} == {"float32"}


def _refused(*_: object) -> None:
    raise AssertionError("a copy was made")


def test_a_model_without_a_sound_copy_is_done_in_float32() -> None:
    class Strange(nn.Module):
        """Its answers do not survive a coarser format, and it takes no channels-last weights."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(48, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if torch.is_autocast_enabled("cpu"):
                return self.linear(x.flatten(1)) * torch.nan
            if self.linear.weight.requires_grad is False:
                raise RuntimeError("trains or does not run")
            return self.linear(x.flatten(1))

    model = Strange().eval()
    assert make_copies(model, torch.rand(1, 3, 4, 4)) is None
    data = torch.rand(3, 3, 4, 4), torch.tensor([0, 1, 2])
    defence = PostAverage(model, 0.5, directions=1, scale=1.0)
    run = evaluate(model, defence, data, ["fgsm"], quick=True, threat="transfer")
    assert {row.precision for row in run.rows} == {"float32"}


def test_double_precision_stays_what_it_is() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double().eval()
    assert make_copies(model, torch.rand(1, 3, 4, 4).double()) is None


def test_workers_that_lack_the_format_are_refused(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = make_copies(network, load_data("sample", 1).images(0, 1))
    if not has_bfloat16(CPU):
        copies.answers.dtype = torch.bfloat16  # as if it came from another machine
    monkeypatch.setattr("bandlimiter.acceleration.precision.has_bfloat16", lambda device: False)
    with pytest.raises(ConfigurationError, match="bfloat16.*--precision float32"):
        copies.require_place(CPU)


@pytest.mark.slow
def test_a_run_goes_on_in_its_own_precision(
    tmp_path: Path, network: nn.Module, defence: PostAverage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine without the format does: another copy, or none."""
    options = {"quick": True, "threat": "transfer", "shard_images": 2, "out": tmp_path / "run"}

    class StoppedError(Exception):
        pass

    def stop_soon(done: int, total: int, what: str) -> None:
        if done:
            raise StoppedError

    data = load_data("sample", 4)
    with pytest.raises(StoppedError):
        evaluate(network, defence, data, ["pgd"], progress=stop_soon, **options)
    monkeypatch.setattr("bandlimiter.evaluation.worker.make_copies", lambda *_: None)
    with pytest.raises(ConfigurationError, match="as this run was started with, got float32"):
        evaluate(network, defence, data, ["pgd"], **options)


@pytest.mark.slow
def test_a_users_average_is_followed_as_it_is(network: nn.Module) -> None:
    """Parts, and averages around a copy, would pass by what a subclass does."""

    class Mirrored(PostAverage):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.flip(-1))

        def named_scores(self, x: torch.Tensor, keys: object) -> torch.Tensor:
            return super().named_scores(x.flip(-1), keys)

    data = load_data("sample", 3)
    defence = Mirrored(network, 6.0, directions=1)
    made = make_copies(network, data.images(0, 1))
    under = DefenceUnderTest(
        *("mirrored", defence, network, data.images(0, 1)),
        random=False,
        randomness=Randomness(),
        copies=made,
        gradient_points="part",
    )
    attacked, x = under.attacked(), data.images(0, 3)
    own = AttackedModel(defence).loss_gradient(x, data.labels)
    share = attacked.share(0.0)
    assert attacked.ascend(x, data.labels, share=share)[2].equal(own)


def test_an_unknown_precision_is_refused(network: nn.Module, defence: PostAverage) -> None:
    with pytest.raises(ConfigurationError, match="auto or float32, got 'half'"):
        evaluate(network, defence, load_data("sample", 2), ["fgsm"], precision="half")


@pytest.mark.slow
def test_workers_use_the_copies_that_were_made(defence: PostAverage, network: nn.Module) -> None:
    data, options = load_data("sample", 4), {"quick": True, "threat": "transfer", "shard_images": 2}
    alone = evaluate(network, defence, data, ["pgd"], **options, executor=Processes(1, 1))
    two = evaluate(network, defence, data, ["pgd"], **options, executor=Processes(2, 1))
    assert alone.rows == two.rows
