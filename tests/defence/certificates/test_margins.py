import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bandlimiter.defence.certificates.evidence import EVIDENCE
from bandlimiter.defence.certificates.margins import BLOCK, Plan, find_margins
from bandlimiter.tensors import generator

TOOLS = Path(__file__).parents[3] / "tools" / "certificates"
ROWS = torch.arange(3)

# Bounds are halved down to 2^-30, for gains that are half of a margin; where a halving is close,
# the rounding of a batch of another size may decide.
CLOSE = {"rtol": 0, "atol": 2 * 2.0**-30}


class Source:
    """Votes among classes, class 0 with a probability that depends on the stage."""

    def __init__(self, chances, classes=4):
        self.chances, self.classes, self.asked = chances, classes, []

    def __call__(self, rows, stage, block, count):
        self.asked.append((stage, block, rows.tolist(), count))
        drawn = [self._votes(int(row), stage, block) for row in rows]
        return torch.stack(drawn)[:, :count]

    def _votes(self, row, stage, block):
        rng = generator(0, row, stage, block)
        first = torch.rand(BLOCK, generator=rng) < self.chances[stage][row]
        others = torch.randint(1, 4, (BLOCK,), generator=rng)
        winner = torch.where(first, 0, others)
        return torch.nn.functional.one_hot(winner, self.classes).float()


def alike(chances):
    return Source({"selection": chances, "estimation": chances})


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_no_point_is_used_twice_and_the_label_has_points_of_its_own(evidence):
    source = alike([0.9, 0.8, 0.7])
    found = find_margins(source, ROWS, EVIDENCE[evidence], Plan(150, 70, 1e-3))
    assert [(stage, block, count) for stage, block, _, count in source.asked] == [
        ("selection", 0, 61),
        ("selection", 1, 9),
        ("estimation", 0, 61),
        ("estimation", 1, 61),
        ("estimation", 2, 28),
    ]
    assert found.spent.tolist() == [220] * 3


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_a_label_that_the_selection_got_wrong_is_not_certified_but_given_up(evidence):
    """The estimation's winner is another class; the label stays what the selection chose."""
    source = Source({"selection": [0.9] * 3, "estimation": [0.05, 0.9, 0.9]})
    found = find_margins(source, ROWS, EVIDENCE[evidence], Plan(1000, 61, 1e-3))
    assert found.labels.tolist() == [0, 0, 0]
    assert found.bounds[0] == -1
    assert (found.bounds[1:] > 0).all()
    spent = int(found.spent[0])
    assert spent < 300
    assert found.spent.tolist()[1:] == [1061, 1061]
    for stage, block, rows, _ in source.asked:
        gone = stage == "estimation" and 61 + block * BLOCK >= spent
        assert rows == ([1, 2] if gone else [0, 1, 2])


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_company_changes_nothing(evidence):
    """Also where a neighbour in the batch is given up."""
    plan = Plan(300, 61, 1e-2)
    chances = {"selection": [0.9] * 3, "estimation": [0.05, 0.8, 0.9]}
    together = find_margins(Source(chances), ROWS, EVIDENCE[evidence], plan)
    alone = find_margins(
        lambda rows, *block: Source(chances)(rows + 2, *block),
        torch.tensor([0]),
        EVIDENCE[evidence],
        plan,
    )
    torch.testing.assert_close(together.bounds[2], alone.bounds[0], **CLOSE)


def test_classes_without_a_chance_cost_nothing():
    """The intersection-union argument: 500 classes more, and the same bound."""
    few = find_margins(alike([0.9, 0.8, 0.7]), ROWS, EVIDENCE["softmax"], Plan(300, 61, 1e-3))
    chances = {"selection": [0.9, 0.8, 0.7], "estimation": [0.9, 0.8, 0.7]}
    many = find_margins(Source(chances, 504), ROWS, EVIDENCE["softmax"], Plan(300, 61, 1e-3))
    torch.testing.assert_close(few.bounds, many.bounds, **CLOSE)
    assert (few.bounds > 0).all()


def test_votes_give_clopper_and_pearson_s_bound():
    """Unanimous: p >= alpha^(1/T), and the margin is 2p - 1."""
    found = find_margins(alike([1.0] * 3), ROWS, EVIDENCE["majority"], Plan(91, 10, 1e-3))
    torch.testing.assert_close(
        found.bounds, torch.full((3,), 2 * 1e-3 ** (1 / 91) - 1, dtype=torch.float64)
    )


@pytest.mark.slow
def test_bounds_are_wrong_at_most_alpha_of_the_time(tmp_path):
    """The tool's simulation with fewer runs; its laws include ties, rare values and 30 classes."""
    path = tmp_path / "guarantee.json"
    arguments = ["--runs", "100", "--samples", "61", "--selection", "20", "--json", str(path)]
    subprocess.run([sys.executable, TOOLS / "guarantee.py", *arguments], check=True)
    rows = json.loads(path.read_text())
    assert len({row["law"] for row in rows}) == 11
    for row in rows:
        assert row["interval"][0] <= row["alpha"]
    # Not because nothing is ever certified.
    assert sum(row["certified"] for row in rows) > 500


@pytest.mark.slow
def test_radii_are_tight(tmp_path):
    """Classifiers that are built to be lost early are: between 0.95 R and 1.05 R."""
    path = tmp_path / "radii.json"
    subprocess.run(
        [sys.executable, TOOLS / "radii.py", "--draws", "200000", "--json", str(path)], check=True
    )
    numbers = json.loads(path.read_text())
    for row in numbers["overlap"]:
        assert abs(row["errors_off"]) < 5
    assert len(numbers["tightness"]) == 18
    for row in numbers["tightness"]:
        at_x, before, beyond = row["shares"]
        # A standard error of these shares is 0.0011; the steps of 5 % are 0.005 or more.
        assert abs(at_x - (1 + row["margin"]) / 2) < 0.005
        assert before > 0.502
        assert beyond < 0.5 - 0.001
