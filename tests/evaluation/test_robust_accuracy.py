"""Both sides of the truth, where the truth is known: a linear network under Gaussian noise.

Its average's label changes exactly at the distance from the plane (L2), and at that distance over
|w|_1 (L-inf), for |w|_2 = 1.
"""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, certify, robust_accuracy
from bandlimiter.attacks import AttackedModel
from bandlimiter.defence.certificates import ManyVotes
from bandlimiter.errors import ConfigurationError, InputError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.executors import Processes
from bandlimiter.results import NONE, OURS
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.robustness import summarise_robust
from bandlimiter.results.runs import StoredRun

ROOT = Path(__file__).parents[2]
SIGMA, AT, LINF = 0.12, (0.1, 0.2, 0.3), (0.05, 0.1, 0.2)
DIM = 12
SETTINGS = {"coordinates": DIM, "alpha": 1e-3, "votes": 1000, "samples": 20_000}
QUICK = Adaptive(stages=("apgd",), steps=10, draws=16)


class Plane(nn.Module):
    """Class 0 where w @ x > 1/2 w @ 1, with |w| = 1; steep, so that a softmax is nearly a vote."""

    def __init__(self) -> None:
        super().__init__()
        direction = torch.linspace(1, 2, DIM)
        self.register_buffer("direction", direction / direction.norm())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        way = 30 * (x.flatten(1) - 0.5) @ self.direction
        return torch.stack([way, -way], dim=1)


