"""The built guide, read as a browser reads it: what it loads, where its links lead."""

import importlib
import pkgutil
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import bandlimiter

_LOADED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src"}
_NOT_ROOMS = {"assets", "cli", "adapters"}
"""Adapters need a library each, and have no names of their own."""

_PARTS = (
    "bandlimiter.evaluation.executors",
    "bandlimiter.report.html",
    "bandlimiter.report.tables",
    "bandlimiter.results.runs",
)
"""Rooms within rooms that users import from."""


@dataclass
class Page(HTMLParser):
    """What a page loads and links to, and what can be linked to in it."""

    text: str
    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in _LOADED and _LOADED[tag] in values and values.get("rel") != "canonical":
            self.loaded.append(values[_LOADED[tag]])


class Site:
    """A folder of pages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = {path: Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}

    def fetched_from_elsewhere(self) -> list[str]:
        """What scripts, styles, fonts, frames and images come from another place."""
        found = [
            f"{path.name}: {url}"
            for path, page in self.pages.items()
            for url in page.loaded
            if re.match(r"(https?:)?//", url)
        ]
        styles = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")]+)")
        for path in self.folder.rglob("*.css"):
            found += [f"{path.name}: {url}" for url in styles.findall(path.read_text())]
        return found

    def broken_links(self) -> list[str]:
        """Links and loaded files within the guide that are not there, or lack their anchor."""
        return [
            f"{path.relative_to(self.folder)}: {url}"
            for path, page in self.pages.items()
            if path.name != "404.html"  # made for the root of a server
            for url in (*page.links, *page.loaded)
            if not self._there(path, url)
        ]

    def _there(self, path: Path, url: str) -> bool:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            return True
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            return False
        anchor = unquote(parts.fragment)
        # "__" begins what the theme's script knows.
        return not anchor or anchor.startswith("__") or anchor in self.pages[target].anchors

    def unnamed(self) -> list[str]:
        """Public names of the package, its rooms and their parts that no page has a heading for."""
        anchors = set().union(*(page.anchors for page in self.pages.values()))
        return [
            f"{room}.{name}"
            for room in ("bandlimiter", *_rooms(), *_PARTS)
            for name in importlib.import_module(room).__all__
            # A heading bears the path that the name is exported under, or defined under.
            if not any(at.startswith(f"{room}.") and at.endswith(f".{name}") for at in anchors)
        ]


def _rooms() -> list[str]:
    inside = pkgutil.iter_modules(bandlimiter.__path__, "bandlimiter.")
    rooms = [module.name for module in inside if module.ispkg]
    return [room for room in rooms if room.removeprefix("bandlimiter.") not in _NOT_ROOMS]
