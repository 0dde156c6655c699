from itertools import pairwise

import pytest

from bandlimiter.errors import ConfigurationError, LoadError
from bandlimiter.results.certified import round_radii, summarise_certified
from bandlimiter.results.certified_rows import CertifiedRow, CertifiedRows, read_certified

SETTINGS = {"epsilon": 8 / 255, "samples": 1000, "alpha": 1e-3, "coordinates": 4}
REACH = {"best": 1.2, "best_pixels": 0.6, "needed": 24.0, "needed_pixels": 12.0}


def row(image, certified, radius, *, label=1, plain=1, samples=1100):
    return CertifiedRow(
        image=image,
        label=label,
        plain=plain,
        certified=certified,
        margin=0.5 if radius else -1,
        radius=radius,
        radius_pixels=radius / 2,
        samples=samples,
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
    assert document["median_radius_pixels"] == 0.45
    assert document["mean_right_radius"] == pytest.approx((0.5 + 1.1) / 4)
    assert document["mean_samples"] == 900
    low, high = document["accuracy_interval"]
    assert low < 0.5 < high


def test_the_curve_counts_right_images_with_a_larger_radius():
    """A radius promises nothing at its own distance: at 0.5 the image with 0.5 is out."""
    curve = summarise_certified(ROWS, SETTINGS, REACH)["curve"]
    found = {point["radius"]: point["certified_accuracy"] for point in curve}
    assert found == {0: 0.5, 0.2: 0.5, 0.4: 0.5, 0.6: 0.25, 0.8: 0.25, 1.0: 0.25, 1.2: 0.0}
    assert curve[1]["radius_pixels"] == pytest.approx(0.1)


def test_the_verdict_says_how_far_the_budget_is():
    verdict = summarise_certified(ROWS, SETTINGS, REACH)["verdict"]
    assert "20 times too short" in verdict
    assert "L2 length 12 in pixels (24 " in verdict
    assert "one covers is 76/255" in verdict  # 255 * 0.6 / sqrt(4)
    near = summarise_certified(ROWS, SETTINGS, {**REACH, "needed_pixels": 0.3})["verdict"]
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


def test_rows_are_on_disk_as_soon_as_they_are_added(tmp_path):
    folder = tmp_path / "run"
    with CertifiedRows(folder) as kept:
        assert not list(folder.iterdir())  # a run that fails before its first row leaves nothing
        kept.add(ROWS[:2])
        assert read_certified(folder) == ROWS[:2]
        kept.add(ROWS[2:])
    assert read_certified(folder) == kept.rows == ROWS


def test_without_a_folder_rows_are_kept_in_memory():
    with CertifiedRows(None) as kept:
        kept.add(ROWS)
    assert kept.rows == ROWS


def test_rows_are_not_overwritten_and_files_are_no_folders(tmp_path):
    with CertifiedRows(tmp_path) as kept:
        kept.add(ROWS)
    (tmp_path / "certified.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="already holds a run"):
        CertifiedRows(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigurationError, match="is a file"):
        CertifiedRows(file)
    with pytest.raises(ConfigurationError, match="cannot write"):
        CertifiedRows(file / "below")


@pytest.mark.parametrize("result", [None, b"", b'{"images": '])
def test_rows_of_a_run_that_did_not_end_are_set_aside(tmp_path, result):
    """By a kill or a full disk, at rows or at the document behind them; twice."""
    for rows in (ROWS[:1], ROWS[:3], ROWS):
        with CertifiedRows(tmp_path) as kept:
            kept.add(rows)
        if result is not None:
            (tmp_path / "certified.json").write_bytes(result)
    assert read_certified(tmp_path) == ROWS
    counts = {path.name: len(path.read_text().splitlines()) for path in tmp_path.glob("rows*")}
    assert counts == {"rows.jsonl": 4, "rows.jsonl.1": 1, "rows.jsonl.2": 3}


@pytest.mark.parametrize("torn", [b"", b"{", b'{"image": 0, "label"'])
def test_rows_without_a_whole_line_are_nobodys_work(tmp_path, torn):
    (tmp_path / "rows.jsonl").write_bytes(torn)
    with CertifiedRows(tmp_path) as kept:
        kept.add(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert read_certified(tmp_path) == ROWS


def test_two_do_not_write_to_one_file(tmp_path):
    with CertifiedRows(tmp_path) as kept:
        kept.add(ROWS[:1])
        with pytest.raises(ConfigurationError, match="another process writes to"):
            CertifiedRows(tmp_path)
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
