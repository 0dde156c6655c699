"""What README and guide tell readers to type: commands in blocks, words in running text, Python."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
)

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Typed:
    """A line that a reader is told to type: where it stands, and its words."""

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def typed(page: str, program: str) -> list[Typed]:
    """Return the lines of ``page`` that run ``program``: indented, or in a fence that is no Python.

    Lines are put together where they end in a backslash, and comments are left out.
    """
    found = []
    lines = _blank_python((ROOT / page).read_text()).splitlines()
    fenced, number = False, 0
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if line.startswith("```"):
            fenced = not fenced
            continue
        if not fenced and not line.startswith("    "):
            continue
        while line.endswith("\\") and number < len(lines):
            line = line[:-1] + " " + lines[number].strip()
            number += 1
        words = _words(line)
        if words and words[0].rpartition("/")[2] == program:
            found.append(Typed(page, start + 1, (program, *words[1:])))
    return found


def inline(page: str) -> list[str]:
    """Return the code in running text, each piece in one line."""
    text = _FENCE.sub("", (ROOT / page).read_text())
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return [" ".join(piece.split()) for piece in _INLINE.findall(prose)]


def python_blocks(page: str) -> list[tuple[str | None, str]]:
    """Return the Python of a page, each block with its title (a file's name) or None."""
    blocks = []
    for about, code in _FENCE.findall((ROOT / page).read_text()):
        if about.split(" ")[0] == "python":
            title = re.search(r'title="([^"]+)"', about)
            blocks.append((title and title.group(1), code))
    return blocks


def _blank_python(text: str) -> str:
    """Empty the Python blocks, so that lines keep their numbers."""
    return _FENCE.sub(
        lambda found: (
            "\n" * found.group(0).count("\n")
            if found.group(1).startswith("python")
            else found.group(0)
        ),
        text,
    )


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a formula with an apostrophe
        return []
