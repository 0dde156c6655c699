"""Attacked once and answered many times gives what attacking each defence's images would."""

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, evaluate
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.reproduction import EXPERIMENTS, Study, StudyAttack
from bandlimiter.results import read_rows
from bandlimiter.results.runs import StoredRun
from bandlimiter.results.sweep_points import under_budget

NUMBER = 8


@pytest.fixture(scope="module")
def defended(sample):
    return PostAverage(sample.module, 6, directions=2)


@pytest.fixture
def study(sample, defended, photos, tmp_path):
    images = photos.limited(NUMBER, None, 0)
    return Study(sample.module, defended, images, tmp_path, quick=True)


def direct(study, defence, name, protocol, epsilon):
    """The same without anything kept: one evaluation of one defence."""
    found = evaluate(
        study.model,
        defence,
        study.images,
        [name],
        protocol=protocol,
        epsilon=epsilon,
        threat="transfer",
        quick=True,
    )
    return found.rows


def judged(row):
    """What is measured of a row; what was spent stands in the rows of the attack's run."""
    return row.model_dump(exclude={"defence", "queries", "gradients", "evaluations"})


@pytest.mark.parametrize(("name", "protocol"), [("deepfool", "minimal"), ("pgd", "fixed")])
def test_delivered_images_are_judged_like_fresh_ones(study, defended, name, protocol):
    others = {"r=2": defended.variant(radius=2.0), "K=5": defended.variant(directions=5)}
    (found,) = study.judged([StudyAttack(name, protocol, 8 / 255)], others)
    for label, defence in {"post-averaging": defended, **others}.items():
        expected = direct(study, defence, name, protocol, 8 / 255)
        own = [row for row in found.rows if row.defence == label]
        assert list(map(judged, own)) == list(map(judged, expected))


def test_a_smaller_budget_only_counts_fewer(study, defended):
    (found,) = study.judged([StudyAttack("fgsm", "minimal", 32 / 255)])
    for epsilon in (0.5 / 255, 2 / 255):
        expected = direct(study, defended, "fgsm", "minimal", epsilon)
        assert list(map(judged, under_budget(found.rows, epsilon))) == list(map(judged, expected))
    counts = [
        sum(row.adversarial for row in under_budget(found.rows, n / 255)) for n in (0.2, 1, 32)
    ]
    assert counts[0] < counts[-1]  # or the budget would decide nothing here


def test_a_perturbation_of_exactly_epsilon_counts(study):
    (found,) = study.judged([StudyAttack("pgd", "fixed", 8 / 255)])
    rows = [row.model_copy(update={"protocol": "minimal"}) for row in found.rows if row.found]
    assert max(row.linf for row in rows) > 8 / 255  # by rounding
    assert all(row.within_budget for row in under_budget(rows, 8 / 255))


def test_attacks_are_made_once(study, defended):
    EXPERIMENTS["table1"](study, ("fgsm",), {}, ())
    (attacks, *_) = [run for run in study.runs if run.name.startswith("attacks")]
    before = {path: path.stat().st_mtime_ns for path in attacks.glob("shards/*")}
    document = EXPERIMENTS["figure2"](study, ("fgsm",), {}, (2.0, 6.0))
    assert {path: path.stat().st_mtime_ns for path in attacks.glob("shards/*")} == before
    minimal = [point["results"][0] for point in document["points"]]
    assert [point["radius"] for point in document["points"]] == [2.0, 6.0]
    assert minimal[0]["adversarials"] == minimal[1]["adversarials"] > 0
    assert minimal[0]["mean_linf"] == minimal[1]["mean_linf"]


