"""Docstrings as Markdown: the double colon before a formula is one on the page."""

import re
from typing import Any

import griffe


class OneColon(griffe.Extension):
    """Turns reStructuredText's ``::`` at the end of a line into ``:``."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Mend a docstring as soon as it is read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"::$", ":", obj.docstring.value, flags=re.MULTILINE)
