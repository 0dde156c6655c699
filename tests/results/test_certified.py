from itertools import pairwise

import pytest

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.certified import round_radii, summarise_certified
from bandlimiter.results.certified_rows import CertifiedRow, CertifiedRows, read_certified

SETTINGS = {
    **{"epsilon": 8 / 255, "samples": 1000, "alpha": 1e-3, "coordinates": 4},
    "at": [0.2, 0.5, 1.0, 2.0],
}
REACH = 1.2
IDENTITY = {"sigma": 0.25, "at": [0.2, 0.5]}


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


def table(folder):
    return (folder / "certified.tsv").read_text().splitlines()


def test_rows_are_on_disk_as_soon_as_they_are_added(tmp_path):
    folder = tmp_path / "run"
    with CertifiedRows(folder, IDENTITY) as kept:
        kept.add(ROWS[:2])
        assert read_certified(folder) == ROWS[:2]
        kept.add(ROWS[2:])
    assert read_certified(folder) == kept.rows == ROWS
    assert table(folder) == [
        "idx\tlabel\tpredict\tradius\tcorrect\ttime",
        "0\t1\t1\t0.5\t1\t0:00:01.500000",
        "1\t1\t1\t1.1\t1\t0:00:01.500000",
        "2\t1\t2\t0.9\t0\t0:00:01.500000",
        "3\t1\t-1\t0.0\t0\t0:00:01.500000",
    ]


def test_without_a_folder_rows_are_kept_in_memory():
    with CertifiedRows(None, IDENTITY) as kept:
        kept.add(ROWS)
    assert kept.rows == ROWS


@pytest.mark.parametrize("cut", range(0, 400, 13))
def test_a_run_killed_at_any_byte_goes_on(tmp_path, cut):
    """Whatever a kill left of both files: rows that are whole stay, and the table follows them."""
    with CertifiedRows(tmp_path, IDENTITY) as kept:
        kept.add(ROWS)
    whole = table(tmp_path)
    rows, lines = (tmp_path / "rows.jsonl").read_bytes(), (tmp_path / "certified.tsv").read_bytes()
    (tmp_path / "rows.jsonl").write_bytes(rows[:cut])
    (tmp_path / "certified.tsv").write_bytes(lines[: cut // 2])
    with CertifiedRows(tmp_path, IDENTITY) as kept:
        assert kept.rows == ROWS[: rows[:cut].count(b"\n")]
        kept.add(ROWS[len(kept.rows) :])
    assert read_certified(tmp_path) == ROWS
    assert table(tmp_path) == whole


def test_other_settings_are_refused_by_name(tmp_path):
    with CertifiedRows(tmp_path, IDENTITY) as kept:
        kept.add(ROWS[:1])
    for other in ({**IDENTITY, "sigma": 0.5}, {"sigma": 0.25}, {**IDENTITY, "new": 1}):
        with pytest.raises(ConfigurationError, match=r"(sigma|at|new) was .* name another folder"):
            CertifiedRows(tmp_path, other)
    assert read_certified(tmp_path) == ROWS[:1]
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(ConfigurationError, match="begun with"):
        CertifiedRows(tmp_path, IDENTITY)


def test_a_run_that_ended_before_its_first_row_is_nobody_s(tmp_path):
    with CertifiedRows(tmp_path, IDENTITY):
        pass
    with CertifiedRows(tmp_path, {**IDENTITY, "sigma": 0.5}) as kept:
        kept.add(ROWS)
    assert read_certified(tmp_path) == ROWS


def test_files_are_no_folders(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for path in (file, file / "below"):
        with pytest.raises(ConfigurationError, match="cannot write"):
            CertifiedRows(path, IDENTITY)


def test_two_do_not_write_to_one_file(tmp_path):
    with CertifiedRows(tmp_path, IDENTITY) as kept:
        kept.add(ROWS[:1])
        with pytest.raises(ConfigurationError, match="another process writes to"):
            CertifiedRows(tmp_path, IDENTITY)
        kept.add(ROWS[1:])
    assert read_certified(tmp_path) == ROWS


def test_other_files_are_refused(tmp_path):
    with pytest.raises(LoadError, match="found none"):
        read_certified(tmp_path)
    (tmp_path / "rows.jsonl").write_text(ROWS[0].model_dump_json() + '\n{"image": 1}\n')
    with pytest.raises(LoadError, match="line 2"):
        read_certified(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(ROWS[0].model_dump_json().encode() + b"\n\xff\n")
    with pytest.raises(LoadError, match="line 2"):
        read_certified(tmp_path)
