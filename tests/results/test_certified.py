from itertools import pairwise

import pytest

from bandlimiter.errors import LoadError
from bandlimiter.results.certified import round_radii, summarise_certified
from bandlimiter.results.certified_logs import read_certified, table_of
from bandlimiter.results.certified_rows import CertifiedRow
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from tests.results.runs.material import row as other_row

SETTINGS = {
    **{"epsilon": 8 / 255, "samples": 1000, "alpha": 1e-3, "coordinates": 4},
    "at": [0.2, 0.5, 1.0, 2.0],
}
REACH = 1.2


def row(image, certified, radius, *, label=1, plain=1, samples=1100):
    return CertifiedRow(
        image=image,
        label=label,
        plain=plain,
        certified=certified,
        radius=radius,
        undecided=1,
        share=0.75,
        samples=samples,
        seconds=1.5,
    )


ROWS = [
    row(0, 1, 0.5),
    row(1, 1, 1.1),
    row(2, 2, 0.9, plain=2),  # certified, and wrong
    row(3, None, 0.0, samples=300),
]
FAILED = row(3, None, 0.0, samples=0).model_copy(update={"error": "ValueError: bad image"})


def test_counts_by_hand():
    document = summarise_certified(ROWS, SETTINGS, REACH)
    assert document["images"] == 4
    assert document["plain_accuracy"] == 0.75
    assert document["accuracy"] == 0.5
    assert document["abstained"] == 0.25
    assert document["median_radius"] == 0.9  # of three certified images, the wrong one too
    assert document["mean_right_radius"] == pytest.approx((0.5 + 1.1) / 4)
    assert document["mean_samples"] == 900
    assert document["samples"]["median"] == 1100
    assert document["shares"] == [0.75] * 3
    low, high = document["accuracy_interval"]
    assert low < 0.5 < high


def test_a_label_without_a_radius_is_right_all_the_same():
    document = summarise_certified([row(0, 1, 0.0), row(1, None, 0.0)], SETTINGS, REACH)
    assert document["accuracy"] == 0.5
    assert document["mean_right_radius"] == 0


def test_the_curve_counts_right_images_with_this_radius_or_more():
    """The literature's rule; what the samples cannot reach is blank."""
    curve = summarise_certified(ROWS, SETTINGS, REACH)["curve"]
    found = {point["radius"]: point["certified_accuracy"] for point in curve}
    assert found == {0.2: 0.5, 0.5: 0.5, 1.0: 0.25, 2.0: None}
    every = summarise_certified(ROWS, {**SETTINGS, "at": None}, REACH)["curve"]
    assert [point["radius"] for point in every] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]


def test_the_verdict_says_how_far_the_budget_is():
    settings = {**SETTINGS, "epsilon": 0.9, "coordinates": 100}
    verdict = summarise_certified(ROWS, settings, REACH)["verdict"]
    assert "7.5 times too short" in verdict  # 0.9 * 10 / 1.2
    assert "L2 length 9 in pixels" in verdict
    assert "one covers is 31/255" in verdict  # 255 * 1.2 / 10
    near = summarise_certified(ROWS, SETTINGS, REACH)["verdict"]
    assert "too short" not in near


def test_where_nothing_is_certified_there_is_no_median():
    document = summarise_certified([row(0, None, 0.0)], SETTINGS, REACH)
    assert document["median_radius"] is None
    assert document["accuracy"] == 0


@pytest.mark.parametrize("most", [1e-6, 0.0322, 0.1437, 0.999, 7.7, 4e5])
def test_round_radii_are_few_evenly_spaced_and_within(most):
    radii = round_radii(most)
    assert radii[0] == 0
    assert most * 0.7 < radii[-1] <= most
    assert 4 <= len(radii) <= 9
    steps = [b - a for a, b in pairwise(radii)]
    assert max(steps) == pytest.approx(min(steps))


def test_a_run_gives_its_rows_back_and_others_are_refused(tmp_path):
    plan = [Shard("000000", "certify", (0, 1, 2, 3))]
    with RunStore(
        tmp_path / "run", {"kind": "certify"}, plan, settings={}, rows=CertifiedRow
    ) as store:
        with pytest.raises(LoadError, match="a run of certify with rows"):
            read_certified(tmp_path / "run")
        store.put(plan[0], ShardResult([*ROWS[:3], FAILED]))
    assert read_certified(tmp_path / "run") == [*ROWS[:3], FAILED]
    with pytest.raises(LoadError, match="found none"):
        read_certified(tmp_path)
    with RunStore(tmp_path / "other", {}, plan, settings={}) as store:
        store.put(plan[0], ShardResult([other_row(0)]))
    with pytest.raises(LoadError, match="a run of certify with rows"):
        read_certified(tmp_path / "other")


def test_the_table_is_the_literature_s():
    assert table_of(ROWS).splitlines() == [
        "idx\tlabel\tpredict\tradius\tcorrect\ttime",
        "0\t1\t1\t0.5\t1\t0:00:01.500000",
        "1\t1\t1\t1.1\t1\t0:00:01.500000",
        "2\t1\t2\t0.9\t0\t0:00:01.500000",
        "3\t1\t-1\t0.0\t0\t0:00:01.500000",
    ]


def test_an_image_without_an_answer_is_an_abstention_with_its_reason():
    document = summarise_certified([*ROWS[:3], FAILED], SETTINGS, REACH)
    assert document["abstained"] == 0.25
    assert document["failed"] == [{"image": 3, "error": "ValueError: bad image"}]
