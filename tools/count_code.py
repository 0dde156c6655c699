"""How large rooms of the package are: files, lines of code, public names, as a Markdown table.

    python tools/count_code.py                          # this checkout as it is
    python tools/count_code.py --rev HEAD~9 --rev .     # a revision and this checkout, side by side
    python tools/count_code.py geometry report          # other rooms

Lines are those on which a token of code stands: no blank ones, comments or docstrings (any string
that is a statement of its own). Public names are those in any ``__all__``, and functions and
classes at the top of a module that do not begin with an underscore; each name counts once per
room.
"""

import argparse
import ast
import io
import subprocess
import tarfile
import tempfile
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "src/bandlimiter"
COLUMNS = ("files", "lines of code", "public names")
ROOMS = ("evaluation", "results", "defence", "attacks")
LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yield the package's folder at a revision; ``.`` is the checkout as it is."""
    if revision == ".":
        yield ROOT / PACKAGE
        return
    command = ("git", "archive", revision, PACKAGE)
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
        yield Path(folder) / PACKAGE


def code_lines(source: str) -> int:
    """Count the lines on which code stands."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT and token.string:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(ast.Constant(str()), lineno=first, end_lineno=last):
                lines.difference_update(range(first, last + 1))
    return len(lines)


def public_names(source: str) -> set[str]:
    """Return what a module defines or exports for others."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                names.add(name)
            case ast.Assign([ast.Name("__all__")], ast.List(exported)):
                names.update(ast.literal_eval(each) for each in exported)
    return {name for name in names if not name.startswith("_")}


def size_of(folder: Path) -> tuple[int, int, int]:
    """Return the `COLUMNS` of all modules in a folder, however deep."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))]
    names = set().union(*map(public_names, sources))
    return len(sources), sum(map(code_lines, sources)), len(names)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", default=ROOMS)
    parser.add_argument("--rev", action="append", help="of git, repeatable; . is the checkout")
    args = parser.parse_args()
    revisions, rows = args.rev or ["."], {room: [f"`{room}`"] for room in (*args.rooms, PACKAGE)}
    for revision in revisions:
        with checkout(revision) as package:
            for room, row in rows.items():
                size = size_of(package if room == PACKAGE else package / room)
                row += [f"{number:,}" for number in size]
    head = ["room", *(f"{what}, {r}" for r in revisions for what in COLUMNS)]
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows.values()):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
