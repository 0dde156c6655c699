"""``bandlimiter report``: runs as one HTML page, and as tables in files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer, own_stdout
from bandlimiter.errors import ConfigurationError

if TYPE_CHECKING:
    from bandlimiter.report.html import Shown


@one_line_errors
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs, or folders that hold some.", metavar="RUN...", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The page; replaced where there is one.", rich_help_panel="Run")
    ] = Path("report.html"),
    tables: Annotated[
        Path | None,
        typer.Option(
            help="Also a folder for every table as CSV, LaTeX and JSON, and the rows as CSV.",
            metavar="FOLDER",
            rich_help_panel="Run",
        ),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Make one self-contained HTML page of one run or several: verdict, tables, figures, images.

    The page needs no network and no second file. Several runs are compared, a curve for each
    defence of each. Runs that are not finished are shown as far as they are, and say so.

    For instance:

      bandlimiter report runs/first

      bandlimiter report runs/first runs/second --out both.html --tables tables
    """
    with own_stdout():
        from bandlimiter.report.html import write_page

        _require_file(out)
        shown = [_read(run) for run in _found(runs)]
        files = [write_page(shown, out)]
        if tables is not None:
            from bandlimiter.report.tables import write_tables

            files += write_tables([run.study for run in shown], tables)
    document = {
        "report": str(out),
        "bytes": out.stat().st_size,
        "runs": [_said(run) for run in shown],
        "files": [str(path) for path in files],
    }
    answer(document, as_json, _show)


def _show(document: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    for each in document["runs"]:
        missing = f" ({each['missing']})" if each["missing"] else ""
        console.print(f"{each['name']}{missing}: {each['verdict']}", highlight=False, markup=False)
    page, *tables = document["files"]
    extra = f", {len(tables)} files in {Path(tables[-1]).parents[1]}" if tables else ""
    console.print(f"written: {page} ({document['bytes'] / 1e6:.1f} MB){extra}", markup=False)


def _found(folders: list[Path]) -> list[Path]:
    """Return runs in the order given; a folder that is none stands for those in it."""
    from bandlimiter.results.runs import find_runs

    found = dict.fromkeys(run for folder in folders for run in find_runs(folder) or [folder])
    return list(found)


def _read(folder: Path) -> "Shown":
    from bandlimiter.report.html import Shown
    from bandlimiter.results.runs import StoredRun

    return Shown.of(StoredRun.open(folder))


def _said(run: "Shown") -> dict[str, str | None]:
    from bandlimiter.report.tables.summary_text import missing_of, verdict_of

    study = run.study
    return {"name": study.name, "missing": missing_of(study), "verdict": verdict_of(study)}


def _require_file(out: Path) -> None:
    """Refuse, before anything is read, what cannot become a page."""
    if not out.parent.is_dir() or (out.exists() and not out.is_file()):
        wrong = "a folder" if out.is_dir() else "no file" if out.exists() else "in no folder"
        raise ConfigurationError(
            f"expected --out to name a file, like report.html; got {out} ({wrong})"
        )
