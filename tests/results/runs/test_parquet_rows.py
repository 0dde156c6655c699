"""Rows through Parquet and back: equal, the same bytes, and nothing guessed."""

import math
import types
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandlimiter.errors import InputError, LoadError
from bandlimiter.results import Row
from bandlimiter.results.runs.labels import LABELS, labels_of
from bandlimiter.results.runs.parquet_rows import COLUMNS, rows_from_parquet, rows_to_parquet
from tests.results.runs.material import row
from tests.results.runs.strategies import rows

MINE = labels_of("run", "shard")


@settings(max_examples=50, deadline=None)
@given(st.lists(rows(), max_size=6))
def test_reading_gives_back_equal_rows_and_writing_the_same_bytes(some: list[Row]) -> None:
    data = rows_to_parquet(some, MINE)
    again = rows_from_parquet(data, MINE)
    assert again == some
    assert rows_to_parquet(again, MINE) == data


def test_floats_come_back_bit_for_bit() -> None:
    values = [math.nan, -0.0, 5e-324, math.inf, 0.1 + 0.2]
    data = rows_to_parquet([row(0, linf=value) for value in values], MINE)
    again = [each.linf for each in rows_from_parquet(data, MINE)]
    assert [value.hex() for value in again] == [value.hex() for value in values]


def test_schema_is_that_of_rows() -> None:
    """Column by column: a field that is added to `Row` needs a column, and so a new format."""
    assert list(COLUMNS) == list(Row.model_fields)
    kinds = {int: "int64", float: "float64", str: "string", bool: "bool"}
    for name, field in Row.model_fields.items():
        kind, null = field.annotation, ""
        if isinstance(kind, types.UnionType):
            (kind, nothing), null = get_args(kind), "?"
            assert nothing is type(None)
        expected = "int64[]" if kind == tuple[int, ...] else kinds.get(kind, "string")
        assert COLUMNS[name] == expected + null, name


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())


def test_rows_of_older_versions_have_no_target() -> None:
    """They were written without the columns for it; any other that is missing is refused."""
    data = rows_to_parquet([row(4), row(5, target=2, reached=0.5)], MINE)
    table = pq.read_table(pa.BufferReader(data))
    for older in (["target", "reached"], ["target"], ["reached"]):
        expected = [row(4), row(5, target=2, reached=0.5)]
        gone = dict.fromkeys(older)
        assert rows_from_parquet(_bytes(table.drop_columns(older)), MINE) == [
            one.model_copy(update=gone) for one in expected
        ]
    with pytest.raises(LoadError, match="wrong is missing"):
        rows_from_parquet(_bytes(table.drop_columns(["target", "wrong"])), MINE)


def test_another_reader_sees_plain_columns() -> None:
    table = pq.read_table(
        pa.BufferReader(rows_to_parquet([row(4, other_seeds_clean=(1, 2))], MINE))
    )
    assert table.column("image").to_pylist() == [4]
    assert table.column("other_seeds_clean").to_pylist() == [[1, 2]]
    assert not table.schema.field("label").nullable
    assert table.schema.field("error").nullable


def _changed(change: Any, **labels: Any) -> bytes:
    table = pq.read_table(pa.BufferReader(rows_to_parquet([row(0)], MINE | labels)))
    return _bytes(change(table))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_changed(lambda t: t.append_column("mood", pa.array(["good"]))), "others too: mood"),
        (_changed(lambda t: t.drop_columns(["error"])), "error is missing"),
        (_changed(lambda t: t.set_column(0, "image", pa.array([0.5]))), r"\['image'\]"),
        (_changed(lambda t: t.select(t.column_names[::-1])), "order"),
        (_changed(lambda t: t.set_column(3, "protocol", pa.array(["new"]))), "protocol"),
        (_changed(lambda t: t, format=2), "format 1, got '?2"),
        (_changed(lambda t: t, shard="other"), "of shard shard, got one of other"),
        (_changed(lambda t: t, run="other"), "of run run, got one of other"),
        (_changed(lambda t: t.replace_schema_metadata(None)), "without its labels"),
        (_changed(lambda t: t.replace_schema_metadata({LABELS: "[]"})), "without its labels"),
        (rows_to_parquet([row(0)], MINE)[:-9], "Parquet"),
        (b"", "Parquet"),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(LoadError, match=said) as refused:
        rows_from_parquet(data, MINE)
    assert "\n" not in str(refused.value)


def test_numbers_beyond_64_bits_are_refused() -> None:
    with pytest.raises(InputError, match="64-bit"):
        rows_to_parquet([row(2**63)], MINE)
