"""Rows as the bytes of a Parquet file: an explicit schema, and the same bytes for the same rows."""

from collections.abc import Collection, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from bandlimiter.errors import MissingExtraError


def to_parquet(
    rows: Sequence[BaseModel], row_type: type[BaseModel], without: Collection[str] = ()
) -> bytes:
    """Return rows as Parquet: a column per field but those named, lists as lists.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(
            "expected pyarrow for Parquet; install it with pip install 'bandlimiter[parquet]'"
        ) from error
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}

    def kind(annotation: Any) -> Any:
        if annotation in kinds:
            return kinds[annotation]
        if annotation == tuple[int, ...]:
            return pa.list_(pa.int64())
        inner = [each for each in get_args(annotation) if each is not type(None)]
        return kinds.get(inner[0], pa.string())  # of a Literal, words

    schema = pa.schema(
        [
            (name, kind(field.annotation))
            for name, field in row_type.model_fields.items()
            if name not in without
        ]
    )
    table = pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
