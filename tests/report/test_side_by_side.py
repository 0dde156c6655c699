"""The table to read first, as a terminal of 80 columns shows it."""

import io

import pytest
from rich.console import Console

from bandlimiter.report import result_tables
from bandlimiter.report.side_by_side import side_by_side
from bandlimiter.results import NONE, OURS, paired_difference, rate, summarise
from tests.results.test_compare_defences import cascade_row
from tests.results.test_results import row

BASELINES = ("one-neighbour", "gaussian", "ball", "bit-depth", "jpeg")


def shown(rows, warnings=(), width=80, lay_out=side_by_side):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(lay_out(summarise(rows, {}, warnings)))
    return console.export_text()


def everything(defences=(OURS, *BASELINES), images=10):
    """All kinds of attack on all defences; each keeps as many images as its place says."""
    rows = []
    for place, name in enumerate(defences):
        for i in range(images):
            kept = i < place
            for protocol in ("minimal", "fixed", "saved"):
                shown_to = row(i, found=0.01, after=3 if kept else 5, protocol=protocol)
                rows.append(shown_to.model_copy(update={"defence": name}))
            rows.append(cascade_row(i, stage=None if kept else "apgd", defence=name))
    return rows + [cascade_row(i, stage="apgd", defence=NONE) for i in range(images)]


@pytest.mark.parametrize("lay_out", [side_by_side, result_tables])
def test_nothing_is_cut_at_80_columns(lay_out):
    text = shown(everything(), lay_out=lay_out)
    assert "\u2026" not in text
    assert max(map(len, text.splitlines())) <= 80
    for name in (OURS, *BASELINES, NONE):
        assert any(line.split()[:1] == [name] for line in text.splitlines()), name
    # Above the table stand a title and below a caption, which wrap.
    assert text.count("difference") == len(BASELINES) + 1 + 1


def test_a_line_has_accuracies_with_intervals_and_differences_below():
    lines = shown(everything()).splitlines()
    (place,) = [i for i, line in enumerate(lines) if line.split()[:1] == ["ball"]]
    accuracies, intervals, differences, limits = (lines[place + i].split() for i in range(4))
    # Clean, three kinds of attack on the plain model, and attacks on the defence.
    assert accuracies == ["ball", "1.000", *["0.300"] * 4]
    _, low, high = rate(3, 10)
    assert intervals[1:] == [f"{low:.2f}-{high:.2f}"] * 4
    assert differences == ["difference", "+0.000", *["-0.300"] * 4]
    _, low, high = paired_difference(0, 3, 10)
    assert limits[2:] == [f"{low:+.2f}", f"{high:+.2f}"] * 4
    assert f"how much more {OURS} has, on the same images" in " ".join(" ".join(lines).split())


def test_kinds_that_were_not_tried_have_no_column():
    text = shown([row(i, found=0.01, after=3) for i in range(3)])
    assert "smallest" in text.split("smallest found, whole")[0]  # the caption names all kinds
    head = text.split(OURS)[0]
    for word in ("whole", "given", "adaptive"):
        assert word not in head


def test_what_was_not_tried_on_one_defence_is_a_dash():
    rows = [row(0, found=0.01, after=3), cascade_row(0, stage="apgd")]
    (plain,) = [line for line in shown(rows).splitlines() if line.split()[:1] == [NONE]]
    assert plain.split() == [NONE, "1.000", "0.000", "-"]


def test_names_and_messages_are_not_read_as_markup():
    name = "mine[/x][bold]"
    rows = everything((OURS, name), images=3)
    warning = {"kind": "random", "about": OURS, "message": "look [/here] [red]"}
    text = shown(rows, [warning])
    assert name in text
    assert f"warning (random, {OURS}): look [/here] [red]" in text


def test_facts_below_the_table():
    rows = [
        cascade_row(
            i,
            stage="square" if i else "apgd",
            other_seeds_clean=(3, 3),
            other_seeds_adversarial=(3 if i < 3 else 5, 5),
        )
        for i in range(4)
    ]
    rows += [cascade_row(i, name="smallest", length=(i + 1) / 255) for i in range(8)]
    rows += [
        cascade_row(i, name="smallest", defence=NONE, length=None if i else 0.1) for i in range(8)
    ]
    text = " ".join(shown(rows).split())
    assert "cascade, images broken by: apgd 1, square 3" in text
    assert "under 2 other direction seeds 0.000 to 0.750 of the same images are right" in text
    # Of eight the interval is from the first to the last order statistic, 1 - 2/256.
    assert f"smallest budget, {OURS}: median 4.50/255 (1.00-8.00)" in text
    assert f"smallest budget, {NONE}: found for 1 of 8 images" in text
