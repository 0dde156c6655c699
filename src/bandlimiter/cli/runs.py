"""``bandlimiter runs``: what runs there are, how far they are, and what they say."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer
from bandlimiter.errors import BandlimiterError, LoadError

if TYPE_CHECKING:
    from bandlimiter.report.tables import Study


@one_line_errors
def runs(
    folder: Annotated[Path, typer.Argument(help="Where runs are, up to three levels down.")] = Path(
        "runs"
    ),
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List runs: kind, state, shards, rows, failures, and the figures that matter most.

    Folders that hold no run, or a damaged one, are named below the table.
    """
    if not folder.is_dir():
        raise LoadError(f"expected a folder of runs, got {folder}; name the one given as --out")
    document = _document(folder)
    answer(document, as_json, _show)


def _document(folder: Path) -> dict[str, Any]:
    from bandlimiter.report.tables import Study
    from bandlimiter.results.runs import StoredRun, find_runs

    listed, others = [], []
    found = find_runs(folder)
    for path in found:
        try:
            study = Study.of(StoredRun.open(path))
        except (BandlimiterError, OSError) as error:
            others.append({"folder": str(path), "reason": str(error)})
        else:
            listed.append(_line(path, study))
    inside = [path for path in folder.iterdir() if path.is_dir()] if folder not in found else []
    others += [
        {"folder": str(path), "reason": "no run in it"}
        for path in sorted(inside)
        if not any(run.is_relative_to(path) for run in found)
    ]
    return {"folder": str(folder), "runs": listed, "others": others}


def _line(path: Path, study: "Study") -> dict[str, Any]:
    from bandlimiter.report.tables.study import defence_rates

    documents = list(study.by_defence.values()) if study.rows and study.judges else []
    results = [result for each in documents for result in each["results"]]
    rates = {name: defence_rates(results, name) for name in ("minimal", "fixed", "saved")}
    return {
        "folder": str(path),
        "name": study.name,
        "kind": study.kind,
        "state": study.state,
        "finished": study.finished,
        "planned": study.planned,
        "damaged": study.damaged,
        "rows": len(study.everything),
        "failed_images": len({row.image for row in study.failed}),
        "written": _written(path),
        "clean_accuracy": study.document["clean"]["accuracy"] if study.rows else None,
        "defended_accuracy": _ends([each["clean"]["defended_accuracy"] for each in documents]),
        "defence_rate": {name: _ends(found) for name, found in rates.items()},
    }


def _ends(values: list[float]) -> list[float] | None:
    """Return the least and the most of several defences and attacks."""
    return [min(values), max(values)] if values else None


def _written(folder: Path) -> str:
    """Return when anything of a run was written last, UTC, to the second."""
    from datetime import UTC, datetime

    last = folder.stat().st_mtime
    for path in folder.rglob("*"):
        with suppress(OSError):  # what a run in use writes first is there for an instant
            last = max(last, path.stat().st_mtime)
    return datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _show(document: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from bandlimiter.results.files import printable

    console = Console()
    if document["runs"]:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("run", overflow="fold")
        table.add_column("state", no_wrap=True)
        for heading in ("rows", "written\n(UTC)", "accuracy:\nplain\ndefended"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("defence rate:\nsmallest\nwhole", justify="right", no_wrap=True)
        for run in document["runs"]:
            table.add_row(*(escape(printable(cell)) for cell in _cells(run)))
        console.print(table)
    else:
        console.print(f"no runs in {document['folder']}", markup=False, highlight=False)
    for other in document["others"]:
        console.print(
            f"left out: {other['folder']}: {other['reason']}", markup=False, highlight=False
        )


def _cells(run: dict[str, Any]) -> list[str]:
    damaged = f"\n{run['damaged']} damaged" if run["damaged"] else ""
    failed = f"\n{run['failed_images']} failed" if run["failed_images"] else ""
    clean = None if run["clean_accuracy"] is None else [run["clean_accuracy"]] * 2
    return [
        run["name"] if run["name"].startswith(run["kind"]) else f"{run['name']}\n{run['kind']}",
        f"{run['state']}\n{run['finished']}/{run['planned']} shards{damaged}",
        str(run["rows"]) + failed,
        run["written"].replace("T", "\n")[:16],
        f"{_range(clean)}\n{_range(run['defended_accuracy'])}",
        f"{_range(run['defence_rate']['minimal'])}\n{_range(run['defence_rate']['fixed'])}",
    ]


def _range(ends: list[float] | None) -> str:
    if ends is None:
        return "-"
    low, high = (f"{end:.3f}" for end in ends)
    return low if low == high else f"{low}-{high}"