def images(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[N, 3, 2, 2] of 8 bits at known distances from the plane, one label in eight wrong."""
    plane = Plane()
    wanted = torch.linspace(-0.45, 0.45, count)
    x = ((0.5 + wanted[:, None] * plane.direction) * 255).round() / 255
    distances = (x.double() - 0.5) @ plane.direction.double()
    labels = (distances < 0).long()
    labels[3::8] = 1 - labels[3::8]
    return x.view(-1, 3, 2, 2), labels, distances.abs()


@pytest.fixture(scope="module")
def found() -> tuple[list[RobustRow], torch.Tensor]:
    x, labels, distances = images(24)
    network = Plane().eval()
    defence = PostAverage(network, sigma=SIGMA)
    run = robust_accuracy(
        *(network, defence, (x, labels)),
        at=AT,
        linf=LINF,
        adaptive=QUICK,
        samples=20_000,
        smallest=True,
        precision="float32",
    )
    return run.rows, distances


def test_the_truth_lies_between(found: tuple[list[RobustRow], torch.Tensor]) -> None:
    """Certified images are nearer to the truth from one side, broken ones from the other."""
    rows, distances = found
    one_norm = float(Plane().direction.abs().sum())
    for row in rows:
        distance = float(distances[row.image])
        if row.budget is None or not row.clean_right:
            assert not row.certified
            continue
        reached = row.budget if row.norm == "l2" else row.budget * one_norm
        if row.certified:
            assert distance > reached
        if row.broken:
            # 1,000 votes call a point wrong whose share is 1/2 within 4 standard errors.
            assert reached > distance - 4 * SIGMA * 0.0396
        # A linear network's gradient points straight at the plane: only near misses survive.
        if reached > 1.15 * distance + 4 * SIGMA * 0.0396:
            assert row.broken
        # 20,000 samples certify 3.3 sigma at the most, and 0.03 less than the distance on the way.
        if (
            row.defence == OURS
            and row.norm == "l2"
            and distance > reached + 0.03
            and reached < 3.2 * SIGMA
        ):
            assert row.certified


def test_none_that_is_certified_is_broken(found: tuple[list[RobustRow], torch.Tensor]) -> None:
    rows, _ = found
    assert summarise_robust(rows, SETTINGS)["contradictions"] == []
    assert {row.certified for row in rows if row.norm == "linf"} == {None}
    assert {row.certified for row in rows if row.defence == NONE} == {None}


def test_broken_images_stay_broken_and_lie_within(
    found: tuple[list[RobustRow], torch.Tensor],
) -> None:
    rows, _ = found
    for row in rows:
        if row.broken and row.budget is not None:
            assert getattr(row, row.norm) <= row.budget * (1 + 1e-5)
            assert row.adversarial != row.label
    for name in (OURS, NONE):
        for norm in ("l2", "linf"):
            for image in range(24):
                course = [
                    row.broken
                    for row in rows
                    if (row.defence, row.norm, row.image) == (name, norm, image) and row.budget
                ]
                assert course == sorted(course)


def test_smallest_budgets_are_the_distances(found: tuple[list[RobustRow], torch.Tensor]) -> None:
    """Without noise within the search's bisections; the average's within its votes' scatter."""
    rows, distances = found
    one_norm = float(Plane().direction.abs().sum())
    searched = [row for row in rows if row.budget is None and row.clean_right]
    assert {row.defence for row in searched} == {OURS, NONE}
    for row in searched:
        assert row.broken
        exact = float(distances[row.image]) / one_norm
        # Confirmed at a share of 0.55 to 0.6: up to 0.26 sigma beyond the tie.
        slack = 0.002 if row.defence == NONE else 0.002 + 0.26 * SIGMA / one_norm
        assert exact - slack <= row.linf <= 1.1 * exact + slack


def test_the_document_says_both_sides(found: tuple[list[RobustRow], torch.Tensor]) -> None:
    rows, distances = found
    document = summarise_robust(rows, SETTINGS)
    points = {point["budget"]: point for point in document["curves"][OURS]["l2"]}
    assert list(points) == [0.0, *AT]
    labelled = images(24)[1] == (images(24)[0].flatten(1).mean(dim=1) < 0.5).long()
    for budget, point in points.items():
        truth = float((labelled & (distances > budget)).double().mean())
        assert point["certified_accuracy"] <= truth <= point["attacked_accuracy"] + 1 / 24
        gap = point["attacked_accuracy"] - point["certified_accuracy"]
        assert point["gap"] == pytest.approx(gap)
    ratio = document["smallest"][OURS]["ratios"][NONE]
    assert ratio["images"] == 21
    assert 0.8 < ratio["ratio"] < 1.25  # the same plane
    assert document["contradictions"] == []
    assert "the accuracy under the worst perturbation is between" in document["verdict"]


@pytest.mark.parametrize(("wrong", "words"), [(0.99, "Do not trust"), (0.55, "to be chance")])
def test_an_image_broken_where_it_is_certified_is_said_once(
    found: tuple[list[RobustRow], torch.Tensor], wrong: float, words: str
) -> None:
    """Also where an L-inf attack did it; chance is 5 standard errors of 1,000 votes at most."""
    rows, _ = found
    proven = {row.image for row in rows if row.certified and row.budget == 0.2}
    one = min(proven)
    made = {"broken": True, "l2": 0.15, "wrong": wrong}
    broken = [
        row.model_copy(update=made)
        if (row.image, row.defence) == (one, OURS) and row.budget in (0.2, 0.3)
        else row
        for row in rows
    ]
    document = summarise_robust(broken, SETTINGS)
    (told,) = document["contradictions"]
    assert (told["image"], told["l2"], told["wrong"]) == (one, 0.15, wrong)
    assert told["certified"] >= 0.2
    assert words in document["verdict"]
    assert "1 image seems broken" in document["verdict"]


@pytest.mark.slow
def test_rows_are_the_same_in_other_slices_after_a_kill_and_in_other_processes(
    tmp_path: Path,
) -> None:
    x, labels, _ = images(6)
    network = Plane().eval()
    defence = PostAverage(network, sigma=SIGMA)
    given = {"at": [0.1, 0.2], "linf": [0.05], "adaptive": QUICK, "samples": 1000}
    whole = robust_accuracy(network, defence, (x, labels), out=tmp_path / "a", **given)
    parts = robust_accuracy(
        *(network, defence, (x, labels)), out=tmp_path / "b", shard_images=2, **given
    )
    spread = robust_accuracy(
        *(network, defence, (x, labels)),
        shard_images=3,
        executor=Processes(2, threads=1),
        **given,
    )
    key = lambda row: (row.image, row.defence, row.norm, row.budget)  # noqa: E731
    assert sorted(whole.rows, key=key) == sorted(parts.rows, key=key)
    assert sorted(whole.rows, key=key) == sorted(spread.rows, key=key)
    again = robust_accuracy(network, defence, (x, labels), out=tmp_path / "a", **given)
    assert again.rows == whole.rows
    assert StoredRun.open(tmp_path / "a").kind == "robustness"


def test_others_stand_beside_and_are_certified_where_that_can_be() -> None:
    x, labels, _ = images(4)
    network = Plane().eval()
    run = robust_accuracy(
        *(network, PostAverage(network, sigma=SIGMA), (x, labels)),
        at=[0.1],
        linf=[],
        adaptive=QUICK,
        samples=1000,
        others={
            "ball": PostAverage(network, sigma=SIGMA, sampler="ball"),
            "fixed": PostAverage(network, radius=0.1, directions=2, scale=1.0),
            "fresh": PostAverage(network, 0.1, directions=2, scale=1.0, randomness="fresh"),
        },
    )
    certified = {row.defence for row in run.rows if row.certified is not None}
    assert certified == {OURS, "ball"}
    assert {row.defence for row in run.rows} == {OURS, NONE, "ball", "fixed", "fresh"}
    assert set(run.tables["curves"]) == {OURS, NONE, "ball", "fixed", "fresh"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"at": [0.2, 0.1]}, "increasing at"),
        ({"at": []}, "at least one L2 radius"),
        ({"at": [9.0]}, r"at in \(0, 3.464\]"),
        ({"linf": [0.1, 0.1]}, "increasing linf"),
        ({"linf": [2.0]}, r"linf in \(0, 1\]"),
        ({"votes": 0}, "at least one vote"),
        ({"votes": 10.5}, "at least one vote"),
        ({"at": 0.1}, "sequence of budgets as at"),
        ({"alpha": 2.0}, "alpha"),
        ({"shard_images": 0}, "one image per shard"),
        ({"adaptive": Adaptive(stages=("pgd",))}, "without a form in l2"),
        ({"samples": 0}, "samples"),
        ({"precision": "half"}, "precision auto or float32"),
        ({"others": {OURS: Plane()}}, "names of others"),
    ],
)
def test_wrong_settings_are_refused(given: dict[str, object], words: str) -> None:
    x, labels, _ = images(3)
    network = Plane().eval()
    with pytest.raises(ConfigurationError, match=words):
        robust_accuracy(network, PostAverage(network, sigma=SIGMA), (x, labels), **given)


