"""The page: runs in, one HTML file out. The same runs give the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandlimiter.errors import ConfigurationError
from bandlimiter.report.html.download import Download, rows_download
from bandlimiter.report.html.engine import environment, own_file, plotly_script, policy, styles_of
from bandlimiter.report.html.figures import figures_of
from bandlimiter.report.html.gallery import Gallery, gallery_of
from bandlimiter.report.tables import Study, Table, tables_of
from bandlimiter.report.tables.summary_text import failures_of, missing_of, verdict_of
from bandlimiter.report.tables.write import file_names
from bandlimiter.results.files import write_whole

if TYPE_CHECKING:
    from bandlimiter.results.runs import StoredRun

_FOLDED = ("classes-", "settings", "phases", "timings")
"""Tables that a reader opens; the first of the classes is open."""


@dataclass(frozen=True)
class Shown:
    """A run, and what of it can be looked at."""

    study: Study
    gallery: Gallery

    @classmethod
    def of(cls, run: "StoredRun") -> "Shown":
        """Read a run for a page.

        Raises
        ------
        LoadError
            Where one of its files is damaged.
        """
        study = Study.of(run)
        return cls(study, gallery_of(study, run.results()))


def write_page(runs: Sequence[Shown], path: Path) -> Path:
    """Write the page of one or several runs, whole or not at all.

    Raises
    ------
    ConfigurationError
        (a ValueError) where the file cannot be written.
    MissingExtraError
        Where jinja2 or plotly is not installed.
    """
    text = render_page(runs)
    try:
        return write_whole(path, text)
    except OSError as error:
        raise ConfigurationError(
            f"expected a file that can be written, got {path} ({error.strerror}); name another one"
        ) from error


def render_page(runs: Sequence[Shown]) -> str:
    """Return the page of one or several runs.

    Raises
    ------
    ConfigurationError
        (a ValueError) where there is no run.
    MissingExtraError
        Where jinja2 or plotly is not installed.
    """
    if not runs:
        raise ConfigurationError("expected at least one run for a report, got none")
    studies = [run.study for run in runs]
    figures = figures_of(studies)
    scripts = {"plotly": plotly_script() if figures else "", "script": own_file("page.js")}
    style = own_file("page.css")
    names = file_names([study.name for study in studies])
    template = environment().get_template("page.html.j2")
    return template.render(
        parts=[
            _part(i, run, rows_download(run.study, name))
            for i, (run, name) in enumerate(zip(runs, names, strict=True))
        ],
        figures=figures,
        drawn={figure.key: figure.document() for figure in figures},
        policy=policy([text for text in scripts.values() if text], [style, ""]),
        style=style,
        empty_styles=styles_of(scripts["plotly"]),
        **scripts,
    )


def _part(number: int, run: Shown, download: Download) -> dict[str, Any]:
    study = run.study
    return {
        "key": f"run-{number}",
        "study": study,
        "verdict": verdict_of(study),
        "missing": missing_of(study),
        "failures": failures_of(study),
        "errors": _errors(study),
        "gallery": run.gallery,
        "tables": [(table, _folded(table)) for table in tables_of(study)],
        "download": download,
    }


def _errors(study: Study) -> list[tuple[str, int]]:
    """Return why images gave no answer, and of how many each is true; commonest first."""
    images: dict[str, set[int]] = {}
    for row in study.failed:
        images.setdefault(row.error or "", set()).add(row.image)
    counts = [(error, len(ids)) for error, ids in images.items()]
    return sorted(counts, key=lambda each: -each[1])


def _folded(table: Table) -> bool:
    return table.name.startswith(_FOLDED) and table.name != "classes-0"
