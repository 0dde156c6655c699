import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter.results import (
    Row,
    Status,
    mcnemar,
    rate,
    summarise,
)

EPSILON = 8 / 255


def row(image, *, plain=3, defended=3, found=None, after=None, attack="pgd", protocol="minimal"):
    """An image of class 3; ``found`` is the L-inf length, ``after`` the defended label."""
    return Row(
        image=image,
        label=3,
        attack=attack,
        protocol=protocol,
        threat="transfer",
        quick=False,
        epsilon=EPSILON,
        plain_clean=plain,
        defended_clean=defended,
        found=found is not None,
        within_budget=found is not None and found <= EPSILON,
        plain_adversarial=None if found is None else 5,
        defended_adversarial=after,
        linf=found or 0.0,
        l2=2 * (found or 0.0),
        l2_normalised=None,
    )


WRONG = row(0, plain=1, defended=3)
NOT_FOUND = row(1)
BEYOND = row(2, found=0.1, after=5)
DEFENDED = row(3, found=0.01, after=3)
BROKEN = row(4, found=0.02, after=5)


@pytest.mark.parametrize(
    ("one", "status"),
    [
        (WRONG, Status.MISCLASSIFIED),
        (NOT_FOUND, Status.NOT_FOUND),
        (BEYOND, Status.BEYOND_BUDGET),
        (DEFENDED, Status.DEFENDED),
        (BROKEN, Status.BROKEN),
    ],
)
def test_status(one, status):
    assert one.status is status


def test_a_point_beyond_the_budget_is_never_defended():
    assert row(0, found=0.1, after=3).status is Status.BEYOND_BUDGET
    assert row(0, found=0.1, after=3, defended=1).defended_right is False  # the original stays


def test_the_paper_s_measures_by_hand():
    document = summarise([WRONG, NOT_FOUND, BEYOND, DEFENDED, BROKEN], {"seed": 0})
    (result,) = document["results"]
    # Clean: the plain model is wrong on image 0, the defended one nowhere.
    assert document["clean"]["accuracy"] == 0.8
    assert document["clean"]["defended_accuracy"] == 1.0
    # Attacked set: images 3 and 4 replaced. Plain right on 1, 2; defended on 0, 1, 2, 3.
    assert result["attacked_accuracy"] == 0.4
    assert result["defended_attacked_accuracy"] == 0.8
    assert result["adversarials"] == 2
    assert result["defence_rate"] == 0.5
    assert (result["beyond_budget"], result["not_found"]) == (1, 1)
    assert result["mean_linf"] == pytest.approx(0.015)
    assert document["worst_case"]["accuracy"] == 0.8
    assert document["settings"] == {"seed": 0}


def test_the_worst_case_is_over_attacks_and_clean():
    rows = [
        row(0, found=0.01, after=3),
        row(0, found=0.03, after=5, protocol="fixed"),
        row(1, defended=5, found=0.01, after=3),
        row(1, defended=5, found=0.01, after=3, protocol="fixed"),
        row(2, found=0.01, after=3),
        row(2, found=0.01, after=3, protocol="fixed"),
    ]
    document = summarise(rows, {})
    assert document["worst_case"]["accuracy"] == pytest.approx(1 / 3)
    assert [result["defence_rate"] for result in document["results"]] == [1.0, pytest.approx(2 / 3)]


def test_every_rate_has_its_interval_and_the_document_is_json():
    document = json.loads(json.dumps(summarise([NOT_FOUND, WRONG], {}), allow_nan=False))
    (result,) = document["results"]
    assert result["defence_rate"] is None
    assert result["defence_rate_interval"] is None
    for holder, keys in (
        (document["clean"], ("accuracy", "defended_accuracy")),
        (result, ("attacked_accuracy", "defended_attacked_accuracy")),
        (document["worst_case"], ("accuracy", "plain_accuracy")),
    ):
        for key in keys:
            low, high = holder[f"{key}_interval"]
            assert 0 <= low <= holder[key] <= high <= 1


def test_the_verdict_says_both_protocols():
    rows = [row(i, found=0.01, after=3) for i in range(9)]
    rows += [row(i, found=0.03, after=5, protocol="fixed") for i in range(9)]
    sentence = summarise(rows, {})["verdict"]
    assert "100 % of the smallest" in sentence
    assert "0 % of the perturbations that use the whole budget" in sentence
    assert "None of these attacks knew the defence" in sentence
    assert "the whole budget does was not tried" in summarise(rows[:9], {})["verdict"]
    assert "smallest" not in summarise(rows[9:], {})["verdict"]
    assert "nothing was tested" in summarise([NOT_FOUND], {})["verdict"]


def test_the_verdict_claims_nothing_about_images_of_others():
    given = row(0, found=0.01, after=3, protocol="saved").model_copy(update={"threat": "unknown"})
    sentence = summarise([given], {})["verdict"]
    assert "100 % of the given adversarial images" in sentence
    assert "not known" in sentence
    assert "None of these attacks" not in sentence


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilson_s_interval_solves_its_equation(successes, trials):
    """The ends are the p with |share - p| = z sqrt(p (1 - p) / n)  (Wilson 1927)."""
    successes = min(successes, trials)
    share, low, high = rate(successes, trials)
    z = 1.959963984540054
    for p in (low, high):
        assert 0 <= p <= 1
        if 0 < p < 1:
            slack = abs(share - p) - z * math.sqrt(p * (1 - p) / trials)
            # One of the ends is exact at shares 0 and 1; rounding elsewhere.
            assert abs(slack) < 1e-9 or share in (0, 1)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_two_sided_binomial_tail(b, c):
    n, fewer = b + c, min(b, c)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    expected = 1.0 if b == c else min(1.0, 2 * tail)
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-12)


def failed(image, error="the process died"):
    nothing = {"plain_clean": -1, "defended_clean": -1, "found": False, "error": error}
    return row(image).model_copy(update=nothing)


def test_failed_images_count_in_no_rate_and_are_told():
    rows = [WRONG, NOT_FOUND, DEFENDED, BROKEN]
    without, beside = summarise(rows, {}), summarise([*rows, failed(7), failed(9)], {})
    assert failed(7).status is Status.FAILED
    for key in ("clean", "results", "worst_case", "side_by_side"):
        assert beside[key] == without[key]
    assert beside["failed"] == {
        "images": 2,
        "errors": [{"error": "the process died", "images": [7, 9]}],
    }
    assert without["failed"] == {"images": 0, "errors": []}
    assert "2 images gave no answer" in beside["verdict"]


def test_nearly_all_is_not_all():
    rows = [row(i, found=0.01, after=3 if i else 5) for i in range(500)]
    assert "99.8 % of the smallest" in summarise(rows, {})["verdict"]
