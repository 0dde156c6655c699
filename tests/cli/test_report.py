"""``report`` and ``runs`` as a person meets them."""

import json

import pytest
from typer.testing import CliRunner

from bandlimiter.cli.main import app
from tests.report.html.runs import HOSTILE, failed_row, rows_of, store_run


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("runs")
    store_run(made / "first", rows_of(10))
    store_run(made / "below" / "second", [*rows_of(8), failed_row(9, "killed")], missing=2)
    store_run(made / HOSTILE, rows_of(5))
    store_run(made / "broken", rows_of(5))
    (made / "broken" / "run.sqlite").write_text("{")
    (made / "pictures").mkdir()
    return made


def test_report_writes_a_page_and_tables_and_says_what(folder, tmp_path):
    page, tables = tmp_path / "page.html", tmp_path / "tables"
    result = run("report", folder / "first", "--out", page, "--tables", tables, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["report"] == str(page)
    assert document["bytes"] == page.stat().st_size
    assert document["runs"][0]["verdict"].startswith("The defence brings back")
    written = {str(path) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(document["files"]) == written
    assert str(tables / "first" / "side-by-side.tex") in written


def test_report_in_words_names_what_is_missing(folder, tmp_path):
    result = run("report", folder / "below", "--out", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "second (unfinished: 3 of 5 shards): The defence brings back" in said
    assert "1 image gave no answer" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "expected a run"),
        (["first", "--out", "pictures"], "expected --out to name a file"),
        (["broken"], "damaged"),
    ],
)
def test_errors_are_one_line(folder, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(folder)
    result = run("report", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert words in result.stderr
    assert not (folder / "report.html").exists()


def test_runs_lists_what_is_there_and_names_the_rest(folder):
    result = run("runs", folder, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    by_name = {each["name"]: each for each in document["runs"]}
    assert set(by_name) == {"first", "second", HOSTILE}
    second = by_name["second"]
    assert (second["state"], second["finished"], second["planned"]) == ("unfinished", 3, 5)
    assert second["failed_images"] == 1
    assert second["clean_accuracy"] == 1.0
    low, high = by_name["first"]["defence_rate"]["minimal"]
    assert 0 <= low <= high <= 1
    reasons = {each["folder"].rsplit("/", 1)[1]: each["reason"] for each in document["others"]}
    assert set(reasons) == {"broken", "pictures"}
    assert "damaged" in reasons["broken"]


def test_runs_as_a_table(folder):
    text = run("runs", folder).output
    assert "3/5 shards" in text
    assert "no run in it" in text
    assert "1 failed" in text


def test_runs_without_a_folder(tmp_path):
    result = run("runs", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "expected a folder of runs" in result.stderr
