"""Jinja2 and plotly, imported late; the page's policy: nothing from outside, no other script."""

import base64
import hashlib
import re
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from bandlimiter.errors import MissingExtraError

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = "bandlimiter.report.html"
_EXTRA = "expected {} for the report; install it with pip install 'bandlimiter[report]'"


def environment() -> "Environment":
    """Return the templates' environment; whatever is put into a template is text.

    Raises
    ------
    MissingExtraError
        Where jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError(_EXTRA.format("jinja2")) from error
    made = Environment(
        loader=PackageLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return made


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """Return plotly's script, as its package has it.

    Raises
    ------
    MissingExtraError
        Where plotly is not installed.
    """
    try:
        return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")
    except (ImportError, FileNotFoundError) as error:
        raise MissingExtraError(_EXTRA.format("plotly")) from error


def styles_of(script: str) -> list[str]:
    """Return ids of style sheets that plotly adds where it finds none: for maps, not used here.

    The page has empty ones of these ids, so that its policy need not allow them.
    """
    return re.findall(r'if\(!document\.getElementById\("([0-9a-f]{64})"\)\)', script)


def own_file(name: str) -> str:
    """Return one of the page's own files."""
    return (resources.files(_HERE) / "templates" / name).read_text("utf-8")


def policy(scripts: list[str], styles: list[str]) -> str:
    """Return a Content-Security-Policy: these scripts and styles by their hash, images inlined.

    Nothing may be fetched. Style *attributes* are allowed, since plotly sets some; they can
    fetch nothing either.
    """
    return "; ".join(
        [
            "default-src 'none'",
            "script-src " + " ".join(map(_hash, scripts)),
            "style-src-elem " + " ".join(map(_hash, styles)),
            "style-src-attr 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
