"""All figures of a page, in order."""

from collections.abc import Sequence

from bandlimiter.report.html.colours import looks_of
from bandlimiter.report.html.figures.budgets import Labels, minimal_figures, smallest_figure
from bandlimiter.report.html.figures.certified import certified_figure, tuning_figure
from bandlimiter.report.html.figures.figure import Figure
from bandlimiter.report.html.figures.rates import rate_figures, sweep_figures
from bandlimiter.report.html.figures.robust import robust_figures
from bandlimiter.report.tables import Study
from bandlimiter.results import NONE


def figures_of(studies: Sequence[Study]) -> list[Figure]:
    """Return the figures that runs have rows for; a curve for each defence of each run."""
    looks, labels = looks_of(studies), labels_of(studies)
    return [
        *certified_figure(studies),
        *tuning_figure(studies),
        *robust_figures(studies),
        *sweep_figures(studies),
        *rate_figures(studies, looks, labels),
        *smallest_figure(studies, looks, labels),
        *minimal_figures(studies, looks, labels),
    ]


def labels_of(studies: Sequence[Study]) -> Labels:
    """Return names of curves; where several runs are shown, with the run's."""
    several = len(studies) > 1
    return {
        (place, name): study.shown(name) + (f" ({study.name})" if several else "")
        for place, study in enumerate(studies)
        for name in (*study.defences, NONE)
    }
