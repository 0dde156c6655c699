"""Certification logs side by side: ours, and those that others publish.

The literature keeps one line per image, tab-separated, ``idx label predict radius correct time``,
with ``predict`` -1 for an abstention (Cohen et al. 2019, and those who built on their code), and
reads it by one rule: an image counts at R if it is ``correct`` and its ``radius`` is R or more.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from bandlimiter.errors import LoadError
from bandlimiter.results.certified_rows import COLUMNS, CertifiedRow
from bandlimiter.results.runs import StoredRun
from bandlimiter.results.runs.folder import DATABASE

TABLE = "certified.tsv"
"""Beside the rows of a run: the columns that the literature's analysis scripts read."""

_READ = COLUMNS[:-1]


class Log(NamedTuple):
    """What is certified of some images.

    Attributes
    ----------
    name
        What tables call it.
    idx
        [N] int64, the images.
    radius
        [N] float64, within which the answer is right; -1 where it is wrong or an abstention.
    abstained
        [N] bool.
    share
        [N] float64, of the samples for the label: about p_A. None where it is not known.
    """

    name: str
    idx: NDArray[np.int64]
    radius: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    share: NDArray[np.float64] | None = None


def table_of(rows: Iterable[CertifiedRow]) -> str:
    """Return our rows as the literature writes them."""
    return "\t".join(COLUMNS) + "\n" + "".join(row.columns() for row in rows)


def log_of(rows: Iterable[CertifiedRow], name: str) -> Log:
    """Return our rows as a log."""
    rows = list(rows)
    return Log(
        name,
        np.array([row.image for row in rows], dtype=np.int64),
        np.array([row.radius if row.right else -1.0 for row in rows]),
        np.array([row.certified is None for row in rows], dtype=bool),
        np.array([row.share for row in rows]),
    )


def read_logs(paths: Sequence[Path]) -> list[Log]:
    """Read logs under names that differ: where files share one, with their folder's before it.

    Raises
    ------
    LoadError
        As `read_log`; also where one is given twice.
    """
    logs = [read_log(path) for path in paths]
    names = [log.name for log in logs]
    named = [
        log
        if names.count(log.name) == 1
        else log._replace(name=f"{path.resolve().parent.name}/{log.name}")
        for log, path in zip(logs, paths, strict=True)
    ]
    if len({log.name for log in named}) < len(named):
        raise LoadError(f"expected each log once, got {', '.join(log.name for log in named)}")
    return named


def read_log(path: Path) -> Log:
    """Read a log: a file, a folder that holds one, or a run of ours.

    Raises
    ------
    LoadError
        If it is missing, has no such columns, a line that is not of them, or an image twice; or
        if the run is of another kind.
    """
    if (path / DATABASE).is_file():
        return log_of(read_certified(path), path.resolve().name)
    file = path / TABLE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"expected a certification log that can be read at {file}: {error}") from (
            error
        )
    lines = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    if not lines or not set(_READ) <= set(lines[0]):
        raise LoadError(
            f"expected tab-separated lines with the columns {' '.join(_READ)} in {file}, got "
            f"{(text.splitlines() or ['nothing'])[0][:80]!r}"
        )
    parsed = [_numbers(file, number, line) for number, line in enumerate(lines, start=2)]
    idx, predict, radius, correct = (np.array(column) for column in zip(*parsed, strict=True))
    if len(np.unique(idx)) < len(idx):
        raise LoadError(f"expected each image once in {file}, found some twice")
    name = path.resolve().name  # Cohen's files have no suffix: sigma_0.25
    name = name.removesuffix(".tsv").removesuffix(".txt").removesuffix(".csv")
    return Log(name, idx, np.where(correct == 1, radius, -1.0), predict == -1)


def read_certified(folder: Path) -> list[CertifiedRow]:
    """Read the rows of a run of ``certify``.

    Raises
    ------
    LoadError
        If there is none.
    """
    rows = StoredRun.open(folder).rows()
    if not rows or not all(isinstance(row, CertifiedRow) for row in rows):
        raise LoadError(f"expected a run of certify with rows in {folder}, got another")
    return rows


