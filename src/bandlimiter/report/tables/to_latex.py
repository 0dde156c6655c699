r"""Tables as LaTeX with booktabs; names from outside are text, never commands."""

import re

from bandlimiter.report.tables.table import Cell, Column, Measured, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
}
# One pass, so that what an escape brings is not escaped again; a control character would end
# a line or a file's reading.
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPES)) + r"|[\x00-\x1f\x7f]")


def to_latex(table: Table) -> str:
    """Return a ``tabular`` that needs the package booktabs, with title and note as comments.

    Intervals stand behind their numbers: ``0.933 (0.880--0.970)``.
    """
    head = " & ".join(escape(column.heading) for column in table.columns)
    lines = [
        f"% {_one_line(table.title)}",
        *([f"% {_one_line(table.note)}"] if table.note else []),
        r"\begin{tabular}{"
        + "".join("l" if column.text else "r" for column in table.columns)
        + "}",
        r"\toprule",
        f"{head} \\\\",
        r"\midrule",
        *(
            " & ".join(_cell(column, cell) for column, cell in zip(table.columns, row, strict=True))
            + r" \\"
            for row in table.rows
        ),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Return LaTeX that shows ``text``.

    Examples
    --------
    >>> print(escape("50 %_{x}"))
    50 \%\_\{x\}
    """
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], " "), text)


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text)


def _cell(column: Column, cell: Cell) -> str:
    if cell is None:
        return "--"
    if isinstance(cell, str):
        return escape(cell)
    if not isinstance(cell, Measured):
        return _number(column, cell)
    interval = column.interval(cell).replace(" to ", "--")
    if column.signed or "more" in interval:  # two signs and a dash would run together
        interval = column.interval(cell)
    return _number(column, cell.value) + (f" ({interval})" if interval else "")


def _number(column: Column, value: float | int | None) -> str:
    text = column.number(value)
    return f"${text}$" if text[0] in "+-" and len(text) > 1 else text
