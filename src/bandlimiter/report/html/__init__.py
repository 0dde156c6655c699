"""One self-contained page for a run or several: no network, no second file."""

from bandlimiter.report.html.page import Shown, render_page, write_page

__all__ = ["Shown", "render_page", "write_page"]
