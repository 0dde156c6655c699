"""A figure before it is drawn: axes, and curves with intervals. Texts are made inert here."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bandlimiter.report.html.colours import Look

_BANDS = 3
"""Up to so many curves have a band for their interval; more would be mud."""

_LONGEST_TICK = 18


@dataclass(frozen=True)
class Curve:
    """Points with intervals, joined or not.

    Attributes
    ----------
    name
        In the legend.
    look
        Colour, dash and marker.
    x
        Numbers, or names of categories.
    y, low, high
        Shares in [0, 1].
    notes
        What else to say where one points at each.
    """

    name: str
    look: Look
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    notes: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes
    ----------
    key
        Unique on the page.
    title, caption
        What it shows, and how it was made.
    x_title, y_title
        Of the axes.
    curves
        In the legend's order.
    shape
        ``points`` (categories, side by side), ``lines`` or ``steps``.
    mark
        Where to draw a dotted line across x, with its label.
    """

    key: str
    title: str
    caption: str
    x_title: str
    y_title: str
    curves: Sequence[Curve]
    shape: str = "lines"
    mark: tuple[float, str] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return what the page's script draws: traces without colours, layout, and looks."""
        banded = self.shape != "points" and len(self.curves) <= _BANDS
        return {
            "curves": [
                {
                    "name": curve.name,
                    "look": curve.look.document(),
                    "traces": _traces(curve, self.shape, number, banded),
                }
                for number, curve in enumerate(self.curves)
            ],
            "layout": self._layout(),
        }

    def _layout(self) -> dict[str, Any]:
        x: dict[str, Any] = {"title": {"text": inert(self.x_title)}, "automargin": True}
        if self.shape == "points":
            names = dict.fromkeys(str(at) for curve in self.curves for at in curve.x)
            x |= {
                "type": "category",
                "tickvals": [inert(name) for name in names],
                "ticktext": [_tick(name) for name in names],
            }
        else:
            x |= {"type": "linear", "rangemode": "tozero"}
        layout: dict[str, Any] = {
            "xaxis": x | self.extra,
            "yaxis": {
                "title": {"text": inert(self.y_title)},
                "range": [-0.02, 1.03],
                "tickformat": ".0%",
                "automargin": True,
            },
        }
        if self.shape == "points":
            layout["scattermode"] = "group"
        if self.mark is not None:
            at, label = self.mark
            layout["shapes"] = [
                {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
            ]
            layout["annotations"] = [{"x": at, "yref": "paper", "y": 1, "text": inert(label)}]
        return layout


def intervals_words(curves: int) -> str:
    """Say where intervals are seen in a figure of so many joined curves."""
    if curves <= _BANDS:
        return "Bands: 95 % Wilson intervals."
    return "Point at a curve for its 95 % Wilson interval."


def inert(text: str) -> str:
    """Return a text that plotly shows as it is: it would take tags for formatting and links.

    Examples
    --------
    >>> inert("<b>cat</b> & dog")
    '&lt;b&gt;cat&lt;/b&gt; &amp; dog'
    """
    return html.escape(text, quote=False)


def _traces(curve: Curve, shape: str, number: int, banded: bool) -> list[dict[str, Any]]:
    words = isinstance(curve.x[0], str)
    x = [inert(str(at)) if words else at for at in curve.x]
    line = {"shape": "hv"} if shape == "steps" else {}
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": {"points": "markers", "lines": "lines+markers", "steps": "lines"}[shape],
        "x": x,
        "y": [_short(y) for y in curve.y],
        "line": line,
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{inert(curve.name)}</b><br>{inert(note)}<br>{_percent(y)} "
            f"({_percent(low)} to {_percent(high)})"
            for note, y, low, high in zip(curve.notes, curve.y, curve.low, curve.high, strict=True)
        ],
    }
    if shape == "points" or (shape == "lines" and not banded):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_short(high - y) for y, high in zip(curve.y, curve.high, strict=True)],
            "arrayminus": [_short(y - low) for y, low in zip(curve.y, curve.low, strict=True)],
        }
    if shape == "points":
        trace["offsetgroup"] = str(number)
    if not banded:
        return [trace]
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "line": {**line, "width": 0},
        "hoverinfo": "skip",
        "band": True,
    }
    return [
        {**edge, "y": [_short(low) for low in curve.low]},
        {**edge, "y": [_short(high) for high in curve.high], "fill": "tonexty"},
        trace,
    ]


def _tick(name: str) -> str:
    """Return a name that fits below an axis: cut, and what is in brackets on a line of its own."""
    cut = name if len(name) <= _LONGEST_TICK else name[: _LONGEST_TICK - 1] + "\u2026"
    return inert(cut).replace(" (", "<br>(")


def _short(value: float) -> float:
    return round(value, 5)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
