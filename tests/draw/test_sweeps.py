"""Pictures of experiments show their documents' numbers, both protocols in each."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from bandlimiter.draw.paper_tables import draw_table1, draw_table2
from bandlimiter.draw.sweeps import draw_experiment, draw_figure2, draw_figure3
from bandlimiter.errors import InputError
from tests.report.experiments.documents import ALL, figure2, figure3, table1, table2

pytest.importorskip("matplotlib")


def lines(panel):
    return {line.get_label(): line for line in panel.lines}


def results(document, attack, protocol):
    return [
        result
        for point in document["points"]
        for result in point["results"]
        if (result["attack"], result["protocol"]) == (attack, protocol)
    ]


def test_figure_2_has_rates_in_order_of_r_and_the_clean_accuracy():
    left, right = draw_figure2(figure2()).axes
    found = lines(left)
    assert list(found["PGD, minimal"].get_xdata()) == [3, 6, 12]
    np.testing.assert_allclose(found["PGD, minimal"].get_ydata(), [6 / 8, 7 / 8, 2 / 8])
    assert found["PGD, minimal"].get_linestyle() == "-"
    assert found["PGD, fixed"].get_linestyle() == "--"
    assert found["PGD, fixed"].get_color() == found["PGD, minimal"].get_color()
    assert found["FGSM, minimal"].get_color() != found["PGD, minimal"].get_color()
    np.testing.assert_allclose(lines(right)["averaged"].get_ydata(), [1, 1, 1])


def test_bands_are_the_intervals():
    document = figure2()
    left, _ = draw_figure2(document).axes
    (_, low, high), *_ = sorted(
        (point["radius"], *result["defence_rate_interval"])
        for point in document["points"]
        for result in point["results"]
        if (result["attack"], result["protocol"]) == ("fgsm", "minimal")
    )
    ends = left.collections[0].get_paths()[0].vertices
    at_three = sorted({float(y) for x, y in ends if x == 3})
    assert at_three == pytest.approx([low, high])


def test_figure_3_leaves_gaps_where_nothing_was_found_and_counts_what_was():
    document = figure3()
    left, right = draw_figure3(document).axes
    rates = lines(left)["PGD, minimal"].get_ydata()
    assert math.isnan(rates[0])
    np.testing.assert_allclose(rates[1:], [1 / 2, 7 / 8, 7 / 8])
    assert list(lines(left)["PGD, minimal"].get_xdata()) == pytest.approx([0.5, 2, 8, 32])
    counts = [result["adversarials"] / 10 for result in results(document, "pgd", "fixed")]
    dashed = [line for line in right.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed[0].get_ydata(), counts)


def test_table_1_has_filled_and_hollow_marks_in_one_place_an_attack():
    left, right = draw_table1(table1()).axes
    assert [text.get_text() for text in left.get_xticklabels()] == [
        "FGSM",
        "PGD",
        "DeepFool",
        "C&W",
    ]
    drawn = {
        float(bars.lines[0].get_xdata(orig=False)[0]): float(bars.lines[0].get_ydata(orig=False)[0])
        for bars in left.containers
    }
    assert {round(at) for at in drawn} == {0, 1, 2}  # C&W found nothing
    assert drawn[-0.12] == pytest.approx(4 / 8)
    assert drawn[0.12] == 0
    assert len([line for line in right.lines if len(line.get_xdata()) == 1]) == 5


def test_table_2_has_the_paper_s_rule_where_times_were_taken():
    _, right = draw_table2(table2()).axes
    np.testing.assert_allclose(lines(right)["measured"].get_ydata(), [20, 50, 100, 150])
    np.testing.assert_allclose(lines(right)["the paper's rule, 2K/3"].get_ydata(), [4, 10, 20, 30])
    untimed = table2()
    for point in untimed["points"]:
        point["seconds"] = None
    assert len(draw_table2(untimed).axes) == 1


@pytest.mark.parametrize("name", ALL)
def test_files_are_whole_and_repeat(name, tmp_path):
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        png, svg = draw_experiment(ALL[name](), tmp_path / run / name)
        Image.open(png).verify()
        assert ET.parse(svg).getroot().tag.endswith("svg")  # noqa: S314  (our own file)
    for suffix in (".png", ".svg"):
        first, second = ((tmp_path / run / name).with_suffix(suffix) for run in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected an experiment of table1"):
        draw_experiment({**table1(), "experiment": "table3"}, tmp_path / "x")
    empty = table1()
    empty["points"][0]["results"] = []
    with pytest.raises(InputError, match="expected a result"):
        draw_experiment(empty, tmp_path / "x")
