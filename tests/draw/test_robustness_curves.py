"""Curves say what the rows say."""

import math

import pytest

from bandlimiter.draw.plotting import new_figure
from bandlimiter.draw.robustness_curves import (
    _budget,
    _queries,
    _steps,
    curves_of,
    draw_robustness_curves,
)
from bandlimiter.errors import InputError
from bandlimiter.results import NONE
from tests.results.test_results import row

pytest.importorskip("matplotlib")


def adaptive(image, *, stage="square", queries=7, gradients=0, right=True, **changes):
    found = row(image, found=0.01 if stage else None, after=5, protocol="fixed")
    facts = {
        "threat": "adaptive",
        "attack": "cascade",
        "stage": stage,
        "queries": queries,
        "gradients": gradients,
        "defended_clean": 3 if right else 4,
    }
    return found.model_copy(update={**facts, **changes})


def test_when_an_image_is_lost():
    assert _queries(adaptive(0, queries=12)) == 12
    assert _queries(adaptive(0, stage=None)) == math.inf
    assert _queries(adaptive(0, right=False)) == 0
    assert _budget(adaptive(0, linf=2 / 255)) == pytest.approx(2)
    assert _budget(adaptive(0, stage=None)) == math.inf


def test_the_curve_is_the_share_that_is_lost_later():
    _figure, (axis,) = new_figure(1, 3, 3)
    lost_at = [0, 5, 2, math.inf, 2]
    _steps(axis, "a", lost_at, 9, "black", "-")
    (line,) = axis.lines
    at, shares = line.get_xdata(), line.get_ydata()
    # After the last of several points at one place the curve is the survival function.
    for x in (2, 5):
        last = [share for at_x, share in zip(at, shares, strict=True) if at_x == x][-1]
        assert last == pytest.approx(sum(other > x for other in lost_at) / 5)
    assert shares[0] == pytest.approx(4 / 5)  # the clean accuracy
    assert (at[-1], shares[-1]) == (9, pytest.approx(1 / 5))  # what is left, to the end


def test_curves_come_from_the_right_rows():
    square = [adaptive(i) for i in range(3)] + [adaptive(i, defence=NONE) for i in range(3)]
    smallest = [adaptive(i, attack="smallest", stage="smallest", gradients=9) for i in range(2)]
    rows = [*square, *smallest, row(9, found=0.01, after=5)]
    by_queries, by_budget = curves_of(rows, ["square"])
    assert {name: len(rows) for name, rows in by_queries.items()} == {"post-averaging": 3, NONE: 3}
    assert {name: len(rows) for name, rows in by_budget.items()} == {"post-averaging": 2}
    # Where gradients had their turn, queries alone say nothing.
    assert curves_of(rows, ["apgd", "square"])[0] == {}


def test_files(tmp_path):
    rows = [adaptive(i, queries=3 + i) for i in range(4)]
    files = draw_robustness_curves({"a": rows}, {"b": rows}, tmp_path / "w")
    assert [file.name for file in files] == ["w.png", "w.svg"]
    assert all(file.stat().st_size > 1000 for file in files)
    first = files[1].read_bytes()
    draw_robustness_curves({"a": rows}, {"b": rows}, tmp_path / "w")
    assert files[1].read_bytes() == first
    for curves in ({}, {"a": []}):
        with pytest.raises(InputError, match="at least one curve"):
            draw_robustness_curves(curves, {}, tmp_path / "w")
