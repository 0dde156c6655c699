"""CSV, LaTeX and JSON: numbers read back, and nothing that comes from data is run."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandlimiter.report.tables import Column, Measured, Table, rows_csv, to_csv, to_json, to_latex
from bandlimiter.report.tables.to_latex import escape
from bandlimiter.results import Row
from tests.report.html.runs import rows_of

COLUMNS = [Column("name", "name", text=True), Column("n", "n"), Column("x", "x", measured=True)]


def table(*rows):
    return Table("t", "title", COLUMNS, rows)


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


@given(st.floats(-1, 1), st.floats(0, 1), st.integers(-5, 5))
def test_numbers_read_back_as_they_were(value, high, whole):
    one = table(["a", whole, Measured(value, None, high)])
    (line,) = read(to_csv(one))
    assert (float(line["x"]), line["x_low"], float(line["x_high"])) == (value, "", high)
    assert int(line["n"]) == whole
    (entry,) = json.loads(json.dumps(to_json(one), allow_nan=False))["rows"]
    assert entry == {"name": "a", "n": whole, "x": value, "x_interval": [None, high]}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12))
def test_no_cell_of_csv_starts_a_formula(name):
    (line,) = read(to_csv(table([name, 1, None])))
    assert line["name"] in (name, f"'{name}")
    assert line["name"].lstrip(" ")[:1] not in tuple("=+-@\t")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", " =1", "\t=1", "\r=1"])
def test_formulas_are_quoted(name):
    assert to_csv(table([name, -1, None])).splitlines(keepends=False)[1].lstrip('"')[0] == "'"
    assert ",-1," in to_csv(table([name, -1, None])).replace("\n", "")  # a number stays one


def test_rows_read_back():
    rows = rows_of(5)
    lines = read(rows_csv(rows))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert float(line["linf"]) == row.linf
        assert (line["defence"], line["status"]) == (row.defence, str(row.status))
        assert set(line) == {*Row.model_fields, "status"}


# What each escape prints, written down from the LaTeX companion and not from the code.
PRINTS = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"\textasciigrave{}": "`",
    **{f"\\{sign}": sign for sign in "{}$&#%_"},
}
TOKEN = re.compile("|".join(map(re.escape, PRINTS)) + r"|[^\\{}$&#%_~^]", re.DOTALL)


@given(st.text(st.sampled_from('\\{}$&#%_~^<>|"`abc \u00e9\n'), max_size=20))
def test_latex_prints_what_was_given(text):
    """Every piece is a known escape or a letter without meaning: no command comes through."""
    escaped = escape(text)
    tokens = TOKEN.findall(escaped)
    assert "".join(tokens) == escaped
    assert "".join(PRINTS.get(token, token) for token in tokens) == text.replace("\n", " ")


def test_latex_has_booktabs_and_one_line_a_row():
    rows = [["a & b\\\\", 3, Measured(0.9333, 0.88, 0.97)], ["%\n\\end{tabular}", None, None]]
    lines = to_latex(table(*rows)).splitlines()
    assert lines[1] == r"\begin{tabular}{lrr}"
    assert lines[5] == r"a \& b\textbackslash{}\textbackslash{} & 3 & 0.933 (0.880--0.970) \\"
    assert lines[6].startswith(r"\% \textbackslash{}end\{tabular\} & --")
    assert lines.count(r"\end{tabular}") == 1
    assert [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
