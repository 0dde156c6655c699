"""The worst case over attacks of a kind, defence by defence, and differences on the same images."""

import json

import pytest

from bandlimiter.results import (
    NONE,
    OURS,
    Row,
    Status,
    paired_difference,
    rate,
    summarise,
)
from bandlimiter.results.compare_defences import Correctness
from tests.results.test_results import row

EPSILON = 8 / 255


def cascade_row(image, *, stage=None, clean=3, defence=OURS, name="cascade", length=None, **more):
    """An image of class 3 under adaptive attacks; ``stage`` is what broke it."""
    found = stage is not None or length is not None
    length = (EPSILON if length is None else length) if found else 0.0
    facts = {
        "image": image,
        "label": 3,
        "attack": name,
        "protocol": "fixed",
        "threat": "adaptive",
        "quick": False,
        "epsilon": EPSILON,
        "plain_clean": 3,
        "defended_clean": clean,
        "found": found,
        "within_budget": found and length <= EPSILON,
        "plain_adversarial": 3 if found else None,
        "defended_adversarial": 5 if found else None,
        "linf": length,
        "l2": 50 * length,
        "l2_normalised": None,
        "defence": defence,
        "stage": stage,
        "queries": 10,
        "gradients": 5,
    }
    return Row.model_validate({**facts, **more})


def lines(rows):
    return {line["defence"]: line for line in summarise(rows, {})["side_by_side"]}


# --- what became of an image ------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "status", "right"),
    [
        (cascade_row(0, clean=1), Status.MISCLASSIFIED, False),
        # Whether the plain model is right does not matter here.
        (cascade_row(0, clean=1, plain_clean=3), Status.MISCLASSIFIED, False),
        (cascade_row(0, plain_clean=1), Status.NOT_FOUND, True),
        (cascade_row(0, length=0.1), Status.BEYOND_BUDGET, True),
        (cascade_row(0, stage="apgd"), Status.BROKEN, False),
        # Where answers are random, what is found is broken, whatever the most frequent answer.
        (
            cascade_row(0, stage="apgd", wrong=1 / 3, broken_share=0.1, defended_adversarial=3),
            Status.BROKEN,
            False,
        ),
    ],
)
def test_status_under_attacks_that_know_the_defence(one, status, right):
    assert one.adaptive
    assert one.status is status
    assert one.defended_right is right


@pytest.mark.parametrize(
    ("wrong", "share", "status"),
    [
        (0.5, 0.5, Status.BROKEN),
        (1 / 3, 0.5, Status.DEFENDED),
        (1 / 3, 0.1, Status.BROKEN),
        (0.0, 0.1, Status.DEFENDED),
        (2 / 3, 1.0, Status.DEFENDED),
        (1.0, 1.0, Status.BROKEN),
    ],
)
@pytest.mark.parametrize("label", [3, 5])
def test_status_of_random_answers_is_their_share_s_not_one_answer_s(wrong, share, status, label):
    one = row(0, found=0.01, after=label)
    one = one.model_copy(update={"wrong": wrong, "broken_share": share})
    assert one.status is status


def test_other_seeds_are_asked_about_the_image_that_is_shown():
    seeds = {"other_seeds_clean": (3, 1), "other_seeds_adversarial": (5, 3)}
    broken = cascade_row(0, stage="apgd", **seeds)
    assert [broken.right_under_seed(i) for i in range(2)] == [False, True]
    left = cascade_row(1, **seeds)
    assert [left.right_under_seed(i) for i in range(2)] == [True, False]
    (result,) = summarise([broken, left], {})["results"]
    assert result["other_seeds"]["accuracies"] == [0.5, 0.5]
    # Of two equal numbers.
    assert result["other_seeds"]["standard_deviation"] == 0


# --- columns ----------------------------------------------------------------------------


def test_an_image_without_an_answer_to_one_attack_is_left_out_of_the_column():
    """It stayed right under the other attack, but nobody knows about this one."""
    lost = row(1, attack="pgd").model_copy(
        update={"plain_clean": -1, "defended_clean": -1, "error": "died"}
    )
    rows = [row(0, attack="fgsm"), row(1, attack="fgsm"), row(0, attack="pgd"), lost]
    document = summarise(rows, {})
    (ours, plain) = document["side_by_side"]
    assert (ours["minimal"], plain["minimal"]) == (1, 1)
    assert Correctness(rows).right(OURS, "minimal") == {0: True}
    assert Correctness(rows).right(NONE, "minimal") == {0: True}
    assert Correctness(rows).right(OURS, "clean") == {0: True, 1: True}
    assert document["worst_case"]["images"] == 1


