"""Pictures of regions and spectra (needs the extra ``spectrum``)."""

from bandlimiter.draw.canvas import save_figure
from bandlimiter.draw.regions import draw_regions
from bandlimiter.draw.spectra import draw_filters, draw_plane, draw_radial

__all__ = ["draw_filters", "draw_plane", "draw_radial", "draw_regions", "save_figure"]