def compare_logs(logs: Sequence[Log], at: Sequence[float]) -> dict[str, Any]:
    """Set logs side by side, on the images that all of them have.

    Parameters
    ----------
    logs
        At least one.
    at
        Radii, from 0 on.

    Returns
    -------
    dict
        ``images``, ``common`` (whether that is all that each has), ``radii``, and ``logs``: for
        each ``name``, ``images`` (its own number), ``abstained``, ``certified_accuracy`` and
        ``interval`` (Clopper and Pearson, 95 %) at each radius, and ``average_radius`` (ACR: wrong
        answers and abstentions count 0; by itself it tells little, a trivial classifier can make
        it large), ``shares`` (quartiles of `Log.share`, or None).

    Raises
    ------
    LoadError
        Where the logs have no image in common.
    """
    shared = set(logs[0].idx.tolist()).intersection(*(log.idx.tolist() for log in logs[1:]))
    if not shared:
        raise LoadError(
            f"expected logs of the same images, {' and '.join(log.name for log in logs)} have none "
            "in common"
        )
    wanted = np.array(sorted(shared))
    return {
        "images": len(wanted),
        "common": all(len(log.idx) == len(wanted) for log in logs),
        "radii": list(at),
        "logs": [_line(log, wanted, at) for log in logs],
    }


def certified_shares(
    radius: NDArray[np.float64], at: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return certified accuracy at A radii, and its 95 % intervals (Clopper and Pearson).

    Parameters
    ----------
    radius
        As `Log.radius`: [N], N >= 1.
    at
        [A].

    Returns
    -------
    shares, intervals
        [A] and [A, 2].

    Examples
    --------
    >>> shares, intervals = certified_shares(np.array([-1.0, 0.0, 0.5]), [0.0, 0.5])
    >>> shares.round(2).tolist(), intervals.round(2).tolist()
    ([0.67, 0.33], [[0.09, 0.99], [0.01, 0.91]])
    """
    count = len(radius)
    right = count - np.searchsorted(np.sort(radius), np.asarray(at, dtype=np.float64))
    low = betaincinv(np.maximum(right, 1), count - np.maximum(right, 1) + 1, 0.025)
    high = betaincinv(np.minimum(right, count - 1) + 1, np.maximum(count - right, 1), 0.975)
    intervals = np.stack([np.where(right > 0, low, 0), np.where(right < count, high, 1)], axis=1)
    return right / count, intervals


def _line(log: Log, wanted: NDArray[np.int64], at: Sequence[float]) -> dict[str, Any]:
    chosen = np.isin(log.idx, wanted)
    shares, intervals = certified_shares(log.radius[chosen], at)
    return {
        "name": log.name,
        "images": len(log.idx),
        "abstained": float(log.abstained[chosen].mean()),
        "certified_accuracy": shares.tolist(),
        "interval": intervals.tolist(),
        "average_radius": float(log.radius[chosen].clip(0).mean()),
        "shares": None
        if log.share is None
        else np.quantile(log.share[chosen], [0.25, 0.5, 0.75]).tolist(),
    }


def _numbers(file: Path, number: int, line: dict[str, Any]) -> tuple[int, int, float, int]:
    try:
        idx, predict, correct = (int(line[name]) for name in ("idx", "predict", "correct"))
        radius = float(line["radius"])
        np.int64(idx), np.int64(predict)
    except (TypeError, ValueError, OverflowError):
        radius, idx, predict, correct = np.nan, 0, 0, 0
    if not (np.isfinite(radius) and radius >= 0 and correct in (0, 1)):
        shown = " ".join(str(line.get(name)) for name in _READ)
        raise LoadError(f"expected numbers as columns in line {number} of {file}, got {shown!r}")
    return idx, predict, radius, correct
