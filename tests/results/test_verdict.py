"""The sentence claims what intervals allow, and no more."""

from bandlimiter.results import NONE, summarise
from tests.results.test_compare_defences import cascade_row
from tests.results.test_results import row

NO_PROTECTION = "it is no protection against an attacker who knows it"
BETTER = "it withstands these attacks better than the plain model does"
NOT_SHOWN = "that it protects against an attacker who knows it is not shown"


def faced(images, left, left_plain=0, wrong=0, **more):
    """Cascades on ``images`` images: the defence keeps the first ``left``, the plain model too."""
    rows = [
        cascade_row(i, stage=None if i < left else "apgd", clean=3 if i >= wrong else 1, **more)
        for i in range(images)
    ]
    return rows + [
        cascade_row(i, stage=None if i < left_plain else "apgd", defence=NONE)
        for i in range(images)
    ]


def said(rows, warnings=()):
    return summarise(rows, {}, warnings)["verdict"]


def test_attacks_on_the_plain_model_alone_show_no_robustness():
    sentence = said([row(i, found=0.01, after=3 if i else 5) for i in range(4)])
    assert sentence.startswith("The defence brings back 75 % of the smallest perturbations")
    assert "Over all attacks 75 % of the images stay right." in sentence
    assert "None of these attacks knew the defence: its robustness is not shown." in sentence
    for conclusion in (NO_PROTECTION, BETTER, NOT_SHOWN):
        assert conclusion not in sentence


def test_nothing_is_left():
    sentence = said(faced(30, 0))
    assert "leave 0 % of the images right (undefended: 0 %), of 100 % without attack" in sentence
    assert NO_PROTECTION in sentence
    assert "None of these attacks knew the defence" not in sentence


def test_little_is_left_for_certain():
    """Three of 100: the interval's upper end, 8.5 %, is below a quarter of the clean accuracy."""
    assert NO_PROTECTION in said(faced(100, 3))


def test_much_is_left_and_more_than_of_the_plain_model():
    sentence = said(faced(50, 40))
    assert "leave 80 % of the images right (undefended: 0 %)" in sentence
    assert BETTER in sentence
    assert "no proof" in sentence


def test_a_difference_within_the_interval_is_none():
    """One image in ten more than the plain model, of ten."""
    assert NOT_SHOWN in said(faced(10, 8, left_plain=7))


def test_as_much_is_left_as_of_the_plain_model():
    """Weak attacks leave both: that says nothing for the defence."""
    assert NOT_SHOWN in said(faced(50, 40, left_plain=40))


def test_little_that_could_be_more_is_not_called_none():
    """One of eight: the interval reaches from 2 to 47 %."""
    assert NO_PROTECTION not in said(faced(8, 1))


def test_both_kinds_stand_beside_each_other():
    rows = [row(i, found=0.01, after=3) for i in range(30)] + faced(30, 0)
    sentence = said(rows)
    assert "brings back 100 % of the smallest perturbations" in sentence
    assert NO_PROTECTION in sentence
    assert "its robustness is not shown" not in sentence


def test_warnings_are_named_once_each():
    warnings = [
        {"kind": kind, "about": "post-averaging", "message": "."}
        for kind in ("square-wins", "masked-gradient", "square-wins")
    ]
    sentence = said(faced(50, 40), warnings)
    assert sentence.endswith(
        "Do not trust these numbers as they stand: masked-gradient, square-wins."
    )


def test_one_of_500_is_neither_none_nor_all():
    assert "leave 0.2 % of the images right (undefended: 0 %)" in said(faced(500, 1))
    assert "leave 99.8 % of the images right" in said(faced(500, 499))


def test_of_what_accuracy_without_attack():
    sentence = said(faced(20, 0, wrong=5))
    assert "of 75 % without attack" in sentence


def test_a_search_for_smallest_budgets_counts_as_an_attack():
    rows = [cascade_row(i, name="smallest", length=0.001) for i in range(30)]
    assert NO_PROTECTION in said(rows)
    rows = [cascade_row(i, name="smallest", length=0.2) for i in range(30)]
    assert "leave 100 % of the images right, of 100 % without attack" in said(rows)
