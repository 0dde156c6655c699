import io

from rich.console import Console

from bandlimiter.report import TABLE1, result_table
from bandlimiter.results import summarise
from tests.results.test_results import row


def shown(settings, width=80):
    rows = [row(i, found=0.01, after=3 if i else 5) for i in range(10)]
    rows += [row(i, found=0.03, after=5, protocol="fixed") for i in range(10)]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(result_table(summarise(rows, settings)))
    return console.export_text()


def test_the_paper_s_figure_stands_beside_the_minimal_protocol_only():
    text = shown({"paper_data": "cifar10"})
    (minimal,) = [line for line in text.splitlines() if "minimal" in line]
    (fixed,) = [line for line in text.splitlines() if "fixed" in line]
    assert "0.900 (0.60-0.98)" in minimal
    assert "0.93" in minimal
    assert "0.93" not in fixed
    assert "0.000 (0.00-0.28)" in fixed


def test_without_a_counterpart_in_the_paper_there_is_no_such_column():
    assert "paper" not in shown({})


def test_the_paper_s_figures_agree_with_each_other():
    """Attacked accuracy is what is left of the clean accuracy, so #Adv follows from it."""
    for data, clean, images in (("cifar10", 0.9368, 10_000), ("imagenet", 0.7750, 5_000)):
        for name, paper in TABLE1[data].items():
            implied = (clean - paper.attacked) * images
            # The paper's two DeepFool rows contradict themselves by a few images.
            slip = {"cifar10": 13, "imagenet": 10}[data] if name == "deepfool" else 0
            assert round(abs(implied - paper.adversarials)) == slip, (data, name)