def test_labels_that_hold_by_a_little_are_not_called_broken() -> None:
    """The worst point of the ball has a share of 0.49 to 0.5: a bare majority calls a third wrong.

    By three standard errors it is once in 1,000 verdicts.
    """
    plane = Plane()
    x = ((0.5 + 0.102 * plane.direction) * 4080).round() / 4080
    assert 0.1005 < float((x.double() - 0.5) @ plane.direction.double()) < 0.104
    x = x.view(1, 3, 2, 2).repeat(24, 1, 1, 1)
    network = plane.eval()
    run = robust_accuracy(
        *(network, PostAverage(network, sigma=SIGMA), (x, torch.zeros(24, dtype=torch.int64))),
        at=[0.1],
        linf=[],
        adaptive=QUICK,
        samples=1000,
        precision="float32",
    )
    ours = [row for row in run.rows if row.defence == OURS and row.budget]
    assert not any(row.broken for row in ours)


def test_certified_labels_are_the_answers() -> None:
    """At a distance of 0.007 a thousand votes alone would often name the other class."""
    plane = Plane()
    x = ((0.5 + 0.007 * plane.direction) * 4080).round() / 4080
    x = x.view(1, 3, 2, 2).repeat(30, 1, 1, 1)
    network = plane.eval()
    run = robust_accuracy(
        *(network, PostAverage(network, sigma=SIGMA), (x, torch.zeros(30, dtype=torch.int64))),
        at=[0.001],
        linf=[],
        adaptive=QUICK,
    )
    known = [row for row in run.rows if row.certified and row.budget == 0]
    assert len(known) >= 15
    assert all(row.answer == row.label for row in known)


def test_half_precision_is_judged_where_it_is_certified() -> None:
    """191/255 is 0.7490, and 0.75 in bfloat16; with noise before the rounding its mean is kept."""

    class Coarse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            way = self.weight * (1000 * (x.float().flatten(1).mean(dim=1, keepdim=True) - 0.7495))
            return torch.cat([way, -way], dim=1)

    x = torch.full((2, 3, 16, 16), 191 / 255)
    average = PostAverage(Coarse().eval(), sigma=0.01)
    assert certify(average, x, at=[0.001], samples=500, keys=[0, 1]).labels.tolist() == [1, 1]
    assert AttackedModel(ManyVotes(average, 200)).predict(x, ["a", "b"]).tolist() == [1, 1]


def test_a_model_that_does_not_take_the_images_is_named() -> None:
    x, labels, _ = images(2)
    network = Plane().eval()
    defence = PostAverage(network, sigma=SIGMA)
    with pytest.raises(InputError, match="other: expected inputs that the model takes"):
        robust_accuracy(network, defence, (x, labels), others={"other": nn.Linear(3, 2).eval()})


def test_transfer_attacks_are_made_on_the_plain_network() -> None:
    x, labels, _ = images(8)
    network = Plane().eval()
    given = {"at": [0.2], "linf": [], "samples": 1000}
    adaptive = dataclasses.replace(QUICK, stages=("transfer",))
    defence = PostAverage(network, sigma=SIGMA)
    run = robust_accuracy(network, defence, (x, labels), adaptive=adaptive, **given)
    broken = [row for row in run.rows if row.defence == OURS and row.broken]
    assert broken
    assert {row.stage for row in broken} == {"transfer"}
    # A gradient per step of the network alone and a verdict of 1,000 votes, not 16 per step.
    assert max(row.evaluations for row in broken) <= 2 * (QUICK.steps + 1 + 1000)


