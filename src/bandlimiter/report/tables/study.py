"""A run as tables and pages need it: what counts, what failed, and the documents made of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bandlimiter.report.tables.sweep import Sweep, sweep_of
from bandlimiter.results import NONE, OURS, Row, Status, summarise

if TYPE_CHECKING:
    from bandlimiter.results.runs import StoredRun


@dataclass(frozen=True)
class Study:
    """What a report knows of a run.

    Attributes
    ----------
    name, kind, state, finished, planned, damaged
        As the store has them.
    everything
        All rows of attacks, failed ones too.
    records
        All rows, of whatever kind the run has; `everything` where there are attacks.
    result
        The document that the run ended with; empty where it has not come so far.
    settings, identity
        What the run was asked for, and what names it.
    warnings
        Of the checks at a run's end; None where it has not come so far.
    said
        The verdict that the run itself wrote, if it did.
    timings
        What each shard took.
    """

    name: str
    kind: str
    state: str
    finished: int
    planned: int
    damaged: int
    everything: Sequence[Row]
    settings: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[Mapping[str, Any]] | None = None
    said: str | None = None
    timings: Sequence[Mapping[str, Any]] = ()
    records: Sequence[BaseModel] = ()
    result: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: "StoredRun") -> "Study":
        """Read a run.

        Raises
        ------
        LoadError
            Where one of its files is damaged.
        """
        names = {
            "certify": "certified.json",
            "robustness": "robustness.json",
            "tune": "tune.json",
        }
        result = run.documents.get(names.get(run.kind, "result.json"), {})
        said, records = result.get("verdict"), run.rows()
        return cls(
            name=run.name,
            kind=run.kind,
            state=run.state,
            finished=run.finished,
            planned=run.planned,
            damaged=run.damaged,
            everything=records if run.row_type is Row else (),
            records=records,
            result=result,
            settings=run.settings,
            identity=run.identity,
            warnings=_warnings(result),
            said=said if isinstance(said, str) else None,
            timings=run.timings(),
        )

    @cached_property
    def rows(self) -> list[Row]:
        """Rows that count."""
        return [row for row in self.everything if row.status is not Status.FAILED]

    @cached_property
    def failed(self) -> list[Any]:
        """Rows with an error, which count in no rate (of `certify`: as abstentions)."""
        rows = self.records or self.everything
        return [row for row in rows if getattr(row, "error", None) is not None]

    @cached_property
    def document(self) -> dict[str, Any]:
        """The rows' document; see `results.summarise`."""
        warnings = [dict(each) for each in self.warnings or ()]
        return summarise(self.everything, dict(self.settings), warnings)

    @cached_property
    def defences(self) -> list[str]:
        """All defences: a sweep in its order, else the run's own first. Not the plain model."""
        names = dict.fromkeys(row.defence for row in self.rows if row.defence != NONE)
        swept = sweep_of(list(names), self.settings)
        return list(swept.values) if swept else sorted(names, key=lambda name: name != OURS)

    @cached_property
    def sweep(self) -> Sweep | None:
        """How the defences are points of a sweep; None where they are not."""
        return sweep_of(self.defences, self.settings)

    @cached_property
    def by_defence(self) -> dict[str, dict[str, Any]]:
        """A document for each defence, as if it were the run's own."""
        if self.defences == [OURS]:
            return {OURS: self.document}
        return {name: self.document_of(name) for name in self.defences}

    @property
    def targeted(self) -> bool:
        """Whether its attacks were to reach target classes, and no other success counts."""
        return any(row.target is not None for row in self.everything)

    @property
    def attack_word(self) -> str:
        """What its tables call an attack."""
        return "targeted attack" if self.targeted else "attack"

    def shown(self, defence: str) -> str:
        """Return a defence's name as readers should see it: a sweep's own point has its value."""
        if defence == NONE:
            return "plain model"
        if defence == OURS and self.sweep and OURS in self.sweep.values:
            return f"{self.sweep.parameter}={self.sweep.values[OURS]:g}"
        return defence

    def class_name(self, label: int) -> str:
        """Return a class's name, or its number in words."""
        names = self.settings.get("class_names")
        return str(names[label]) if names and 0 <= label < len(names) else f"class {label}"

    @property
    def judges(self) -> bool:
        """Whether it judges a defence; runs that only keep attacks do not."""
        return self.kind != "attacks"

    def document_of(self, name: str) -> dict[str, Any]:
        """Return the document of one defence, or of the plain model that was attacked itself."""
        own = [row for row in self.rows if row.defence == name]
        return summarise(own, dict(self.settings), defence=name)


def defence_rates(results: Iterable[Mapping[str, Any]], protocol: str) -> list[float]:
    """Return the defence rates of a protocol that are known."""
    return [
        result["defence_rate"]
        for result in results
        if result["protocol"] == protocol and result["defence_rate"] is not None
    ]


def _warnings(result: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return a document's warnings; those of ``tune`` are sentences."""
    if "warnings" not in result:
        return None
    return [
        {"kind": "tune", "about": "images", "message": each} if isinstance(each, str) else each
        for each in result["warnings"]
    ]
