"""Pictures of regions, lines, planes and spectra (needs the extra ``spectrum``)."""

from bandlimiter.draw.lines import draw_line, draw_line_spectra
from bandlimiter.draw.planes import draw_trace_plane
from bandlimiter.draw.plotting import save_figure
from bandlimiter.draw.regions import draw_regions
from bandlimiter.draw.spectra import draw_filters, draw_plane, draw_radial

__all__ = [
    "draw_filters",
    "draw_line",
    "draw_line_spectra",
    "draw_plane",
    "draw_radial",
    "draw_regions",
    "draw_trace_plane",
    "save_figure",
]