def test_others_without_gradient_need_a_stage_that_needs_none() -> None:
    x, labels, _ = images(8)
    network = Plane().eval()

    class Flat(Plane):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return super().forward(x)

    given = {"at": [0.5], "linf": [], "samples": 1000, "others": {"flat": Flat().eval()}}
    defence = PostAverage(network, sigma=SIGMA)
    with pytest.raises(ConfigurationError, match="expected a gradient of flat"):
        robust_accuracy(network, defence, (x, labels), adaptive=QUICK, **given)
    square = Adaptive(stages=("square",), queries=60, draws=8)
    run = robust_accuracy(network, defence, (x, labels), adaptive=square, **given)
    for name in (OURS, "flat"):
        assert {row.stage for row in run.rows if row.broken and row.defence == name} == {"square"}
    assert sum(row.gradients for row in run.rows) == 0


def test_radii_out_of_reach_are_attacked_alone(caplog: pytest.LogCaptureFixture) -> None:
    x, labels, _ = images(4)
    network = Plane().eval()
    run = robust_accuracy(
        *(network, PostAverage(network, sigma=0.02), (x, labels)),
        at=[0.2],
        linf=[],
        adaptive=QUICK,
        samples=200,
    )
    assert {row.certified for row in run.rows if row.budget == 0.2} == {None}
    assert any(row.certified for row in run.rows if row.budget == 0)
    assert "attacked, not certified: 0.2, as 200 samples certify" in caplog.text
    assert "None of these radii can be certified with 200 samples" in run.tables["verdict"]
    assert "at most" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("dies", [0, 2])
def test_an_image_that_fails_in_one_classifier_changes_no_other_row(dies: int) -> None:
    """Also not those of the same classifier on other images of its shard."""
    x, labels, _ = images(4)

    class Fragile(Plane):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if armed and any(each.equal(images(4)[0][dies]) for each in x):
                raise RuntimeError("no")
            return super().forward(x)

    network, armed = Plane().eval(), bool(dies)  # not of the first image, which is tried before
    rows = {}
    for size in (1, 4):
        run = robust_accuracy(
            *(network, PostAverage(network, sigma=SIGMA), (x, labels)),
            at=[0.1, 0.2],
            linf=[],
            adaptive=QUICK,
            samples=1000,
            shard_images=size,
            others={"fragile": Fragile().eval()},
        )
        rows[size] = {(r.image, r.defence, r.norm, r.budget): r for r in run.rows}
    assert rows[1] == rows[4]
    failed = [row for row in rows[4].values() if row.error]
    assert [(row.image, row.defence) for row in failed] == [(dies, "fragile")] * bool(dies)


@pytest.mark.slow
def test_an_image_that_kills_its_process_as_the_first_one_does_so_once(tmp_path: Path) -> None:
    """The next command tries models on the image after it, and the poison becomes a row."""
    code = (
        "import os, sys, torch\n"
        "from bandlimiter import PostAverage, robust_accuracy\n"
        "from tests.evaluation.deadly import Deadly\n"
        "from tests.evaluation.test_robust_accuracy import QUICK, SIGMA, images\n"
        "x, labels, _ = images(3)\n"
        "network = Deadly().eval()\n"
        "run = robust_accuracy(network, PostAverage(network, sigma=SIGMA), (x, labels),\n"
        "    at=[0.1], linf=[], adaptive=QUICK, samples=500, shard_images=1, out=sys.argv[1])\n"
        "print(sorted({row.image for row in run.rows if row.error}))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    ended: list[subprocess.CompletedProcess[str]] = []
    while len(ended) < 4 and (not ended or ended[-1].returncode):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        ended.append(done)
    assert ended[0].returncode == 9
    assert ended[-1].returncode == 0, ended[-1].stderr
    assert ended[-1].stdout.strip() == "[0]"


def test_an_average_without_certificates_is_refused() -> None:
    x, labels, _ = images(3)
    network = Plane().eval()
    with pytest.raises(ConfigurationError, match="to certify"):
        robust_accuracy(network, PostAverage(network, 0.1, scale=1.0), (x, labels))


def test_an_image_that_fails_is_a_row_and_counts_in_no_rate() -> None:
    x, labels, _ = images(4)

    class Fragile(Plane):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer = super().forward(x)
            near = (x.flatten(1).mean(dim=1) - float(images(4)[0][2].mean())).abs() < 1e-3
            return answer.masked_fill(near[:, None], torch.nan)

    network = Fragile().eval()
    run = robust_accuracy(
        *(network, PostAverage(network, sigma=0.001), (x, labels)),
        at=[0.001],
        linf=[],
        adaptive=dataclasses.replace(QUICK, steps=2),
        samples=200,
        shard_images=4,
    )
    assert {row.image for row in run.rows if row.error} == {2}
    assert run.tables["images"] == 3
    assert "1 image gave no answer" in run.tables["verdict"]
