"""Any row that hypothesis can think of."""

from typing import Any, get_args

from hypothesis import strategies as st

from bandlimiter.results import Row

_WHOLE = st.integers(-(2**63), 2**63 - 1)
_REAL = st.floats(allow_nan=False)


def rows() -> st.SearchStrategy[Row]:
    """Return a strategy for rows; a field of a new type makes it fail."""
    kinds: dict[Any, st.SearchStrategy[Any]] = {
        int: _WHOLE,
        float: _REAL,
        str: st.text(),
        bool: st.booleans(),
        int | None: st.none() | _WHOLE,
        float | None: st.none() | _REAL,
        str | None: st.none() | st.text(),
        tuple[int, ...]: st.lists(_WHOLE, max_size=4).map(tuple),
    }
    fields = {name: _strategy(kinds, field.annotation) for name, field in Row.model_fields.items()}
    return st.builds(Row, **fields)


def _strategy(kinds: dict[Any, st.SearchStrategy[Any]], kind: Any) -> st.SearchStrategy[Any]:
    return kinds[kind] if kind in kinds else st.sampled_from(get_args(kind))
