"""Both sides of the truth, where the truth is known: a linear network under Gaussian noise.

Its average's label changes exactly at the distance from the plane (L2), and at that distance over
|w|_1 (L-inf), for |w|_2 = 1.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from bandlimiter import PostAverage, robust_accuracy
from bandlimiter.errors import ConfigurationError
from bandlimiter.evaluation.adaptive import Adaptive
from bandlimiter.evaluation.executors import Processes
from bandlimiter.results import NONE, OURS
from bandlimiter.results.robust_rows import RobustRow
from bandlimiter.results.runs import StoredRun

SIGMA, AT, LINF = 0.12, (0.1, 0.2, 0.3), (0.05, 0.1, 0.2)
DIM = 12
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
    """[N, 3, 2, 2] on both sides of the plane at known distances, one label in eight wrong."""
    plane = Plane()
    distances = torch.linspace(-0.45, 0.45, count)
    x = 0.5 + distances[:, None] * plane.direction
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
    assert not [row for row in rows if row.contradicts]
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
        slack = 0.002 if row.defence == NONE else 0.002 + 4 * SIGMA * 0.0396 / one_norm
        assert exact - slack <= row.linf <= 1.1 * exact + slack


def test_the_document_says_both_sides(found: tuple[list[RobustRow], torch.Tensor]) -> None:
    from bandlimiter.results.robustness import summarise_robust

    rows, distances = found
    settings = {"coordinates": DIM, "alpha": 1e-3, "votes": 1000}
    document = summarise_robust(rows, settings)
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
    broken = [
        row.model_copy(update={"broken": True}) if row.certified and row.budget else row
        for row in rows
    ]
    warned = summarise_robust(broken, settings)
    assert len(warned["contradictions"]) == sum(bool(row.certified and row.budget) for row in rows)
    assert "Do not trust the certificates" in warned["verdict"]


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
        ({"at": [9.0]}, r"epsilon in \(0, 3.464\]"),
        ({"linf": [0.1, 0.1]}, "increasing linf"),
        ({"linf": [2.0]}, r"epsilon in \(0, 1\]"),
        ({"votes": 0}, "at least one vote"),
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