def test_the_experiments_points(study):
    table2 = EXPERIMENTS["table2"](study, ("fgsm",), {}, (1, 3))
    assert [point["directions"] for point in table2["points"]] == [1, 3]
    for point in table2["points"]:
        seconds = point["seconds"]
        assert seconds["ratio"] == seconds["defended"] / seconds["plain"] > 0
        for key in ("plain", "defended"):
            assert seconds[f"{key}_interval"][0] <= seconds[key] <= seconds[f"{key}_interval"][1]
    figure3 = EXPERIMENTS["figure3"](study, ("fgsm",), {}, (8 / 255, 1 / 255))
    assert [point["epsilon"] for point in figure3["points"]] == [1 / 255, 8 / 255]
    for point in figure3["points"]:
        minimal, fixed = point["results"]
        assert (minimal["protocol"], fixed["protocol"]) == ("minimal", "fixed")
        assert minimal["mean_linf"] <= point["epsilon"] + 1e-7
        if fixed["adversarials"]:
            assert fixed["mean_linf"] == pytest.approx(point["epsilon"], abs=1e-7)


def test_an_attack_may_have_fewer_images(study):
    document = EXPERIMENTS["table1"](study, ("fgsm", "deepfool"), {"deepfool": 3}, ())
    images = {
        (result["attack"], result["protocol"]): result["images"]
        for result in document["points"][0]["results"]
    }
    assert images == {("fgsm", "minimal"): 8, ("fgsm", "fixed"): 8, ("deepfool", "minimal"): 3}
    assert document["points"][0]["clean"]["images"] == 8


def test_numbers_of_directions_are_whole(study):
    with pytest.raises(ConfigurationError, match="whole numbers"):
        EXPERIMENTS["table2"](study, ("fgsm",), {}, (1.5,))


def test_images_of_a_damaged_run_are_not_delivered(study):
    delivered = study.attacked(StudyAttack("fgsm", "fixed", 8 / 255))
    shard = next(study.runs[0].glob("shards/*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert StoredRun.open(study.runs[0]).damaged == 1
    x, y = study.images.images(0, 2), study.images.labels[:2]
    with pytest.raises(ConfigurationError, match="missing or damaged"):
        evaluate(study.model, study.defence, (x, y), [delivered], threat="transfer")
    # The study itself finds the damage and attacks again.
    study.judged([StudyAttack("fgsm", "fixed", 8 / 255)])
    assert len(read_rows(study.runs[0])) == NUMBER


def test_other_weights_are_another_run(study, sample):
    first = study.attacked(StudyAttack("fgsm", "fixed", 8 / 255))
    changed = type(study)(**{**vars(study), "model": _nudged(sample.module)})
    assert changed.attacked(StudyAttack("fgsm", "fixed", 8 / 255)).run_name != first.run_name
    again = study.attacked(StudyAttack("fgsm", "fixed", 8 / 255))
    assert again.run_name == first.run_name


def _nudged(module):
    from copy import deepcopy

    other = deepcopy(module)
    with torch.no_grad():
        weight = next(other.parameters()).flatten()
        weight[0] = torch.nextafter(weight[0], torch.tensor(torch.inf))
    return other


class Frail(nn.Module):
    """Raises where it sees image 1 moved by as much as an attack with the whole budget does."""

    def __init__(self, network, image):
        super().__init__()
        self.network = network
        self.register_buffer("image", image)

    def forward(self, x):
        distance = (x - self.image).flatten(1).norm(dim=1)
        if ((distance > 1.5) & (distance < 3)).any():  # other images are farther, neighbours closer
            raise RuntimeError("it hurts")
        return self.network(x)


def test_images_on_which_an_attack_failed_are_no_survivors(sample, photos, tmp_path):
    frail = Frail(sample.module, photos.images(1, 2)).eval()
    defence = PostAverage(frail, 6, directions=2, scale=0.226)
    study = Study(frail, defence, photos.limited(3, None, 0), tmp_path, quick=True)
    document = EXPERIMENTS["table1"](study, ("fgsm",), {}, ())
    (point,) = document["points"]
    assert point["failed"]["images"] == 1
    (error,) = point["failed"]["errors"]
    assert error["images"] == [1]
    assert "fgsm gave nothing for image 1" in error["error"]
    assert "it hurts" in error["error"]
    fixed = point["results"][-1]
    assert (fixed["protocol"], fixed["images"]) == ("fixed", 2)
    assert "1 image gave no answer" in document["verdict"]
