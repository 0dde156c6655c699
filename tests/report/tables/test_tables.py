"""Tables of runs: numbers against the summary, files inside their folder, sweeps in order."""

import json

import pytest

from bandlimiter.report.tables import Measured, Study, tables_of, write_tables
from bandlimiter.report.tables.summary_text import missing_of, verdict_of
from bandlimiter.report.tables.sweep import sweep_of
from bandlimiter.results import NONE, OURS, rate, summarise
from tests.report.html.runs import HOSTILE, SETTINGS, failed_row, rows_of, swept


def study(rows, name="run", **more):
    facts = {"kind": "evaluation", "state": "done", "settings": SETTINGS, "finished": 3}
    return Study(name=name, damaged=0, everything=rows, **{**facts, "planned": 3, **more})


def named(found):
    return {table.name: table for table in tables_of(found)}


def test_side_by_side_is_the_summary_s():
    rows = rows_of(30)
    lines = summarise(rows, {})["side_by_side"]
    table = named(study(rows))["side-by-side"]
    assert [row[0] for row in table.rows] == [OURS, "gaussian", "plain model"]
    for line, row in zip(lines, table.rows, strict=True):
        for column, cell in list(zip(table.columns, row, strict=True))[1:]:
            assert list(cell) == [line[column.key], *line[f"{column.key}_interval"]]


def test_classes_add_up_to_all():
    rows = rows_of(37)
    tables = named(study(rows))
    whole = tables["side-by-side"].rows[0]
    images = sum(row[1] for row in tables["classes-0"].rows)
    assert images == 37
    for place, column in enumerate(tables["classes-0"].columns[2:], start=2):
        right = sum(row[1] * row[place].value for row in tables["classes-0"].rows)
        assert right / images == pytest.approx(whole[place - 1].value), column.key
    first = tables["classes-0"].rows[0]
    assert first[0] == "airplane"
    assert first[2] == Measured(*rate(4, 4))  # clean; images 0, 10, 20, 30


def test_failed_rows_count_in_no_rate_and_are_listed():
    rows = rows_of(20)
    lost = [failed_row(i, "killed") for i in (20, 21, 22)]
    with_lost = named(study(rows + lost))
    assert with_lost["side-by-side"].rows == named(study(rows))["side-by-side"].rows
    assert with_lost["failures"].rows == [["20, 21, 22", OURS, "cascade", "fixed", "killed"]]


def test_a_sweep_is_in_its_order_and_the_run_s_own_is_a_point_of_it():
    found = study(rows_of(10, [OURS, "r=12", "r=3"], adaptive=False), settings=swept(12, 3))
    assert [row[0] for row in named(found)["side-by-side"].rows] == [
        "r=3",
        "r=6",
        "r=12",
        "plain model",
    ]
    assert verdict_of(found).startswith("3 defences (r=3 to r=12).")
    assert "robustness is not shown" in verdict_of(found)


def test_without_the_run_s_own_defence_the_plain_model_is_still_there():
    rows = rows_of(10, ["K=6", "K=15"], adaptive=False)
    line = named(study(rows))["side-by-side"].rows[-1]
    assert line[0] == "plain model"
    assert line[1].value == 1.0


@pytest.mark.parametrize(
    "other",
    [
        None,
        {"radius": 6, "directions": 15},
        {"radius": 3, "directions": 6},
        {"radius": 3, "directions": 15, "sampler": "ball"},
        {"radius": None, "sigma": 0.25, "directions": 15},
    ],
)
def test_what_is_no_sweep(other):
    own = {"radius": 6, "directions": 15}
    variants = {"r=3": {"radius": 3, "directions": 15}}
    assert sweep_of([OURS, "r=3"], own | {"variants": variants}) is not None
    variants["other"] = other
    assert sweep_of([OURS, "r=3", "other"], own | {"variants": variants}) is None
    assert sweep_of([OURS], own) is None


def test_files_stay_inside_the_folder(tmp_path):
    rows = rows_of(5, (OURS, HOSTILE))
    runs = [study(rows, name) for name in ("../../x", "..", "a/b", "a/b", "/etc", HOSTILE)]
    folder = tmp_path / "deep" / "tables"
    files = write_tables(runs, folder)
    assert len({path.parent for path in files}) == len(runs)
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in files)
    on_disk = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert on_disk == set(files)
    document = json.loads((files[0].parent / "side-by-side.json").read_text())
    assert document["rows"][1]["defence"] == HOSTILE


def test_missing_shards_are_said():
    assert missing_of(study([])) is None
    said = missing_of(study([], state="unfinished", finished=12, planned=40))
    assert said == "unfinished: 12 of 40 shards"
    assert missing_of(study([], state="in use")).startswith("in use, still at work")
    assert NONE not in study(rows_of(3)).defences
