"""Certification logs of others: read by their rule, set side by side."""

import numpy as np
import pytest
from scipy.stats import binomtest

from bandlimiter.errors import LoadError
from bandlimiter.results.certified_logs import (
    certified_shares,
    compare_logs,
    read_log,
    read_logs,
    table_of,
)
from bandlimiter.results.certified_rows import CertifiedRow
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from tests.results.test_certified import ROWS

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
LINES = [
    "0\t3\t3\t0.5\t1\t0:00:01.0",
    "20\t8\t-1\t0.0\t0\t0:00:01.0",
    "40\t8\t5\t0.9\t0\t0:00:01.0",
    "60\t1\t1\t0.25\t1\t1 day, 0:00:01.0",
]


def written(path, lines, header=HEADER):
    path.write_text(header + "".join(line + "\n" for line in lines))
    return path


def test_the_literature_s_rule_by_a_few_lines_of_its_own(tmp_path):
    path = written(tmp_path / "cohen_0.25.tsv", LINES)
    table = np.genfromtxt(path, delimiter="\t", names=True, usecols=range(5))
    found = compare_logs([read_log(path)], [0.0, 0.25, 0.3, 0.9])
    theirs = [
        np.mean((table["correct"] == 1) & (table["radius"] >= radius))
        for radius in (0, 0.25, 0.3, 0.9)
    ]
    (log,) = found["logs"]
    assert log["certified_accuracy"] == theirs == [0.5, 0.5, 0.25, 0.0]
    assert log["name"] == "cohen_0.25"
    assert log["abstained"] == 0.25
    assert log["average_radius"] == (0.5 + 0.25) / 4
    assert found["common"]


def kept(folder):
    plan = [Shard("000000", "certify", tuple(range(len(ROWS))))]
    with RunStore(folder, {"kind": "certify"}, plan, settings={}, rows=CertifiedRow) as store:
        store.put(plan[0], ShardResult(ROWS))
    (folder / "certified.tsv").write_text(table_of(ROWS))


def test_ours_reads_as_theirs(tmp_path):
    kept(tmp_path / "ours")
    table = np.genfromtxt(
        tmp_path / "ours" / "certified.tsv", delimiter="\t", names=True, usecols=range(5)
    )
    for radius in (0.0, 0.5, 0.6, 1.1):
        theirs = np.mean((table["correct"] == 1) & (table["radius"] >= radius))
        right = [row.certified == row.label and row.radius >= radius for row in ROWS]
        found = compare_logs([read_log(tmp_path / "ours")], [radius])["logs"][0]
        assert found["certified_accuracy"] == [theirs] == [np.mean(right)]


def test_other_images_are_compared_on_the_common_ones(tmp_path):
    one = read_log(written(tmp_path / "one.tsv", LINES))
    other = read_log(written(tmp_path / "other.tsv", [LINES[3], "7\t1\t1\t2.0\t1\t0:00:01"]))
    found = compare_logs([one, other], [0.0])
    assert not found["common"]
    assert found["images"] == 1
    assert [log["images"] for log in found["logs"]] == [4, 2]
    assert [log["certified_accuracy"] for log in found["logs"]] == [[1.0], [1.0]]
    apart = read_log(written(tmp_path / "apart.tsv", ["7\t1\t1\t2.0\t1\t0:00:01"]))
    with pytest.raises(LoadError, match="none in common"):
        compare_logs([one, apart], [0.0])


@pytest.mark.parametrize("count", [1, 7, 200])
def test_bands_are_clopper_and_pearson_s(count):
    radius = np.linspace(-1, 1, count)
    at = [-2.0, 0.0, 0.5, 1.0, 3.0]
    shares, intervals = certified_shares(radius, at)
    for each, share, interval in zip(at, shares, intervals, strict=True):
        right = int((radius >= each).sum())
        expected = binomtest(right, count).proportion_ci(0.95, method="exact")
        assert share == right / count
        np.testing.assert_allclose(interval, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the columns idx label"),
        ("a\tb\n1\t2\n", "the columns idx label"),
        (HEADER + "0\t3\t3\tfar\t1\t0:1\n", "line 2"),
        (HEADER + "0\t3\t3\tnan\t1\t0:1\n", "line 2"),
        (HEADER + "0\t3\t3\t-0.5\t1\t0:1\n", "line 2"),
        (HEADER + LINES[0] + "\n20\t8\t-1", "line 3"),
        (HEADER + LINES[0] + "\n" + LINES[0] + "\n", "twice"),
    ],
)
def test_what_is_no_log_is_one_line(tmp_path, text, words):
    (tmp_path / "log.tsv").write_text(text)
    with pytest.raises(LoadError, match=words) as refusal:
        read_log(tmp_path / "log.tsv")
    assert "\n" not in str(refusal.value)
    with pytest.raises(LoadError, match="can be read"):
        read_log(tmp_path / "none.tsv")


def test_names_tell_logs_apart(tmp_path):
    """Cohen's files have no suffix, and folders of runs often hold files of one name."""
    for name in ("sigma_0.12", "sigma_0.25", "a/certified.tsv", "b/certified.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(tmp_path / name, LINES)
    paths = [tmp_path / "sigma_0.12", tmp_path / "sigma_0.25", tmp_path / "a", tmp_path / "b"]
    paths += [tmp_path / "a" / "certified.tsv", tmp_path / "b" / "certified.tsv"]
    names = [log.name for log in read_logs(paths)]
    assert names == ["sigma_0.12", "sigma_0.25", "a", "b", "a/certified", "b/certified"]
    with pytest.raises(LoadError, match="each log once"):
        read_logs([tmp_path / "a", tmp_path / "a"])


def test_shares_are_told_where_they_are_known(tmp_path):
    kept(tmp_path / "ours")
    written(tmp_path / "theirs.tsv", LINES[:1])
    found = compare_logs(read_logs([tmp_path / "ours", tmp_path / "theirs.tsv"]), [0.0])
    assert [log["shares"] for log in found["logs"]] == [[0.75] * 3, None]
