import io

import pytest
from rich.console import Console

from bandlimiter.report import TABLE1, result_tables
from bandlimiter.results import summarise
from tests.results.test_results import row


def shown(settings, width=80):
    rows = [row(i, found=0.01, after=3 if i else 5) for i in range(10)]
    rows += [row(i, found=0.03, after=5, protocol="fixed") for i in range(10)]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(result_tables(summarise(rows, settings)))
    return console.export_text()


PAPER = {
    "paper_data": "cifar10",
    "paper_radius": 6.0,
    "radius": 6.0,
    "radius_pixels": 1.36,
    "evaluations": 91,
    "directions": 15,
    "sampler": "directions",
    "vote": "softmax",
    "epsilon": 8 / 255,
}


def test_the_paper_s_row_stands_below_the_minimal_protocol_s():
    lines = shown(PAPER).splitlines()
    minimal, fixed = [i for i, line in enumerate(lines) if line.strip().startswith("PGD")]
    assert any("minimal" in line for line in lines[:minimal])
    assert any("fixed" in line for line in lines[minimal:fixed])
    assert "0.900 (0.60-0.98)" in lines[minimal]
    assert "0.000 (0.00-0.28)" in lines[fixed]
    (paper,) = [i for i, line in enumerate(lines) if "the paper" in line]
    assert paper == minimal + 1
    assert lines[paper].split()[2:] == ["9368", "0.000", "0.884", "0.933"]
    assert "r = 6 in the network's input space, 1.36 in pixels; 91 evaluations" in lines[1]


@pytest.mark.parametrize(
    "change",
    [
        {"paper_data": None},
        {"epsilon": 1 / 255},
        {"radius": 3.0},
        {"directions": 6},
        {"vote": "majority"},
        {"sampler": "ball"},
        {"scale": 1.0},
    ],
)
def test_the_paper_s_figures_stand_beside_its_own_defence_only(change):
    assert "the paper" not in shown({**PAPER, **change})


def test_names_from_outside_are_not_read_as_markup():
    rows = [row(0, found=0.01, after=3, attack="mine[/x]")]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(result_tables(summarise(rows, {})))
    assert "mine[/x]" in console.export_text()


def test_the_paper_s_figures_agree_with_each_other():
    """Attacked accuracy is what is left of the clean accuracy, so #Adv follows from it."""
    for data, clean, images in (("cifar10", 0.9368, 10_000), ("imagenet", 0.7750, 5_000)):
        for name, paper in TABLE1[data].items():
            implied = (clean - paper.attacked) * images
            # The paper's two DeepFool rows contradict themselves by a few images.
            slip = {"cifar10": 13, "imagenet": 10}[data] if name == "deepfool" else 0
            assert round(abs(implied - paper.adversarials)) == slip, (data, name)
