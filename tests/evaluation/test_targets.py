"""Targets of a run: who is given which, who is attacked, and what rows and documents say."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.data import ArrayImages
from bandlimiter.errors import ConfigurationError, InputError, LoadError
from bandlimiter.evaluation import Adaptive
from bandlimiter.evaluation.targets import Targets, read_targets, resolve_targets
from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.targeted import target_table
from bandlimiter.results import NONE, OURS, Status
from bandlimiter.results.runs.stored import StoredRun
from tests.evaluation.test_checks import Noisy

CLASSES = 5


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, CLASSES)
    ).eval()


@pytest.fixture(scope="module")
def defence(model):
    return PostAverage(model, 0.3, directions=2, scale=1.0, seed=3).eval()


@pytest.fixture(scope="module")
def images(model):
    """Ten images, the last two with labels that are no answer of the model; ids of their own."""
    x = torch.rand(10, 3, 6, 6, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        labels = model(x).argmax(dim=1)
    labels[8:] = (labels[8:] + 1) % CLASSES
    return ArrayImages("some", x, labels).take(torch.tensor([3, 0, 1, 2, 4, 5, 6, 7, 8, 9]))


def run(model, defence, images, targets, **how):
    settings = {"epsilon": 0.2, "quick": True, "adaptive": Adaptive(redraws=1), **how}
    attacks = settings.pop("attacks", ["pgd"])
    return evaluate(model, defence, images, attacks, targets=targets, **settings)


# --- who is given which ------------------------------------------------------------------


def test_the_rules():
    logits = torch.tensor([[3.0, 1, 2], [0, 0, 1], [1, 2, -1]])
    labels, ids = torch.tensor([0, 2, 1]), torch.tensor([7, 8, 9])
    assert Targets("least-likely").of(logits, labels, ids).tolist() == [1, 0, 2]  # 0: the first
    assert Targets("next").of(logits, labels, ids).tolist() == [1, 0, 2]
    assert Targets("given", {8: 1, 9: 0, 7: 2}).of(logits, labels, ids).tolist() == [2, 1, 0]


def test_given_ones_are_named_by_what_they_are():
    said = {
        Targets("given", given).description for given in ({1: 2, 3: 4}, {3: 4, 1: 2}, {1: 2, 3: 5})
    }
    assert len(said) == 2
    assert Targets("next").description == "next"


def test_tensors_go_by_position_and_files_by_id(images, tmp_path):
    """The first of ``images`` has the id 3."""
    wanted = torch.arange(10) % CLASSES
    expected = dict(zip(images.ids.tolist(), wanted.tolist(), strict=True))
    assert resolve_targets(wanted, images).given == expected
    by_id = np.array([expected[i] for i in range(10)] + [0, 0])  # more than there are images
    np.save(tmp_path / "t.npy", by_id.astype(np.uint8))
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "target", "image"])
        writer.writerows(["x", target, image] for image, target in [*expected.items(), (77, 1)])
    for name in ("t.npy", "t.csv"):
        assert resolve_targets(tmp_path / name, images) == Targets("given", expected)
        assert resolve_targets(str(tmp_path / name), images) == Targets("given", expected)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("second", r"least-likely, next, or a file.*'second'"),
        ("missing.csv", "that exists"),
        (torch.zeros(9, dtype=torch.int64), r"10 class indices.*\(9,\)"),
        (torch.zeros(10), "whole numbers, got torch.float32"),
        (torch.zeros(10, dtype=torch.bool), "whole numbers, got torch.bool"),
        ([0] * 10, "a tensor of 10 class indices"),
    ],
)
def test_what_is_no_target_is_refused(images, targets, message):
    with pytest.raises((ConfigurationError, InputError), match=message):
        resolve_targets(targets, images)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"image,target\n0,1\n1,x\n", "line 3 has none"),
        ("a.csv", b"image,target\n0,1.5\n", "line 2 has none"),
        ("a.csv", b"number,target\n0,1\n", "columns image and target"),
        ("a.csv", b"image,target\n0,1\n0,2\n", "one target for image 0"),
        ("a.csv", b"image,target\n0,1\n", "none for 9 of them, the first being image 3"),
        ("a.csv", b"", "none for 10 of them"),
        ("a.csv", b"\xff\xfe\x00", "expected targets in"),
        ("a.npy", b"not numpy", "expected an array of targets"),
        ("a.npy", b"", "expected an array of targets"),
        ("a.txt", b"0\n1\n", "a file of targets that exists"),
    ],
)
def test_files_that_hold_no_targets_are_refused(images, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises((ConfigurationError, InputError, LoadError), match=message) as caught:
        resolve_targets(tmp_path / name, images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.zeros(10), np.zeros((10, 1), int), np.array(["a"] * 10)])
def test_arrays_of_anything_else_are_refused(tmp_path, array):
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(InputError, match="whole numbers"):
        read_targets(tmp_path / "t.npy")


def test_a_class_that_the_model_has_not_is_named_with_its_image(model, defence, images):
    wanted = torch.full((10,), 2)
    wanted[4] = CLASSES
    with pytest.raises(InputError, match=f"from 0 to 4.*got 5 for image {images.ids[4]}"):
        run(model, defence, images, wanted)


# --- runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["least-likely", "next"])
def test_rows_say_the_target_and_success_is_nothing_else(model, defence, images, rule, tmp_path):
    found = run(model, defence, images, rule, out=tmp_path / "run", save_adversarial=True)
    with torch.no_grad():
        least = model(images.images(0, 10)).argmin(dim=1)
    wanted = least if rule == "least-likely" else (images.labels + 1) % CLASSES
    expected = dict(zip(images.ids.tolist(), wanted.tolist(), strict=True))
    labels = dict(zip(images.ids.tolist(), images.labels.tolist(), strict=True))
    assert {row.image: row.target for row in found.rows} == expected
    for row in found.rows:
        if row.target == row.label:  # the least likely class of an image that the model has wrong
            assert row.status in (Status.NO_TARGET, Status.MISCLASSIFIED)
        if row.found:
            own = row.defended_adversarial if row.adaptive else row.plain_adversarial
            assert own == row.target != labels[row.image]
    adaptive = [row for row in found.rows if row.adaptive and row.defence == OURS]
    statuses = {row.status for row in found.rows}
    assert {Status.BROKEN, Status.MISCLASSIFIED} <= statuses
    assert sum(row.found for row in adaptive) > 3
    # As the store has them, and as tables count them.
    stored = StoredRun.open(tmp_path / "run")
    assert stored.rows() == found.rows
    assert stored.settings["targets"] == rule
    table = target_table(Study.of(stored))
    assert {(row[0], row[3]) for row in table.rows} == {
        (OURS, "transfer"),
        (OURS, "adaptive"),
        ("plain model", "adaptive"),
    }
    for line in found.tables["targeted"]:
        mine = [row for row in found.rows if row.adaptive and row.defence == line["defence"]]
        hits = sum(row.defended_adversarial == row.target for row in mine if row.within_budget)
        assert line["adaptive"] * line["adaptive_attacked"] == pytest.approx(hits)


def test_an_image_whose_label_is_its_target_is_left_alone(model, defence, images):
    wanted = (images.labels + 1) % CLASSES
    wanted[[0, 5]] = images.labels[[0, 5]]
    rows = run(model, defence, images, wanted).rows
    alone = {row.image for row in rows if row.status is Status.NO_TARGET}
    assert alone == set(images.ids[[0, 5]].tolist())
    for row in rows:
        if row.image in alone:
            assert not row.found
            assert row.queries is None
            assert row.defended_right


def test_the_least_likely_class_may_be_the_label_of_an_image_that_only_the_defence_has_right():
    """Of two classes it is, wherever the plain model errs."""

    class Left(nn.Module):
        def forward(self, x):
            first = x.flatten(1)[:, :1]
            return torch.cat([first, 1 - first], dim=1)

    class Always(Left):
        def forward(self, x):
            return super().forward(0 * x + 1)

    data = torch.full((2, 3, 4, 4), 0.4), torch.tensor([0, 1])  # the plain model says 1
    models = Left().eval(), Always().eval()
    found = evaluate(*models, data, [], threat="adaptive", targets="least-likely", quick=True)
    first = next(row for row in found.rows if row.image == 0 and row.defence == OURS)
    assert (first.target, first.status) == (0, Status.NO_TARGET)


def test_random_answers_are_judged_by_their_share_at_the_target(model, images):
    torch.manual_seed(0)  # of the noise
    noisy, rules = Noisy(model, 0.08).eval(), Adaptive(("apgd",), draws=2, redraws=4)
    found = run(model, noisy, images, "next", adaptive=rules)
    own = [row for row in found.rows if row.defence == OURS and row.found]
    assert {row.threat for row in own} == {"transfer", "adaptive"}
    for row in own:
        assert 0 <= row.reached <= row.wrong <= 1
        assert (4 * row.reached).is_integer()
        if row.adaptive:
            assert row.reached >= 0.5
    assert any(row.reached < row.wrong for row in own)  # else the two were never told apart


def test_smallest_budgets_are_those_of_the_target(model, defence, images):
    """Reaching one class takes no less than leaving the label."""
    how = {"threat": "adaptive", "adaptive": Adaptive(("apgd",), redraws=1, curve=True)}
    lengths = []
    for targets in (None, "next"):
        rows = run(model, defence, images, targets, **how).rows
        searched = [row for row in rows if (row.attack, row.defence) == ("smallest", NONE)]
        lengths.append({row.image: row.linf for row in searched if row.found})
    common = lengths[0].keys() & lengths[1].keys()
    assert len(common) > 4
    # A quick search ends with a budget known to a thirtieth, and its ten steps may fall short.
    assert all(lengths[1][image] > 0.8 * lengths[0][image] for image in common)
    assert sum(lengths[1][i] for i in common) > 1.1 * sum(lengths[0][i] for i in common)


def test_targets_belong_to_a_run_s_identity(model, defence, images, tmp_path):
    given = {"threat": "transfer", "out": tmp_path / "run"}
    first = run(model, defence, images, "next", **given)
    assert run(model, defence, images, "next", **given).rows == first.rows
    for other in (None, "least-likely", (images.labels + 1) % CLASSES):
        with pytest.raises(ConfigurationError, match="targets"):
            run(model, defence, images, other, **given)


def test_without_attacks_named_all_that_have_a_targeted_form_run(model, defence, images):
    few = images.take(torch.arange(2))
    rows = run(model, defence, few, "next", attacks=None, threat="transfer", protocol="fixed").rows
    assert {row.attack for row in rows} == {"fgsm", "pgd", "cw"}
    with pytest.raises(ConfigurationError, match=r"fgsm, pgd, cw.*got deepfool"):
        run(model, defence, few, "next", attacks=["pgd", "deepfool"])
