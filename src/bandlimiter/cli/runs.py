"""``bandlimiter runs``: what runs there are, how far they are, and what they say."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typing_extensions import override

from bandlimiter.cli import options
from bandlimiter.cli.error_handling import one_line_errors
from bandlimiter.cli.output import answer
from bandlimiter.cli.streams import print_error
from bandlimiter.errors import BandlimiterError, ConfigurationError, LoadError

if TYPE_CHECKING:
    from bandlimiter.report.tables import Study


class RunsGroup(TyperGroup):
    """``runs [FOLDER]`` lists; ``runs recover`` and ``runs export`` do more with one run."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what is no command, help or nothing for arguments of the list."""
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


runs = typer.Typer(
    cls=RunsGroup,
    help="List runs (bandlimiter runs [FOLDER]); recover a damaged one, or export its rows.",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@runs.command("list")
@one_line_errors
def list_runs(
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


@runs.command()
@one_line_errors
def recover(
    run: Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")],
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Give back every shard whose content is as it was written, from a damaged run.

    Where SQLite cannot read the database, a new one takes its place, and the damaged one is kept
    as run.sqlite.damaged. The run's own command, given again, does what is missing.

    For instance:

      bandlimiter runs recover runs/first
    """
    from bandlimiter.results.runs import recover as recovered

    count, lost = recovered(run)
    document = {
        "run": str(run),
        "recovered": count,
        "lost": [{"shard": name, "reason": reason} for name, reason in lost.items()],
    }
    answer(document, as_json, _show_recovered)


@runs.command()
@one_line_errors
def export(
    run: Annotated[Path, typer.Argument(help="The run's folder.", metavar="RUN")],
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, the default.")] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="As Parquet (needs the extra parquet).")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The file; replaced where there is one. Default: RUN-rows.csv, here."),
    ] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Write a run's rows to one file. Equal runs give equal bytes: seconds are left out.

    The run itself is one SQLite file, run.sqlite, which other programs read as it is: tables
    shards and rows, with a column for each field.

    For instance:

      bandlimiter runs export runs/first --csv --out first.csv
    """
    from bandlimiter.report.tables import rows_csv
    from bandlimiter.results.files import write_whole
    from bandlimiter.results.parquet import to_parquet
    from bandlimiter.results.runs import StoredRun

    if csv and parquet:
        raise ConfigurationError("expected one of --csv and --parquet, got both")
    stored = StoredRun.open(run)
    rows = stored.rows()
    path = out or Path(f"{stored.name}-rows.{'parquet' if parquet else 'csv'}")
    times = {"seconds"}  # never the same twice
    content = to_parquet(rows, stored.row_type, times) if parquet else rows_csv(rows, times)
    write_whole(path, content)
    document = {
        "run": str(run),
        "rows": len(rows),
        "finished": stored.finished,
        "planned": stored.planned,
        "damaged": stored.damaged,
        "file": str(path),
    }
    if stored.finished < stored.planned:
        print_error(
            f"note: {stored.finished} of {stored.planned} shards are finished and whole; the rows "
            "of others are not there"
        )
    answer(document, as_json, _show_exported)


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
    from bandlimiter.results.phases import seconds_by_phase

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
        "rows": len(study.records),
        "failed_images": len({row.image for row in study.failed}),
        "written": _written(path),
        "seconds": seconds_by_phase(study.timings),
        "clean_accuracy": study.document["clean"]["accuracy"]
        if study.rows
        else study.result.get("plain_accuracy"),
        "defended_accuracy": _ends(
            [each["clean"]["defended_accuracy"] for each in documents] or _averaged(study)
        ),
        "defence_rate": {name: _ends(found) for name, found in rates.items()},
    }


def _averaged(study: "Study") -> list[float]:
    """Return the average's clean accuracy in a run of ``certify`` or ``tune``."""
    if study.kind == "tune" and study.result:
        chosen = study.result["radius"]
        return [p["accuracy"] for p in study.result["curve"] if p["radius"] == chosen]
    return [study.result["accuracy"]] if study.kind == "certify" and study.result else []


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


def _show_recovered(document: dict[str, Any]) -> None:
    from rich.console import Console

    said = [f"{document['recovered']} shards of {document['run']} are whole"]
    said += [f"lost: {each['shard']}: {each['reason']}" for each in document["lost"]]
    Console().print("\n".join(said), markup=False, highlight=False)


def _show_exported(document: dict[str, Any]) -> None:
    from rich.console import Console

    said = f"{document['rows']} rows of {document['run']} are in {document['file']}"
    Console().print(said, markup=False, highlight=False)


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
    seconds = sum(run["seconds"].values())
    took = f"\n{seconds:,.0f} s" if seconds else ""
    failed = f"\n{run['failed_images']} failed" if run["failed_images"] else ""
    clean = None if run["clean_accuracy"] is None else [run["clean_accuracy"]] * 2
    return [
        run["name"] if run["name"].startswith(run["kind"]) else f"{run['name']}\n{run['kind']}",
        f"{run['state']}\n{run['finished']}/{run['planned']} shards{damaged}{took}",
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
