"""Rows as the values of a table's columns: one for each field, lists as JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bandlimiter.errors import InputError, LoadError

_KINDS = {bool: "INTEGER", int: "INTEGER", float: "REAL", str: "TEXT"}
_WHOLE = range(-(2**63), 2**63)


def columns_of(row_type: type[BaseModel]) -> str:
    """Return the columns of a table of such rows, as SQL declares them."""
    return ", ".join(
        f"{name} {_kind(field.annotation)}" for name, field in row_type.model_fields.items()
    )


def pack_row(row: BaseModel) -> list[Any]:
    """Return a row's values, just as SQLite gives them back.

    Raises
    ------
    InputError
        For a whole number of more than 64 bits, a NaN, or text that is no Unicode.
    """
    return [_packed(name, value) for name, value in row]


def unpack_rows(
    row_type: type[BaseModel], names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[Any]:
    """Return rows again.

    Raises
    ------
    LoadError
        Where the values are not a row's, as those of a newer version are not.
    """
    lists = [
        name in row_type.model_fields and _kind(row_type.model_fields[name].annotation) == "JSON"
        for name in names
    ]
    try:
        return [
            row_type.model_validate(
                {
                    name: json.loads(value) if is_list else value
                    for name, value, is_list in zip(names, row, lists, strict=True)
                }
            )
            for row in rows
        ]
    except ValidationError as error:
        first = error.errors()[0]
        raise LoadError(
            f"expected a row of {row_type.__name__}, got a bad {first['loc']}: {first['msg']}; "
            "a newer version of bandlimiter may know it"
        ) from error


def _kind(annotation: Any) -> str:
    """Return a column's type; JSON, a name for text, where a value is a list."""
    if annotation in _KINDS:
        return _KINDS[annotation]
    inner = {type(each) if isinstance(each, str) else each for each in get_args(annotation)}
    kinds = {_KINDS.get(each, "JSON") for each in inner - {type(None)}}
    return kinds.pop() if len(kinds) == 1 else "JSON"


def _packed(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return json.dumps(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        if math.isnan(value):
            raise InputError(f"expected a row with numbers, its {name} is NaN")
        return value + 0.0  # SQLite has no -0.0
    if isinstance(value, int) and value not in _WHOLE:
        raise InputError(f"expected rows of 64-bit numbers, got {name} = {value}")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"expected Unicode text, got {name} = {value!a}") from error
    return value