def test_a_column_is_the_worst_case_over_its_attacks():
    """Four images, two attacks of one kind: image 1 falls to one, image 2 to the other."""
    rows = [row(i, found=0.01, after=5 if i == 1 else 3) for i in range(4)]
    rows += [row(i, found=0.01, after=5 if i == 2 else 3, attack="cw") for i in range(4)]
    rows += [row(i, found=0.03, after=5, protocol="fixed") for i in range(4)]
    rows += [cascade_row(i, stage=None if i == 3 else "apgd") for i in range(4)]
    rows += [cascade_row(i, stage="apgd", defence=NONE) for i in range(4)]
    document = summarise(rows, {})
    ours, plain = document["side_by_side"]
    assert (ours["defence"], plain["defence"]) == (OURS, NONE)
    assert [ours[column] for column in ("clean", "minimal", "fixed", "adaptive")] == [
        1,
        0.5,
        0,
        0.25,
    ]
    assert [plain[column] for column in ("clean", "minimal", "fixed", "adaptive")] == [1, 0, 0, 0]
    assert ours["minimal_interval"] == rate(2, 4).interval
    assert "saved" not in ours
    # Over all attacks nothing is left: image 3 falls to the whole budget.
    assert document["worst_case"]["accuracy"] == 0
    assert document["worst_case"]["images"] == 4


def test_differences_are_paired_on_the_images_that_both_saw():
    """Ours is right alone on image 0, the baseline alone on 1 and 2, both on 3; 9 only ours saw."""
    ours = {0: None, 1: "apgd", 2: "apgd", 3: None, 9: None}
    baseline = {0: "apgd", 1: None, 2: None, 3: None}
    rows = [cascade_row(image, stage=stage) for image, stage in ours.items()]
    rows += [cascade_row(image, stage=stage, defence="ball") for image, stage in baseline.items()]
    line = lines(rows)["ball"]
    expected = paired_difference(1, 2, 4)
    assert line["adaptive_difference"] == pytest.approx(-0.25)
    assert line["adaptive_difference_interval"] == expected.interval
    assert line["clean_difference"] == 0
    assert "adaptive_difference" not in lines(rows)[OURS]


def test_the_order_is_ours_rivals_plain_whatever_the_rows_order():
    rows = [cascade_row(0, defence=name) for name in (NONE, "jpeg", OURS, "ball")]
    assert list(lines(rows)) == [OURS, "jpeg", "ball", NONE]


def test_the_plain_model_has_a_line_without_rows_of_its_own():
    """Under attacks on the plain model its answers stand in the defence's rows."""
    rows = [row(0, found=0.01, after=3), row(1, plain=5)]
    plain = lines(rows)[NONE]
    assert (plain["clean"], plain["minimal"]) == (0.5, 0)
    assert "adaptive" not in plain
    # Defended: right on both, so one more than the plain model clean, two more attacked.
    assert (plain["clean_difference"], plain["minimal_difference"]) == (0.5, 1)


def test_rivals_rows_do_not_enter_the_own_results():
    rows = [cascade_row(0), cascade_row(0, stage="apgd", defence="jpeg")]
    document = summarise(rows, {})
    (result,) = document["results"]
    assert result["adversarials"] == 0
    assert document["worst_case"]["accuracy"] == 1
    assert document["clean"]["images"] == 1


def test_what_a_cascade_spent_and_which_stage_broke():
    rows = [cascade_row(0, stage="apgd"), cascade_row(1, stage="square", queries=100)]
    rows += [cascade_row(2, queries=400, gradients=20), cascade_row(3, stage="apgd")]
    (result,) = summarise(rows, {})["results"]
    assert result["stages"] == {"apgd": 2, "square": 1}
    assert result["mean_queries"] == (10 + 100 + 400 + 10) / 4
    assert result["mean_gradients"] == (5 + 5 + 20 + 5) / 4
    # An attack that stops where the defence is wrong brings nothing back.
    assert result["defence_rate"] is None


def test_the_document_is_json():
    rows = [cascade_row(0, stage="apgd"), cascade_row(0, name="smallest", defence="jpeg")]
    rows += [row(0, found=0.01, after=3)]
    json.loads(json.dumps(summarise(rows, {}), allow_nan=False))
