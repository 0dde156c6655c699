"""A target that is reached, another wrong class, and the right answer are three things."""

import pytest

from bandlimiter.results import NONE, OURS, Status, rate, summarise
from tests.results.test_compare_defences import cascade_row
from tests.results.test_results import row


def targeted(image, *, target=5, found=0.01, after=None, **more):
    """An image of class 3 that a transfer attack moved to ``target``; then the defence's label."""
    one = row(image, found=found, after=after)
    plain = None if found is None else target
    return one.model_copy(update={"target": target, "plain_adversarial": plain, **more})


ROWS = [
    targeted(0, after=5),  # the defence is at the target too
    targeted(1, after=7),  # wrong elsewhere
    targeted(2, after=3),  # right
    targeted(3, found=None),  # the attack did not get there
    targeted(4, found=0.5, after=5),  # too far away
    targeted(5, target=3, found=None),  # nowhere to go
    targeted(6, found=None, plain_clean=1),  # wrong from the start
]


def test_statuses():
    assert [each.status for each in ROWS] == [
        Status.BROKEN,
        Status.BROKEN,
        Status.DEFENDED,
        Status.NOT_FOUND,
        Status.BEYOND_BUDGET,
        Status.NO_TARGET,
        Status.MISCLASSIFIED,
    ]
    assert [each.attacked for each in ROWS] == [True] * 5 + [False] * 2
    assert [each.plain_at_target for each in ROWS] == [True] * 3 + [False] * 4
    assert [each.defended_at_target for each in ROWS] == [True] + [False] * 6


def test_an_attack_s_entry_counts_attacked_images():
    (result,) = summarise(ROWS, {})["results"]
    assert result["targeted"] == {
        "attacked": 5,
        "plain_at_target": 3 / 5,
        "plain_at_target_interval": rate(3, 5).interval,
        "defended_at_target": 1 / 5,
        "defended_at_target_interval": rate(1, 5).interval,
        "elsewhere": 1,
    }
    # Accuracies are of all seven: the three successes count as wrong, and the last from the start.
    assert result["attacked_accuracy"] == 3 / 7
    assert result["defended_attacked_accuracy"] == 5 / 7  # the last is right under the defence
    assert result["defence_rate"] == 1 / 3


def test_a_target_is_reached_under_any_attack_of_a_kind():
    again = [targeted(i, found=None, attack="cw") for i in (0, 2)]
    again += [targeted(3, after=5, attack="cw")]
    whole = [targeted(i, after=5, protocol="fixed") for i in range(2)]
    ours, plain = summarise([*ROWS, *again, *whole], {})["targeted"]
    assert (ours["defence"], plain["defence"]) == (OURS, NONE)
    assert (ours["minimal_attacked"], ours["minimal"]) == (5, 2 / 5)
    assert (plain["minimal_attacked"], plain["minimal"]) == (5, 4 / 5)
    assert (ours["fixed"], plain["fixed"]) == (1, 1)
    assert "adaptive" not in ours


def test_an_image_without_an_answer_is_left_out():
    lost = targeted(0, found=None, attack="cw").model_copy(update={"error": "no", "target": None})
    ours, plain = summarise([*ROWS, lost], {})["targeted"]
    assert (ours["minimal_attacked"], ours["minimal"]) == (4, 0)
    assert (plain["minimal_attacked"], plain["minimal"]) == (4, 2 / 4)


def test_attacks_on_the_defence_say_nothing_of_the_plain_model():
    rows = [
        cascade_row(0, stage="apgd", target=5),
        cascade_row(1, target=5),
        cascade_row(0, stage="apgd", target=5, defence=NONE),
        cascade_row(1, stage="apgd", target=5, defence=NONE),
    ]
    document = summarise(rows, {})
    (result,) = document["results"]
    assert result["targeted"]["plain_at_target"] is None
    assert result["targeted"]["defended_at_target"] == 1 / 2
    assert [line["adaptive"] for line in document["targeted"]] == [1 / 2, 1]
    assert "reach their target on 50 % (9 to 91) of the attacked images" in document["verdict"]
    assert "undefended: 100 % (34 to 100)" in document["verdict"]


@pytest.mark.parametrize(("share", "at_target"), [(0.5, True), (0.4, False)])
def test_random_answers_are_at_the_target_in_the_stated_share(share, at_target):
    one = targeted(0, after=5, wrong=0.9, reached=share, broken_share=0.5)
    assert one.defended_at_target is at_target
    assert one.status is Status.BROKEN  # wrong in nine of ten answers, wherever


def test_the_verdict_speaks_of_targets_alone():
    verdict = summarise(ROWS, {})["verdict"]
    assert "on the plain model reach their target on 60 % (23 to 88)" in verdict
    assert "the defended model answers the target on 20 % (4 to 62)" in verdict
    assert "what untargeted attacks leave is not shown" in verdict
    for untargeted in ("brings back", "leave", "stay right"):
        assert untargeted not in verdict.replace("untargeted attacks leave", "")


def test_untargeted_runs_say_nothing_of_targets():
    document = summarise([row(0, found=0.01, after=5), row(1)], {})
    assert document["targeted"] is None
    assert document["results"][0]["targeted"] is None
    assert "target" not in document["verdict"]
