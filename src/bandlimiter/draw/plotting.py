"""Matplotlib, imported late and without a display; pictures as PNG and SVG that repeat."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from bandlimiter.errors import MissingExtraError
from bandlimiter.results.files import printable, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER_COLOURS = ("black", "#1f4fd8", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf")
"""The paper's figure 1 has black, blue and red for the first three layers."""


def layer_colour(number: int) -> str:
    """Return the colour of a layer, counted from 0; colours repeat after seven."""
    return LAYER_COLOURS[number % len(LAYER_COLOURS)]


def new_figure(columns: int, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    """Return a figure of so many panels in a row, sizes in inches.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "expected matplotlib for pictures; install it with pip install 'bandlimiter[spectrum]'"
        ) from error
    # A Figure of its own needs no display and leaves pyplot's state alone.
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def save_figure(figure: "Figure", stem: Path) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``; the same figure gives the same bytes.

    Returns
    -------
    list of Path
        The files written.
    """
    import matplotlib
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))
    files = []
    with matplotlib.rc_context({"svg.hashsalt": "bandlimiter"}):
        for suffix, options in ((".png", {"dpi": 160}), (".svg", {"metadata": {"Date": None}})):
            picture = io.BytesIO()
            figure.savefig(picture, format=suffix[1:], **options)
            files.append(write_whole(stem.with_suffix(suffix), picture.getvalue()))
    return files
