"""Figures of a page, as plotly's JSON; drawn where the page is read."""

from bandlimiter.report.html.figures.all_figures import figures_of
from bandlimiter.report.html.figures.figure import Curve, Figure

__all__ = ["Curve", "Figure", "figures_of"]
